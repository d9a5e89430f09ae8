"""Training of the generator: does it learn, and what does it need?

pose2id bench training overfit [--steps 200]
pose2id bench training sd15 [--batch_size 1] [--memory_gb 14]

overfit: the small networks, started from those shipped, learn one pair of pictures that they have never seen; prints
the PSNR of the picture they then draw against the target, and fails (exit code 1) below 25 dB.
sd15: one training step of the full size, with random weights: time and peak memory of each setting, and what it needs
by arithmetic for weights, gradients and the two moments of Adam. A setting that needs more by arithmetic than
--memory_gb is not run. Products are in bfloat16; on a GPU there are also compiled rows.
"""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from NFC.datasets.synthetic import World
from NFC.datasets.synthetic.groups import joined, shoot_group
from pose2id.devices import pick_device
from pose2id.errors import UserError
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.presets import Preset, default_directory, load_preset
from pose2id.settings.flags import parse_command

from ..models import build_scheduler, decode_latents
from ..training.data import Person, group_material
from ..training.encoded import encode_material
from ..training.networks import PARTS, NetworksConfig, build_networks, frozen_files
from ..training.objective import IPGObjective, ObjectiveConfig
from ..training.pairs import Pairs
from ..training.validation import Validation, ValidationConfig, psnr
from ..weights.checkpoints import identity_network, load_vae

BAR = 25.0  # dB
SEED = 5000  # of the world: nothing was trained on it
GB = 2**30
WIDTH = 120  # of the table, also where there is no terminal


def overfit(steps: int) -> float:
    """PSNR of the drawn target after `steps` steps on one pair."""
    preset, device = load_preset("mini"), pick_device()
    config = NetworksConfig(start_from=str(default_directory("mini")))
    vae_file, reid_file = frozen_files("mini", config)
    vae = load_vae(vae_file, preset).eval().requires_grad_(False).to(device)
    extractor = identity_network(reid_file, "mini", device)
    group = group_material(joined([shoot_group(World(SEED), 0)]))
    material = replace(group, people=[Person(0, np.array([0]), np.array([1]))])
    torch.manual_seed(0)
    networks = build_networks(preset, config)
    objective = IPGObjective(*networks.values(), build_scheduler(preset), ObjectiveConfig(0.0, 0.0, 0.0))
    validation = Validation(
        material, networks, vae, extractor, preset, ValidationConfig(pairs=1, steps=20, guidance_scale=1.0)
    )
    with tempfile.TemporaryDirectory() as folder:
        encoded = encode_material(material, vae, extractor, preset, Path(folder))
        loop = LoopConfig(
            output_dir=folder, max_train_steps=steps, batch_size=1, learning_rate=1e-3, lr_schedule="cosine"
        )
        pairs = Pairs(material, encoded, preset, targets=8)
        before = psnr(validation.targets[0], validation.draw()[0])
        Loop(objective, pairs, lambda path: None, loop).run()
    with torch.inference_mode():
        decoded = decode_latents(vae, torch.tensor(encoded.latents[[1]]).float().to(device))[0]
    pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    found = psnr(validation.targets[0], validation.draw()[0])
    ceiling = psnr(validation.targets[0], Image.fromarray(pixels))
    print(f"{steps} steps on one pair: {found:.1f} dB; before: {before:.1f}, the autoencoder alone: {ceiling:.1f}")
    return found


@dataclass(frozen=True)
class Setting:
    """A row of the table."""

    learns: str
    trainable: tuple[str, ...]
    lora_rank: int = 0
    checkpointing: bool = False
    compiled: bool = False

    def build(self, preset: Preset) -> dict[str, nn.Module]:
        """The networks, without memory for their weights."""
        with torch.device("meta"):
            return build_networks(
                preset,
                NetworksConfig(
                    trainable=list(self.trainable),
                    lora_rank=self.lora_rank,
                    gradient_checkpointing=self.checkpointing,
                ),
            )


CHOICES = {
    "IFR, pose guider": (("ifr", "pose_guider"), 0),
    "LoRA 16, IFR, pose guider": (tuple(PARTS), 16),
    "everything": (tuple(PARTS), 0),
}


