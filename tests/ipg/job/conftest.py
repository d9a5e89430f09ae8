"""A small job: three references in two poses by random weights."""

from dataclasses import replace

import pytest

from IPG.job.settings import GenerationConfig, resolve
from tests.ipg.job.folders import write_nested


@pytest.fixture
def config(mini_weights, reference_folder, pose_folder, tmp_path) -> GenerationConfig:
    folders = {
        "ckpt_dir": mini_weights,
        "pose_dir": pose_folder,
        "ref_dir": reference_folder,
        "out_dir": tmp_path / "out",
    }
    folders = {name: str(path) for name, path in folders.items()}
    return resolve(GenerationConfig("mini", **folders, steps=2, device="cpu"))


@pytest.fixture
def three_people(config, tmp_path) -> GenerationConfig:
    """References whose order by name is not the natural one, the middle one unreadable, with official noise."""
    folder = tmp_path / "people"
    write_nested(folder, {"": ["person10.png", "person2.png"]})
    (folder / "person12.png").write_bytes(b"")
    return replace(config, ref_dir=str(folder), official_noise=True)
