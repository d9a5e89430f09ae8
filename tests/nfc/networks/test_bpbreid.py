from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from NFC.features.kinds.parts import PartFeatures, part_distances
from NFC.networks import build_extractor
from NFC.networks.blocks.part_network import PartNetwork
from NFC.networks.bpbreid import BPBReID, BPBReIDSizes
from pose2id.errors import UserError
from tests.golden.recipe import normal
from tests.nfc.networks.official import checkpoint, cosine_distance, error, golden, manifest, shapes
from tests.nfc.networks.small_training import before_and_after, without_gradient

TOLERANCE = 2e-5
STEMS = {"bpbreid": 5, "bpbreid_k8": 8}


TINY = {"stem": 16, "branch": 8, "modules": [1, 1, 1, 1], "blocks": 1}


def tiny(parts, dim=512, num_classes=751, **sizes):
    return BPBReID(BPBReIDSizes(parts=parts, dim=dim, num_classes=num_classes, **sizes, **TINY))


def official(stem, tensors=None):
    network = BPBReID(BPBReIDSizes(parts=STEMS[stem]))
    network.load_state_dict(tensors or checkpoint(stem))
    return network.eval()


@pytest.mark.parametrize("stem", STEMS)
def test_names_and_shapes_are_the_official_ones(stem):
    with torch.device("meta"):
        network = BPBReID(BPBReIDSizes(parts=STEMS[stem]))
    assert shapes(network.state_dict()) == shapes(manifest(stem))
    names = list(manifest(stem))
    for prefix in network.unused_at_test():
        assert any(name.startswith(prefix) for name in names), prefix


@torch.no_grad()
def test_features_of_one_picture():
    expected = golden("bpbreid")
    result = official("bpbreid")(normal(1, (4, 3, 384, 128))[:1])
    assert error(result.embeddings, expected["fill/emb"][:1]) < TOLERANCE
    assert torch.equal(result.visibility, expected["fill/vis"][:1])


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
@torch.no_grad()
def test_features_distances_and_bfloat16(stem):
    expected, images = golden(stem), normal(1, (4, 3, 384, 128))
    network, off_diagonal = official(stem), ~torch.eye(4, dtype=torch.bool)
    result = network(images)
    assert error(result.embeddings, expected["fill/emb"]) < TOLERANCE
    assert torch.equal(result.visibility, expected["fill/vis"])
    distances = part_distances(result.normalized(), result.normalized())
    assert (distances - expected["fill/dist_f64"])[off_diagonal].abs().max() < 2e-5
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images)
    assert cosine_distance(half.embeddings, expected["fill/emb"]) < 0.02


@pytest.mark.slow
@torch.no_grad()
def test_features_with_informative_masks():
    """Parts hidden here and there; the official float32 is itself only good to 1e-3 of the spread then."""
    expected, tensors = golden("bpbreid"), checkpoint("bpbreid")
    tensors |= {name.removeprefix("override/"): t for name, t in expected.items() if name.startswith("override/")}
    result = official("bpbreid", tensors)(normal(1, (4, 3, 384, 128)))
    assert error(result.embeddings, expected["cal/emb"]) < 1e-3
    assert torch.equal(result.visibility, expected["cal/vis"]) and not expected["cal/vis"].all()
    distances = part_distances(result.normalized(), result.normalized())
    assert (distances - expected["cal/dist_f64"])[~torch.eye(4, dtype=torch.bool)].abs().max() < 1e-4


class Head(PartNetwork):
    """The head alone: its pictures are feature maps."""

    def feature_map(self, pictures, camids, keypoints):
        return pictures


