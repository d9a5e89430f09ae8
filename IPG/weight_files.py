"""Where the generator's weights lie, and where the official ones come from."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pose2id.errors import UserError
from pose2id.presets import load_preset
from pose2id.weights import SUFFIXES, find_weights

STEMS = ("denoising_unet", "reference_unet", "pose_guider", "IFR", "transformer_20")
VAE_SUFFIXES = (*SUFFIXES, ".ckpt", ".pt")
VAE_FOLDERS = ("vae", "sd-vae-ft-mse")  # as diffusers writes them


@dataclass(frozen=True)
class WeightFiles:
    """The files that a picture is drawn with: of the five networks, by stem, and of the picture autoencoder.

    vae: a diffusers folder or one file; None where there is none, which is enough for the calls on latents.
    """

    networks: dict[str, Path]
    vae: Path | None

    def by_role(self) -> dict[str, Path]:
        """Every single file: a stem, "vae", or "vae/<name>" for each file of a folder -> path."""
        if self.vae is None or not self.vae.is_dir():
            return self.networks | ({"vae": self.vae} if self.vae else {})
        parts = sorted(path for path in self.vae.iterdir() if path.suffix in {".json", ".safetensors"})
        return self.networks | {f"vae/{path.name}": path for path in parts}


def find_networks(directory: str | Path, vae: str | Path | None = None) -> WeightFiles:
    """The files in `directory`; vae: another place of the autoencoder. `UserError` for a network that is not there."""
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"weights directory {directory} does not exist: name the one that holds the checkpoints")
    networks = {stem: find_weights(directory, stem) for stem in STEMS}
    return WeightFiles(networks, Path(vae) if vae else find_vae(directory))


def find_generator(directory: str | Path, preset: str, vae: str | Path | None = None) -> WeightFiles:
    """All that pictures need, the autoencoder included, see `find_networks`.

    When anything lacks, one `UserError` says what, and for the official preset where to get it.
    """
    directory = Path(directory)
    vae = Path(vae) if vae else find_vae(directory)
    networks = {}
    for stem in STEMS:
        with suppress(UserError):
            networks[stem] = find_weights(directory, stem)
    lacking = [stem for stem in STEMS if stem not in networks]
    if vae is None or not vae.exists():
        lacking.append(f"the VAE (a folder vae/ or a file vae.safetensors{f'; {vae} does not exist' if vae else ''})")
    if lacking:
        raise UserError(f"folder {directory} lacks {', '.join(lacking)}{_remedy(directory, preset)}")
    return WeightFiles(networks, vae)


def _remedy(directory: Path, preset: str) -> str:
    if load_preset(preset).weights_folder:
        return "; name the folder that holds them with --ckpt_dir"
    return (
        f"\nfetch them: pose2id download --out_dir {directory}\n"
        f"or by hand (each .pth may also be a .safetensors):\n{by_hand(directory)}\n"
        "or do without: --preset mini uses small weights that come with this repository"
    )


def find_vae(directory: str | Path) -> Path | None:
    """A picture autoencoder in `directory`: the diffusers folder `vae/` or `sd-vae-ft-mse/`, or one file `vae*`."""
    directory = Path(directory)
    folders = [directory / name for name in VAE_FOLDERS if (directory / name / "config.json").is_file()]
    files = sorted(path for path in directory.glob("vae*") if path.suffix in VAE_SUFFIXES)
    return next(iter(folders + files), None)


@dataclass(frozen=True)
class Source:
    """Files of one repository on the Hugging Face hub and the folder, inside that of the weights, that they go to."""

    repo: str
    revision: str
    files: tuple[str, ...]
    folder: str


SOURCES = (
    Source(
        "yuanc3/Pose2ID",
        "27df92c15ebf2833a66eaa435460b7b71c3fa3be",
        ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "IFR.pth", "transformer_20.pth"),
        ".",
    ),
    Source(
        "stabilityai/sd-vae-ft-mse",
        "31f26fdeee1355a5c34592e401dd41e45d25a493",
        ("config.json", "diffusion_pytorch_model.safetensors"),
        "vae",
    ),
)


def by_hand(directory: str | Path) -> str:
    """What to download and where in `directory` to put it, one file a line, without what is there in any format."""
    lines = []
    for source in SOURCES:
        folder = Path(directory) / source.folder
        for name in source.files:
            if not any(folder.glob(f"{Path(name).stem}.*")):
                url = f"https://huggingface.co/{source.repo}/resolve/{source.revision}/{name}"
                lines.append(f"  {url}  ->  {folder / name}")
    return "\n".join(lines)
