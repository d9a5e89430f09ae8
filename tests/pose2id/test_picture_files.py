"""Picture files: which count, and writing them whole and without loss."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import UserError
from pose2id.pictures import list_pictures, read_picture, write_picture


@pytest.mark.parametrize("suffix", ["bmp", "tif", "png", "webp"])
def test_formats_that_lose_nothing(tmp_path, suffix):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8))
    write_picture(tmp_path / f"a.{suffix}", picture)
    assert np.array_equal(np.asarray(read_picture(tmp_path / f"a.{suffix}")), np.asarray(picture))


def test_natural_order_and_what_counts_as_a_picture(tmp_path):
    for name in [
        "pose10.png",
        "pose2.PNG",
        "pose1.webp",
        ".hidden.png",
        "notes.md",
        "keypoints.json",
        "x.zip",
        "folder",
    ]:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    pictures, strangers = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ["pose1.webp", "pose2.PNG", "pose10.png"]
    assert [path.name for path in strangers] == ["folder", "x.zip"]


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, Image.new("RGB", (4, 4), "red"))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        write_picture(path, Image.new("RGB", (4, 4), "blue"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert read_picture(path).getpixel((0, 0)) == (255, 0, 0)
