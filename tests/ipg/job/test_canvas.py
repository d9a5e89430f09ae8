"""Pictures side by side."""

from PIL import Image

from IPG.job.canvas import make_canvas, make_contact_sheet


def test_canvas_and_contact_sheet_are_laid_out_in_rows():
    colours = {name: Image.new("RGB", (4, 8), name) for name in ("red", "green", "blue", "yellow", "black")}
    canvas = make_canvas(colours["red"].resize((9, 9)), [colours["green"]], [colours["blue"]])
    assert [canvas.getpixel((x, 3)) for x in (1, 5, 9)] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    sheet = make_contact_sheet(
        [colours["red"], colours["green"]], [colours["blue"]], [[colours["yellow"]], [colours["black"]]]
    )
    assert sheet.size == (2 * 4 + 2, 3 * 8 + 2 * 2)
    assert [sheet.getpixel((x, y)) for y in (12, 22) for x in (1, 8)] == [
        *((255, 0, 0), (255, 255, 0)),
        *((0, 128, 0), (0, 0, 0)),
    ]
