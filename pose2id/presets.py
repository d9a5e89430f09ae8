"""A preset: the sizes of all networks, in `configs/models/<name>.yaml`, and the place of their weights."""

from dataclasses import dataclass, field
from pathlib import Path

from .config import load_config
from .errors import UserError
from .resources import CONFIGS, SHIPPED, weights_place

MODEL_CONFIGS = CONFIGS / "models"
JIGSAW_PARTS = 4  # local branches of a TransReID


@dataclass
class TransReIDSizes:
    """Section `reid` of a preset. Zero cameras and views: no side-information embedding."""

    height: int = 256
    width: int = 128
    patch: int = 16
    stride: int = 12
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 751
    fc_classes: int = 1000
    num_cameras: int = 0
    num_views: int = 0
    jigsaw: bool = True

    @property
    def feature_dim(self) -> int:
        return (1 + JIGSAW_PARTS) * self.dim if self.jigsaw else self.dim


@dataclass
class IFRSizes:
    num_tokens: int = 20


@dataclass
class PoseGuiderSizes:
    widths: list[int] = field(default_factory=lambda: [16, 32, 64, 128])


@dataclass
class SkeletonSizes:
    """How thick skeletons are drawn: half the width of limbs and joints, in rows of a picture of 512."""

    limb: float = 4.0
    joint: float = 4.0


@dataclass
class UNetSizes:
    """Arguments of diffusers' `UNet2DConditionModel`, under its names (`attention_head_dim` counts the heads)."""

    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: list[int] = field(default_factory=lambda: [320, 640, 1280, 1280])
    down_block_types: list[str] = field(default_factory=lambda: ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"])
    up_block_types: list[str] = field(default_factory=lambda: ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)
    layers_per_block: int = 2
    attention_head_dim: int = 8
    cross_attention_dim: int = 768
    norm_num_groups: int = 32


@dataclass
class VAESizes:
    """Arguments of diffusers' `AutoencoderKL` (kind "kl") or `AutoencoderDC` (kind "dc"), under KL's names.

    layers_per_block: one number for "kl"; one a block for "dc", where a first 0 halves the picture at once.
    norm_num_groups: only "kl". Latents are multiplied by `scaling_factor`.
    """

    kind: str = "kl"
    latent_channels: int = 4
    block_out_channels: list[int] = field(default_factory=lambda: [128, 256, 512, 512])
    layers_per_block: list[int] = field(default_factory=lambda: [2])
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215

    @property
    def factor(self) -> int:
        """Pixels per latent, along each axis."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass
class SchedulerSizes:
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012


@dataclass
class GenerationSizes:
    """Picture sizes in pixels: at work and as handed out; and the guidance that suits the weights."""

    height: int = 512
    width: int = 256
    output_height: int = 256
    output_width: int = 128
    guidance_scale: float = 3.5


@dataclass
class Preset:
    reid: TransReIDSizes = field(default_factory=TransReIDSizes)
    ifr: IFRSizes = field(default_factory=IFRSizes)
    pose_guider: PoseGuiderSizes = field(default_factory=PoseGuiderSizes)
    skeleton: SkeletonSizes = field(default_factory=SkeletonSizes)
    unet: UNetSizes = field(default_factory=UNetSizes)
    vae: VAESizes = field(default_factory=VAESizes)
    scheduler: SchedulerSizes = field(default_factory=SchedulerSizes)
    generation: GenerationSizes = field(default_factory=GenerationSizes)
    weights_folder: str = ""  # below pretrained/
    pose_estimator: str = ""  # folder there of the preset's own ViTPose, if it has one

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one picture's latents."""
        sizes, factor = self.generation, self.vae.factor
        return self.vae.latent_channels, sizes.height // factor, sizes.width // factor


def load_preset(name: str) -> Preset:
    """Sizes of the preset `name` ("sd15", "mini"); an unknown name raises `UserError` with the choices."""
    return load_config(Preset, preset_file(name))


def preset_file(preset: str) -> Path:
    """The YAML file of sizes of a preset; an unknown name lists the choices."""
    path = MODEL_CONFIGS / f"{preset}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in MODEL_CONFIGS.glob("*.yaml")))
        raise UserError(f"unknown preset '{preset}'; choose one of: {known}")
    return path


def default_directory(preset: str) -> Path:
    """Where a preset's weights lie: `pretrained/` for the official files, `pretrained/<preset>/` for shipped ones."""
    folder = load_preset(preset).weights_folder
    return SHIPPED / "pretrained" / folder if folder else weights_place()
