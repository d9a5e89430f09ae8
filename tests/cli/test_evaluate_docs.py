"""The walk-through of docs/evaluate.md, run as it is written; minutes, for it draws pictures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_command_of_the_walk_through_works(tmp_path):
    text = (ROOT / "docs/evaluate.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        command = block.replace("outputs/tour", str(tmp_path)).replace("python ", f"{sys.executable} ")
        result = subprocess.run(
            ["bash", "-e", "-c", command], cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True
        )
        assert result.returncode == 0, f"{block}\n{result.stderr}"
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    expected = {"table/results.md", "centralized/query.npz", "centralized/gallery.npz", "people.html"}
    assert expected | {"ablation/results.json", "ablation/page.html"} <= written
