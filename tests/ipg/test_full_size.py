"""The official layout at full size: 7 GB of random weights, loaded within 12 GB of memory and converted exactly."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from IPG.checkpoints import read_tensors
from scripts.convert_checkpoint import convert

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LOAD = """
import resource, sys
from IPG import IPGPipeline
pipe = IPGPipeline.from_pretrained(sys.argv[1], preset="sd15", device="cpu")
assert pipe.vae is None and pipe.encode_uncond().shape == (1, 20, 768)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    generator = torch.Generator().manual_seed(0)
    for name, shapes in json.loads((ROOT / "tests/golden/official_ipg.json").read_text()).items():
        tensors = {key: torch.randn(shape, generator=generator) * 0.02 for key, shape in shapes.items()}
        torch.save(tensors, folder / name)
    return folder


def test_loads_within_12_gb(weights):
    command = [sys.executable, "-c", LOAD, str(weights)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 12
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20 < 12


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def test_there_and_back_bit_for_bit(weights, tmp_path):
    for source in sorted(weights.glob("*.pth")):
        convert(source, tmp_path / "there.safetensors")
        convert(tmp_path / "there.safetensors", tmp_path / "back.pth")
        before, after = read_tensors(source), read_tensors(tmp_path / "back.pth")
        assert before.keys() == after.keys()
        assert all(torch.equal(bits(before[name]), bits(after[name])) for name in before)
        for path in tmp_path.iterdir():
            path.unlink()
