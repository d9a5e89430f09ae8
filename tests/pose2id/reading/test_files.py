"""What is opened at all: ordinary files, called by what they are, no larger than they may be."""

import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from pose2id.errors import UserError, printable
from pose2id.reading.arrays import read_arrays
from pose2id.reading.files import fault_of, require_file
from pose2id.weights import read_tensors

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"


def everything(name):
    return True


def test_what_is_no_ordinary_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    told = {
        tmp_path / "pipe.npz": "pipe",
        tmp_path / "loop": "links",
        tmp_path / "link": "link to nothing",
        tmp_path / "no": "does not exist",
        tmp_path: "folder",
        tmp_path / ("x" * 5000): "too long",
        "a\0b": "null byte",
        "/dev/null": "device",
        os.fsdecode(b"a\xff"): "not UTF-8",
    }
    for path, fault in told.items():
        assert fault in fault_of(path)
        with pytest.raises(UserError, match=fault) as error:
            require_file(path, "file")
        assert len(str(error.value).splitlines()) == 1 and str(error.value).encode()
    assert printable(os.fsdecode(b"a\xff")) == r"a\udcff"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (POINTER, "Git LFS pointer"),
        (b"<!DOCTYPE html><title>x</title>", "web page"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip archive: unpack"),
        (b"", "empty file"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".mat", ".pt", ".safetensors", ".pth"])
def test_files_are_called_by_what_they_are(tmp_path, content, told, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_arrays(path, everything)
    if suffix in (".pth", ".safetensors"):
        with pytest.raises(UserError, match=told):
            read_tensors(path)


def test_archives_of_weights_are_to_be_unpacked(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    with tarfile.open(tmp_path / "b.pth.tar", "w") as archive:
        archive.add(tmp_path / "a.pth", "a.pth")
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.write(tmp_path / "a.pth", "a.pth")
    for name, kind in (("b.pth.tar", "tar"), ("c.pth", "zip")):
        with pytest.raises(UserError, match=f"it is a {kind} archive: unpack it"):
            read_tensors(tmp_path / name)


def bomb(path):
    """0.4 GB of zeros in a file a thousandth of that."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("feats.npy", "w") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1000, 100_000)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(400):
            file.write(bytes(10**6))


def test_sizes_are_checked_before_anything_is_read(tmp_path):
    bomb(tmp_path / "bomb.npz")
    with pytest.raises(UserError, match="made to fill memory"):
        read_arrays(tmp_path / "bomb.npz", everything)
    for shape in ((10**12, 4), (-1, 4), (10**30, 10**30)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(64))
        with pytest.raises(UserError, match=r"a\.npy is damaged: it claims"):
            read_arrays(tmp_path / "a.npy", everything)
    torch.save({"feats": torch.zeros(1, 1).expand(10**12, 4)}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="claims"):
        read_tensors(tmp_path / "a.pt")


def test_checksums_of_torch_files_are_verified(tmp_path):
    """A flipped bit within the numbers, which the reader of torch would accept."""
    path = tmp_path / "a.pt"
    torch.save({"feats": torch.arange(64.0)}, path)
    content = bytearray(path.read_bytes())
    place = content.index(np.float32(33).tobytes() + np.float32(34).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"it is damaged .*CRC"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt", ".safetensors", ".old.pt"])
def test_damaged_files_are_one_line_or_read(tmp_path, suffix):
    """Bits flipped, ends cut: a `UserError` of one line, or arrays; never anything else."""
    from safetensors.numpy import save_file

    path, feats = tmp_path / f"a{suffix}", np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    match suffix:
        case ".npz":
            np.savez(path, feats=feats)
        case ".npy":
            np.save(path, feats)
        case ".safetensors":
            save_file({"feats": feats}, path)
        case _:
            torch.save({"feats": torch.from_numpy(feats)}, path, _use_new_zipfile_serialization=suffix == ".pt")
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(len(damaged), size=rng.integers(1, 40)) if damaged else ():
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            read_arrays(path, everything)
        except UserError as error:
            assert len(str(error).splitlines()) == 1
