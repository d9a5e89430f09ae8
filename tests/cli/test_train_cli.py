"""The command line of train.py: a few steps of the small networks, on synthetic groups and on a data set."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from IPG import IPGPipeline
from IPG.models import NETWORKS
from NFC.datasets.synthetic.groups import write_groups
from pose2id.presets import load_preset
from tests.commands import ROOT, here, program
from tests.ipg.training.small import write_poses

CONFIG = ROOT / "configs/train/ipg_mini.yaml"


@pytest.fixture
def start(capsys):
    """Runs train.py in this process; returns its exit code, what it printed and what it complained of."""

    def run(*overrides: str) -> tuple[int, str, str]:
        code, told = here("train", "--config", CONFIG, *overrides), capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture(scope="module")
def small(mini_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides for short runs on random weights."""
    folder = tmp_path_factory.mktemp("train")
    return [
        f"networks.vae={mini_weights / 'vae'}",
        f"networks.reid={mini_weights / 'transformer_20.safetensors'}",
        f"data.cache={folder / 'cache'}",
        *("loop.batch_size=1", "data.targets=1", "loop.checkpoint_every=1", "loop.precision=float32"),
    ]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("people") / "groups"
    write_groups(folder, seed=0, num_groups=6, workers=1)
    return f"data.groups={folder}"


@pytest.fixture
def market(tmp_path: Path, standing: np.ndarray) -> Path:
    """A Market1501 of noise, three pictures of each of two people, with their poses."""
    root, rng = tmp_path / "market", np.random.default_rng(0)
    names = [f"bounding_box_train/{pid:04}_c{k}s1_000000_00.jpg" for pid in (1, 2) for k in (1, 2, 3)]
    for name in (*names, "query/0003_c1s1_000000_00.jpg", "bounding_box_test/0003_c2s1_000000_00.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8)).save(root / name)
    write_poses(tmp_path / "market_poses", root, [root / name for name in names], standing)
    return root


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "losses.jsonl").read_text().splitlines()]


def test_a_run_can_be_gone_on_with_and_used(start, small, groups, tmp_path):
    out = tmp_path / "run"
    common = [groups, *small, "loop.lr_schedule=constant"]  # the cosine follows the number of steps
    straight = tmp_path / "straight"
    assert start(*common, f"loop.output_dir={straight}", "loop.max_train_steps=3")[0] == 0
    for steps in (2, 3):
        code, printed, complaints = start(*common, f"loop.output_dir={out}", f"loop.max_train_steps={steps}")
        assert code == 0 and printed == "6 groups of 4 pictures\n", complaints
        assert "latents" not in complaints  # the first run left them
    expected = [f"{stem}.safetensors" for stem in (*NETWORKS, "transformer_20")]
    found = {path.name for path in out.iterdir()}
    assert found == {*expected, "vae", "config.yaml", "losses.jsonl", "state.pt"}
    assert losses(out) == losses(straight) and len(losses(out)) == 3
    code, _, complaints = start(*common, f"loop.output_dir={out}", "objective.snr_gamma=5")
    assert code == 2 and "objective.snr_gamma=0.0, not 5.0" in complaints
    written = yaml.safe_load((out / "config.yaml").read_text())
    assert written["loop"]["max_train_steps"] == 3 and written["networks"]["trainable"][0] == "ifr"
    preset = load_preset("mini")
    for stem, network in NETWORKS.items():
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in network.build(preset).state_dict().items()}
        stored = load_file(out / f"{stem}.safetensors")
        assert {key: value.shape for key, value in stored.items()} == shapes
        assert all(value.dtype == torch.float16 and value.isfinite().all() for value in stored.values())
    pipe = IPGPipeline.from_pretrained(out, preset="mini", device="cpu")
    pictures = pipe([Image.new("RGB", (64, 128))], [Image.new("RGB", (64, 128))], num_inference_steps=1)
    assert pictures[0][0].size == (64, 128)


