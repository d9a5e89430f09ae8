"""SAAI (Fang et al., ICCV 2023): a ResNet-50 for visible and infrared pictures.

Names of the modules are those of the official checkpoint, so nothing has to be translated.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm
from torchvision.models.resnet import Bottleneck, ResNet

from pose2id.errors import UserError
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing

INFRARED_CAMERAS = (2, 5)  # cam3 and cam6 of SYSU-MM01; camids count from 0


class ModalityAlleviation(nn.Module):
    """MAM: mixes each channel with its instance-normalised self, by a gate that the channel means decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = nn.Sequential(
            nn.Conv2d(channels, channels // 16, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 16, channels, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        gate = self.channel_attention(features.mean((2, 3), keepdim=True))
        return gate * features + (1 - gate) * instance_norm(features)


class Backbone(ResNet):
    """torchvision's ResNet with stride 1 in the last stage and a MAM after each of the last two."""

    def __init__(self, layers: tuple[int, int, int, int]) -> None:
        super().__init__(Bottleneck, list(layers))
        del self.avgpool, self.fc
        self.layer4[0].conv2.stride = self.layer4[0].downsample[0].stride = (1, 1)
        self.MAM3 = ModalityAlleviation(1024)
        self.MAM4 = ModalityAlleviation(2048)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2048, H/16, W/16)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.MAM4(self.layer4(self.MAM3(x)))


class AttentionPool(nn.Module):
    """Part features: each part's sigmoid gate over the positions weighs the map; the position table only gates."""

    def __init__(self, parts: int, positions: int, dim: int) -> None:
        super().__init__()
        self.part_tokens = nn.Parameter(torch.randn(parts, dim) * 0.02)
        self.pos_embeding = nn.Parameter(torch.randn(positions, dim) * 0.02)  # the official spelling

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, positions, dim) -> (B, parts, dim)."""
        gates = (self.part_tokens @ (pixels + self.pos_embeding).transpose(1, 2)).sigmoid()  # (B, parts, positions)
        return gates @ pixels / pixels.shape[1]


class DualNeck(nn.Module):
    """One BatchNorm a modality, chosen for each picture."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bn_neck_v = nn.BatchNorm1d(dim)
        self.bn_neck_i = nn.BatchNorm1d(dim)

    def forward(self, feats: Tensor, infrared: Tensor) -> Tensor:
        """(B, dim) and (B,) bool -> (B, dim)."""
        result = torch.empty_like(feats)
        for neck, chosen in ((self.bn_neck_v, ~infrared), (self.bn_neck_i, infrared)):
            if chosen.any():
                result[chosen] = neck(feats[chosen]).to(result.dtype)
        return result


class SAAI(nn.Module):
    """(B, 3, 288, 144) and the cameras -> `parts` part features and the global one, (parts + 1) * 2048 numbers."""

    def __init__(
        self,
        parts: int = 7,
        num_classes: int = 395,
        height: int = 288,
        width: int = 144,
        layers: tuple[int, int, int, int] = (3, 4, 6, 3),
    ) -> None:
        """height, width: multiples of 16, fixed by the position table. layers: blocks a stage. No classes, no heads."""
        super().__init__()
        self.backbone = Backbone(layers)
        self.attn_pool = AttentionPool(parts, height // 16 * (width // 16), 2048)
        self.feature_dim = (parts + 1) * 2048
        self.bn_neck = DualNeck(self.feature_dim)
        self.infrared_cameras = INFRARED_CAMERAS
        if num_classes:  # the heads serve training alone
            for name in ("visible_classifier", "infrared_classifier", "visible_classifier_", "infrared_classifier_"):
                setattr(self, name, nn.Linear(self.feature_dim, num_classes, bias=False))
            self.classifier = nn.Linear(self.feature_dim, num_classes, bias=False)

    @staticmethod
    def unused_at_test() -> tuple[str, ...]:
        """Prefixes of the tensors that the test feature does not depend on."""
        return "classifier", "visible_classifier", "infrared_classifier"

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Test feature: (B, 3, H, W), ImageNet-normalised -> (B, (parts + 1) * 2048): the parts, then the global one.

        camids: (B,) counted from 0; `infrared_cameras`, by default those of SYSU-MM01, go through the infrared neck,
        all others and pictures without a camera (generated ones) through the visible one.
        """
        pixels = self.backbone(images).flatten(2).transpose(1, 2)  # (B, positions, 2048)
        feats = torch.cat([self.attn_pool(pixels), pixels.mean(1, keepdim=True)], dim=1).flatten(1)
        if camids is None:
            return self.bn_neck.bn_neck_v(feats)
        return self.bn_neck(feats, torch.isin(camids, camids.new_tensor(self.infrared_cameras)))


class SAAIExtractor(Extractor):
    """SAAI with its cameras, which tell visible from infrared."""

    def use_infrared(self, camids: Collection[int]) -> None:
        """Say which cameras of the data set are infrared; `extract_dataset` does."""
        self.network.infrared_cameras = tuple(sorted(camids))


def build(weights: str | Path | None, preset: str) -> SAAIExtractor:
    """SAAI with an official file. The data set has to say which of its cameras are infrared, see `SAAIExtractor`."""
    path = weights_file(weights, preset, "saai")
    return from_tensors(strip_prefix(read_tensors(path)), path)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> SAAIExtractor:
    """SAAI with `tensors`, which came from `path`."""
    if "attn_pool.part_tokens" not in tensors:
        raise UserError(f"{path} does not fit: it lacks attn_pool.part_tokens; use a file of SAAI")
    network = SAAI(len(tensors["attn_pool.part_tokens"]), num_classes=0)
    load_tensors(network, tensors, path, network.unused_at_test())
    preprocessing = Preprocessing(288, 144, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    return SAAIExtractor(network, network.feature_dim, preprocessing, uses_camids=True)
