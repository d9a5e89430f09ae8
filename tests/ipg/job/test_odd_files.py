"""A job with odd files among its references and poses: they are named, the rest is done."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from IPG.job.estimate import Estimate, duration
from IPG.job.plan import make_plan
from IPG.job.run import generate
from IPG.poses import write_pose_picture
from pose2id.errors import UserError
from pose2id.pictures import read_picture


def test_each_odd_reference_is_named_and_the_rest_is_drawn(config, reference_folder, tmp_path):
    for path in reference_folder.glob("[bc]*"):
        path.unlink()
    long = reference_folder / ("x" * 247 + ".gif")
    Image.effect_noise((64, 128), 90).convert("RGB").save(long)
    os.mkfifo(reference_folder / "fifo.png")
    (reference_folder / "dangling.png").symlink_to("nowhere")
    (reference_folder / os.fsdecode(b"\xff.png")).touch()
    (reference_folder / "Thumbs.db").touch()
    lines = generate(config)
    assert sorted(line.split("; ")[0].split("/")[-1] for line in lines) == [
        "\\udcff.png has a name that is no UTF-8",
        "dangling.png: No such file or directory",
        "fifo.png: it is no regular file",
    ]
    out = tmp_path / "out"
    assert {path.name for path in (out / "pose1").iterdir()} == {"a.jpg", long.name}
    assert read_picture(out / "pose2" / long.name).size == (64, 128)


def test_what_is_worth_a_look_is_told_and_used(config, reference_folder, pose_folder, tmp_path):
    (reference_folder / "old/older").mkdir(parents=True)
    (reference_folder / "a.jpg").rename(reference_folder / "old/older/a.jpg")
    shutil.copy(reference_folder / "b.png", reference_folder / "old/b.png")
    Image.new("RGB", (64, 128)).save(pose_folder / "pose3.png")
    plan = make_plan(config)
    assert plan.unused == [] and len(plan.poses) == 3 and plan.pictures == 9
    assert [note.split("poses/")[-1] for note in plan.notes if "pose3" in note] == ["pose3.png is empty"]
    assert any("1 file is not read (1 picture in another folder)" in note for note in plan.notes)
    (reference_folder / "out").mkdir()
    (reference_folder / "out/x.jpg").touch()
    assert len(make_plan(replace(config, out_dir=str(reference_folder / "out"))).notes) == 3


def test_channels_that_are_exchanged(config, pose_folder):
    with pytest.raises(UserError, match=r"no pose in .* can be used: pose .*pose1\.png shows red and blue exchanged"):
        make_plan(replace(config, pose_channel_order="rgb"))
    write_pose_picture(pose_folder / "pose3.png", read_picture(pose_folder / "pose1.png"))
    plan = make_plan(config)
    (line,) = plan.unused
    assert "pose3.png shows red and blue exchanged when read as pose_channel_order bgr" in line
    assert "give pose_channel_order rgb" in line
    assert [pose.number for pose in plan.poses] == [1, 2]


def test_references_of_16_bits_are_drawn_as_those_of_8(config, reference_folder, tmp_path):
    grey = np.asarray(Image.open(reference_folder / "c.jpg").convert("L"))
    for name, values in (("8.png", grey), ("16.png", grey.astype(np.uint16) * 257)):
        Image.fromarray(values).save(reference_folder / name)
    assert np.array_equal(*(read_picture(reference_folder / name) for name in ("8.png", "16.png")))


def test_the_time_is_told_once():
    now = [0.0]
    estimate = Estimate(1000, 2, lambda: now[0])
    lines = []
    for _ in range(20):
        now[0] += 4
        lines += estimate.add(10)
    assert lines == ["2.5 pictures/s: 960 left in 2 folders, about 6 min"]
    assert [duration(seconds) for seconds in (12, 300, 12_700)] == ["12 s", "5 min", "3 h 32 min"]
