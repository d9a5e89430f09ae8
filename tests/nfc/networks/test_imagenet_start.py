"""Backbones of timm, as ImageNet trained them, are a start for every network that has one."""

import pytest
import timm
import torch
from timm.models.hrnet import HighResolutionNet
from timm.models.resnet import Bottleneck, ResNet
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn

from NFC.networks.reid_network import ReIDNetwork
from pose2id.errors import UserError
from tests.nfc.networks.zoo import small_network

VIT = {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 4, "num_heads": 4, "num_classes": 10}


def hrnet(network: ReIDNetwork) -> nn.Module:
    return HighResolutionNet(network.sizes.hrnet(), num_classes=10)


def swin(network: ReIDNetwork) -> nn.Module:
    sizes = {"depths": (1, 2, 1, 1), "num_heads": (1, 2, 2, 2), "pretrained_window_sizes": (0, 0, 0, 0)}
    return SwinTransformerV2((128, 64), num_classes=10, embed_dim=16, window_size=8, **sizes)


# Name -> a network of timm with classes, and where one of its tensors goes.
STARTS = {
    "transreid": (
        lambda network: timm.models.VisionTransformer(**{**VIT, "depth": 6}),
        ("blocks.5.attn.qkv.weight", "b2.0.attn.qkv.weight"),
    ),
    "pmt": (
        lambda network: timm.models.VisionTransformer(**VIT),
        ("blocks.3.attn.qkv.weight", "base.blocks.3.attn.qkv.weight"),
    ),
    "clipreid": (
        lambda network: timm.models.VisionTransformer(**{**VIT, "num_classes": 64, "pre_norm": True}),
        ("head.weight", "encoder.head.weight"),
    ),
    "saai": (
        lambda network: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10),
        ("layer4.0.conv2.weight", "backbone.layer4.0.conv2.weight"),
    ),
    "bpbreid": (hrnet, ("conv1.weight", "backbone_appearance_feature_extractor.conv1.weight")),
    "kpr": (
        swin,
        (
            "layers.3.blocks.0.attn.qkv.weight",
            "backbone_appearance_feature_extractor.model.layers.3.blocks.0.attn.qkv.weight",
        ),
    ),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_backbone_is_taken_over(name):
    network = small_network(name)
    build, (theirs, ours) = STARTS[name]
    torch.manual_seed(5)
    tensors = build(network).state_dict()
    network.start_from(network.from_imagenet(tensors), "imagenet.safetensors")
    assert torch.equal(network.state_dict()[ours], tensors[theirs])


def test_a_backbone_of_another_size_is_one_line():
    network = small_network("pmt")
    tensors = timm.models.VisionTransformer(**{**VIT, "embed_dim": 64}).state_dict()
    with pytest.raises(UserError, match=r"imagenet\.safetensors does not fit") as error:
        network.start_from(network.from_imagenet(tensors), "imagenet.safetensors")
    assert "\n" not in str(error.value)
