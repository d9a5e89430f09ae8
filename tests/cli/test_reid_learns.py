"""Short trainings through the command's job: the network tells unseen people apart better than its random self."""

from pathlib import Path

import pytest

from NFC.benchmarks.reid_training import before_and_after
from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import write_layout
from NFC.training.job import ReIDTrainConfig
from pose2id.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs/train/reid"


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("learns") / "market"
    write_layout("market1501", folder, seed=1000, train_pids=1, test_pids=10, workers=1)
    return folder


def gain(folder: Path, market: Path, name: str, groups: int, steps: int, batch_size: int) -> float:
    """How much mAP a training of so many steps on so many groups is worth."""
    write_groups(folder / "groups", seed=0, num_groups=groups, workers=1)
    settings = [f"data.groups={folder / 'groups'}", f"loop.output_dir={folder / 'run'}"]
    settings += [f"loop.max_train_steps={steps}", f"loop.batch_size={batch_size}"]
    settings += ["data.parsing=null"] * (name == "spreid")  # the test has no label maps either
    before, after, _ = before_and_after(load_config(ReIDTrainConfig, CONFIGS / f"{name}.yaml", settings), market)
    return after - before


def test_a_small_network_learns_in_a_minute(tmp_path, market):
    assert gain(tmp_path, market, "timm", groups=90, steps=40, batch_size=16) > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_network_beats_its_random_self(tmp_path, market, name):
    steps = {"bpbreid": 40, "kpr": 40, "pabp": 150}.get(name, 100)  # two whose steps take longest; a metric loss alone
    assert gain(tmp_path, market, name, groups=300, steps=steps, batch_size=64 if name == "pabp" else 16) > 0.02
