"""Exported networks that take one batch size, another precision, another size or more inputs."""

import sys

import pytest
import torch
from torch import nn

from NFC.networks import build_extractor
from pose2id.errors import UserError

HEIGHT, WIDTH = 20, 10


class Pooled(nn.Module):
    """With `cut`, a size that tracing keeps for good."""

    def __init__(self, cut: bool = False, dtype: torch.dtype = torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.cut = nn.Conv2d(3, 4, 3, stride=2, dtype=dtype), cut
        self.eval()

    def forward(self, images):
        feats = self.conv(images).relu().mean((2, 3))
        return feats.reshape(int(images.shape[0]), -1) if self.cut else feats


class TwoInputs(nn.Module):
    def forward(self, images, camids):
        return images.mean((2, 3)) + camids[:, None]


class NamesPictures(nn.Module):
    """Fails from the fourth picture on."""

    def __init__(self):
        super().__init__()
        self.names = nn.Parameter(torch.ones(3, 3))

    def forward(self, images):
        feats = images.mean((2, 3))
        return feats + self.names[torch.arange(images.shape[0])]


def write(folder, kind, network, *examples, shapes=None, size=(HEIGHT, WIDTH)):
    path = folder / f"network{kind}"
    if kind == ".pt":
        torch.jit.trace(network, examples).save(path)
    else:
        torch.export.save(torch.export.export(network, examples, dynamic_shapes=shapes), path)
    record = f"{{height: {size[0]}, width: {size[1]}, mean: [0, 0, 0], std: [1, 1, 1]}}"
    path.with_suffix(".yaml").write_text(record)
    return path


@pytest.mark.parametrize("kind", [".pt", ".pt2"])
@pytest.mark.parametrize("batch", [1, 2, 8])
@torch.no_grad()
def test_a_fixed_batch_is_filled_and_repeated(tmp_path, kind, batch):
    network = Pooled(cut=True)
    path = write(tmp_path, kind, network, torch.rand(batch, 3, HEIGHT, WIDTH))
    extractor = build_extractor("file", path, device="cpu")
    for count in (1, 2, 7, 8, 9):
        images = torch.rand(count, 3, HEIGHT, WIDTH)
        torch.testing.assert_close(extractor(images), network(images))


@pytest.mark.parametrize("kind", [".pt", ".pt2"])
@torch.no_grad()
def test_half_precision_runs(tmp_path, kind):
    network = Pooled(dtype=torch.bfloat16)
    path = write(tmp_path, kind, network, torch.rand(2, 3, HEIGHT, WIDTH, dtype=torch.bfloat16))
    images = torch.rand(3, 3, HEIGHT, WIDTH)
    feats = build_extractor("file", path, device="cpu")(images)
    torch.testing.assert_close(feats, network(images.bfloat16()))


@pytest.mark.parametrize("kind", [".pt", ".pt2"])
@pytest.mark.parametrize(
    ("network", "inputs", "size", "message"),
    [
        (TwoInputs(), 2, (HEIGHT, WIDTH), r"takes 2 inputs \(images, camids\)|takes 2 inputs"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(600, 4)),
            1,
            (HEIGHT, 12),
            "network.*takes inputs of|fails on 1 pictures",
        ),
        (nn.Identity(), 1, (HEIGHT, WIDTH), r"has to turn \(B, 3, H, W\) into features \(B, d\)"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, kind, network, inputs, size, message):
    examples = [torch.rand(2, 3, HEIGHT, WIDTH), torch.rand(2)][:inputs]
    path = write(tmp_path, kind, network, *examples, size=size)
    with pytest.raises(UserError, match=message) as told:
        build_extractor("file", path, device="cpu")
    assert "\n" not in str(told.value) and str(path) in str(told.value)


@torch.no_grad()
def test_a_program_that_fails_later_is_one_line(tmp_path):
    path = tmp_path / "network.pt"
    torch.jit.script(NamesPictures()).save(path)
    path.with_suffix(".yaml").write_text(f"{{height: {HEIGHT}, width: {WIDTH}}}")
    extractor = build_extractor("file", path, device="cpu")
    with pytest.raises(UserError, match="fails on 4 pictures of") as told:
        extractor(torch.rand(4, 3, HEIGHT, WIDTH))
    assert "\n" not in str(told.value)


class Session:
    """As onnxruntime's, of a graph made for `shape` and `kind`."""

    shape, kind, inputs = [4, 3, HEIGHT, WIDTH], "tensor(float16)", 1

    def __init__(self, path, providers): ...

    def get_inputs(self):
        one = type("Input", (), {"name": "pictures", "shape": self.shape, "type": self.kind})
        return [one] * self.inputs

    def run(self, names, inputs):
        assert inputs["pictures"].shape == (4, 3, HEIGHT, WIDTH) and inputs["pictures"].dtype == "float16"
        return [inputs["pictures"].mean((2, 3))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"kind": "tensor(uint8)"}, r"takes tensor\(uint8\), not pictures"),
        ({"inputs": 2}, r"takes 2 inputs \(pictures, pictures\)"),
        ({"shape": ["batch", HEIGHT, WIDTH, 3]}, "takes inputs of any x 20 x 10 x 3, but .*yaml says"),
        ({"shape": ["batch", 3]}, "takes inputs of any x 3, but"),
    ],
)
def test_onnx_graphs_say_what_they_take(tmp_path, monkeypatch, change, message):
    (tmp_path / "x.onnx").touch()
    (tmp_path / "x.yaml").write_text(f"{{height: {HEIGHT}, width: {WIDTH}}}")
    monkeypatch.setitem(sys.modules, "onnxruntime", type(sys)("onnxruntime"))
    sys.modules["onnxruntime"].InferenceSession = type("Changed", (Session,), change)
    if message:
        with pytest.raises(UserError, match=message):
            build_extractor("file", tmp_path / "x.onnx", device="cpu")
    else:
        assert build_extractor("file", tmp_path / "x.onnx", device="cpu")(torch.rand(6, 3, HEIGHT, WIDTH)).shape == (
            6,
            3,
        )
