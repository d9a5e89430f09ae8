from functools import partial

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import normalize

from NFC.datasets import build_dataset
from NFC.datasets.synthetic.layouts import write_layout
from NFC.features.of_dataset import extract_dataset
from NFC.networks import Preprocessing, build_extractor
from NFC.networks.saai import SAAI, SAAISizes
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.official import checkpoint, cosine_distance, error, golden, manifest, shapes
from tests.nfc.networks.small_training import before_and_after, without_gradient

TOLERANCE = 2e-5
PARTS = 7
LAYERS = [1, 1, 1, 1]


def small(parts=2, num_classes=0):
    return SAAI(SAAISizes(parts, 64, 32, LAYERS, num_classes))


def shallow():
    """One of the official picture size, as files are read."""
    return SAAI(SAAISizes(2, layers=LAYERS, num_classes=5))


def official():
    network = SAAI(SAAISizes(PARTS, num_classes=0))
    network.load_state_dict(checkpoint("saai", lambda name: not name.startswith(network.unused_at_test())))
    return network.eval()


def test_names_and_shapes_are_the_official_ones():
    with torch.device("meta"):
        network = SAAI(SAAISizes())
    assert shapes(network.state_dict()) == shapes(manifest("saai"))


@torch.no_grad()
def test_features_of_one_picture():
    result = official()(uniform(1, -1, 1, (2, 3, 288, 144))[1:], torch.tensor([2]))
    assert error(result, golden("saai")["feat"][1:]) < TOLERANCE


@pytest.mark.slow
@torch.no_grad()
def test_features_of_both_modalities_and_bfloat16():
    expected, images, network = golden("saai"), uniform(1, -1, 1, (2, 3, 288, 144)), official()
    camids = expected["cam_ids"] - 1  # ours count from 0
    assert error(network(images, camids), expected["feat"]) < TOLERANCE
    assert error(network(images), expected["feat_all_visible"]) < TOLERANCE
    assert error(network(images, torch.tensor([2, 5])), expected["feat_all_infrared"]) < TOLERANCE
    assert error(expected["feat_all_visible"], expected["feat_all_infrared"]) > 0.01, "the modality matters"
    with torch.autocast("cpu", torch.bfloat16):
        assert cosine_distance(network(images, camids), expected["feat"]) < 0.02


@torch.no_grad()
def test_the_camera_decides_the_neck():
    torch.manual_seed(0)
    network = small().eval()
    torch.nn.init.normal_(network.bn_neck.bn_neck_i.weight)
    images = torch.randn(6, 3, 64, 32)
    feats = network(images, torch.arange(6))
    visible, infrared = network(images), network(images, torch.full((6,), 2))
    for camid in range(6):
        torch.testing.assert_close(feats[camid], (infrared if camid in (2, 5) else visible)[camid])
    assert not torch.allclose(visible, infrared)


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    network, images = small().eval(), torch.randn(3, 3, 64, 32)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), rtol=1e-4, atol=1e-5)


@pytest.fixture
def tensors(monkeypatch):
    monkeypatch.setattr("NFC.networks.saai.SAAISizes", partial(SAAISizes, layers=LAYERS))
    torch.manual_seed(0)
    return shallow().state_dict()


def test_build(tensors, tmp_path):
    """Classifiers of any number of classes, or none, do not matter."""
    path = tmp_path / "saai.pth"
    torch.save(tensors, path)
    extractor = build_extractor("saai", path, device="cpu")
    assert extractor.uses_camids and extractor.feature_dim == 3 * 2048
    source = golden("preprocess")
    picture = Image.fromarray(source["src_sysu"].numpy())
    torch.testing.assert_close(extractor.preprocess(picture)[:, ::4, ::4], source["saai"], rtol=0, atol=1e-6)
    images, network = torch.randn(2, 3, 288, 144), shallow().eval()
    network.load_state_dict(tensors)
    with torch.no_grad():
        expected = network(images, torch.tensor([0, 2]))
    torch.testing.assert_close(extractor(images, torch.tensor([0, 2])), expected)
    save_file({n: t for n, t in tensors.items() if "classifier" not in n}, tmp_path / "bare.safetensors")
    bare = build_extractor("saai", tmp_path / "bare.safetensors", device="cpu")
    torch.testing.assert_close(bare(images, torch.tensor([0, 2])), expected)


def test_a_file_that_does_not_fit(tensors, tmp_path):
    path = tmp_path / "saai.safetensors"
    save_file(tensors | {"attn_pool.pos_embeding": torch.zeros(9, 2048)}, path)
    with pytest.raises(
        UserError, match=r"1 of another shape \(attn_pool.pos_embeding is \(9, 2048\), not \(162, 2048\)"
    ):
        build_extractor("saai", path)
    save_file({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"lacks attn_pool.part_tokens; use a file of SAAI"):
        build_extractor("saai", path)


def test_a_small_one_learns():
    torch.manual_seed(0)
    network = small()

    def feats(images, camids):
        return normalize(network(images, torch.where(camids % 2 == 1, 2, 0)), dim=1)

    def distances(images, camids):
        return 1 - feats(images, camids) @ feats(images, camids).T

    before, after = before_and_after(
        network, lambda images, camids: [feats(images, camids)], distances, (64, 32), steps=5, lr=1e-3
    )
    assert after > before + 0.1
    assert without_gradient(network, network.unused_at_test()) == []


@torch.no_grad()
@pytest.mark.parametrize("layout", ["regdb", "sysu_mm01", "market1501"])
def test_the_data_set_says_which_cameras_are_infrared(tmp_path, layout):
    write_layout(layout, tmp_path, seed=0, train_pids=2, test_pids=2, workers=1, shots=1)
    dataset = build_dataset(layout, tmp_path)
    torch.manual_seed(0)
    network = small().eval()
    torch.nn.init.normal_(network.bn_neck.bn_neck_i.weight)
    extractor = network.extractor(Preprocessing(64, 32))
    query, gallery = extract_dataset(dataset, extractor, device="cpu")
    sides = {"regdb": (False, True), "sysu_mm01": (True, False), "market1501": (False, False)}[layout]
    for records, features, infrared in zip((dataset.query, dataset.gallery), (query, gallery), sides, strict=True):
        images = torch.stack([extractor.preprocess(Image.open(record.path)) for record in records])
        pixels = network.backbone(images).flatten(2).transpose(1, 2)
        before = torch.cat([network.attn_pool(pixels), pixels.mean(1, keepdim=True)], dim=1).flatten(1)
        neck = network.bn_neck.bn_neck_i if infrared else network.bn_neck.bn_neck_v
        torch.testing.assert_close(features.feats.flatten(), neck(before), rtol=1e-4, atol=1e-5)
