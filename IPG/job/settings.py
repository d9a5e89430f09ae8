"""Settings of a generation job: what they are, what they default to, and which of them decide a picture."""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch

from pose2id.devices import pick_device
from pose2id.errors import UserError
from pose2id.presets import default_directory, load_preset
from pose2id.resources import here_or_shipped
from pose2id.settings.given import check_not_given
from pose2id.settings.ranges import BATCH, Range, check_ranges

from ..models.reference_attention import KERNELS
from ..networks import MOST_PICTURES
from ..poses import CHANNEL_ORDERS
from ..sampling import Sampling
from ..splits import check_splits
from ..weights.files import STUDENT, read_made_for

Setting = TypeVar("Setting")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SUITED = ("steps", "guidance_scale", "scheduler")  # which a student has of its own
# Settings that decide what a picture looks like; a folder holds pictures of one choice of them.
DECISIVE = (
    "preset",
    "references_per_person",
    "steps",
    "guidance_scale",
    "guidance_interval",
    "scheduler",
    "feature_interval",
    "seed",
    "official_noise",
    "dtype",
    "pose_channel_order",
)


@dataclass
class GenerationConfig:
    """Everything a job depends on. `resolve` replaces `None`."""

    preset: str = "sd15"  # sizes of the networks: sd15 or mini
    ckpt_dir: str | None = None  # the preset's own place under pretrained/
    student: bool = False  # weights for few steps without guidance: those in the folder student of ckpt_dir
    vae: str | None = None  # a diffusers folder or a file; one found in ckpt_dir
    pose_dir: str | None = None  # folder of pose pictures; standard_poses
    pose_channel_order: str = "bgr"  # how pose files store their colours: bgr or rgb
    ref_dir: str | None = None  # folder of reference pictures; ref
    out_dir: str | None = None  # outputs/<preset>
    dataset: str | None = None  # layout of dataset_dir: market1501, sysu_mm01, occluded_reid, ...
    dataset_dir: str | None = None  # a data set to fill, instead of ref_dir and out_dir
    dataset_options: dict[str, str] = field(default_factory=dict)  # of its protocol, as mode=indoor of sysu_mm01
    splits: list[str] = field(default_factory=lambda: ["query", "gallery"])  # of the data set, and train
    references_per_person: int | None = None  # pictures of the same person seen at once: 1; of a person's folder all
    steps: int | None = None  # of denoising; 20, or what a student was made for
    guidance_scale: float | None = None  # 1 means conditional only; the preset's own (sd15: 3.5), a student's 1
    guidance_interval: list[float] = field(default_factory=lambda: [0.0, 1000.0])  # timesteps with guidance
    scheduler: str | None = None  # ddim; or dpm++, unipc, euler: as good with fewer steps
    feature_interval: int = 1  # deep features of the UNet are computed once in so many steps
    seed: int = 12580  # noise depends on it and the file names
    official_noise: bool = False  # noise in the order of the official script, see IPG/job/noise.py
    batch_size: int | None = None  # pictures read, drawn and written in one go (two tiles); never changes a picture
    device: str | None = None  # cuda where there is one
    dtype: str | None = None  # float32 on the CPU, bfloat16 elsewhere
    attention: str = "sdpa"  # or xformers
    compile: bool = False  # torch.compile the repeated blocks: minutes at first, faster after

    @property
    def sampling(self) -> Sampling:
        """The settings that decide a picture, checked; `UserError` for values that cannot work."""
        suited = {name: getattr(self, name) for name in SUITED if getattr(self, name) is not None}
        fixed = {"feature_interval": self.feature_interval, "seed": self.seed}
        return Sampling(guidance_interval=tuple(self.guidance_interval), **suited, **fixed)

    @property
    def tile(self) -> int:
        """Pictures that go through the networks together; fixed, so that the batch size never changes a picture."""
        return 8 if self.device == "cpu" else 32


def resolve(config: GenerationConfig) -> GenerationConfig:
    """The config with all that depends on preset and machine filled in; `UserError` for values that cannot work."""
    default = Sampling().for_preset(load_preset(config.preset))
    if config.dataset_dir and (config.ref_dir or config.out_dir):
        raise UserError("dataset_dir says where pictures come from and go to; leave out ref_dir and out_dir")
    if config.dataset and not config.dataset_dir:
        raise UserError(f"dataset {config.dataset} needs dataset_dir, the folder it lies in")
    if config.dataset_dir:
        count = config.references_per_person or 1
        places = {"dataset": config.dataset or "market1501", "references_per_person": count}
    else:
        references = config.ref_dir or str(here_or_shipped("ref"))
        places = {"ref_dir": references, "out_dir": config.out_dir or f"outputs/{config.preset}"}
    device = str(pick_device(config.device))
    weights = Path(config.ckpt_dir or default_directory(config.preset))
    weights = weights / STUDENT if config.student else weights
    made_for = read_made_for(weights)
    if config.student and made_for is None:
        raise UserError(f"no student in {weights}: distil one with configs/train/student.yaml, or leave out student")
    suited = made_for or default
    config = replace(
        config,
        **places,
        pose_dir=config.pose_dir or str(here_or_shipped("standard_poses")),
        ckpt_dir=str(weights),
        student=False,  # from here on ckpt_dir says it
        device=device,
        dtype=config.dtype or ("float32" if device == "cpu" else "bfloat16"),
        **{name: _first(getattr(config, name), getattr(suited, name)) for name in SUITED},
    )
    config = replace(config, batch_size=2 * config.tile if config.batch_size is None else config.batch_size)
    _check(config)
    return config


def _first(given: Setting | None, suited: Setting) -> Setting:
    return suited if given is None else given


def _check(config: GenerationConfig) -> None:
    for name, value, choices in (
        ("dtype", config.dtype, DTYPES),
        ("pose_channel_order", config.pose_channel_order, CHANNEL_ORDERS),
        ("attention", config.attention, KERNELS),
    ):
        if value not in choices:
            raise UserError(f"{name} '{value}' is unknown; choose one of: {', '.join(choices)}")
    check_splits(config.splits)
    if not config.dataset_dir:
        check_not_given(config, ("dataset_options", "splits"), "dataset_dir, a data set to fill")
    check_ranges(config, {"batch_size": BATCH, "references_per_person": Range(1, MOST_PICTURES)})
    if config.attention == "xformers" and not config.device.startswith("cuda"):
        raise UserError(f"attention=xformers computes on NVIDIA GPUs alone, not on {config.device}; use attention=sdpa")
    if config.attention == "xformers" and find_spec("xformers") is None:
        raise UserError("attention=xformers needs xformers, which is not installed; install it, or use attention=sdpa")
    _ = config.sampling  # says what cannot work
