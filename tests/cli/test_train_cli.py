"""The real command line of train.py: a few steps on random mini weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from IPG.models import build_denoising_unet, build_ifr, build_pose_guider, build_reference_unet
from IPG.presets import load_preset
from NFC.datasets.synthetic.groups import write_groups
from NFC.errors import run_command

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/train/ipg_mini.yaml"
BUILDERS = {
    "IFR": build_ifr,
    "pose_guider": build_pose_guider,
    "reference_unet": build_reference_unet,
    "denoising_unet": build_denoising_unet,
}


def run(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "--config",
        str(ROOT / "configs/train/ipg_mini.yaml"),
        *overrides,
    ]
    return subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def overrides(mini_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("train")
    write_groups(folder / "groups", seed=0, num_groups=6, workers=1)
    return [
        f"groups={folder / 'groups'}",
        f"vae={mini_weights / 'vae'}",
        f"reid={mini_weights / 'transformer_20.safetensors'}",
        f"cache={folder / 'cache'}",
        f"loop.output_dir={folder / 'run'}",
        *("loop.batch_size=2", "loop.checkpoint_every=1", "loop.precision=float32"),
    ]


def test_trains_writes_the_weights_and_resumes(overrides):
    out = Path(overrides[4].split("=")[1])
    weights, progress = [], {}
    for steps in (2, 3):
        result = run(*overrides, f"loop.max_train_steps={steps}")
        assert result.returncode == 0, result.stderr
        assert torch.load(out / "state.pt", weights_only=True)["step"] == steps
        weights.append({name: load_file(out / f"{name}.safetensors") for name in BUILDERS})
        progress[steps] = result.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(["state.pt", *(f"{n}.safetensors" for n in BUILDERS)])
    assert "latents" in progress[2] and "latents" not in progress[3]  # the second run finds its inputs ready
    assert "3/3" in progress[3] and "cuda error" not in progress[2].lower()

    preset = load_preset("mini")
    for name, build in BUILDERS.items():
        with torch.device("meta"):
            expected = {key: value.shape for key, value in build(preset).state_dict().items()}
        first, second = weights[0][name], weights[1][name]
        assert {key: value.shape for key, value in first.items()} == expected
        assert all(value.isfinite().all() for value in second.values())
        assert any(not torch.equal(first[key], second[key]) for key in expected), name


def test_an_unknown_key_is_one_line_and_code_2(overrides):
    result = run(*overrides, "loop.max_steps=3")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "max_steps" in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("loop.batch_size=two", "two"),
        ("groups=nowhere", "make_synthetic"),
        ("vae=nowhere", "nowhere"),
        ("reid=nowhere.safetensors", "nowhere.safetensors"),
        ("preset=huge", "mini, sd15"),
    ],
)
def test_what_cannot_work_is_one_line_and_code_2(overrides, change, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(CONFIG), *overrides, change])
    with pytest.raises(SystemExit) as left:
        run_command(train.main)
    errors = capsys.readouterr().err
    assert left.value.code == 2
    assert len(errors.splitlines()) == 1 and told in errors, errors
