"""`official_noise`: one generator through all references in the order of their names."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from IPG import IPGPipeline, Sampling
from IPG.job.run import generate, torch_threads
from IPG.poses import read_pose_picture
from pose2id.errors import UserError
from pose2id.pictures import read_picture
from tests.ipg.job.folders import read_all, write_nested


def test_official_noise_is_that_of_the_official_order(three_people, tmp_path):
    config = three_people
    assert len(generate(config)) == 1
    generator = torch.Generator().manual_seed(config.seed)
    pipe = IPGPipeline.from_pretrained(config.ckpt_dir, "mini", device="cpu")
    poses = [read_pose_picture(path) for path in sorted(Path(config.pose_dir).iterdir())]
    for name in ("person10.png", "person12.png", "person2.png"):
        noise = torch.randn(2, *pipe.preset.latent_shape, generator=generator)
        if name == "person12.png":
            continue
        reference = read_picture(Path(config.ref_dir, name))
        with torch_threads(1):  # as the job does; other numbers of threads may round differently
            images = pipe.generate([reference], poses, Sampling(2), noise[None])[0]
        for k, image in enumerate(images, start=1):
            assert np.array_equal(np.asarray(image), np.asarray(read_picture(tmp_path / f"out/pose{k}/{name}")))


def test_official_noise_survives_resuming_and_sharing(three_people, tmp_path, monkeypatch):
    config = three_people
    generate(config)
    expected = read_all(tmp_path / "out")
    for name in ("pose1/person2.png", "pose2/person10.png"):
        (tmp_path / "out" / name).unlink()
    generate(replace(config, batch_size=1))
    assert read_all(tmp_path / "out").keys() == expected.keys()
    assert all(np.array_equal(picture, expected[name]) for name, picture in read_all(tmp_path / "out").items())

    for share in (0, 1):
        process = SimpleNamespace(process_index=share, num_processes=2, is_main_process=True)
        monkeypatch.setattr("IPG.job.run.this_process", lambda process=process: process)
        generate(replace(config, out_dir=str(tmp_path / "shared")))
    shared = read_all(tmp_path / "shared")
    assert shared.keys() == expected.keys()
    assert all(np.array_equal(picture, expected[name]) for name, picture in shared.items())


def test_with_official_noise_nobody_may_join(three_people, tmp_path):
    generate(three_people)
    write_nested(tmp_path / "people", {"": ["person1.png"]})
    with pytest.raises(UserError, match="official_noise"):
        generate(three_people)
