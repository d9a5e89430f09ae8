"""SAAI (Fang et al., ICCV 2023): a ResNet-50 for visible and infrared pictures.

Names of the modules are those of the official checkpoint, so nothing has to be translated.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from pose2id.errors import UserError

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.heads import class_scores
from .blocks.modality import AttentionPool, DualNeck, ModalityAlleviation
from .files import build_from_file, build_from_tensors
from .looks import Look, MapLook, energy_look, numbered
from .reid_network import Branch, Inputs, ReIDNetwork

INFRARED_CAMERAS = (2, 5)  # cam3 and cam6 of SYSU-MM01; camids count from 0
DIM = 2048  # channels of the last stage


@dataclass(frozen=True)
class SAAISizes:
    """height, width: multiples of 16, fixed by the position table. layers: blocks a stage."""

    parts: int = 7
    height: int = 288
    width: int = 144
    layers: list[int] = field(default_factory=lambda: [3, 4, 6, 3])
    num_classes: int = 395


class Backbone(ResNet):
    """torchvision's ResNet with stride 1 in the last stage and a MAM after each of the last two."""

    def __init__(self, layers: list[int]) -> None:
        super().__init__(Bottleneck, layers)
        del self.avgpool, self.fc
        self.layer4[0].conv2.stride = self.layer4[0].downsample[0].stride = (1, 1)
        self.MAM3 = ModalityAlleviation(DIM // 2)
        self.MAM4 = ModalityAlleviation(DIM)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2048, H/16, W/16)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.MAM4(self.layer4(self.MAM3(x)))


class SAAI(ReIDNetwork):
    """`parts` part features and the global one behind the neck of the modality, (parts + 1) * 2048 numbers.

    `infrared_cameras`, by default those of SYSU-MM01, go through the infrared neck; all others and pictures without a
    camera (generated ones) through the visible one.
    """

    name = "saai"
    Sizes = SAAISizes

    def __init__(self, sizes: SAAISizes) -> None:
        super().__init__(sizes)
        self.backbone = Backbone(sizes.layers)
        self.attn_pool = AttentionPool(sizes.parts, sizes.height // 16 * (sizes.width // 16), DIM)
        self.feature_dim = (sizes.parts + 1) * DIM
        self.bn_neck = DualNeck(self.feature_dim)
        self.infrared_cameras: tuple[int, ...] = INFRARED_CAMERAS
        if sizes.num_classes:  # the heads serve training alone
            for name in ("visible_classifier", "infrared_classifier", "visible_classifier_", "infrared_classifier_"):
                setattr(self, name, nn.Linear(self.feature_dim, sizes.num_classes, bias=False))
            self.classifier = nn.Linear(self.feature_dim, sizes.num_classes, bias=False)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> SAAISizes:
        if "attn_pool.part_tokens" not in tensors:
            raise UserError(f"{path} does not fit: it lacks attn_pool.part_tokens; use a file of SAAI")
        return SAAISizes(len(tensors["attn_pool.part_tokens"]), num_classes=0)

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", IMAGENET_MEAN, IMAGENET_STD)

    def extractor(self, preprocessing: Preprocessing | None = None) -> "SAAIExtractor":
        return SAAIExtractor(self, self.feature_dim, preprocessing or self.preprocessing(), uses_camids=True)

    def unused_at_test(self) -> tuple[str, ...]:
        return "classifier", "visible_classifier", "infrared_classifier"

    def unused_in_training(self) -> tuple[str, ...]:
        """The averaged classifiers of the official training."""
        return "visible_classifier_.", "infrared_classifier_."

    def of_one_data_set(self) -> tuple[str, ...]:
        return *self.unused_at_test(), "bn_neck."

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ResNet-50, `timm:resnet50.tv_in1k`; modality alleviation and part pooling start at random."""
        kept = {f"backbone.{name}": tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
        own = {n: t for n, t in self.state_dict().items() if n.startswith(("backbone.MAM", "attn_pool."))}
        return kept | own

    def use_infrared(self, camids: Collection[int]) -> None:
        self.infrared_cameras = tuple(sorted(camids))

    def pooled(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W), ImageNet-normalised -> (B, (parts + 1) * 2048) before the neck: the parts, the global one."""
        pixels = self.backbone(pictures).flatten(2).transpose(1, 2)  # (B, positions, 2048)
        return torch.cat([self.attn_pool(pixels), pixels.mean(1, keepdim=True)], dim=1).flatten(1)

    def explain(self, inputs: Inputs) -> list[Look]:
        """The gates of the parts, and the energy of the map."""
        maps = self.backbone(inputs.pictures)
        gates = self.attn_pool.gates(maps.flatten(2).transpose(1, 2))[0].unflatten(1, maps.shape[2:])
        return [MapLook("Gates of the parts", gates, numbered("part", len(gates)), full=1.0), energy_look(maps[0])]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The feature before the neck twice: with the scores of all classes, and with those of its modality.

        This choice is ours: the official training has more losses between modalities.
        """
        feats = self.pooled(inputs.pictures)
        infrared = is_among(inputs.camids, self.infrared_cameras, feats)
        if not self.sizes.num_classes:
            return [Branch(feats)]
        with torch.autocast(feats.device.type, enabled=False):
            necked = self.bn_neck(feats.float(), infrared)
        identity = nn.Identity()
        scores = class_scores(identity, self.classifier, necked)
        own = [class_scores(identity, c, necked) for c in (self.infrared_classifier, self.visible_classifier)]
        return [Branch(feats, scores, 0.5), Branch(feats, torch.where(infrared[:, None], *own), 0.5)]

    def forward(
        self, pictures: Tensor, camids: Tensor | None = None, infrared_cameras: Collection[int] | None = None
    ) -> Tensor:
        """Test feature of pictures as in `pooled`: (B, (parts + 1) * 2048) behind the neck.

        camids: (B,) counted from 0; infrared_cameras: None takes the network's own.
        """
        cameras = self.infrared_cameras if infrared_cameras is None else infrared_cameras
        feats = self.pooled(pictures)
        return self.bn_neck(feats, is_among(camids, cameras, feats))


def is_among(camids: Tensor | None, cameras: Collection[int], feats: Tensor) -> Tensor:
    """(B,) bool: whether each picture's camera is one of `cameras`; of none if there are no camids."""
    if camids is None:
        return torch.zeros(len(feats), dtype=torch.bool, device=feats.device)
    return torch.isin(camids, camids.new_tensor(tuple(cameras)))


class SAAIExtractor(Extractor):
    """SAAI with the cameras of a data set, which tell visible from infrared."""

    network: SAAI
    infrared_cameras: tuple[int, ...] | None = None

    def use_infrared(self, camids: Collection[int]) -> None:
        self.infrared_cameras = tuple(sorted(camids))

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> Tensor:
        return self.network(pictures, camids, self.infrared_cameras)


NETWORK = SAAI


def build(weights: str | Path | None, preset: str) -> Extractor:
    """SAAI of the number of parts in the file. The data set has to say which of its cameras are infrared."""
    return build_from_file(SAAI, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """SAAI with `tensors`, which came from `path`."""
    return build_from_tensors(SAAI, tensors, path)
