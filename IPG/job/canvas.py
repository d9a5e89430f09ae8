"""Pictures side by side: the canvas of one reference and the contact sheet of many."""

from collections.abc import Sequence

from PIL import Image


def make_canvas(reference: Image.Image, poses: Sequence[Image.Image], pictures: Sequence[Image.Image]) -> Image.Image:
    """One row: the reference, then the pose and the picture of each pose, all RGB, in the size of the pictures."""
    pairs = [cell for pair in zip(poses, pictures, strict=True) for cell in pair]
    return make_grid([[reference, *pairs]], pictures[0].size)


def make_contact_sheet(
    references: Sequence[Image.Image], poses: Sequence[Image.Image], pictures: Sequence[Sequence[Image.Image]]
) -> Image.Image:
    """A row of poses, then one row for each reference: it and its picture in each pose, `pictures[ref][pose]`."""
    size = pictures[0][0].size
    rows = [[Image.new("RGB", size, "white"), *poses]]
    rows += [[reference, *row] for reference, row in zip(references, pictures, strict=True)]
    return make_grid(rows, size, gap=2)


def make_grid(rows: Sequence[Sequence[Image.Image]], size: tuple[int, int], gap: int = 0) -> Image.Image:
    """Cells of (width, height) `size` in rows of equal length, `gap` white pixels between them."""
    width, height = size
    columns = len(rows[0])
    grid = Image.new("RGB", (columns * (width + gap) - gap, len(rows) * (height + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            fitted = cell if cell.size == size else cell.resize(size, Image.Resampling.BICUBIC)
            grid.paste(fitted, (x * (width + gap), y * (height + gap)))
    return grid
