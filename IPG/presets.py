"""A preset is a YAML file of sizes, `configs/models/<name>.yaml`, read into these dataclasses."""

from dataclasses import dataclass, field

from NFC.config import load_config, preset_file
from NFC.extractors.transreid import TransReIDSizes


@dataclass
class IFRSizes:
    num_tokens: int = 20


@dataclass
class PoseGuiderSizes:
    widths: list[int] = field(default_factory=lambda: [16, 32, 64, 128])


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
    unet: UNetSizes = field(default_factory=UNetSizes)
    vae: VAESizes = field(default_factory=VAESizes)
    scheduler: SchedulerSizes = field(default_factory=SchedulerSizes)
    generation: GenerationSizes = field(default_factory=GenerationSizes)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one picture's latents."""
        sizes, factor = self.generation, self.vae.factor
        return self.vae.latent_channels, sizes.height // factor, sizes.width // factor


def load_preset(name: str) -> Preset:
    """Sizes of the preset `name` ("sd15", "mini"); an unknown name raises `UserError` with the choices."""
    return load_config(Preset, preset_file(name))
