"""Reading picture files."""

from pathlib import Path

from PIL import Image

from .errors import UserError


def read_picture(path: str | Path) -> Image.Image:
    """A picture file, fully decoded, as RGB. Raises `UserError` naming a file that cannot be decoded."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "the file is empty" if Path(path).is_file() and not Path(path).stat().st_size else error
        raise UserError(f"cannot read picture {path}: {' '.join(str(reason).split())}; replace or remove it") from error
