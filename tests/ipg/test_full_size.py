"""The official layout at full size: 7 GB of random weights, loaded within 12 GB of memory and converted exactly."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from IPG import IPGPipeline
from IPG.models import NETWORKS, build_vae, named_parts
from IPG.weights.checkpoints import load_vae
from NFC.networks import build_extractor
from pose2id.commands.convert import convert
from pose2id.presets import load_preset
from pose2id.weights import read_tensors
from tests.commands import LARGE
from tests.ipg.tiny import original_names, random_network, tiny_preset

pytestmark = [pytest.mark.slow, LARGE]

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


def test_the_autoencoder_from_one_file_with_either_names(tmp_path):
    preset = load_preset("sd15")
    vae = build_vae(preset.vae)
    tensors = {name: tensor.contiguous() for name, tensor in vae.state_dict().items()}
    save_file(tensors, tmp_path / "vae.safetensors")
    torch.save({"state_dict": original_names(tensors, blocks=4)}, tmp_path / "vae.ckpt")
    for name in ("vae.safetensors", "vae.ckpt"):
        loaded = load_vae(tmp_path / name, preset).state_dict()
        assert all(torch.equal(tensor, loaded[key]) for key, tensor in tensors.items())


def test_compiled_blocks_of_as_many_names_and_widths(monkeypatch):
    """More variants of a block than `torch.compile` allows by default; without its slow backend."""
    preset = tiny_preset()
    preset.unet.block_out_channels = [16, 24, 32, 32]
    preset.unet.down_block_types = [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"]
    preset.unet.up_block_types = ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3]
    preset.unet.layers_per_block = 2
    networks = named_parts({stem: random_network(stem, preset) for stem in NETWORKS})
    sizes = preset.reid
    extractor = build_extractor("transreid", preset="mini", device="cpu")
    pipe = IPGPipeline(preset, extractor, **networks, device="cpu")
    torch.manual_seed(0)
    noise, pose = torch.randn(4, *preset.latent_shape), pipe.encode_pose(torch.rand(4, 3, 128, 64))
    tokens = pipe.encode_identity(torch.randn(1, 3, sizes.height, sizes.width))
    features = pipe.encode_reference(torch.randn(1, *preset.latent_shape), tokens)

    def draw(count: int) -> torch.Tensor:
        return pipe.denoise(noise[:count], pose[:count], tokens, pipe.encode_uncond(), features, 2)

    expected = draw(4), draw(2)
    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: plain(self, **options, backend="eager"))
    pipe.optimise(compiled=True)
    for count, one in zip((4, 2), expected, strict=True):
        torch.testing.assert_close(draw(count), one, rtol=1e-4, atol=1e-4)


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
