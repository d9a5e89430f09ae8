"""The command line of scripts/train_reid.py: a few steps on tiny data."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from NFC.datasets import build_dataset, generated_paths
from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import write_layout
from NFC.features.extraction import extract_features
from NFC.networks import build_extractor
from NFC.training.job import ReIDTrainConfig
from pose2id.config import load_config
from tests.commands import ROOT, here
from tests.nfc.toy import write_picture

SMALL = ["loop.batch_size=8", "loop.checkpoint_every=1", "loop.precision=float32", "loop.warmup_steps=1"]


def train(*overrides: str, config: str = "reid.yaml") -> int:
    """The exit code of the script."""
    return here("train-reid", "--config", ROOT / "configs/train" / config, *overrides)


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reid") / "groups"
    write_groups(folder, seed=0, num_groups=12, workers=1)
    return folder


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Market1501 of 4 + 2 people, with one plain picture for each generated one of the training split."""
    folder = tmp_path_factory.mktemp("reid") / "market"
    write_layout("market1501", folder, seed=5, train_pids=4, test_pids=2, workers=1, shots=1)
    for record in build_dataset("market1501", folder).train:
        for path in generated_paths(record, 2):
            write_picture(path, (100, 50, 20 * (record.pid % 10)))
    return folder


def test_a_resumed_run_takes_the_same_steps(groups, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    everything = ["losses.identity_weight=1", "losses.triplet_weight=1", "loop.lr_schedule=constant"]
    settings = [f"data.groups={groups}", *everything, *SMALL]
    assert train(*settings, f"loop.output_dir={whole}", "loop.max_train_steps=4") == 0
    for steps in (2, 4):
        assert train(*settings, f"loop.output_dir={parts}", f"loop.max_train_steps={steps}") == 0
    assert losses(parts) == losses(whole)
    assert train(*settings, f"loop.output_dir={parts}", "losses.triplet_weight=2") == 2
    assert train(f"data.groups={groups}", *SMALL, f"loop.output_dir={parts}", "losses=[{name: identity}]") == 2  # fewer
    assert losses(parts) == losses(whole)
    assert [row["step"] for row in losses(whole)] == [1, 2, 3, 4]
    assert {"loss", "identity", "triplet", "contrastive"} <= losses(whole)[0].keys()
    first, second = (load_file(folder / "transformer_20.safetensors") for folder in (whole, parts))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs/train/reid").glob("*.yaml")))
def test_every_network_is_trained_and_resumed_exactly(groups, tmp_path, monkeypatch, name):
    whole, parts, run = tmp_path / "whole", tmp_path / "parts", partial(train, config=f"reid/{name}.yaml")
    config = load_config(ReIDTrainConfig, ROOT / f"configs/train/reid/{name}.yaml")
    settings = [f"data.groups={groups}", f"data.cache={tmp_path / 'cache'}", "loop.lr_schedule=constant", *SMALL]
    assert run(*settings, f"loop.output_dir={whole}", "loop.max_train_steps=3") == 0
    for steps in (1, 3):
        assert run(*settings, f"loop.output_dir={parts}", f"loop.max_train_steps={steps}") == 0
    assert losses(parts) == losses(whole) and len(losses(whole)) == 3
    assert {loss["name"] for loss in config.losses} <= losses(whole)[0].keys()
    (first,), (second,) = (list(folder.glob("*.safetensors")) for folder in (whole, parts))
    assert first.read_bytes() == second.read_bytes()
    extractor = build_extractor(config.network.name, first, config.network.preset, "cpu")
    assert extractor(extractor.preprocess(Image.new("RGB", (64, 128)))[None]).isfinite().all()


def test_stages_and_the_recipe_of_pcb_are_resumed_exactly(groups, tmp_path):
    whole, parts, run = tmp_path / "whole", tmp_path / "parts", partial(train, config="reid/pcb_rpp.yaml")
    settings = [
        *(f"data.groups={groups}", f"data.cache={tmp_path / 'cache'}", "data.sampler=random", *SMALL),
        *("scheme={name: staged, steps: [2, 2]}", "loop.optimizer=sgd", "loop.nesterov=true", "loop.learning_rate=0.1"),
        *("loop.learning_rate_factors={backbone.: 0.1}", "loop.lr_schedule=constant", "loop.max_grad_norm=0"),
    ]
    assert run(*settings, f"loop.output_dir={whole}", "loop.max_train_steps=6") == 0
    for steps in (1, 3, 5, 6):
        assert run(*settings, f"loop.output_dir={parts}", f"loop.max_train_steps={steps}") == 0
    assert losses(parts) == losses(whole) and len(losses(whole)) == 6
    first, second = (folder / "pcb_rpp.safetensors" for folder in (whole, parts))
    assert first.read_bytes() == second.read_bytes()
    assert run(*settings, f"loop.output_dir={parts}", "scheme={name: staged, steps: [3, 2]}") == 2


def test_two_networks_that_learn_from_each_other(groups, tmp_path, capfd):
    settings = [f"data.groups={groups}", f"data.cache={tmp_path / 'cache'}", f"loop.output_dir={tmp_path / 'run'}"]
    run = partial(train, *settings, *SMALL, config="reid/alignedreid.yaml")
    assert run("network.mutual=true", "loop.max_train_steps=1") == 0
    assert run("network.mutual=true", "loop.max_train_steps=2") == 0
    assert {"mutual_scores", "mutual_distances", "local_triplet"} <= losses(tmp_path / "run")[1].keys()
    assert run("loop.max_train_steps=3") == 2
    assert "network.mutual" in capfd.readouterr().err
    extractor = build_extractor("alignedreid", tmp_path / "run/alignedreid.safetensors", "mini", "cpu")
    assert extractor.layout.kind == "stripes"


def test_another_network_cannot_go_on_with_a_run(groups, tmp_path, capfd):
    settings = [f"data.groups={groups}", f"loop.output_dir={tmp_path / 'run'}", *SMALL]
    assert train(*settings, "loop.max_train_steps=1", config="reid/pmt.yaml") == 0
    assert train(*settings, "loop.max_train_steps=2", config="reid/clipreid.yaml") == 2
    assert "with network.name=pmt, not clipreid" in capfd.readouterr().err


def test_a_data_set_with_cameras_generated_pictures_and_validation(market, tmp_path):
    settings = [
        *("data.groups=null", "data.dataset=market1501", f"data.dataset_dir={market}", f"data.cache={tmp_path}/cache"),
        *("data.generated_ratio=0.5", "data.poses=2", "network.camera_embedding=true", "data.pictures_per_person=2"),
        *("loop.max_train_steps=2", "loop.validate_every=2", f"loop.output_dir={tmp_path / 'run'}", *SMALL),
    ]
    assert train(*settings) == 0
    steps = losses(tmp_path / "run")
    assert "validation/mAP" not in steps[0] and 0 < steps[1]["validation/mAP"] <= 1

    extractor = build_extractor("transreid", tmp_path / "run/transformer_20.safetensors", "mini", "cpu")
    assert extractor.uses_camids
    query = build_dataset("market1501", market).query
    feats = extract_features(extractor, [r.path for r in query], [r.camid for r in query], device="cpu")
    assert feats.shape == (len(query), 640) and feats.isfinite().all()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["loop.steps=3"], "steps"),
        (["data.groups=nowhere"], "pose2id synthetic --layout groups"),
        (["data.groups=null"], "data.groups or data.dataset"),
        (["loop.batch_size=9"], "9"),
        (["loop.batch_size=96"], "24 people"),
        (["loop.validate_every=1"], "validation.dataset"),
        (["losses.contrastive_weight=1", "losses.temperature=-1"], "temperature"),
        (["losses=[{name: tripel}]"], "losses: 'tripel' is unknown"),
        (["--losses", "v"], "losses: 'v' is unknown"),
        (["network.sizes.depth=0"], "network.sizes.depth is 0; it must be from 1"),
        (["network.sizes.height=8"], "network.sizes height=8: these sizes make no transreid: "),
        (["losses.triplet_weight=-1"], "above 0"),
        (["scheme.name=magic"], "supervised"),
        (["network.name=nothing"], "unknown extractor 'nothing'"),
        (["network.name=file"], "cannot be trained"),
        (["network.name=idla"], "is trained on pairs of pictures; give scheme=pairs"),
        (["network.sizes.depht=3"], "depht"),
        (["augmentation.flip=2"], "flip"),
        (["network.preset=huge"], "mini, sd15"),
        (["network.start=nowhere.pth"], "nowhere.pth"),
        (["data.generated_ratio=0.3"], "no generated"),
    ],
)
def test_what_cannot_work_is_one_line_and_code_2(groups, tmp_path, capfd, overrides, told):
    settings = [f"data.groups={groups}", f"loop.output_dir={tmp_path / 'run'}", *SMALL, *overrides]
    assert train(*settings) == 2
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 1 and told in errors[0], errors
    assert not (tmp_path / "run/transformer_20.safetensors").exists()


