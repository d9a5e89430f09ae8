"""Networks from outside: Python functions, exported files, libraries of backbones."""

import io
import sys
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from NFC.features.files import describe_network
from NFC.networks import build_extractor
from pose2id.errors import UserError

DOCUMENT = Path(__file__).parents[3] / "docs" / "extractors.md"
OWN = """
from torch import nn
from NFC.extractors import Extractor, Preprocessing

class MeanColour(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, images):
        return images.mean((2, 3))

RECORD = Preprocessing(height=20, width=10, resize="nearest", mean=(0, 0, 0), std=(1, 1, 1))

def build(weights):
    return MeanColour(weights), RECORD

def with_camera(weights):
    return Extractor(MeanColour(weights), 3, RECORD, uses_camids=True)

def wrong(weights):
    return MeanColour(weights)

def maps(weights):
    return nn.Identity(), RECORD

def fails(weights):
    return RECORD / 2

def other(path):
    return MeanColour(path), RECORD

def two(weights, size):
    return MeanColour(weights), RECORD
"""
RED = Image.new("RGB", (30, 60), (255, 0, 0))


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_reid.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_reid", None)


@pytest.mark.parametrize("where", ["my_reid", "{}/my_reid.py"])
def test_own_network(own, where):
    extractor = build_extractor(f"{where.format(own)}:build", own / "w.pth", device="cpu")
    assert extractor.feature_dim == 3 and not extractor.training and not extractor.uses_camids
    assert extractor.network.weights == own / "w.pth"
    assert extractor(extractor.preprocess(RED)[None]).tolist() == [[1, 0, 0]]
    assert build_extractor(f"{where.format(own)}:with_camera", device="cpu").uses_camids


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_reid:wrong", r"extractor 'my_reid:wrong' has to return \(torch module, Preprocessing\)"),
        ("my_reid:nothing", "my_reid has no function 'nothing'"),
        ("my_reid:maps", r"has to turn \(B, 3, H, W\) into features \(B, d\), but gave \(1, 3, 20, 10\)"),
        ("my_reid:fails", r"fails in .*my_reid\.py, line 28: TypeError: unsupported"),
        ("my_reid:other", r"is no function of weights; write it as `def other\(weights\):`"),
        ("my_reid:two", "is no function of weights"),
        ("my_reid:RECORD", "my_reid has no function 'RECORD'|is no function of weights"),
        ("os:system", "is no function of weights"),
        ("json:loads", "is no function of weights"),
        ("builtins:exit", "is no function of weights"),
        ("nowhere.reid:build", "no module 'nowhere.reid' can be imported"),
        ("nowhere.py:build", "file nowhere.py of the extractor does not exist"),
        ("my_reid", "unknown extractor 'my_reid'; choose one of: transreid, .*, timm:NAME, .*, file.py:function"),
    ],
)
def test_mistakes_with_own_networks(own, name, message):
    with pytest.raises(UserError, match=message):
        build_extractor(name)


def test_the_template_of_the_documentation_works(tmp_path):
    template = DOCUMENT.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "my_network.py").write_text(template)
    network = build_extractor("timm-random:resnet10t").network
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    extractor = build_extractor(f"{tmp_path}/my_network.py:build", tmp_path / "w.safetensors", device="cpu")
    assert extractor.feature_dim == 512
    assert torch.equal(extractor.network.state_dict()["conv1.0.weight"], network.state_dict()["conv1.0.weight"])


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, images):
        return self.conv(images).relu().mean((2, 3))


def write_exported(folder, kind):
    """A network file with its record beside it, and the network."""
    torch.manual_seed(0)
    network, example = Pooled().eval(), torch.rand(2, 3, 20, 10)
    path = folder / f"network{kind}"
    if kind == ".pt":
        torch.jit.trace(network, example).save(path)
    else:
        shapes = {"images": {0: torch.export.Dim("batch")}}
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=shapes), path)
    path.with_suffix(".yaml").write_text("{height: 20, width: 10, mean: [0, 0, 0], std: [1, 1, 1]}")
    return path, network


@pytest.mark.parametrize("kind", [".pt", ".pt2"])
@torch.no_grad()
def test_exported_network(tmp_path, kind):
    path, network = write_exported(tmp_path, kind)
    extractor = build_extractor("file", path, device="cpu")
    assert extractor.feature_dim == 4 and extractor.preprocess(RED).shape == (3, 20, 10)
    images = torch.rand(5, 3, 20, 10)
    torch.testing.assert_close(extractor.eval()(images), network(images))


def test_exported_program_does_not_execute_a_pickle(tmp_path):
    """torch's loader executes pickles that a program file says it needs; ours must not let it."""
    path, _ = write_exported(tmp_path, ".pt2")
    bad, payload = tmp_path / "bad.pt2", io.BytesIO()
    torch.save(Exploit(tmp_path / "executed"), payload)
    with ZipFile(path) as source, ZipFile(bad, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            elif "/weights/weight_" in name:
                content = payload.getvalue()
            target.writestr(name, content)
    path.with_suffix(".yaml").rename(bad.with_suffix(".yaml"))
    with pytest.raises(UserError, match="cannot read the network"):
        build_extractor("file", bad)
    assert not (tmp_path / "executed").exists()
    with suppress(Exception):
        torch.export.load(bad)
    assert (tmp_path / "executed").exists(), "the file is harmless: this test shows nothing"


class Exploit:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (None, None, "extractor 'file' needs the network: --weights FILE"),
        ("x.h5", "", r"x\.h5 is none of \.onnx, \.pt2, \.pt"),
        ("x.pt", None, r"network file .*x\.pt does not exist"),
        ("x.pt", "no program", r"cannot read the network in .*x\.pt"),
        ("x.pt2", "no program", r"cannot read the network in .*x\.pt2"),
    ],
)
def test_mistakes_with_exported_networks(tmp_path, file, content, message):
    path = file and tmp_path / file
    if content is not None:
        path.write_text(content)
        path.with_suffix(".yaml").write_text("{height: 20, width: 10}")
    with pytest.raises(UserError, match=message):
        build_extractor("file", path)


