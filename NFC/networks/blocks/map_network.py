"""What networks have in common that read everything from the last map of a convolutional backbone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..base import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ..reid_network import ReIDNetwork
from .backbones import IMAGENET_HEAD, build_backbone

BACKBONE = "backbone."  # before the names of its tensors here


@dataclass(frozen=True)
class MapSizes:
    """Of pictures and backbone, one of `blocks.backbones.BACKBONES`; a network adds its own sizes."""

    height: int = 256
    width: int = 128
    backbone: str = "resnet50"
    last_stride: int = 1
    num_classes: int = 0


class MapNetwork(ReIDNetwork):
    """`backbone` gives the last map, of `backbone.channels`; a subclass says what becomes of it.

    Its `Sizes` derive from `MapSizes`.
    """

    mini: ClassVar = {"height": 64, "width": 32, "backbone": "small"}

    def __init__(self, sizes: MapSizes) -> None:
        super().__init__(sizes)
        self.backbone = build_backbone(sizes.backbone, sizes.last_stride)

    @property
    def rows(self) -> int:
        """Of the last map."""
        return -(-self.sizes.height // (self.backbone.stride * self.sizes.last_stride))

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures)

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", IMAGENET_MEAN, IMAGENET_STD)

    def is_imagenet(self, tensors: Mapping[str, Tensor]) -> bool:
        return {"conv1.weight", f"{IMAGENET_HEAD}weight"} <= tensors.keys()

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ResNet-50, `timm:resnet50.tv_in1k`; what follows the backbone starts at random."""
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(BACKBONE)}
        return own | {BACKBONE + n: tensor for n, tensor in tensors.items() if not n.startswith(IMAGENET_HEAD)}


def renamed(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """`tensors` with the first of the `prefixes` that fits a name replaced by its value; other names stay."""

    def name_of(name: str) -> str:
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        return name if old is None else prefixes[old] + name.removeprefix(old)

    return {name_of(name): tensor for name, tensor in tensors.items()}
