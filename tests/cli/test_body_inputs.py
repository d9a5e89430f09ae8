"""Networks that know the body, from label maps and keypoints on disk to their scores, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from NFC.datasets import build_dataset, generated_paths
from NFC.datasets.synthetic.layouts import write_layout
from NFC.networks.blocks.limbs import limb_map
from tests.commands import ROOT, here

RUN = ["loop.batch_size=8", "loop.max_train_steps=2", "loop.warmup_steps=1", "loop.precision=float32"]
SIZE = (128, 64)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """market/ of 4 + 2 people with one generated picture each, keypoints.jsonl and maps/ of its pictures."""
    folder = tmp_path_factory.mktemp("body")
    write_layout("market1501", folder / "market", seed=5, train_pids=4, test_pids=2, workers=1, shots=1)
    dataset = build_dataset("market1501", folder / "market")
    poses = np.array(list(json.loads((ROOT / "standard_poses/keypoints.json").read_text()).values()))
    lines = []
    for number, record in enumerate([*dataset.train, *dataset.query, *dataset.gallery]):
        points = poses[number % len(poses)] * [64, 128, 1]
        lines.append(
            json.dumps({"path": f"{record.path.parent.name}/{record.path.name}", "keypoints": points.tolist()})
        )
        file = folder / "maps" / record.path.parent.name / f"{record.path.stem}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        labels = Image.fromarray(limb_map(torch.from_numpy(points), *SIZE).numpy().astype(np.uint8))
        labels.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        labels.save(file)
        (drawn,) = generated_paths(record, 1)
        drawn.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 128), (90, 20 * (record.pid % 10), 40)).save(drawn)
    (folder / "keypoints.jsonl").write_text("\n".join(lines))
    return folder


def train(world: Path, out: Path, name: str, *overrides: str) -> int:
    """The exit code of a run on the data set of `world`, which is scored after its last step."""
    config = ROOT / f"configs/train/reid/{name}.yaml"
    data = ["data.groups=null", "data.dataset=market1501", f"data.dataset_dir={world / 'market'}", "data.poses=1"]
    end = [
        f"data.cache={world / 'cache'}",
        f"loop.output_dir={out}",
        "loop.validate_every=2",
        "data.pictures_per_person=2",
    ]
    return here("train-reid", "--config", config, *data, *end, *RUN, *overrides)


def losses(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]


def test_sap_learns_from_a_parser_or_from_poses(world, tmp_path, capsys):
    parser = [f"data.parsing={world / 'maps'}"]
    poses = [f"data.keypoints={world / 'keypoints.jsonl'}", "data.parsing=keypoints"]
    generated = ["data.generated_ratio=0.5", f"data.generated_keypoints={ROOT / 'standard_poses'}"]
    assert train(world, tmp_path / "parser", "sap", *parser) == 0
    assert train(world, tmp_path / "poses", "sap", *poses) == 0
    assert train(world, tmp_path / "generated", "sap", *parser, *generated) == 0
    for name in ("parser", "poses", "generated"):
        assert {"patch_teacher", "proxy_teacher"} <= losses(tmp_path / name)[0].keys()
    assert losses(tmp_path / "parser") != losses(tmp_path / "generated")
    capsys.readouterr()
    for wrong, line in (
        (["data.parsing=null"], "learns from label maps: name their folder, data.parsing=FOLDER, or draw them"),
        (["data.parsing=keypoints"], "name these too, keypoints=PLACE"),
        ([*parser, "data.parsing_classes=lip"], "give network.sizes.parts=19"),
        ([*parser, "network.sizes.teacher=stripes"], "learns nothing from label maps"),
        ([*parser, "data.generated_ratio=0.5"], "no label map of"),
    ):
        assert train(world, tmp_path / "wrong", "sap", *wrong) == 2
        assert line in (said := capsys.readouterr().err) and "Traceback" not in said


def test_rbnet_learns_heat_maps(world, tmp_path, capsys):
    assert train(world, tmp_path / "told", "rbnet", f"data.keypoints={world / 'keypoints.jsonl'}") == 0
    assert losses(tmp_path / "told")[-1]["heat_maps"] > 0
    assert train(world, tmp_path / "lacking", "rbnet") == 2
    assert "learns from heat maps, which are drawn from keypoints" in capsys.readouterr().err
    assert train(world, tmp_path / "alone", "rbnet", "network.sizes.heat_weight=0") == 0
    assert "heat_maps" not in losses(tmp_path / "alone")[0]


def test_spreid_is_shown_label_maps(world, tmp_path, capsys):
    maps, out, features = world / "maps", tmp_path / "run", tmp_path / "features"
    assert train(world, out, "spreid", f"data.parsing={maps}") == 0
    (weights,) = out.glob("*.safetensors")
    flags = ["--root", world / "market", "--extractor", "spreid", "--preset", "mini", "--weights", weights]
    flags += ["--features_dir", features, "--num_workers", 0, "--poses", 1, "--device", "cpu"]
    assert here("evaluate", *flags, "--parsing", maps) == 0
    before = load_file(features / "query.safetensors")["feats"]
    assert here("evaluate", *flags) == 2  # the features on disk are of pictures with label maps
    assert "holds other features (parsing" in capsys.readouterr().err
    assert here("evaluate", *flags, "--parsing", maps, "--ipg", "both") == 2
    assert "_gen/pose1/" in (said := capsys.readouterr().err) and "give generated_keypoints" in said
    fused = [*flags, "--parsing", maps, "--ipg", "both", "--generated_keypoints", ROOT / "standard_poses"]
    assert here("evaluate", *fused) == 0
    assert load_file(features / "query_pose1.safetensors")["feats"].shape == before.shape
    file = next((maps / "query").iterdir())
    whole = file.read_bytes()
    Image.new("L", (8, 16), 1).save(file)
    assert here("evaluate", *flags, "--parsing", maps) == 2
    assert "holds other features (parsing" in capsys.readouterr().err
    Image.new("L", (8, 16), 9).save(file)
    assert here("evaluate", *flags[:-8], "--parsing", maps, "--num_workers", 0, "--device", "cpu") == 2
    assert f"{file.name} holds the class 9, but pascal has 7" in capsys.readouterr().err
    file.unlink()
    assert here("evaluate", *flags[:-8], "--parsing", maps, "--num_workers", 0, "missing_parsing=skip") == 0
    file.write_bytes(whole)
    drawn = ["--parsing", "keypoints", "--num_workers", 0, "--device", "cpu"]
    assert here("evaluate", *flags[:-8], *drawn, "--keypoints", world / "keypoints.jsonl") == 0
    capsys.readouterr()
    assert here("evaluate", *flags[:-8], *drawn) == 2
    assert "name these too, keypoints=PLACE" in capsys.readouterr().err


def test_networks_that_take_no_label_maps(world, tmp_path, capsys):
    flags = ["--root", world / "market", "--preset", "mini", "--device", "cpu"]
    assert here("evaluate", *flags, "--parsing", world / "maps") == 2
    assert "takes no label maps at test; leave out parsing" in capsys.readouterr().err
    assert here("evaluate", *flags, "--generated_keypoints", ROOT / "standard_poses") == 2
    assert "takes no keypoints of generated pictures" in capsys.readouterr().err
