"""BPBReID: HRNet-W32 and body parts (Somers et al., WACV 2023).

Names of the modules are those of the official checkpoints, so nothing has to be translated.
"""

from collections.abc import Mapping
from pathlib import Path

from timm.models.hrnet import HighResolutionNet, cfg_cls
from torch import Tensor, nn

from pose2id.pictures import OPENCV_BILINEAR
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .blocks.part_network import PartExtractor, PartNetwork, count_parts, stack_scales

CHANNELS = 1920  # 128 + 256 + 512 + 1024, whatever the width of the branches


class HRNet(HighResolutionNet):
    """timm's HRNet up to its four widened branches, brought to the finest size. `cls_head` is never run."""

    def __init__(self, config: Mapping, dim: int) -> None:
        super().__init__(config, head="incre", num_classes=0)
        self.cls_head = nn.Sequential(nn.Conv2d(CHANNELS, dim, kernel_size=1), nn.BatchNorm2d(dim))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1920, H/4, W/4)."""
        return stack_scales(self.forward_intermediates(images, indices=4, intermediates_only=True))


class BPBReID(PartNetwork):
    """(B, 3, 384, 128) -> foreground and `parts` parts, each of 512 numbers, with their visibility."""

    def __init__(
        self, parts: int = 5, dim: int = 512, num_classes: int = 751, backbone: Mapping = cfg_cls["hrnet_w32"]
    ) -> None:
        """backbone: a configuration of timm's `HighResolutionNet`."""
        super().__init__(CHANNELS, parts, dim, num_classes)
        self.backbone_appearance_feature_extractor = HRNet(backbone, dim)

    @staticmethod
    def unused_at_test() -> tuple[str, ...]:
        return (*PartNetwork.unused_at_test(), "backbone_appearance_feature_extractor.cls_head.")

    def feature_map(self, images: Tensor, camids: Tensor | None, prompts: Tensor | None) -> Tensor:
        return self.backbone_appearance_feature_extractor(images)


def build(weights: str | Path | None, preset: str) -> PartExtractor:
    """BPBReID with an official file, of any number of parts."""
    path = weights_file(weights, preset, "bpbreid")
    return from_tensors(strip_prefix(read_tensors(path)), path)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> PartExtractor:
    """BPBReID with `tensors`, which came from `path`."""
    network = BPBReID(count_parts(tensors, path, "BPBReID"), num_classes=0)
    load_tensors(network, tensors, path, network.unused_at_test())
    return PartExtractor(network, Preprocessing(384, 128, OPENCV_BILINEAR, IMAGENET_MEAN, IMAGENET_STD))
