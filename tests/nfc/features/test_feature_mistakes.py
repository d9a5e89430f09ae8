"""What is wrong with somebody's feature file is one line that names the file, and nothing in it is executed."""

import numpy as np
import pytest
import torch

from NFC.features.imported import read_features, read_split
from pose2id.errors import UserError
from tests.nfc.features.saved import arrays, save

NAN = arrays()["feats"].copy()
NAN[2, 0], NAN[5, 3] = np.nan, np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feats": NAN}, "2 of 6 rows hold NaN or infinity, the first is row 2"),
        ({"feats": np.empty((0, 4), np.float32)}, "not empty"),
        ({"feats": np.zeros((6, 4), np.int64)}, "must be floating point"),
        ({"feats": np.zeros((6, 4), np.complex64)}, "must be numbers, got complex64"),
        ({"feats": np.zeros((6, 5), np.float32), "generated": None}, "differ in size, 4 and 5"),
        ({"feats": np.array([{}] * 6)}, "allow_pickle"),
        ({"pids": np.arange(5)}, "6 features but 5 pids"),
        ({"camids": np.arange(7)}, "6 features but 7 camids"),
        ({"pids": np.arange(6) + 0.5}, "must be whole numbers"),
        ({"pids": np.array(list("abcdef"))}, "must be numbers"),
        ({"pids": np.arange(6) > 2}, "pids in .* are true and false, not numbers"),
        ({"camids": None}, "has no camids .it has feats, pids, generated."),
        ({"generated": np.zeros((6, 2, 3), np.float32)}, r"generated must be \(6, M, 4\)"),
        ({"feats": None}, "has no feats"),
    ],
)
def test_mistakes_name_the_file(tmp_path, change, message):
    query, gallery = save(tmp_path / "q.npz", arrays(4)), tmp_path / "g.npz"
    save(gallery, {name: array for name, array in (arrays() | change).items() if array is not None})
    with pytest.raises(UserError, match=message) as caught:
        read_features([query, gallery])
    assert "g.npz" in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.pkl", b"", "pickles can run code"),
        ("g.npz", b"no archive", "cannot read"),
        ("g.npy", b"", "cannot read"),
        ("g.mat", b"no mat file", "cannot read"),
        ("g.pt", b"no tensors", "holds more than tensors|cannot read"),
        ("g.safetensors", b"nothing", "cannot read"),
        ("g.csv", b"pid,camid\n1,0\nx,1\n", "line 3: pid is 'x'"),
        ("g.csv", b"person\n1\n", "has no feats"),
        ("g.npz", None, "does not exist"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    query, gallery = save(tmp_path / "q.npz", arrays(4)), tmp_path / name
    if content is not None:
        gallery.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_features([query, gallery])
    assert name in str(caught.value) and len(str(caught.value).splitlines()) == 1


class Trap:
    """Pickled, it would make a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_executed(tmp_path):
    trap, query = Trap(tmp_path / "sprung"), save(tmp_path / "q.npz", arrays(4))
    torch.save({"feats": trap}, tmp_path / "g.pt")
    np.save(tmp_path / "g.npy", np.array([trap]), allow_pickle=True)
    for name in ("g.pt", "g.npy"):
        with pytest.raises(UserError, match=name):
            read_features([query, tmp_path / name])
    assert not (tmp_path / "sprung").exists()


L = torch.arange(6)
F = torch.from_numpy(arrays()["feats"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ((F, L, L), "holds a tuple of 3"),
        (None, "holds a NoneType"),
        ({"feats": F.to_sparse(), "pids": L, "camids": L}, "is sparse"),
        ({"feats": F.to("meta"), "pids": L, "camids": L}, "is a meta tensor"),
        ({"feats": [[1.0, 2.0], [3.0]], "pids": L, "camids": L}, "rows differ in length"),
        ({"feats": [torch.ones(2), torch.ones(3)], "pids": L, "camids": L}, "several shapes"),
        ({"feats": torch.tensor(1.0), "pids": L, "camids": L}, r"must be \(N, d\)"),
        ({"feats": F, "pids": [10**30] * 6, "camids": L}, "must be numbers"),
        ({"feats": F, "pids": L, "camids": [True] * 6}, "camids in .* are true and false, not numbers"),
        ({"feats": F, "pids": L, "camids": L, "parts": torch.tensor([1, 2])}, "must be 1 numbers"),
        ({"embeddings": F}, "it has embeddings"),
    ],
)
def test_torch_files_that_hold_something_else(tmp_path, content, told):
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(UserError, match=told) as error:
        read_split("gallery", tmp_path / "g.pt")
    assert "g.pt" in str(error.value) and len(str(error.value).splitlines()) == 1


def test_all_names_of_an_archive_are_told(tmp_path):
    np.savez(tmp_path / "g.npz", arrays()["feats"], embeddings=arrays()["feats"])
    with pytest.raises(UserError, match=r"has no feats \(it has embeddings, arr_0\)"):
        read_split("gallery", tmp_path / "g.npz")


def test_a_reader_that_dies_is_one_line(tmp_path, monkeypatch):
    """As damaged MATLAB files can make it: the process that reads is another one."""
    path = save(tmp_path / "g.mat", arrays())
    dying = tmp_path / "dying.py"
    dying.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr("pose2id.reading.mat_files.READER", dying)
    with pytest.raises(UserError, match=r"g\.mat: it is damaged: reading it ended with signal 11"):
        read_split("gallery", path)
    dying.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr("pose2id.reading.mat_files.SECONDS", 1)
    with pytest.raises(UserError, match="takes more than 1 s to read"):
        read_split("gallery", path)