def test_the_record_is_needed_and_checked(tmp_path):
    path, _ = write_exported(tmp_path, ".pt")
    path.with_suffix(".yaml").write_text("{height: 20, width: 10, mode: x}")
    with pytest.raises(UserError, match=r"network\.yaml.*mode"):
        build_extractor("file", path)
    path.with_suffix(".yaml").write_text("height: 20")
    with pytest.raises(UserError, match="width"):
        build_extractor("file", path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(UserError, match=r"network\.yaml does not exist"):
        build_extractor("file", path)


def test_onnx(tmp_path, monkeypatch):
    (tmp_path / "x.onnx").touch()
    (tmp_path / "x.yaml").write_text("{height: 20, width: 10}")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="needs onnxruntime, which is not installed: pip install onnxruntime"):
        build_extractor("file", tmp_path / "x.onnx")

    class Session:
        def __init__(self, path, providers):
            assert path.endswith("x.onnx")

        def get_inputs(self):
            return [type("Input", (), {"name": "pictures", "shape": ["batch", 3, 20, 10], "type": "tensor(float)"})]

        def run(self, names, inputs):
            return [inputs["pictures"].mean((2, 3)), "another output"]

    monkeypatch.setitem(sys.modules, "onnxruntime", type(sys)("onnxruntime"))
    sys.modules["onnxruntime"].InferenceSession = Session
    extractor = build_extractor("file", tmp_path / "x.onnx", device="cpu")
    assert extractor.feature_dim == 3
    assert extractor(extractor.preprocess(RED)[None]).tolist() == [[1, -1, -1]]


def test_timm_backbone(tmp_path):
    extractor = build_extractor("timm-random:resnet10t", device="cpu")
    config = timm.get_pretrained_cfg("resnet10t")
    assert extractor.feature_dim == 512 and extractor.preprocessing.mean == config.mean
    assert extractor.preprocess(RED).shape == (3, *config.input_size[1:])
    again = build_extractor("timm-random:resnet10t", device="cpu").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in extractor.state_dict().items())
    whole = timm.create_model("resnet10t", num_classes=7).eval()  # as somebody fine-tuned it
    torch.save({"state_dict": {f"module.{name}": t for name, t in whole.state_dict().items()}}, tmp_path / "w.pth")
    images = torch.rand(2, 3, 64, 32)
    loaded = build_extractor("timm:resnet10t", tmp_path / "w.pth", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), whole.forward_head(whole.forward_features(images), pre_logits=True))


def test_transformers_backbone(tmp_path):
    from transformers import SwinConfig, SwinModel, ViTConfig, ViTImageProcessor, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    network = ViTModel(ViTConfig(image_size=32, patch_size=16, **sizes), add_pooling_layer=False).eval()
    network.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "vit")
    extractor = build_extractor(f"transformers:{tmp_path / 'vit'}", device="cpu")
    assert extractor.preprocessing.mean == (0.1, 0.2, 0.3) and extractor.preprocessing.resize == "bilinear"
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(extractor(images), network(images).last_hidden_state[:, 0])
    others = build_extractor(f"transformers-random:{tmp_path / 'vit'}", device="cpu")
    assert not torch.equal(extractor(images), others(images))
    with pytest.raises(UserError, match="brings its own weights"):
        build_extractor(f"transformers:{tmp_path / 'vit'}", tmp_path / "w.pth")

    swin = SwinModel(
        SwinConfig(image_size=32, patch_size=4, window_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2])
    ).eval()
    swin.save_pretrained(tmp_path / "swin")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "swin")
    extractor = build_extractor(f"transformers:{tmp_path / 'swin'}", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(extractor(images), swin(images).last_hidden_state.mean(1))


def test_backbones_without_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", "nowhere")
    with pytest.raises(UserError, match=r"timm:resnet10t: no pretrained weights .* timm-random:resnet10t"):
        build_extractor("timm:resnet10t")
    with pytest.raises(UserError, match=r"transformers:google/vit-base-patch16-224 cannot be had"):
        build_extractor("transformers:google/vit-base-patch16-224")
    with pytest.raises(UserError, match=r"timm has no network 'resnet10'; close names: .*resnet10t"):
        build_extractor("timm:resnet10")


def test_feature_files_know_the_program(tmp_path):
    """Two files of the same tensors need not compute the same."""
    path, _ = write_exported(tmp_path, ".pt")
    extractor = build_extractor("file", path, device="cpu")
    before = describe_network("file", extractor)
    assert describe_network("file", build_extractor("file", path, device="cpu")) == before
    path.write_bytes(path.read_bytes() + b" ")
    after = describe_network("file", extractor)
    assert after.differences(before) == ["weights"]
    path.with_name("network.pt.data").write_bytes(b"tensors")
    assert describe_network("file", extractor).differences(after) == ["weights"]
