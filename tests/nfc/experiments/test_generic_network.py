"""The generic network of the synthetic world: the pose estimator's tokens, and the shipped weights in it."""

import pytest
import torch
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

from NFC.experiments.generic import TokenMap, pose_estimator
from NFC.networks import build_extractor
from pose2id.errors import UserError
from pose2id.presets import default_directory


@pytest.fixture
def folder(tmp_path):
    """A small ViTPose of random weights for pictures of 40 x 20 in patches of 10 x 5."""
    sizes = VitPoseBackboneConfig(
        image_size=[40, 20], patch_size=[10, 5], hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    VitPoseForPoseEstimation(VitPoseConfig(backbone_config=sizes)).half().save_pretrained(tmp_path)
    VitPoseImageProcessor(size={"height": 40, "width": 20}).save_pretrained(tmp_path)
    return tmp_path


def test_features_are_means_of_two_by_two_patches(folder):
    network, preprocessing = pose_estimator(folder / "model.safetensors")
    assert (preprocessing.height, preprocessing.width) == (40, 20)
    images = torch.randn(2, 3, 40, 20)
    with torch.inference_mode():
        feats = network.eval()(images)
        tokens = network.backbone(images).feature_maps[-1].reshape(2, 4, 4, 8)
    expected = [
        tokens[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
        for row in range(2)
        for column in range(2)
    ]
    torch.testing.assert_close(feats.unflatten(1, (8, 4)), torch.stack(expected, dim=2))


def test_shipped_weights_are_loaded_as_float32():
    weights = default_directory("mini") / "pose_estimator" / "model.safetensors"
    extractor = build_extractor("NFC.experiments.generic:pose_estimator", weights, device="cpu")
    own = VitPoseForPoseEstimation.from_pretrained(weights.parent, dtype=torch.float32).eval()
    picture = torch.rand(1, 3, extractor.height, extractor.width)
    with torch.inference_mode():
        torch.testing.assert_close(extractor(picture), TokenMap(own)(picture))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("config.json", "holds no ViTPose"),
        ("preprocessor_config.json", "holds no ViTPose"),
        ("model.safetensors", "read"),
    ],
)
def test_something_else_is_one_line(folder, name, told):
    (folder / name).write_text("not JSON")
    with pytest.raises(UserError, match=told) as error:
        pose_estimator(folder / "model.safetensors")
    assert "\n" not in str(error.value)
