"""What decides a picture, and what a run does in a folder that another run left."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from IPG.job.run import generate
from pose2id.errors import UserError
from pose2id.pictures import read_picture
from tests.ipg.job.folders import Written, assert_same_pictures, read_all


def test_batch_size_does_not_matter(config, tmp_path):
    assert generate(config) == []
    assert generate(replace(config, batch_size=1, out_dir=str(tmp_path / "one"))) == []
    assert_same_pictures(read_all(tmp_path / "out"), read_all(tmp_path / "one"))


def test_poses_matter_and_seeds_matter(config, tmp_path):
    generate(config)
    generate(replace(config, seed=1, out_dir=str(tmp_path / "other")))
    first, second, other = (
        np.asarray(read_picture(tmp_path / name))
        for name in ("out/pose1/b.png", "out/pose2/b.png", "other/pose1/b.png")
    )
    assert (first != second).any() and (first != other).any()


def test_running_again_does_only_what_is_lacking(config, tmp_path, reference_folder):
    out = tmp_path / "out"
    generate(config)
    before, written = read_all(out), Written(out)
    assert generate(config) == []
    assert written.look() == set()

    (out / "pose2/a.jpg").unlink()
    whole = (out / "pose1/b.png").read_bytes()
    (out / "pose1/b.png").write_bytes(whole[: len(whole) // 2])
    (out / "c.jpg").unlink()
    assert generate(config) == []
    assert written.look() == {"pose2/a.jpg", "pose1/b.png"}
    assert_same_pictures(read_all(out), before)

    newer = (out / "pose2/a.jpg").stat().st_mtime + 0.001  # the later of the two
    os.utime(reference_folder / "a.jpg", (newer, newer))
    generate(config)
    assert written.look() == {"pose1/a.jpg", "pose2/a.jpg"}


def test_another_pose_may_join_but_other_settings_may_not(config, pose_folder, tmp_path):
    generate(config)
    written = Written(tmp_path / "out")
    read_picture(pose_folder / "pose1.png").transpose(Image.Transpose.ROTATE_180).save(pose_folder / "pose10.png")
    generate(config)
    assert {name.split("/")[0] for name in written.look()} == {"pose3"}  # pose10 is the third in natural order
    assert Image.open(tmp_path / "out/b.png").size == (7 * 64, 128)
    for change in ({"seed": 5}, {"steps": 3}, {"pose_channel_order": "rgb"}, {"feature_interval": 2}):
        with pytest.raises(UserError, match=next(iter(change))):
            generate(replace(config, **change))
    (pose_folder / "pose1.png").unlink()
    with pytest.raises(UserError, match="pose1"):
        generate(config)


def test_other_weights_are_refused(config, mini_weights, tmp_path):
    generate(config)
    other = tmp_path / "other"
    shutil.copytree(mini_weights, other)
    tensors = load_file(other / "IFR.safetensors")
    tensors["norm_motion.bias"][0] += 1
    save_file(tensors, other / "IFR.safetensors")
    with pytest.raises(UserError, match="IFR was"):
        generate(replace(config, ckpt_dir=str(other)))
