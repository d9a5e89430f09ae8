"""KPR from files of its variants, and what small ones learn."""

import pytest
import torch
from PIL import Image

from NFC.features.kinds.parts import PartFeatures, part_distances
from NFC.networks import build_extractor
from pose2id.errors import UserError
from tests.nfc.networks.official import golden
from tests.nfc.networks.small_kpr import SIZES, small_kpr
from tests.nfc.networks.small_training import before_and_after, without_gradient


@pytest.mark.parametrize(
    ("stem", "options", "uses_camids"),
    [
        ("kpr", {}, False),
        ("kpr", {"semantic": False}, False),
        ("kpr_in", {"cameras": 4}, True),
        ("kpr_in", {}, False),
    ],
)
def test_the_variant_is_recognised(small, tmp_path, stem, options, uses_camids):
    network, tensors = small(stem, **options)
    torch.save({"state_dict": {f"module.{n}": t for n, t in tensors.items()}}, tmp_path / "kpr.pth.tar")
    extractor = build_extractor("kpr", tmp_path / "kpr.pth.tar", device="cpu")
    assert (extractor.height, extractor.width) == SIZES[stem] and extractor.uses_camids == uses_camids
    assert extractor.feature_dim == 4 * 513 and extractor.parts == 4
    expected = golden(stem)
    picture = Image.fromarray(expected["pre/2/img_u8_rgb"].numpy())
    tensor = extractor.preprocess(picture)
    torch.testing.assert_close(tensor[:, ::4, ::4], expected["pre/2/image_sub"], rtol=0, atol=1e-6)
    camids = torch.tensor([1]) if uses_camids else None
    with torch.no_grad():
        result = network(tensor[None], camids)
    torch.testing.assert_close(extractor(tensor[None], camids), result.flatten())
    if uses_camids:
        assert not torch.allclose(extractor(tensor[None]), result.flatten()), "the camera matters"
        with pytest.raises(UserError, match="the weights know 4 cameras"):
            extractor(tensor[None], torch.tensor([4]))


def test_a_file_that_does_not_fit(small, tmp_path):
    _, tensors = small("kpr")
    torch.save(
        {n: t for n, t in tensors.items() if ".stages.1.blocks.0.attn.w_msa.qkv.weight" not in n}, tmp_path / "a.pth"
    )
    with pytest.raises(UserError, match=r"3 missing \(.*stages.1.blocks.0.attention.k_proj.weight"):
        build_extractor("kpr", tmp_path / "a.pth")


@pytest.mark.parametrize("backbone", ["swin_v2", "solider"])
def test_a_small_one_learns(backbone):
    torch.manual_seed(0)
    network = small_kpr(backbone, dim=32, num_cameras=4)

    def distances(images, camids):
        feats = network(images, camids).normalized()
        return part_distances(feats, feats)

    before, after = before_and_after(
        network, lambda x, camids: network(x, camids).embeddings.unbind(1), distances, (64, 32), steps=8, lr=2e-3
    )
    assert after > before + 0.08
    assert without_gradient(network, (*network.unused_at_test(), "foreground_identity_classifier.bn.bias")) == []


def test_extracted_features_come_apart(small, tmp_path):
    _, tensors = small("kpr_in")
    torch.save(tensors, tmp_path / "kpr.pth")
    extractor = build_extractor("kpr", tmp_path / "kpr.pth", device="cpu")
    parts = PartFeatures.unflatten(extractor(torch.randn(2, 3, 256, 128)), extractor.parts)
    assert parts.embeddings.shape == (2, 4, 512) and set(parts.visibility.unique().tolist()) <= {0.0, 1.0}