def test_missing_generated_pictures_name_the_command(market, tmp_path, capfd):
    settings = [
        *("data.groups=null", "data.dataset=market1501", f"data.dataset_dir={market}", f"data.cache={tmp_path}/cache"),
        *("data.generated_ratio=0.5", "data.poses=3", f"loop.output_dir={tmp_path / 'run'}", *SMALL),
    ]
    assert train(*settings) == 2
    errors = capfd.readouterr().err
    assert len(errors.splitlines()) == 1 and "pose3" in errors and "pose2id generate --dataset market1501" in errors


def test_an_unknown_camera_of_the_validation_is_told_before_training(market, tmp_path, capfd):
    root = tmp_path / "two_cameras"
    for pid in (1, 2, 3):
        for camera in (1, 2):
            name = f"{pid:04d}_c{camera}s1_000000_00.jpg"
            write_picture(root / "bounding_box_train" / name, (80 * pid, 9, 9))
    for split in ("query", "bounding_box_test"):
        write_picture(root / split / "0009_c1s1_000000_00.jpg", (9, 9, 9))
    settings = [
        *("data.groups=null", "data.dataset=market1501", f"data.dataset_dir={root}", f"data.cache={tmp_path}/cache"),
        *("network.camera_embedding=true", "loop.validate_every=1", f"loop.output_dir={tmp_path / 'run'}", *SMALL),
        *("loop.batch_size=4", "data.pictures_per_person=2"),
    ]
    other = ["validation.dataset=market1501", f"validation.dataset_dir={market}"]
    assert train(*settings, *other) == 2
    errors = capfd.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("error")]) == 1 and "training only 2" in errors[-1]


def test_the_official_recipe_is_a_config(market, tmp_path, capfd):
    settings = [f"data.dataset_dir={tmp_path / 'nowhere'}"]
    assert train(*settings, config="reid_market1501.yaml") == 2
    assert "nowhere does not exist" in capfd.readouterr().err