@torch.no_grad()
def test_visibility_and_pooling_equal_a_naive_loop():
    torch.manual_seed(0)
    head = Head(BPBReIDSizes(parts=3, dim=16, num_classes=0), channels=12).eval()
    head.pixel_classifier.classifier.bias[0] = -9  # the background never wins
    features = torch.randn(6, 12, 5, 2)
    logits = head.pixel_classifier(features)
    lead = (logits[:, 3] - logits[:, :3].amax(1)).amax((1, 2))
    head.pixel_classifier.classifier.bias[3] -= lead.median() + 1e-3  # so that the last part wins in half of them
    result = head(features)
    logits = head.pixel_classifier(features).flatten(2).double()
    for i, pixels in enumerate(features.flatten(2).double()):
        weights = np.exp(logits[i].numpy())
        weights = torch.from_numpy(weights / weights.sum(0))  # (4, 10)
        whole = sum(weights[1:, x].max() * pixels[:, x] for x in range(10)) / 10
        whole = head.foreground_after_pooling_dim_reduce(whole.float()[None])
        whole = head.foreground_identity_classifier.bn(whole)[0]
        torch.testing.assert_close(result.embeddings[i, 0], whole, rtol=1e-4, atol=1e-5)
        for part in (1, 2, 3):
            pooled = sum(weights[part, x] * pixels[:, x] for x in range(10)) / weights[part].sum()
            pooled = head.parts_after_pooling_dim_reduce(pooled.float()[None])[0]
            torch.testing.assert_close(result.embeddings[i, part], pooled, rtol=1e-4, atol=1e-5)
            assert bool(result.visibility[i, part]) == (part in logits[i].argmax(0).tolist())
    assert result.visibility[:, 0].all() and len(result.visibility[:, 3].unique()) == 2


def test_preprocessing_is_the_official_one(tmp_path, monkeypatch):
    monkeypatch.setattr("NFC.networks.bpbreid.BPBReIDSizes", partial(BPBReIDSizes, **TINY))
    save_file(tiny(5).state_dict(), tmp_path / "bpbreid.safetensors")
    extractor = build_extractor("bpbreid", tmp_path / "bpbreid.safetensors", device="cpu")
    expected = golden("bpbreid")
    tensor = extractor.preprocess(Image.fromarray(expected["pre/img_u8_rgb"].numpy()))
    assert tensor.shape == (3, 384, 128)
    torch.testing.assert_close(tensor[:, ::4, ::4], expected["pre/out_sub"], rtol=0, atol=1e-6)


@pytest.fixture
def tensors(monkeypatch):
    monkeypatch.setattr("NFC.networks.bpbreid.BPBReIDSizes", partial(BPBReIDSizes, **TINY))
    torch.manual_seed(0)
    return tiny(3, num_classes=7).state_dict()


def test_official_container(tensors, tmp_path):
    """Wrapped, with a `module.` prefix, another class count, and what the official saver puts beside the tensors."""
    content = {f"module.{name}": tensor for name, tensor in tensors.items()}
    content = {"state_dict": content, "epoch": 120, "rank1": np.float64(0.9), "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "bpbreid.pth")
    extractor = build_extractor("bpbreid", tmp_path / "bpbreid.pth", device="cpu")
    assert extractor.parts == 4 and extractor.feature_dim == 4 * 513 and not extractor.uses_camids
    network = tiny(3, num_classes=7).eval()
    network.load_state_dict(tensors)
    images = torch.randn(2, 3, 384, 128)
    flat = extractor(images)
    assert flat.shape == (2, 4 * 513)
    with torch.no_grad():
        expected = network(images)
    back = PartFeatures.unflatten(flat, extractor.parts)
    torch.testing.assert_close(back.embeddings, expected.embeddings)
    assert torch.equal(back.visibility.bool(), expected.visibility)


def test_a_file_that_does_not_fit(tensors, tmp_path):
    path = tmp_path / "bpbreid.safetensors"
    lacking = {n: t for n, t in tensors.items() if n != "parts_after_pooling_dim_reduce.layers.0.weight"}
    save_file(lacking, path)
    with pytest.raises(UserError, match=r"1 missing \(parts_after_pooling_dim_reduce.layers.0.weight\)"):
        build_extractor("bpbreid", path)
    save_file(tensors | {"foreign.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"1 unknown \(foreign.weight\)"):
        build_extractor("bpbreid", path)
    save_file({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"lacks pixel_classifier.* use a file of BPBReID"):
        build_extractor("bpbreid", path)
    torch.save(tensors, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-5000])
    with pytest.raises(UserError, match=r"cannot read weights from .*cut"):
        build_extractor("bpbreid", tmp_path / "cut.pth")


def test_a_small_one_learns():
    torch.manual_seed(0)
    network = tiny(2, dim=32, num_classes=0)

    def distances(images, camids):
        feats = network(images).normalized()
        return part_distances(feats, feats)

    before, after = before_and_after(
        network, lambda images, _: network(images).embeddings.unbind(1), distances, (64, 32), steps=8, lr=1e-2
    )
    assert after > before + 0.05
    assert without_gradient(network, (*network.unused_at_test(), "foreground_identity_classifier.bn.bias")) == []
