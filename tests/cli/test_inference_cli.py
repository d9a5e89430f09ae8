"""The real command line of inference.py, on small random weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.commands import here

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "inference.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=os.environ.copy(), capture_output=True, text=True, timeout=300)


@pytest.fixture
def arguments(mini_weights: Path, reference_folder: Path, pose_folder: Path, tmp_path: Path) -> list[object]:
    folders = ["--ckpt_dir", mini_weights, "--ref_dir", reference_folder, "--pose_dir", pose_folder]
    return [*folders, "--out_dir", tmp_path / "out", "--preset", "mini", "--steps", 2, "--device", "cpu"]


def test_writes_canvases_and_single_pictures(arguments, tmp_path):
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "cuda" not in result.stderr.lower()
    out = tmp_path / "out"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    names = ("a.jpg", "b.png", "c.jpg")
    assert files == {*names, *(f"pose{k}/{name}" for k in (1, 2) for name in names), "manifest.json"}
    assert Image.open(out / "pose1/b.png").size == (64, 128)
    canvas, picture = Image.open(out / "b.png"), Image.open(out / "pose2/b.png")
    assert canvas.size == (5 * 64, 128)
    assert np.array_equal(np.asarray(canvas)[:, 4 * 64 :], np.asarray(picture))


def test_bad_files_are_named_and_the_rest_is_done(arguments, tmp_path, reference_folder, pose_folder):
    (reference_folder / "empty.jpg").touch()
    (reference_folder / "text.png").write_text("no picture")
    (reference_folder / "archive.zip").write_bytes(b"PK")
    (reference_folder / "notes.txt").write_text("welcome here")
    (pose_folder / "keypoints.json").write_text("{}")
    whole = (reference_folder / "a.jpg").read_bytes()
    (reference_folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (pose_folder / "pose3.png").write_bytes(b"")
    result = run(*arguments)
    assert result.returncode == 1
    for name in ("empty.jpg", "text.png", "archive.zip", "cut.jpg", "pose3.png"):
        assert sum(name in line for line in result.stderr.splitlines()) == 2, name  # as it comes up, and at the end
    lines = result.stderr.splitlines()
    assert lines[-6] == "5 files could not be used:" and all(line.startswith("  ") for line in lines[-5:])
    assert "notes.txt" not in result.stderr and "keypoints.json" not in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in (tmp_path / "out/pose2").iterdir()) == ["a.jpg", "b.png", "c.jpg"]
    assert not (tmp_path / "out/pose3").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--ref_dir", "nowhere"), "nowhere"),
        (("--pose_dir", "nowhere"), "nowhere"),
        (("--ckpt_dir", "nowhere"), "nowhere"),
        (("--preset", "huge"), "mini, sd15"),
        (("--config", "nowhere.yaml"), "nowhere.yaml"),
        (("--dtype", "int8"), "bfloat16"),
        (("--pose_channel_order", "gbr"), "rgb"),
        (("--steps", "0"), "steps"),
        (("stepz=3",), "stepz"),
        (("feature_interval=0",), "feature_interval"),
        (("--dataset_dir", "nowhere"), "ref_dir"),
        (("--dataset", "sysu_mm01"), "dataset_dir"),
        (("--splits", "validation"), "query, gallery, train"),
        (("--vae", "nowhere"), "nowhere does not exist"),
        (("attention=flash",), "sdpa, xformers"),
    ],
)
def test_what_cannot_work_is_one_line_and_code_2(arguments, change, told, capsys):
    assert here("generate", *arguments, *change) == 2
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1 and told in errors


def test_missing_weight_file_is_one_line_and_code_2(arguments, mini_weights, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in mini_weights.iterdir():
        if path.stem != "IFR":
            (folder / path.name).symlink_to(path)
    result = run(*arguments, "--ckpt_dir", folder)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "IFR" in result.stderr


def test_without_the_official_weights_it_says_what_to_fetch(tmp_path):
    result = run("--ckpt_dir", tmp_path / "pretrained", "--out_dir", tmp_path / "out", "--device", "cpu")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) < 15 and "pose2id download" in result.stderr
    for name in ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "IFR.pth", "transformer_20.pth"):
        assert str(tmp_path / "pretrained" / name) in result.stderr
    assert "pretrained/vae/config.json" in result.stderr and "--preset mini" in result.stderr
    assert not (tmp_path / "out").exists()


def test_dry_run_prints_the_resolved_config(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("preset: mini\nsteps: 7\nseed: 1\n")
    result = run("--config", settings, "--dry_run", "steps=9", "--seed", 3, "guidance_scale=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = yaml.safe_load(result.stdout)
    assert (shown["preset"], shown["steps"], shown["seed"], shown["guidance_scale"]) == ("mini", 9, 3, 2.0)
    shipped = [str(ROOT / "ref"), str(ROOT / "standard_poses")]  # there is no ref/ where the command works
    assert [shown["ref_dir"], shown["pose_dir"], shown["out_dir"]] == [*shipped, "outputs/mini"]
    assert Path(shown["ckpt_dir"]) == ROOT / "pretrained/mini"
