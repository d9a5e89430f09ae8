import pytest
import torch

from NFC.networks.blocks.clip_names import from_official, to_official
from NFC.networks.clipreid import ClipReID, ClipReIDSizes, from_tensors
from pose2id.errors import UserError
from tests.nfc.networks.learning import check_golden, check_learns
from tests.nfc.networks.official import checkpoint, manifest, shapes

USED = {"clipreid_vit": 152, "clipreid_vit_sie_olp": 153, "clipreid_rn50": 284}  # of 315, 316 and 502
CAMIDS = torch.tensor([0, 4])
TRAINING_ONLY = ("classifier", "bottleneck", "prompt_learner.", "text_encoder.")


@pytest.mark.parametrize("stem", USED)
def test_names_and_shapes_are_those_of_the_official_file(stem):
    official = manifest(stem)
    tensors = from_official(official)
    with torch.device("meta"):
        extractor = from_tensors(official, "official.pth")
    ours = extractor.network.state_dict()
    assert ours.keys() == {name for name in tensors if not name.startswith(TRAINING_ONLY)}
    assert shapes(ours).items() <= shapes(tensors).items()
    assert sum(not name.endswith("num_batches_tracked") for name in ours) == USED[stem]
    assert shapes(to_official(tensors)) == shapes(official)
    assert (extractor.height, extractor.width) == (256, 128)
    assert extractor.uses_camids == (stem == "clipreid_vit_sie_olp")


def official(stem):
    return from_tensors(checkpoint(stem, lambda name: not name.startswith(TRAINING_ONLY)), "official.pth")


def test_golden_resnet():
    check_golden(official("clipreid_rn50"), "clipreid_rn50")


@pytest.mark.slow
def test_golden_vit():
    check_golden(official("clipreid_vit"), "clipreid_vit")


@pytest.mark.slow
def test_golden_vit_with_and_without_cameras():
    extractor = official("clipreid_vit_sie_olp")
    check_golden(extractor, "clipreid_vit_sie_olp", CAMIDS)
    check_golden(extractor, "clipreid_vit_sie_olp", key="feat_nocam")


def small_vit(cameras=0):
    torch.manual_seed(0)
    sizes = {"stride": 8, "dim": 32, "depth": 2, "heads": 2, "projection": 16, "num_cameras": cameras}
    network = ClipReID(ClipReIDSizes("vit", 64, 32, **sizes, num_classes=0))
    torch.nn.init.normal_(network.encoder.pos_embed, std=0.02)
    return network


def test_vit_learns():
    check_learns(small_vit())
    check_learns(small_vit(cameras=5), uses_camids=True)


def test_resnet_learns():
    torch.manual_seed(0)
    sizes = {"depths": [1, 1, 1, 1], "channels": 16, "projection": 32}
    check_learns(ClipReID(ClipReIDSizes("resnet", 64, 32, **sizes, num_classes=0)))


@torch.inference_mode()
def test_cameras_shift_the_class_token_alone():
    network = small_vit(cameras=3).eval()
    torch.nn.init.normal_(network.cv_embed)
    images = torch.rand(2, 3, 64, 32)
    feats = network(images, torch.tensor([2, 0]))
    network.encoder.cls_token += network.cv_embed[2]
    torch.testing.assert_close(network(images)[:1], feats[:1])
    with pytest.raises(UserError, match=r"cameras 0, 3 \(counted from 0\), but the weights know 3 cameras"):
        network(images, torch.tensor([0, 3]))


def test_a_file_of_another_network_is_named():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it holds no image encoder"):
        from_tensors({"base.pos_embed": torch.zeros(1, 129, 768)}, "x.pth")
    tensors = manifest("clipreid_vit")
    tensors["image_encoder.ln_last.weight"] = tensors.pop("image_encoder.ln_post.weight")
    positions = "image_encoder.positional_embedding"
    tensors[positions] = torch.zeros(211, 768)  # another stride is another variant, not a mistake
    with torch.device("meta"):
        fault = (
            r"x\.pth does not fit, of 152 .* 1 missing \(encoder.norm.weight\); 1 unknown \(encoder.ln_last.weight\)"
        )
        with pytest.raises(UserError, match=fault):
            from_tensors(tensors, "x.pth")
        tensors[positions] = torch.empty(100, 768)
        with pytest.raises(UserError, match="99 patches are of no known picture size and stride"):
            from_tensors(tensors, "x.pth")