def count(networks: dict[str, nn.Module]) -> tuple[int, int]:
    """(all parameters, those that learn)."""
    parameters = [p for network in networks.values() for p in network.parameters()]
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def needed_gb(everything: int, learning: int) -> float:
    """float32 weights, and for those that learn a gradient and two moments."""
    return 4 * (everything + 3 * learning) / GB


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """The same million random numbers again and again: drawing a billion of them takes longer than the step."""
    numbers = torch.empty(2**20).uniform_(-0.02, 0.02)
    for parameter in network.parameters():
        flat = parameter.view(-1)
        for start in range(0, len(flat), len(numbers)):
            part = flat[start : start + len(numbers)]
            part.copy_(numbers[: len(part)])


def measure(setting: Setting, preset_name: str, batch_size: int, steps: int) -> tuple[float, float]:
    """(seconds a step, peak memory in GB) of the step of the loop; to be run in a process of its own."""
    device, preset = pick_device(), load_preset(preset_name)
    networks = setting.build(preset)
    for network in networks.values():
        network.to_empty(device=device).train()
        fill(network)
    if setting.compiled:
        networks["denoising_unet"].compile_repeated_blocks()
        networks["reference_unet"].compile_repeated_blocks()
    objective = IPGObjective(*networks.values(), build_scheduler(preset), ObjectiveConfig())
    learning = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-5, fused=True)
    sizes = preset.generation
    batch = {
        "reference_latents": torch.randn(batch_size, 1, *preset.latent_shape),
        "reference_weights": torch.ones(batch_size, 1),
        "features": torch.randn(batch_size, preset.reid.feature_dim),
        "uncond_feature": torch.randn(preset.reid.feature_dim),
        "target_latents": torch.randn(batch_size, 1, *preset.latent_shape),
        "poses": torch.rand(batch_size, 1, 3, sizes.height, sizes.width),
    }
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    generators = [torch.Generator().manual_seed(row) for row in range(batch_size)]
    on_gpu, seconds = device.type == "cuda", []
    for _ in range(steps):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss, _ = objective(batch, generators)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return min(seconds), peak / GB


def full_size(preset: str, batch_size: int, memory_gb: float, steps: int) -> None:
    table = Table(title=f"{preset}, one step of {batch_size}, products in bfloat16", width=WIDTH)
    for column in ("learns", "parameters", "by arithmetic", "checkpointing", "compiled", "peak", "step", "samples/s"):
        table.add_column(column, justify="left" if column == "learns" else "right")
    compilations = (False, True) if torch.cuda.is_available() else (False,)
    kinds = [(checkpointing, compiled) for compiled in compilations for checkpointing in (False, True)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # each with a peak of its own
        for learns, (trainable, rank) in CHOICES.items():
            for checkpointing, compiled in kinds:
                setting = Setting(learns, trainable, rank, checkpointing, compiled)
                everything, learning = count(setting.build(load_preset(preset)))
                needed = needed_gb(everything, learning)
                row = ["too large", "", ""]
                if needed < memory_gb:
                    seconds, peak = pool.apply(measure, (setting, preset, batch_size, steps))
                    row = [f"{peak:.1f} GB", f"{seconds:.2f} s", f"{batch_size / seconds:.2f}"]
                marks = ["yes" if mark else "no" for mark in (checkpointing, compiled)]
                table.add_row(learns, f"{learning / 1e6:,.1f} M", f"{needed:.1f} GB", *marks, *row)
    Console(width=WIDTH).print(table)


@dataclass
class BenchConfig:
    what: list[str] = field(
        default_factory=lambda: ["sd15"]
    )  # overfit: learn one pair; sd15: memory and time of a step
    preset: str = "sd15"
    batch_size: int = 1
    steps: int | None = None  # 200 of overfit; 3 of a step, of which the fastest counts
    memory_gb: float | None = None  # of this machine, or of its GPU


def main(arguments: Sequence[str]) -> int:
    args = parse_command(BenchConfig, __doc__, arguments, positional="what")
    if args is None:
        return 0
    if args.what == ["overfit"]:
        return 0 if overfit(args.steps or 200) > BAR else 1
    if args.what != ["sd15"]:
        raise UserError(f"name overfit or sd15, got {' '.join(args.what)}")
    full_size(args.preset, args.batch_size, args.memory_gb or available_gb(), args.steps or 3)
    return 0


def available_gb() -> float:
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
    return free / GB
