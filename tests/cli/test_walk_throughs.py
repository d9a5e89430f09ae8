"""The walk-throughs of docs/evaluate.md and docs/train.md, run as they are written: minutes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def command_folder(folder: Path) -> Path:
    """A folder to put on PATH, with `pose2id`, `python` and what lies beside this interpreter."""
    folder.mkdir()
    (folder / "pose2id").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pose2id "$@"\n')
    (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


def walk(text: str, folder: Path) -> set[str]:
    """Run each block of commands with `folder` in place of outputs/tour; returns the files that are there then."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    places = [command_folder(folder / "bin"), Path(sys.executable).parent, os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(map(str, places))}
    for block in blocks:
        command = ["bash", "-e", "-c", block.replace("outputs/tour", str(folder))]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{block}\n{result.stderr}"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_evaluation(tmp_path):
    written = walk((ROOT / "docs/evaluate.md").read_text(encoding="utf-8"), tmp_path)
    expected = {"table/results.md", "centralized/query.npz", "centralized/gallery.npz", "people.html"}
    assert expected | {"ablation/results.json", "ablation/page.html"} <= written


@pytest.mark.slow
def test_training(tmp_path):
    text, full_size = (ROOT / "docs/train.md").read_text(encoding="utf-8").split("## At full size")
    assert "configs/train/ipg.yaml" in full_size
    written = walk(text, tmp_path)
    assert {"before/results.md", "after/results.md", "after/page.html"} <= written
    assert {"private_poses/kept.jsonl", "generator/denoising_unet.safetensors"} <= written
