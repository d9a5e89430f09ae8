"""Where the generator's weights lie, and where the official ones come from."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pose2id.config import read_values, to_yaml
from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.presets import load_preset
from pose2id.reading.yaml_files import read_yaml
from pose2id.weights import SUFFIXES, find_weights

STEMS = ("denoising_unet", "reference_unet", "pose_guider", "IFR", "transformer_20")
STUDENT = "student"  # folder of the weights for few steps, in that of their teacher
MADE_FOR_FILE = "sampling.yaml"
VAE_SUFFIXES = (*SUFFIXES, ".ckpt", ".pt")
VAE_FOLDERS = ("vae", "sd-vae-ft-mse")  # as diffusers writes them


@dataclass(frozen=True)
class MadeFor:
    """What the weights in a folder were distilled for, in its file `sampling.yaml`; other folders have none."""

    steps: int
    guidance_scale: float = 1.0
    scheduler: str = "ddim"


@dataclass(frozen=True)
class WeightFiles:
    """The files that a picture is drawn with: of the five networks, by stem, and of the picture autoencoder.

    vae: a diffusers folder or one file; None where there is none, which is enough for the calls on latents. made_for:
    how a student is to be sampled.
    """

    networks: dict[str, Path]
    vae: Path | None
    made_for: MadeFor | None = None

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
    networks = {stem: find_weights(_holder(directory, stem), stem) for stem in STEMS}
    return WeightFiles(networks, Path(vae) if vae else find_vae(directory), read_made_for(directory))


def find_generator(directory: str | Path, preset: str, vae: str | Path | None = None) -> WeightFiles:
    """All that pictures need, the autoencoder included, see `find_networks`.

    When anything lacks, one `UserError` says what, and for the official preset where to get it.
    """
    directory = Path(directory)
    vae = Path(vae) if vae else find_vae(directory)
    networks = {}
    for stem in STEMS:
        with suppress(UserError):
            networks[stem] = find_weights(_holder(directory, stem), stem)
    lacking = [stem for stem in STEMS if stem not in networks]
    if vae is None or not vae.exists():
        lacking.append(f"the VAE (a folder vae/ or a file vae.safetensors{f'; {vae} does not exist' if vae else ''})")
    if lacking:
        raise UserError(f"folder {directory} lacks {', '.join(lacking)}{_remedy(directory, preset)}")
    return WeightFiles(networks, vae, read_made_for(directory))


def _holder(directory: Path, stem: str) -> Path:
    """The folder that holds a network: what a student's folder lacks is its teacher's, in the folder around it."""
    held = any((directory / f"{stem}{suffix}").is_file() for suffix in SUFFIXES)
    return directory if held or not _is_student(directory) else directory.parent


def _is_student(directory: Path) -> bool:
    return directory.name == STUDENT and (directory / MADE_FOR_FILE).is_file()


def _remedy(directory: Path, preset: str) -> str:
    if load_preset(preset).weights_folder:
        return "; name the folder that holds them with --ckpt_dir"
    return (
        f"\nfetch them: pose2id download --out_dir {directory}\n"
        f"or by hand (each .pth may also be a .safetensors):\n{by_hand(directory)}\n"
        "or do without: --preset mini uses small weights that come with this repository"
    )


def write_made_for(folder: Path, made_for: MadeFor) -> None:
    write_text(folder / MADE_FOR_FILE, to_yaml(made_for))


def read_made_for(folder: Path) -> MadeFor | None:
    """None for weights that take any number of steps; `UserError` for a damaged file."""
    path = folder / MADE_FOR_FILE
    return read_values(MadeFor, read_yaml(path), str(path)) if path.is_file() else None


def find_vae(directory: str | Path) -> Path | None:
    """A picture autoencoder in `directory`: the diffusers folder `vae/` or `sd-vae-ft-mse/`, or one file `vae*`.

    Where a student's folder has none, that of its teacher.
    """
    directory = Path(directory)
    folders = [directory / name for name in VAE_FOLDERS if (directory / name / "config.json").is_file()]
    files = sorted(path for path in directory.glob("vae*") if path.suffix in VAE_SUFFIXES)
    found = next(iter(folders + files), None)
    return find_vae(directory.parent) if found is None and _is_student(directory) else found


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
