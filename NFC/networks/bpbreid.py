"""BPBReID: HRNet-W32 and body parts (Somers et al., WACV 2023).

Names of the modules are those of the official checkpoints, so nothing has to be translated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

from pose2id.pictures import OPENCV_BILINEAR

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.part_network import PartNetwork, count_parts, stack_scales
from .files import build_from_file, build_from_tensors

CHANNELS = 1920  # 128 + 256 + 512 + 1024, whatever the width of the branches
BACKBONE = "backbone_appearance_feature_extractor."


@dataclass(frozen=True)
class BPBReIDSizes:
    """stem, branch: channels of HRNet's stem and of its finest branch; modules: of each stage; blocks: of a module."""

    height: int = 384
    width: int = 128
    parts: int = 5
    dim: int = 512
    stem: int = 64
    branch: int = 32
    modules: list[int] = field(default_factory=lambda: [1, 1, 4, 3])
    blocks: int = 4
    num_classes: int = 751

    def hrnet(self) -> dict[str, object]:
        """The configuration of timm's `HighResolutionNet`."""
        stages = {
            f"stage{number}": {
                "num_modules": self.modules[number - 1],
                "num_branches": number,
                "block_type": "BASIC",
                "num_blocks": (self.blocks,) * number,
                "num_channels": tuple(self.branch << scale for scale in range(number)),
                "fuse_method": "SUM",
            }
            for number in (1, 2, 3, 4)
        }
        stages["stage1"] |= {"block_type": "BOTTLENECK", "num_channels": (self.stem,)}
        return {"stem_width": self.stem, **stages}


class HRNet(HighResolutionNet):
    """timm's HRNet up to its four widened branches, brought to the finest size. `cls_head` is never run."""

    def __init__(self, config: Mapping[str, object], dim: int) -> None:
        super().__init__(config, head="incre", num_classes=0)
        self.cls_head = nn.Sequential(nn.Conv2d(CHANNELS, dim, kernel_size=1), nn.BatchNorm2d(dim))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1920, H/4, W/4)."""
        return stack_scales(self.forward_intermediates(images, indices=4, intermediates_only=True))


class BPBReID(PartNetwork):
    """Foreground and `parts` parts, each of `dim` numbers, with their visibility."""

    name = "bpbreid"
    Sizes = BPBReIDSizes

    def __init__(self, sizes: BPBReIDSizes) -> None:
        super().__init__(sizes, CHANNELS)
        self.backbone_appearance_feature_extractor = HRNet(sizes.hrnet(), sizes.dim)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> BPBReIDSizes:
        return BPBReIDSizes(parts=count_parts(tensors, path, "BPBReID"), num_classes=0)

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, OPENCV_BILINEAR, IMAGENET_MEAN, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        return *super().unused_at_test(), f"{BACKBONE}cls_head."

    def unused_in_training(self) -> tuple[str, ...]:
        return *super().unused_in_training(), f"{BACKBONE}cls_head."

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's HRNet, `timm:hrnet_w32`; what follows the backbone starts at random."""
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(BACKBONE)}
        left_out = ("classifier.", "final_layer.", "downsamp_modules.")
        return own | {f"{BACKBONE}{name}": t for name, t in tensors.items() if not name.startswith(left_out)}

    def feature_map(self, pictures: Tensor, camids: Tensor | None, keypoints: Tensor | None) -> Tensor:
        return self.backbone_appearance_feature_extractor(pictures)


NETWORK = BPBReID


def build(weights: str | Path | None, preset: str) -> Extractor:
    """BPBReID of the number of parts in the file."""
    return build_from_file(BPBReID, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """BPBReID with `tensors`, which came from `path`."""
    return build_from_tensors(BPBReID, tensors, path)
