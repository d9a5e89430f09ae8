"""Groups: the training pictures of the generator, one person in several poses."""

import errno
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from NFC.datasets.synthetic import World
from NFC.datasets.synthetic.groups import POSES, Groups, read_groups, shoot_group, write_groups
from pose2id.errors import UserError


@pytest.fixture(scope="module")
def group_folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("groups")
    write_groups(root, seed=3, num_groups=8, workers=1)
    return root


@pytest.fixture(scope="module")
def groups(group_folder) -> Groups:
    return read_groups(group_folder)


def test_groups_are_written_and_read(groups):
    assert (groups.pictures.shape, groups.pictures.dtype) == ((8, POSES, 128, 64, 3), np.uint8)
    assert (groups.keypoints.shape, groups.keypoints.dtype) == ((8, POSES, 18, 3), np.float32)
    assert (groups.labels.shape, groups.labels.dtype) == ((8, 4), np.int64)
    assert (groups.parsing.shape, groups.parsing.dtype) == ((8, POSES, 128, 64), np.uint8)
    for name, array in vars(shoot_group(World(3), 5)).items():
        assert np.array_equal(getattr(groups, name)[5], array), name
    assert groups.labels[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert groups.classes.tolist() == [2 * pid + infrared for pid, _, infrared, _ in groups.labels]


def test_a_group_is_one_person_at_one_place_in_several_poses():
    world, seen = World(8), {"infrared": set(), "occluded": set()}
    for index in range(8):
        group = shoot_group(world, index)
        pictures, keypoints, (_, _, infrared, occluded) = group.pictures, group.keypoints, group.labels
        seen["infrared"].add(int(infrared))
        seen["occluded"].add(int(occluded))
        grey = (pictures == pictures[..., :1]).all((1, 2, 3))
        assert grey.all() == bool(infrared)
        assert all(np.abs(a - b).max() > 1 for a, b in combinations(keypoints, 2))
    assert seen == {"infrared": {0, 1}, "occluded": {0, 1}}


def test_how_many_groups_hide_somebody_is_a_setting(tmp_path):
    for share in (0.0, 1.0):
        write_groups(tmp_path / str(share), seed=3, num_groups=4, workers=1, occluded=share)
        found = read_groups(tmp_path / str(share))
        assert (found.labels[:, 3] == share).all()
        for name, array in vars(shoot_group(World(3), 2, share)).items():
            assert np.array_equal(getattr(found, name)[2], array), name


def test_unfinished_groups_are_refused(group_folder, tmp_path):
    for name in ("pictures.npy", "keypoints.npy", "labels.npy"):
        (tmp_path / name).write_bytes((group_folder / name).read_bytes())
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path)
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path / "nowhere")


def test_older_groups_have_no_body_parts(group_folder, tmp_path):
    for name in ("pictures.npy", "keypoints.npy", "labels.npy", "groups.json"):
        (tmp_path / name).write_bytes((group_folder / name).read_bytes())
    assert read_groups(tmp_path).parsing is None
    np.save(tmp_path / "parsing.npy", np.zeros((8, POSES, 64, 64), np.uint8))
    with pytest.raises(UserError, match="do not fit together"):
        read_groups(tmp_path)


def test_writing_again_unmarks_the_folder_first(tmp_path, monkeypatch):
    write_groups(tmp_path, seed=3, num_groups=1, workers=1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("NFC.datasets.synthetic.groups.worker_pool", stop)
    with pytest.raises(KeyboardInterrupt):
        write_groups(tmp_path, seed=4, num_groups=1, workers=1)
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path)


def test_no_groups_are_refused(tmp_path):
    with pytest.raises(UserError, match="at least 1"):
        write_groups(tmp_path, seed=0, num_groups=0, workers=1)


SPAWNED = """
import multiprocessing, sys
from pathlib import Path
from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import write_layout
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    write_groups(Path(sys.argv[2]) / "groups", seed=3, num_groups=2, workers=1)
    write_layout("market1501", Path(sys.argv[2]) / "market", seed=3, train_pids=0, test_pids=1, workers=1, shots=1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_may_be_started_either_way(tmp_path, method):
    (tmp_path / "write.py").write_text(SPAWNED)
    subprocess.run(
        [sys.executable, tmp_path / "write.py", method, tmp_path],
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        timeout=120,
    )
    write_groups(tmp_path / "here", seed=3, num_groups=2, workers=1)
    assert (tmp_path / "here/pictures.npy").read_bytes() == (tmp_path / "groups/pictures.npy").read_bytes()
    assert list((tmp_path / "market").rglob("*.jpg"))


def test_a_disk_without_room_is_one_line_before_anything_is_drawn(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot write .*pictures\.npy: No space left on device"):
        write_groups(tmp_path, seed=0, num_groups=1, workers=1)
