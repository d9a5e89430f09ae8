"""docs/extending.md: one file and one line of each kind, written down as they stand there, then trained and scored."""

import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import NFC.datasets
import NFC.matching
import NFC.networks
import NFC.steps
import NFC.training.losses
import NFC.training.schemes
from NFC.features.extraction import extract_features
from NFC.networks import build_extractor
from tests.commands import here
from tests.nfc.matching import test_matchers
from tests.nfc.steps import test_steps

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
REGISTRIES = {
    "NETWORKS": (NFC.networks, NFC.networks.NETWORKS),
    "LOSSES": (NFC.training.losses, NFC.training.losses.LOSSES),
    "SCHEMES": (NFC.training.schemes, NFC.training.schemes.SCHEMES),
    "STEPS": (NFC.steps, NFC.steps.STEPS),
    "MATCHERS": (NFC.matching, NFC.matching.MATCHERS),
    "DATASETS": (NFC.datasets, NFC.datasets.DATASETS),
}


@pytest.fixture
def toys(tmp_path, monkeypatch) -> dict[str, str]:
    """The files of the page beside those of the packages, their lines in the registries; registry -> name."""
    names = {}
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```.*?Its line in `(\w+)`: `(.*?)`\n", PAGE, re.DOTALL)
    assert [registry for *_, registry, _ in blocks] == list(REGISTRIES)
    for path, code, registry, line in blocks:
        file = tmp_path / "code" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
        package, entries = REGISTRIES[registry]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
        module = importlib.import_module(f"{package.__name__}.{file.stem}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for name, entry in eval("{" + line + "}", {**vars(package), **vars(module)}).items():
            monkeypatch.setitem(entries, name, entry)
            names[registry] = name
    return names


@pytest.fixture
def people(tmp_path) -> Path:
    """A `toy_set` of 6 people, each in a colour of their own, before two cameras."""
    rng = np.random.default_rng(0)
    root = tmp_path / "set"
    for split, cameras in (("train", (0, 1)), ("query", (0,)), ("gallery", (1,))):
        (root / split).mkdir(parents=True)
        for pid in range(6):
            colour = np.random.default_rng(pid).integers(40, 216, 3)
            for camera in cameras:
                for number in range(3):
                    pixels = np.clip(colour + rng.normal(0, 25, (64, 32, 3)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(root / split / f"{pid}_{camera}_{number}.png")
    return root


def test_each_addition_is_one_file_and_one_line(toys, people, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    train, score = (
        shlex.split(command.replace("\\\n", " "))[1:]
        for command in re.findall(
            r"^pose2id .*?[^\\]$", PAGE[PAGE.index("## All together") :], re.DOTALL | re.MULTILINE
        )
    )
    places = [f"data.cache={tmp_path / 'cache'}", f"loop.output_dir={tmp_path / 'run'}"]
    small = ["loop.max_train_steps=5", "loop.batch_size=12", "loop.log_every=1", "loop.checkpoint_every=5"]
    assert not here(*(argument.replace("DIR", str(people)) for argument in train), *places, *small)
    losses = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert len(losses) == 5 and all(
        np.isfinite(row["loss"]) and {"toy_centre", "triplet"} <= row.keys() for row in losses
    )
    weights = tmp_path / "run" / "toy.safetensors"
    trained = build_extractor("toy", weights, device="cpu")
    assert extract_features(trained, [people / "query" / "0_0_0.png"], device="cpu").shape == (1, 32)
    given = [word.replace("DIR", str(people)).replace("runs/reid/toy.safetensors", str(weights)) for word in score]
    assert not here(*given, "--num_workers", 0, "--device", "cpu", "--out", tmp_path / "out")
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert row["name"] == "centred both, nfc both, toy_manhattan" and row["mAP"] > 0.5
    assert [step["name"] for step in row["steps"]] == ["toy_centring", "nfc", "toy_manhattan"]


def test_the_tests_over_registries_take_them_in(toys):
    """What runs for every entry runs for the toys, which the registries hold now."""
    test_steps.test_samples_stay_who_they_are_and_of_unit_length("toy_centring", "vectors", torch.float32)
    test_steps.test_it_is_documented_named_and_frozen("toy_centring")
    for check in (
        test_matchers.test_distances_come_in_rows,
        test_matchers.test_one_query_and_one_gallery_picture,
        test_matchers.test_labels_are_not_looked_at,
        test_matchers.test_half_precision_is_close,
        test_matchers.test_the_sets_are_ranked_by_it,
    ):
        check("toy_manhattan", "vectors")
