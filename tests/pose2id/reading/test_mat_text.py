"""Text in MATLAB files, which is read only where somebody asks for it."""

import numpy as np
import pytest
from scipy.io import savemat

from pose2id.errors import UserError
from pose2id.reading.mat_files import read_mat


def test_text_is_read_where_asked_for(tmp_path):
    path = tmp_path / "a.mat"
    names = np.array(["1_001_1_01.png", "b", "größe"], object)
    nested = np.empty(2, object)
    nested[0], nested[1] = names, np.ones(2)
    savemat(path, {"names": names[:, None], "title": "abc", "numbers": np.arange(3), "nested": nested})
    plain = read_mat(path)
    assert plain["names"] is None and plain["title"] is None and plain["numbers"].tolist() == [[0, 1, 2]]
    read = read_mat(path, text=True)
    assert read["names"].tolist() == read["nested/0"].tolist() == [*names] and read["title"].tolist() == ["abc"]
    assert read["nested/1"].tolist() == [[1, 1]]
    assert read_mat(path, lambda name: name == "title", text=True)["names"] is None


def test_cells_of_text_and_numbers_are_told_apart(tmp_path):
    mixed = np.empty(2, object)
    mixed[0], mixed[1] = "a", np.ones(1)
    savemat(tmp_path / "a.mat", {"mixed": mixed, "empty": np.empty((0, 1), object)})
    read = read_mat(tmp_path / "a.mat", text=True)
    assert read["mixed/0"].tolist() == ["a"] and read["mixed/1"].tolist() == [[1]]
    assert "mixed" not in read


def test_damaged_text(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"names": np.array(["a" * 50] * 100, object)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="damaged"):
        read_mat(path, text=True)
