"""From people to a table and to a trained network, by the commands: the same however worker processes are started."""

import os
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT, finished

PROGRAM = """
import multiprocessing, sys
from pose2id.cli import dispatch

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    mini = ["--preset", "mini", "--device", "cpu"]
    people = ["--train_pids", "2", "--test_pids", "2", "--shots", "1", "--workers", "2"]
    data = ["data.groups=null", "data.dataset=market1501", "data.dataset_dir=market"]
    trained = ["loop.output_dir=trained", "data.cache=cache"]
    draw = ["--dataset", "market1501", "--dataset_dir", "market", "--steps", "1", "--pose_dir", sys.argv[2]]
    for words in (
        ["synthetic", "--layout", "market1501", "--out", "market", *people],
        ["synthetic", "--layout", "groups", "--out", "groups", "--groups", "4", "--workers", "2"],
        ["generate", *draw, *mini],
        ["evaluate", "--root", "market", "--poses", "2", "--ablation", *mini, "--num_workers", "2", "--out", "table"],
        ["embed", "market/query", *mini, "--num_workers", "2", "--out", "embedded.npz"],
        ["train-reid", *data, "loop.max_train_steps=2", "loop.batch_size=8", *trained],
    ):
        assert not dispatch(words), words
"""


def test_spawned_and_forked_workers_give_the_same(tmp_path, pose_folder):
    made = {method: run(tmp_path / method, pose_folder, method) for method in ("fork", "spawn")}
    assert made["fork"] == made["spawn"]
    folders = {name.partition("/")[0] for name in made["fork"]}
    assert folders == {"market", "groups", "table", "embedded.npz", "trained"}


def run(folder: Path, poses: Path, method: str) -> dict[str, bytes]:
    """What the commands wrote in `folder`, by name; not what notes times and places."""
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", method, str(poses)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    kinds = {".jpg", ".npy", ".npz", ".safetensors", ".md"}
    paths = [path for path in finished(folder, "*.*") if path.suffix in kinds and path.parent.name != "cache"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
