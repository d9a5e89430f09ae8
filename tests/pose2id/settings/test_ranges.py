"""Numbers that mean nothing are refused in one line, in every field of every config."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from IPG.commands.poses_train import TrainPoseConfig
from IPG.commands.score_generated import ScoreConfig
from IPG.commands.train import TrainConfig
from IPG.commands.train_vae import TrainVAEConfig
from IPG.poses.select import SelectConfig
from IPG.poses.settings import PrepareConfig, resolve
from IPG.sampling import Sampling
from NFC.commands.embed import EmbedConfig
from NFC.commands.synthetic import SyntheticConfig
from NFC.evaluation import EvaluateConfig
from NFC.networks import Preprocessing
from NFC.training.job import ReIDTrainConfig
from pose2id.devices import pick_device
from pose2id.errors import UserError
from pose2id.settings.ranges import SEED, SHARE, Range, check_ranges

MEANINGLESS = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 10**20, -(10**20)]
CONFIGS = [
    EmbedConfig(out="f.npz"),
    EvaluateConfig(),
    Preprocessing(16, 8),
    ReIDTrainConfig(),
    Sampling(),
    ScoreConfig(root="r"),
    SelectConfig(),
    SyntheticConfig(layout="custom", out="o"),
    TrainConfig(),
    TrainPoseConfig(),
    TrainVAEConfig(),
]


def sections(config):
    """The config and the dataclasses in it."""
    yield config
    for field in fields(config):
        if is_dataclass(value := getattr(config, field.name)):
            yield from sections(value)


def numbers(config):
    hints = get_type_hints(type(config))
    alone = {name: hint for name, hint in hints.items() if get_origin(hint) not in (tuple, dict)}
    return [name for name, hint in alone.items() if {int, float} & {hint, *get_args(hint)}]


CASES = [(part, name) for config in CONFIGS for part in sections(config) for name in numbers(part)]


@pytest.mark.parametrize(
    ("config", "name"), CASES, ids=lambda case: case if isinstance(case, str) else type(case).__name__
)
def test_every_number_has_a_range(config, name):
    for value in MEANINGLESS:
        with pytest.raises(UserError) as told:
            replace(config, **{name: value})
        assert name in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["batch_size", "height", "width"])
def test_a_job_of_poses(tmp_path, name):
    for value in (0, -1, 10**11):
        with pytest.raises(UserError, match=f"{name} is {value}; it must be from 1 to"):
            resolve(PrepareConfig(preset="mini", picture_dir=str(tmp_path), **{name: value}))


@dataclass
class Values:
    seed: int | None = None
    shares: list[float] | None = None


@given(st.integers())
def test_seeds(seed):
    try:
        check_ranges(Values(seed), {"seed": SEED})
        assert 0 <= seed < 2**63
    except UserError as error:
        assert not 0 <= seed < 2**63
        assert str(error) == f"seed is {seed}; it must be from 0 to 2**63 - 1"


def test_each_of_a_list_counts_and_ends_may_be_left_out():
    check_ranges(Values(shares=[0, 1]), {"shares": SHARE, "seed": SEED})
    with pytest.raises(UserError, match=r"^data\.shares is -0\.5; it must be from 0 to 1$"):
        check_ranges(Values(shares=[0, -0.5]), {"shares": SHARE}, "data")
    assert 0 not in Range(0, 1, above=True) and str(Range(0, 2e6, above=True)) == "above 0 to 2,000,000.0"


@pytest.mark.parametrize(
    "name", ["meta", "hpu", "xla", "privateuseone", "vulkan", "cuda:99", "cpu:x", "nonsense", "\0"]
)
def test_devices_that_do_not_compute_are_one_line(name):
    with pytest.raises(UserError, match="cannot be used here; leave it out, or try cpu") as told:
        pick_device(name)
    assert "\n" not in str(told.value)
