from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from IPG.poses import KEYPOINT_NAMES, to_pixels
from IPG.poses.clean import CleanConfig, clean, judge, sharpness
from IPG.poses.records import PoseRecord, read_kept
from NFC.datasets.synthetic import View, World

CONFIG = CleanConfig()
ROW = {name: row for row, name in enumerate(KEYPOINT_NAMES)}


@pytest.fixture
def record(standing):
    return PoseRecord("a.png", 64, 128, 0.3, to_pixels(standing, (128, 64)))


def changed(record, **joints):
    points = record.keypoints.copy()
    for name, value in joints.items():
        points[ROW[name]] = value
    return replace(record, keypoints=points)


def test_somebody_who_stands_is_kept(record):
    assert judge(record, CONFIG) == []


def test_small_and_blurred(record):
    assert judge(replace(record, height=63), CONFIG) == ["small"]
    assert judge(replace(record, width=23, sharpness=0.01), CONFIG) == ["small", "blurred"]
    assert judge(replace(record, sharpness=0.0), replace(CONFIG, min_sharpness=0)) == []


@pytest.mark.parametrize(("lost", "kept"), [(5, True), (6, False)])
def test_joints_below_the_confidence_do_not_count(record, lost, kept):
    points = record.keypoints.copy()
    points[1 : 1 + lost, 2] = CONFIG.confidence - 0.01
    assert judge(replace(record, keypoints=points), CONFIG) == ([] if kept else ["few joints"])
    points[1 : 1 + lost, 2] = CONFIG.confidence
    assert judge(replace(record, keypoints=points), CONFIG) == []


def test_head_below_hips(record):
    points = record.keypoints.copy()
    points[:, 1] = 128 - points[:, 1]
    assert judge(replace(record, keypoints=points), CONFIG) == ["head below hips"]


def test_collapsed_figures(record):
    points = record.keypoints.copy()
    points[:, :2] = 60 + (points[:, :2] - 60) * 0.3
    assert judge(replace(record, keypoints=points), CONFIG) == ["collapsed"]
    hips = {f"{side}_hip": record.keypoints[ROW[f"{side}_shoulder"]] for side in ("left", "right")}
    config = replace(CONFIG, max_bone=9)
    assert judge(changed(record, **hips), config) == ["collapsed"]


def test_bones_may_be_foreshortened_but_not_stretched(record):
    shoulder = record.keypoints[ROW["right_shoulder"]]
    assert judge(changed(record, right_elbow=shoulder, right_wrist=shoulder), CONFIG) == []
    assert judge(changed(record, right_wrist=(60, 120, 1)), CONFIG) == ["limbs"]
    assert judge(changed(record, right_wrist=(60, 120, 0.1)), CONFIG) == []  # not there


def test_hidden_legs_do_not_make_bones_too_long(record):
    points = record.keypoints.copy()
    points[[ROW[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle")], 2] = 0
    assert judge(replace(record, keypoints=points), CONFIG) == []


@given(st.sampled_from([0.5, 2.0, 5.0]), st.integers(-40, 40))
def test_the_size_of_the_picture_does_not_matter(scale, shift):
    rng = np.random.default_rng(abs(shift))
    points = np.column_stack([rng.uniform(0, [64, 128], (18, 2)), np.ones(18)])
    record = PoseRecord("a.png", 64, 128, 1.0, points)
    larger = replace(record, keypoints=points * [scale, scale, 1], width=round(64 * scale), height=round(128 * scale))
    config = replace(CONFIG, min_height=1, min_width=1)
    assert judge(record, config) == judge(larger, config)


def test_real_people_of_the_world_are_kept_and_blur_lowers_sharpness():
    world = World(21)
    for pid in range(12):
        shot = world.shoot(View(pid, pid, 0, infrared=pid % 3 == 0))
        points = shot.keypoints - np.float32([0.5, 0.5, 0])
        picture = Image.fromarray(shot.picture)
        assert judge(PoseRecord("a.png", 64, 128, sharpness(picture), points.astype(float)), CONFIG) == []
        blurred = Image.fromarray(cv2.GaussianBlur(shot.picture, (0, 0), 2))
        assert sharpness(blurred) < CONFIG.min_sharpness
        dark = Image.fromarray((shot.picture * 0.5).astype(np.uint8))
        assert sharpness(dark) == pytest.approx(sharpness(picture), rel=0.2)
        assert sharpness(picture.resize((128, 256), Image.Resampling.NEAREST)) == pytest.approx(
            sharpness(picture), 0.01
        )
    assert sharpness(Image.new("RGB", (64, 128), "red")) == 0


def test_list_counts_and_examples_are_written(tmp_path, record):
    Image.new("RGB", (64, 128), "grey").save(tmp_path / "a.png")
    Image.new("RGB", (64, 128), "grey").save(tmp_path / "b.png")
    records = [record, replace(record, path="b.png", sharpness=0.0, height=60)]
    assert clean(records, tmp_path, tmp_path / "out", CONFIG) == {"pictures": 2, "kept": 1, "blurred": 1, "small": 1}
    assert read_kept(tmp_path / "out/kept.jsonl") == {"a.png"}
    assert (tmp_path / "out/kept.jsonl").read_text().splitlines()[1] == (
        '{"path": "b.png", "kept": false, "reasons": ["small", "blurred"]}'
    )
    assert (tmp_path / "out/dropped.png").is_file()
    clean(records[:1], tmp_path, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out/dropped.png").exists()
