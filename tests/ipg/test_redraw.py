"""Poses drawn for one preset are drawn anew for another, and those that somebody changed are left alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from IPG.job import plan as planning
from IPG.job.settings import GenerationConfig
from IPG.poses import draw_skeleton, read_pose_picture
from IPG.poses.redraw import read_pose_for, redrawn
from IPG.poses.skeleton import read_keypoints, to_pixels, write_pose_picture
from pose2id.presets import load_preset
from tests.commands import ROOT

STANDARD = ROOT / "standard_poses"
MINI, SD15 = load_preset("mini"), load_preset("sd15")
POINTS = read_keypoints(STANDARD / "keypoints.json")


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(STANDARD, tmp_path / "poses"))


def test_the_shipped_poses_suit_both_presets():
    for path in sorted(STANDARD.glob("*.png")):
        picture = read_pose_picture(path)
        assert redrawn(path, picture, MINI) is None
        expected = draw_skeleton(to_pixels(POINTS[path.stem], (512, 256)), (512, 256), SD15.skeleton)
        assert np.array_equal(np.asarray(redrawn(path, picture, SD15)), expected)
        assert np.array_equal(np.asarray(read_pose_for(path, SD15)), expected)
        assert np.array_equal(np.asarray(read_pose_for(path, MINI)), np.asarray(picture))


def test_a_drawing_of_the_larger_preset_serves_the_small_one(folder):
    path = folder / "pose4.png"
    before = np.asarray(read_pose_picture(path))
    write_pose_picture(path, redrawn(path, Image.fromarray(before), SD15))
    large = read_pose_picture(path)
    assert large.size == (256, 512) and redrawn(path, large, SD15) is None
    assert np.array_equal(np.asarray(redrawn(path, large, MINI)), before)


def test_what_somebody_changed_stays_as_it_is(folder):
    path = folder / "pose1.png"
    pixels = np.array(read_pose_picture(path))
    pixels[60:64, 30:32] = 200
    write_pose_picture(path, pixels)
    assert redrawn(path, read_pose_picture(path), SD15) is None
    other = folder / "mine.png"  # nobody knows its points
    shutil.copy(folder / "pose2.png", other)
    assert redrawn(other, read_pose_picture(other), SD15) is None
    for content in (None, "{", json.dumps({"pose3": [[1, 2]]})):
        (folder / "keypoints.json").unlink(missing_ok=True)
        if content:
            (folder / "keypoints.json").write_text(content)
        assert redrawn(folder / "pose3.png", read_pose_picture(folder / "pose3.png"), SD15) is None


def test_a_job_draws_them_anew_and_its_manifest_says_so(folder):
    (folder / "mine.png").write_bytes((folder / "pose1.png").read_bytes())
    for preset, anew in (("mini", 0), ("sd15", 8)):
        poses, unused, notes = planning._read_poses(GenerationConfig(preset=preset, pose_dir=str(folder)))
        assert len(poses) == 9 and not unused
        assert [bool(pose.redrawn_for) for pose in poses] == [False] + [anew == 8] * 8
        assert [note for note in notes if "drawn anew" in note] == [
            f"{anew} poses of {folder} are drawn anew from its keypoints.json, as preset {preset} has them"
        ] * (anew > 0)
        told = [planning._told(pose).endswith(f", drawn anew for {preset}") for pose in poses]
        assert told == [False] + [anew == 8] * 8
