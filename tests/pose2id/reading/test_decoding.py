"""Which files are opened, and what their pixels are: deep grey, orientation, transparency, damaged files."""

import logging
import os
import random
import socket
import stat
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import UserError
from pose2id.pictures import read_picture, reading
from pose2id.reading import decoding
from pose2id.reading.decoding import FORMATS, GREY_BITS

GREY = np.random.default_rng(0).integers(0, 256, (24, 16), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (24, 16, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.delenv(GREY_BITS, raising=False)
    decoding._dark_told.clear()


def pixels(path: Path) -> np.ndarray:
    picture = read_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def grey(path: Path) -> np.ndarray:
    read = pixels(path)
    assert (read == read[..., :1]).all()
    return read[..., 0]


# Deep grey


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bits_are_scaled_by_their_range(tmp_path, suffix, mode):
    path = tmp_path / f"a.{suffix}"
    values = (GREY.astype(np.uint16) * 257).astype({"I;16B": ">u2"}.get(mode, "<u2"))
    deep = Image.frombytes(mode, GREY.shape[::-1], values.tobytes())
    if suffix == "pgm":
        path.write_bytes(b"P5 16 24 65535 " + (GREY.astype(">u2") * 257).tobytes())
    elif suffix in ("png", "jp2") and mode != "I;16":
        pytest.skip("the library writes these from its own order alone")
    else:
        deep.save(path)
    assert np.array_equal(grey(path), GREY)


def test_what_lies_between_8_bit_values_is_rounded(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(grey(tmp_path / "a.png"), np.rint(values / 257).astype(np.uint8))


def test_floats_hold_0_to_1(tmp_path):
    Image.fromarray(GREY.astype(np.float32) / 255).save(tmp_path / "a.tif")
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize("wrong", [np.float32(300), np.float32(-0.5), np.float32("nan"), np.float32("inf")])
def test_floats_of_another_range_are_refused(tmp_path, wrong):
    values = GREY.astype(np.float32) / 255
    values[3, 3] = wrong
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=rf"a\.tif: its grey values go from .* not from 0 to 1; .*{GREY_BITS}"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("factor", [1, 257, 8_421_504])
def test_32_bits_need_to_be_told(tmp_path, factor, monkeypatch):
    Image.fromarray(GREY.astype(np.int32) * factor).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=rf"a\.tif: its grey values are signed or have 32 bits; .*{GREY_BITS}"):
        read_picture(tmp_path / "a.tif")
    monkeypatch.setenv(GREY_BITS, str({1: 8, 257: 16, 8_421_504: 31}[factor]))
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


def test_cameras_with_fewer_bits(tmp_path, monkeypatch, caplog):
    values = np.rint(GREY * (4095 / 255)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert grey(tmp_path / "a.png").max() <= 16
    assert [record.message for record in caplog.records] == [
        f"picture {tmp_path / 'a.png'} uses only 12 of 16 bits and so is dark; if its camera has no more, "
        f"set {GREY_BITS} (such as 12)"
    ]
    plain = reading()
    monkeypatch.setenv(GREY_BITS, "12")
    assert np.array_equal(grey(tmp_path / "a.png"), GREY)
    assert reading() != plain  # caches of pictures and features are made anew
    monkeypatch.setenv(GREY_BITS, "10")
    with pytest.raises(UserError, match="not from 0 to 1023"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["x", "0", "33", "12.0", "-1", "9" * 5000, "²"])
def test_a_setting_that_means_nothing(tmp_path, monkeypatch, text):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png")
    monkeypatch.setenv(GREY_BITS, text)
    with pytest.raises(UserError, match=f"{GREY_BITS} is .*; give the bits"):
        read_picture(tmp_path / "a.png")


def test_white_is_zero(tmp_path):
    info = {262: 0}
    Image.fromarray(65535 - GREY.astype(np.uint16) * 257).save(tmp_path / "a.tif", tiffinfo=info)
    with Image.open(tmp_path / "a.tif") as picture:
        assert picture.tag_v2[262] == 0
    assert np.array_equal(grey(tmp_path / "a.tif"), GREY)


# Orientation


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_as_a_viewer_shows_them(tmp_path, suffix, tag):
    """Four corners of four colours; the tag says where the stored first row and column belong."""
    corners = {"tl": (255, 0, 0), "tr": (0, 255, 0), "bl": (0, 0, 255), "br": (255, 255, 0)}
    shown = np.zeros((32, 16, 3), np.uint8)
    shown[:16, :8], shown[:16, 8:], shown[16:, :8], shown[16:, 8:] = corners.values()
    stored = {  # how a camera held so stores what is to be shown
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: shown.transpose(1, 0, 2)[::-1],
        7: shown[::-1, ::-1].transpose(1, 0, 2),
        8: shown.transpose(1, 0, 2)[:, ::-1],
    }[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    assert np.abs(pixels(tmp_path / f"a.{suffix}").astype(int) - shown).max() <= (0 if suffix != "jpg" else 4)


def test_a_damaged_orientation_is_none(tmp_path):
    for number, exif in enumerate((b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1" * 30)):
        Image.fromarray(COLOUR).save(tmp_path / f"{number}.png", exif=exif)
        assert np.array_equal(pixels(tmp_path / f"{number}.png"), COLOUR)


# Transparency


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_hidden_colours_stay_hidden(tmp_path, suffix):
    alpha = np.zeros(GREY.shape, np.uint8)
    alpha[4:20] = 255
    alpha[0] = 128
    picture = Image.fromarray(np.dstack([COLOUR, alpha]))
    picture.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    read = pixels(tmp_path / f"a.{suffix}").astype(int)
    assert np.array_equal(read[4:20], COLOUR[4:20])
    assert not read[1:4].any() and not read[20:].any()
    assert np.abs(read[0] - COLOUR[0] * (128 / 255)).max() <= 1


def test_palettes_and_colour_keys(tmp_path):
    palette = Image.fromarray(GREY // 64).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / "plain.png")
    assert np.array_equal(pixels(tmp_path / "plain.png"), np.asarray(palette.convert("RGB")))
    palette.save(tmp_path / "key.png", transparency=2)
    palette.save(tmp_path / "key.gif", transparency=2)
    expected = np.asarray(palette.convert("RGB")) * (np.asarray(palette) != 2)[..., None]
    assert np.array_equal(pixels(tmp_path / "key.png"), expected)
    assert np.array_equal(pixels(tmp_path / "key.gif"), expected)
    Image.fromarray(GREY).save(tmp_path / "grey.png", transparency=int(GREY[0, 0]))
    assert np.array_equal(grey(tmp_path / "grey.png"), np.where(GREY[0, 0] == GREY, 0, GREY))
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png", transparency=int(GREY[0, 0]) * 257)
    assert np.array_equal(grey(tmp_path / "deep.png"), np.where(GREY[0, 0] == GREY, 0, GREY))


# Formats


@pytest.mark.parametrize(
    "suffix", sorted({s for suffixes in FORMATS.values() for s in suffixes} - {".heic", ".heif", ".pfm"})
)
def test_every_format_is_read_under_every_name(tmp_path, suffix):
    name = next(name for name, suffixes in FORMATS.items() if suffix in suffixes)
    Image.fromarray(COLOUR).save(tmp_path / f"a{suffix}", name)
    with Image.open(tmp_path / f"a{suffix}") as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(pixels(tmp_path / f"a{suffix}"), expected)
    (tmp_path / f"a{suffix}").rename(tmp_path / "other.jpg")
    assert np.array_equal(pixels(tmp_path / "other.jpg"), expected)


def test_no_other_program_is_started(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a))
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: started.append(a))
    for number, content in enumerate(
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
            b"\xc5\xd0\xd3\xc6" + bytes(26) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
            b"BLP2" + bytes(200),
            b"%PDF-1.4\n",
            b"\xd7\xcd\xc6\x9a" + bytes(100),  # WMF
            b"8BPS\0\1" + bytes(40),
        )
    ):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"cannot read picture .*{number}\.jpg: its content is none of JPEG, PNG"):
            read_picture(path)
    assert not started


@pytest.mark.parametrize("kind", ["fifo", "device", "socket", "folder", "loop", "dangling", "missing", "empty", "huge"])
def test_only_regular_files_are_opened(tmp_path, kind, monkeypatch):
    path = tmp_path / "a.jpg"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        socket.socket(socket.AF_UNIX).bind("a.jpg")
        assert stat.S_ISSOCK(path.stat().st_mode)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "empty":
        path.touch()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**30 + 1)
    with pytest.raises(UserError, match=r"cannot read picture .*a\.jpg: .*; replace or remove it") as error:
        read_picture(path)
    assert "\n" not in str(error.value)


def test_bombs_are_refused_from_their_header(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (200_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(UserError, match=r"a\.png: .*limit"):
        read_picture(tmp_path / "a.png")


def test_names_are_printed_on_one_line(tmp_path):
    for name in ("a\nb.jpg", os.fsdecode(b"\xff.jpg"), "\u2028.jpg", "[bold]x[b].jpg"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(UserError) as error:
            read_picture(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1
        str(error.value).encode()


def test_damaged_files_are_read_or_named(tmp_path):
    rng = random.Random(0)
    wholes = []
    for number, (name, suffixes) in enumerate(FORMATS.items()):
        if name != "HEIF":
            path = tmp_path / f"whole{number}{suffixes[0]}"
            Image.fromarray(COLOUR).save(path, name)
            wholes.append(path.read_bytes())
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    wholes.append((tmp_path / "deep.tif").read_bytes())
    path = tmp_path / "a.jpg"
    for turn in range(600):
        content = bytearray(wholes[turn % len(wholes)])
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.choice([len(content), rng.randrange(1, len(content))])])
        try:
            assert read_picture(path).mode == "RGB"
        except UserError as error:
            assert len(str(error).splitlines()) == 1
