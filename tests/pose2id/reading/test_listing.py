"""Which files of a folder are pictures, and what is told of the others."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import UserError
from pose2id.files import NameRefused, remove_leftovers, replacing
from pose2id.pictures import read_picture, write_picture
from pose2id.pictures.below import named_pictures
from pose2id.reading.listing import PICTURE_SUFFIXES, find_deeper, find_left_out, list_nested, list_pictures


def plant(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_is_left_out_is_counted_by_kind(tmp_path):
    plant(tmp_path, *(f"people/1/{number}.xyz" for number in range(12)), "people/1/a.webp", "people/2/noname")
    plant(tmp_path, "people/2/deep/b.jpg", "people/high.png", "above.gif", "notes.xyz")
    plant(
        tmp_path, "people/1/Thumbs.db", "people/1/.hidden.xyz", "people/README", "people/@eaDir/t.jpg", "people/k.json"
    )
    line = str(find_left_out({tmp_path / "people": 1}))
    assert line == (
        "16 files are not read (12 .xyz, 3 pictures in other folders, 1 without suffix), the first "
        f"{tmp_path / 'above.gif'}; convert, move or remove what should count"
    )
    assert not str(find_left_out({}))


def test_links_lead_to_people_and_loops_nowhere(tmp_path):
    plant(tmp_path, "elsewhere/a.jpg", "elsewhere/b.xyz", "people/1/c.jpg")
    (tmp_path / "people/2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "people/1/round").symlink_to(tmp_path / "people")
    (tmp_path / "people/1/loop").symlink_to(tmp_path / "people/1/loop")
    found = find_left_out({tmp_path / "people": 1})
    assert found.counts == {".xyz": 1, "without suffix": 1, "links to folders": 1}


def test_links_to_folders_are_counted_and_not_followed(tmp_path, caplog):
    plant(tmp_path, "other/a.jpg", "pics/b.jpg", "pics/deep/c.jpg", "pics/out/d.jpg")
    for name, place in (("link.jpg", "other"), ("deep/round", "pics"), (".hidden", "other"), ("to_out", "pics/out")):
        (tmp_path / "pics" / name).symlink_to(tmp_path / place)
    pictures, left_out = list_nested(tmp_path / "pics")
    assert sorted(path.name for path in pictures) == ["b.jpg", "c.jpg", "d.jpg"]
    assert "3 files are not read (3 links to folders), the first" in str(left_out)
    assert named_pictures([str(tmp_path / "pics"), "nowhere.png"]) == [*sorted(pictures), Path("nowhere.png")]
    assert "pics: 3 files are not read (3 links to folders)" in caplog.text
    deeper = find_deeper(tmp_path / "pics", tmp_path / "pics/out")
    assert deeper.counts == {"links to folders": 2, "pictures in other folders": 1}
    assert "(2 links to folders, 1 picture in another folder)" in str(deeper)


def test_pictures_below_a_flat_folder(tmp_path):
    plant(tmp_path, "ref/a.jpg", "ref/old/b.jpg", "ref/out/pose1/a.jpg", "ref/old/notes.xyz")
    found = find_deeper(tmp_path / "ref", tmp_path / "ref/out")
    assert (found.counts.total(), found.first) == (1, tmp_path / "ref/old/b.jpg")


def test_odd_files_with_a_name_like_a_picture_count(tmp_path):
    plant(tmp_path, "a.jpg", os.fsdecode(b"\xff.jpg"))
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("nowhere")
    (tmp_path / "d.png").mkdir()
    pictures, others = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ["a.jpg", "b.png", "c.png"]
    assert [os.fsencode(path.name) for path in others] == [b"\xff.jpg"]


def test_folders_that_cannot_be_listed(tmp_path):
    plant(tmp_path, "file")
    for folder in (tmp_path / "nowhere", tmp_path / "file", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(UserError, match="folder"):
            list_pictures(folder)


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_pictures_are_written_under_every_name(tmp_path, suffix):
    """Colours survive whatever the reference's file was; JPEG alone loses a little."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8))
    path = tmp_path / f"a{suffix}"
    write_picture(path, picture)
    difference = np.abs(np.asarray(read_picture(path), int) - np.asarray(picture)).max()
    assert difference == 0 or (suffix in (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo") and difference < 16)


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "\U0001f9cd" * 62 + ".png", "a." + "b" * 250, "y" * 255])
def test_names_as_long_as_the_file_system_takes(tmp_path, name):
    with replacing(tmp_path / name) as partial:
        partial.write_bytes(b"1")
        assert partial.name == name  # writers choose the format by the suffix
    assert (tmp_path / name).read_bytes() == b"1" and len(list(tmp_path.iterdir())) == 1
    assert remove_leftovers(tmp_path) == []


def test_a_name_that_the_file_system_refuses(tmp_path):
    long = tmp_path / ("x" * 256)
    with pytest.raises(NameRefused, match=r"cannot write .*File name too long"), replacing(long) as path:
        path.touch()
    assert not list(tmp_path.iterdir())
