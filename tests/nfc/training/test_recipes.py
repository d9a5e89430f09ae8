"""What the comments of configs/train/reid/*.yaml quote as overrides can be typed, and fits the network."""

import re
from pathlib import Path

import pytest

from NFC.training.job import ReIDTrainConfig
from NFC.training.losses import read_losses
from NFC.training.network import read_sizes
from NFC.training.objective import ReIDObjective
from NFC.training.schemes import SCHEMES
from pose2id.config import load_config
from pose2id.loop.optimizers import parameter_groups
from pose2id.loop.schedules import learning_rate_factor
from pose2id.settings.registry import read_named
from tests.nfc.networks.zoo import CONFIGS, small_network

SECTIONS = "network|data|augmentation|losses|scheme|validation|loop"
OVERRIDE = re.compile(rf"'((?:{SECTIONS})[\w.]*=[^']*)'|\b((?:{SECTIONS})[\w.]*=\S+)")
PLACEHOLDERS = ("...", "FILE", "FOLDER", "PLACE")
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def quoted(path: Path) -> list[str]:
    """The overrides in a file's comments, in their order; what a shell would take apart has to be in quotes."""
    lines = (line[1:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    found = [match.groups() for match in OVERRIDE.finditer("".join(lines))]
    assert not [bare for _, bare in found if bare and set(bare) & set("{}[]'")]
    overrides = [in_quotes or bare for in_quotes, bare in found]
    return [text.rstrip(".,;:)") for text in overrides if not any(place in text for place in PLACEHOLDERS)]


@pytest.mark.parametrize("name", NAMES)
def test_recipes_can_be_typed(name):
    overrides = quoted(CONFIGS / f"{name}.yaml")
    config = load_config(ReIDTrainConfig, CONFIGS / f"{name}.yaml", overrides)
    if not config.network.name.startswith("timm"):
        read_sizes(config.network)
    read_losses(config.losses)
    read_named(SCHEMES, config.scheme, "scheme")
    assert 0 < learning_rate_factor(config.loop, config.loop.warmup_steps, 0.9) <= 1


def test_some_recipes_are_read():
    idla = load_config(ReIDTrainConfig, CONFIGS / "idla.yaml", quoted(CONFIGS / "idla.yaml"))
    assert idla.network.preset == "sd15" and idla.scheme["name"] == "hard_pairs"
    rates = [0.01 * (1 + 1e-4 * step) ** -0.75 for step in (0, 100_000)]
    assert [idla.loop.learning_rate * learning_rate_factor(idla.loop, step, 0.5) for step in (0, 100_000)] == rates
    mos = load_config(ReIDTrainConfig, CONFIGS / "mos.yaml", quoted(CONFIGS / "mos.yaml")).loop
    epochs = [learning_rate_factor(mos, 202 * epoch - 1, epoch / 120) for epoch in (5, 10, 39, 40, 70, 120)]
    assert epochs == pytest.approx([0.5, 1, 1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("name", ["dsr", "pabp", "pie", "sap", "spreid", "pcb", "pdc"])
def test_factors_are_of_parameters_that_there_are(name):
    config = load_config(ReIDTrainConfig, CONFIGS / f"{name}.yaml", quoted(CONFIGS / f"{name}.yaml"))
    parameters = dict(ReIDObjective(small_network(name), {}).named_parameters())
    groups = parameter_groups(parameters, config.loop.learning_rate_factors, config.loop.weight_decay_factors)
    assert len(groups) >= 2
