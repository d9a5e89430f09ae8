"""Where the official weights come from, and where they go."""

from dataclasses import dataclass
from pathlib import Path


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
