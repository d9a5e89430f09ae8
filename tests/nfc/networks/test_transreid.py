import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from NFC.networks import build_extractor
from NFC.networks.blocks.jigsaw import jigsaw_parts
from NFC.networks.reid_network import Inputs
from NFC.networks.transreid import TransReID, from_tensors
from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes, preset_file
from tests.nfc.networks.learning import check_learns

MINI = load_config(TransReIDSizes, preset_file("mini"), section="reid")


def network(seed=0, **sizes):
    torch.manual_seed(seed)
    sizes = {"height": 40, "width": 28, "dim": 16, "depth": 3, "heads": 2, "num_classes": 5, "fc_classes": 3} | sizes
    model = TransReID(TransReIDSizes(**sizes)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def naive_block(x, w, prefix, heads):
    """One pre-norm transformer block by its tensors."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[f"{prefix}.{name}.weight"], w[f"{prefix}.{name}.bias"], eps=1e-6)

    def linear(x, name):
        return x @ w[f"{prefix}.{name}.weight"].T + w[f"{prefix}.{name}.bias"]

    queries, keys, values = linear(norm(x, "norm1"), "attn.qkv").chunk(3, dim=-1)
    parts = []
    for q, k, v in zip(*(y.chunk(heads, dim=-1) for y in (queries, keys, values)), strict=True):
        parts.append(torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1) @ v)
    x = x + linear(torch.cat(parts, dim=-1), "attn.proj")
    return x + linear(F.gelu(linear(norm(x, "norm2"), "mlp.fc1")), "mlp.fc2")


def naive_feature(images, w, heads, depth, patch=16, stride=12):
    """The test feature, patch by patch."""
    patches = []
    for top in range(0, images.shape[2] - patch + 1, stride):
        for left in range(0, images.shape[3] - patch + 1, stride):
            window = images[:, :, top : top + patch, left : left + patch].flatten(1)
            patches.append(window @ w["base.patch_embed.proj.weight"].flatten(1).T + w["base.patch_embed.proj.bias"])
    x = torch.cat([w["base.cls_token"].expand(len(images), -1, -1), torch.stack(patches, dim=1)], dim=1)
    x = x + w["base.pos_embed"]
    for block in range(depth - 1):
        x = naive_block(x, w, f"base.blocks.{block}", heads)

    def branch(x, name):
        x = naive_block(x, w, f"{name}.0", heads)[:, 0]
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.1.weight"], w[f"{name}.1.bias"], eps=1e-6)

    count = len(patches)
    order = naive_order(count)
    length = count // 4
    features = [branch(x, "b1")]
    for part in range(4):
        chosen = [0] + [1 + i for i in order[part * length : (part + 1) * length]]
        features.append(branch(x[:, chosen], "b2") / 4)
    return torch.cat(features, dim=1)


def naive_order(count):
    """Which patch stands where after the shuffle."""
    rotated = [*range(4, count), 0, 1, 2, 3]
    if count % 2:
        rotated.append(rotated[-2])
    half = len(rotated) // 2
    return [patch for pair in zip(rotated[:half], rotated[half:], strict=True) for patch in pair]


@pytest.mark.parametrize(("height", "width"), [(40, 28), (76, 40), (64, 64)])  # 6, 18 and 25 patches
@torch.no_grad()
def test_test_feature_equals_a_naive_forward(height, width):
    model = network(height=height, width=width)
    images = torch.rand(2, 3, height, width) * 2 - 1
    expected = naive_feature(images, model.state_dict(), heads=2, depth=3)
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-4)
    assert model.feature_dim == expected.shape[1] == 80


@pytest.mark.parametrize("count", [8, 9, 50, 210])
def test_jigsaw_parts(count):
    parts = jigsaw_parts(torch.arange(count).float()[None, :, None], 4)
    assert [part.shape[1] for part in parts] == [count // 4] * 4
    assert torch.cat(parts, dim=1).flatten().tolist() == naive_order(count)[: count // 4 * 4]


@torch.no_grad()
def test_cameras_and_views_shift_all_tokens():
    model = network(num_cameras=3, num_views=2)
    images = torch.rand(2, 3, 40, 28)
    camids, viewids = torch.tensor([2, 0]), torch.tensor([1, 0])
    weights = model.state_dict()
    for i, row in enumerate([5, 0]):  # cameras vary slowest
        shifted = dict(weights)
        side = 3.0 * weights["base.sie_embed"][row]
        shifted["base.pos_embed"] = weights["base.pos_embed"] + side
        expected = naive_feature(images[i : i + 1], shifted, heads=2, depth=3)
        torch.testing.assert_close(model(images, camids, viewids)[i : i + 1], expected, rtol=1e-3, atol=1e-4)
    expected = naive_feature(images, weights, heads=2, depth=3)  # generated pictures come without a camera
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match=r"cameras 6 \(counted from 0\), but the weights know 6 cameras"):
        model(images, torch.tensor([3, 3]))


@torch.no_grad()
def test_without_jigsaw_branches():
    model = network(jigsaw=False)
    images = torch.rand(2, 3, 40, 28)
    weights = model.state_dict()
    assert not [name for name in weights if name.startswith(("b1", "b2", "classifier_", "bottleneck_"))]
    last = {name.replace("base.blocks.2", "b1.0").replace("base.norm", "b1.1"): w for name, w in weights.items()}
    last |= {name.replace("b1", "b2"): w for name, w in last.items() if name.startswith("b1")}
    expected = naive_feature(images, last, heads=2, depth=3)[:, : model.feature_dim]  # the global branch
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-4)


# What distinguishes the official checkpoints, and what is expected of each.
OFFICIAL = {
    "this paper's": ({}, "bilinear"),
    "baseline, Market1501": ({"stride": 16, "jigsaw": False}, "bilinear"),
    "SIE, Market1501": ({"stride": 16, "jigsaw": False, "num_cameras": 6}, "bilinear"),
    "TransReID*, Market1501": ({"num_cameras": 6}, "bilinear"),
    "TransReID*, MSMT17": ({"num_cameras": 15, "num_classes": 1041}, "bilinear"),
    "TransReID*, DukeMTMC": ({"num_cameras": 8, "num_classes": 702}, "bilinear"),
    "TransReID*, Occluded-Duke": ({"stride": 11, "num_cameras": 8, "num_classes": 702}, "bilinear"),
    "384 x 128": ({"height": 384, "num_cameras": 15, "num_classes": 1041}, "bilinear"),
    "DeiT-S": ({"stride": 16, "dim": 384, "heads": 6, "jigsaw": False, "num_classes": 1041}, "bilinear"),
}


@pytest.mark.parametrize(("variant", "resize"), OFFICIAL.values(), ids=OFFICIAL)
@pytest.mark.parametrize("preset", ["sd15", "mini"])
def test_the_variant_is_told_by_the_tensors(variant, resize, preset):
    with torch.device("meta"):
        official = TransReID(TransReIDSizes(**variant))
        extractor = from_tensors(official.state_dict(), preset, "official.pth")
    ours = extractor.network
    assert [(n, t.shape) for n, t in ours.state_dict().items()] == [
        (n, t.shape) for n, t in official.state_dict().items()
    ]
    assert ours.base.blocks[0].attn.num_heads == variant.get("heads", 12)
    assert ours.base.patch_embed.proj.stride == (variant.get("stride", 12),) * 2
    assert (extractor.height, extractor.width) == (variant.get("height", 256), 128)
    assert extractor.uses_camids == ("num_cameras" in variant)
    assert extractor.feature_dim == variant.get("dim", 768) * (5 if variant.get("jigsaw", True) else 1)
    assert extractor.preprocessing.resize == (resize if preset == "sd15" else "bilinear")


@pytest.mark.parametrize("variant", [{}, {"jigsaw": False}, {"num_cameras": 4}])
def test_learns(variant):
    torch.manual_seed(0)
    sizes = {"height": 64, "width": 32, "stride": 8, "dim": 32, "depth": 3, "heads": 2}
    model = TransReID(TransReIDSizes(**sizes, num_classes=0, fc_classes=0, **variant))
    if model.sizes.jigsaw:  # the branches hold copies
        model.base.blocks[-1].requires_grad_(False)
        model.base.norm.requires_grad_(False)
    check_learns(model, uses_camids="num_cameras" in variant, unused=model.unused_at_test())


def test_branches_for_training():
    model = network().train()
    branches = model.branches(Inputs(torch.rand(4, 3, 40, 28)))
    assert [b.scores.shape for b in branches] == [(4, 5)] * 5 and [b.features.shape for b in branches] == [(4, 16)] * 5
    assert [b.weight for b in branches] == [1 / 2, 1 / 8, 1 / 8, 1 / 8, 1 / 8]
    sum(b.scores.square().mean() for b in branches).backward()
    assert not model.bottleneck_3.bias.requires_grad
    assert model.b2[0].mlp.fc1.weight.grad.any() and model.base.cls_token.grad.any()
    model.eval()
    with torch.no_grad():
        branch = model.branches(Inputs(torch.rand(4, 3, 40, 28)))[2]
        torch.testing.assert_close(branch.scores, model.classifier_2(model.bottleneck_2(branch.features)))


def test_branches_start_as_copies_of_the_last_block():
    model = TransReID(TransReIDSizes(height=40, width=28, dim=16, depth=2, heads=2))
    for branch in (model.b1, model.b2):
        for name, tensor in model.base.blocks[-1].state_dict().items():
            assert torch.equal(branch[0].state_dict()[name], tensor)
    assert model.b1[0].attn.qkv.weight is not model.b2[0].attn.qkv.weight


@pytest.fixture(scope="module")
def mini_tensors():
    torch.manual_seed(0)
    return TransReID(MINI).state_dict()


def test_build_extractor(mini_tensors, tmp_path):
    save_file(mini_tensors, tmp_path / "reid.safetensors")
    extractor = build_extractor("transreid", tmp_path / "reid.safetensors", preset="mini", device="cpu")
    assert extractor.feature_dim == 640 and not extractor.training
    picture = Image.fromarray(np.full((50, 20), 255, dtype=np.uint8))
    tensor = extractor.preprocess(picture)
    assert tensor.shape == (3, 128, 64) and tensor.dtype == torch.float32 and torch.all(tensor == 1)
    assert extractor(tensor[None]).shape == (1, 640)


def test_official_looseness_is_tolerated(mini_tensors, tmp_path, caplog):
    """A `module.` prefix, classifiers of another class count, tensors that are not used at test time missing."""
    unused = ("classifier", "bottleneck", "base.norm.", "base.blocks.5.")
    tensors = {f"module.{n}": t for n, t in mini_tensors.items() if not n.startswith(unused)}
    tensors["module.classifier.weight"] = torch.zeros(7, 128)  # no necks, no classifiers of the branches
    tensors["module.bottleneck_7.bias"] = torch.zeros(3)
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "reid.pth")
    with caplog.at_level(logging.INFO, "pose2id"):
        extractor = build_extractor("transreid", tmp_path / "reid.pth", preset="mini", device="cpu")
    assert "1 training-only tensors not used (bottleneck_7.bias)" in caplog.text
    save_file(mini_tensors, tmp_path / "whole.safetensors")
    whole = build_extractor("transreid", tmp_path / "whole.safetensors", preset="mini", device="cpu")
    images = torch.rand(2, 3, 128, 64)
    assert torch.equal(extractor(images), whole(images))


def test_required_tensors_must_be_there(mini_tensors, tmp_path):
    tensors = {n: t for n, t in mini_tensors.items() if not n.startswith("b2.1.")}
    tensors["base.cls_token"] = torch.zeros(1, 1, 12)
    tensors["base.gamma"] = torch.zeros(1)
    save_file(tensors, tmp_path / "reid.safetensors")
    faults = (
        r"2 missing \(b2.1.bias, b2.1.weight\); 1 of another shape "
        r"\(base.cls_token is \(1, 1, 12\), not \(1, 1, 128\)\); 1 unknown \(base.gamma\)"
    )
    with pytest.raises(UserError, match=faults):
        build_extractor("transreid", tmp_path / "reid.safetensors", preset="mini")


def test_files_of_another_network_are_told(mini_tensors):
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks base.patch_embed.proj.weight, base.pos_embed"):
        from_tensors({}, "mini", "x.pth")
    with pytest.raises(UserError, match="width 128 is of no official TransReID; name the preset"):
        from_tensors(mini_tensors, "sd15", "x.pth")
    tensors = mini_tensors | {"base.pos_embed": torch.zeros(1, 8, 128)}
    with pytest.raises(UserError, match="7 patches are of no known picture size and stride"):
        from_tensors(tensors, "mini", "x.pth")


def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"unknown extractor 'resnet'; choose one of: .*transreid"):
        build_extractor("resnet")
    with pytest.raises(UserError, match="does not exist"):
        build_extractor("transreid", tmp_path / "nothing.pth", preset="mini")
    monkeypatch.setattr("pose2id.presets.SHIPPED", tmp_path)
    with pytest.raises(UserError, match=r"no transformer_20.safetensors, .pth or .pth.tar"):
        build_extractor("transreid")