def test_gradient_checkpointing_takes_the_same_steps(start, small, groups, tmp_path):
    found = []
    for name, wanted in (("plain", "false"), ("recomputed", "true")):
        out = tmp_path / name
        options = (f"networks.gradient_checkpointing={wanted}", f"loop.output_dir={out}", "loop.max_train_steps=2")
        assert start(groups, *small, *options)[0] == 0
        found.append(losses(out))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_data_set_with_lora_and_validation(start, small, market, mini_weights, tmp_path):
    out = tmp_path / "run"
    options = [
        *("data.groups=null", "data.dataset=market1501", f"data.dataset_dir={market}"),
        *("networks.lora_rank=2", "networks.trainable=[denoising_unet,ifr]", f"networks.start_from={mini_weights}"),
        *("validation.held_out=0.5", "validation.steps=1", "loop.validate_every=1", "loop.max_train_steps=2"),
        *("networks.export_dtype=float32", f"loop.output_dir={out}"),
    ]
    code, printed, complaints = start(*small, *options)
    assert code == 0, complaints
    assert printed.startswith("market1501: 6 training pictures, 6 of them kept")
    assert sorted(path.name for path in (out / "validation").iterdir()) == ["000001.png", "000002.png"]
    line = json.loads((out / "losses.jsonl").read_text().splitlines()[-1])
    assert {"validation/identity", "validation/rank1", "validation/psnr"} < line.keys()
    for stem, learnt in (("IFR", True), ("denoising_unet", True), ("reference_unet", False), ("pose_guider", False)):
        before, after = (load_file(folder / f"{stem}.safetensors") for folder in (mini_weights, out))
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert bool(changed) is learnt, stem
        if stem == "denoising_unet":
            assert all(".attn" in name for name in changed)
    second = tmp_path / "again"
    assert start(*small, *options[:-1], f"loop.output_dir={second}")[0] == 0
    assert losses(second) == losses(out)
    picture = "validation/000002.png"
    assert (second / picture).read_bytes() == (out / picture).read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("loop.max_steps=3", "max_steps"),
        ("groups=runs/groups", "groups"),
        ("loop.batch_size=two", "two"),
        ("data.groups=nowhere", "pose2id synthetic --layout groups"),
        ("data.dataset=market1501", "needs data.dataset_dir"),
        ("networks.vae=nowhere", "nowhere"),
        ("networks.reid=nowhere.safetensors", "nowhere.safetensors"),
        ("networks.trainable=[everything]", "ifr, pose_guider, reference_unet, denoising_unet"),
        ("networks.start_from=nowhere", "nowhere does not exist"),
        ("objective.uncond_ratio=10", "from 0 to 1"),
        ("objective.snr_gamma=-1", "snr_gamma is -1"),
        ("objective.timestep_shift=0", "timestep_shift is 0"),
        ("loop.validate_every=5", "needs validation.held_out"),
        ("validation.held_out=0.001", "both sides need some"),
        ("preset=huge", "mini, sd15"),
    ],
)
def test_what_cannot_work_is_one_line_and_code_2(start, small, groups, tmp_path, change, told):
    code, _, complaints = start(groups, *small, f"loop.output_dir={tmp_path}", change)
    assert code == 2
    assert len(complaints.splitlines()) == 1 and told in complaints, complaints
    assert not list(tmp_path.iterdir())


def test_a_data_set_without_poses_names_the_command(start, small, market):
    (market.parent / "market_poses/keypoints.jsonl").unlink()
    code, _, complaints = start(*small, "data.groups=null", f"data.dataset_dir={market}")
    assert code == 2 and len(complaints.splitlines()) == 1
    assert f"pose2id poses prepare --dataset market1501 --dataset_dir {market}" in complaints


def test_the_settings_of_the_official_release(capsys):
    assert here("train", "--config", ROOT / "configs/train/ipg.yaml", "--dry_run") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    released = {"max_train_steps": 20000, "learning_rate": 1e-5, "lr_schedule": "constant", "warmup_steps": 1}
    released |= {"weight_decay": 1e-2, "max_grad_norm": 1.0, "optimizer": "adamw"}
    assert released.items() <= config["loop"].items()
    assert config["objective"] == {"uncond_ratio": 0.1, "noise_offset": 0.05, "snr_gamma": 5.0, "timestep_shift": 1}
    assert config["preset"] == "sd15" and len(config["networks"]["trainable"]) == 4


@pytest.mark.slow
def test_the_real_command_and_the_benchmark():
    """A process of its own; one pair is learnt to more than 25 dB (exit code 1 otherwise)."""
    result = program("-m", "pose2id", "bench", "training", "overfit")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " dB; before: " in result.stdout
