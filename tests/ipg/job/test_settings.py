"""Settings of a generation job."""

from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from IPG import Sampling
from IPG.job.settings import GenerationConfig, resolve
from pose2id.config import load_config
from pose2id.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def test_default_file_holds_the_defaults():
    path = ROOT / "configs/inference/default.yaml"
    assert load_config(GenerationConfig, path) == GenerationConfig()
    assert set(OmegaConf.load(path)) == set(vars(GenerationConfig()))


def test_resolving_fills_in_a_copy():
    config = GenerationConfig("mini", device="cpu")
    before = asdict(config)
    resolved = resolve(config)
    assert asdict(config) == before and resolved != config and resolve(resolved) == resolved
    assert (resolved.ref_dir, resolved.out_dir, resolved.dataset) == ("ref", "outputs/mini", None)
    assert (resolved.dtype, resolved.batch_size, resolved.guidance_scale) == ("float32", 16, 1.5)


def test_what_decides_a_picture_is_one_value():
    config = GenerationConfig(steps=7, guidance_scale=2.0, guidance_interval=[10, 20], scheduler="euler", seed=3)
    assert config.sampling == Sampling(7, 2.0, "euler", (10, 20), 1, 3)
    assert GenerationConfig().sampling == Sampling()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attention": "xformers"}, "xformers computes on NVIDIA GPUs alone, not on cpu; use attention=sdpa"),
        ({"batch_size": 10**11}, "batch_size is 100000000000; it must be from 1 to"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_interval": [0.0, float("inf")]}, "guidance_interval is inf"),
        ({"seed": -1}, "seed is -1; it must be from 0"),
        (
            {"ref_dir": "r", "splits": ["query"]},
            "^splits goes with dataset_dir, a data set to fill; give that, or leave",
        ),
        ({"dataset_options": {"mode": "indoor"}}, "^dataset_options goes with dataset_dir"),
    ],
)
def test_what_cannot_work_is_told_at_once(change, told):
    with pytest.raises(UserError, match=told):
        resolve(GenerationConfig("mini", **({"device": "cpu"} | change)))
