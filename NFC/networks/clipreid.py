"""CLIP-ReID (Li et al., AAAI 2023): the image encoder of CLIP, a ViT-B or a ResNet-50.

The test feature is taken before the necks: [last hidden vector | its projection into CLIP's space].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pose2id.errors import UserError

from .base import HALF, IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing, camera_rows
from .blocks.clip_encoders import ClipResNet, ClipViT
from .blocks.clip_names import from_official, to_official
from .blocks.heads import bn_neck, class_scores
from .blocks.vit import recognise_layout, resampled_positions
from .files import build_from_file, build_from_tensors
from .looks import Look
from .reid_network import Branch, Inputs, ReIDNetwork


@dataclass(frozen=True)
class ClipReIDSizes:
    """encoder: "vit" (stride, dim, depth, heads, num_cameras are its own) or "resnet" (depths, channels are its own).

    projection: numbers of CLIP's space, 512 of the ViT and 1024 of the ResNet. channels leave the ResNet's stem.
    """

    encoder: str = "vit"
    height: int = 256
    width: int = 128
    projection: int = 512
    stride: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    num_cameras: int = 0
    depths: list[int] = field(default_factory=lambda: [3, 4, 6, 3])
    channels: int = 64
    num_classes: int = 751

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise UserError(f"unknown encoder '{self.encoder}' of clipreid; choose one of: {', '.join(ENCODERS)}")
        if self.num_cameras and self.encoder != "vit":
            raise UserError("clipreid learns cameras with encoder=vit only; leave out camera_embedding")


def _vit(sizes: ClipReIDSizes) -> ClipViT:
    return ClipViT(
        sizes.height, sizes.width, sizes.stride, sizes.dim, sizes.depth, sizes.heads, projection=sizes.projection
    )


def _resnet(sizes: ClipReIDSizes) -> ClipResNet:
    return ClipResNet(sizes.height, sizes.width, sizes.depths, sizes.channels, sizes.projection)


ENCODERS: dict[str, Callable[[ClipReIDSizes], ClipViT | ClipResNet]] = {"vit": _vit, "resnet": _resnet}


class ClipReID(ReIDNetwork):
    """Trained as in the second stage of CLIP-ReID, without its text encoder and so without image-to-text loss."""

    name = "clipreid"
    Sizes = ClipReIDSizes
    learns_cameras = True

    def __init__(self, sizes: ClipReIDSizes) -> None:
        super().__init__(sizes)
        self.encoder = ENCODERS[sizes.encoder](sizes)
        hidden, projection, classes = self.encoder.num_features, sizes.projection, sizes.num_classes
        self.feature_dim = hidden + projection
        self.cv_embed = nn.Parameter(torch.zeros(sizes.num_cameras, hidden)) if sizes.num_cameras else None
        if classes:  # the heads serve training alone
            self.bottleneck, self.bottleneck_proj = bn_neck(hidden), bn_neck(projection)
            self.classifier = nn.Linear(hidden, classes, bias=False)
            self.classifier_proj = nn.Linear(projection, classes, bias=False)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> ClipReIDSizes:
        """The variant: ViT, ViT with cameras and overlapping patches (SIE-OLP), or RN50."""
        vit = tensors.get("image_encoder.positional_embedding")
        resnet = tensors.get("image_encoder.attnpool.positional_embedding")
        if vit is not None:
            height, width, stride = recognise_layout(vit, path)
            cameras = len(tensors.get("cv_embed", ()))
            return ClipReIDSizes("vit", height, width, stride=stride, num_cameras=cameras, num_classes=0)
        if resnet is not None:
            height, width, _ = recognise_layout(resnet, path)
            return ClipReIDSizes("resnet", height, width, projection=1024, num_classes=0)
        raise UserError(f"{path} does not fit: it holds no image encoder of CLIP-ReID; use a file of CLIP-ReID")

    from_official, to_official = staticmethod(from_official), staticmethod(to_official)

    def preprocessing(self) -> Preprocessing:
        norm = (HALF, HALF) if self.sizes.encoder == "vit" else (IMAGENET_MEAN, IMAGENET_STD)
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", *norm)

    def extractor(self, preprocessing: Preprocessing | None = None) -> Extractor:
        cameras = self.cv_embed is not None
        return Extractor(self, self.feature_dim, preprocessing or self.preprocessing(), uses_camids=cameras)

    def unused_at_test(self) -> tuple[str, ...]:
        return "classifier", "bottleneck", "prompt_learner.", "text_encoder."

    def of_one_data_set(self) -> tuple[str, ...]:
        return *self.unused_at_test(), "cv_embed"

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's CLIP ViT, `timm:vit_base_patch16_clip_quickgelu_224.openai`."""
        if self.sizes.encoder == "vit":
            tensors = resampled_positions(tensors, self.encoder.patch_embed.grid)
        return {f"encoder.{name}": tensor for name, tensor in tensors.items() if name != "head.bias"}

    def halves(self, pictures: Tensor, camids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The hidden vector (B, dim) and its projection (B, projection).

        Where there is a camera embedding (SIE), its row is added to the class token.
        """
        if self.cv_embed is None or camids is None:
            return self.encoder(pictures)
        return self.encoder(pictures, camera_rows(self.cv_embed, camids))

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Both halves, each with its own neck and classifier."""
        hidden, projected = self.halves(inputs.pictures, inputs.camids)
        if not self.sizes.num_classes:
            return [Branch(hidden), Branch(projected)]
        return [
            Branch(hidden, class_scores(self.bottleneck, self.classifier, hidden)),
            Branch(projected, class_scores(self.bottleneck_proj, self.classifier_proj, projected)),
        ]

    def explain(self, inputs: Inputs) -> list[Look]:
        """What its encoder looks at: the class token's attention, or the energy of the last map."""
        return self.encoder.explain(inputs.pictures)

    def forward(self, pictures: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) and, with cameras, camids (B,) or None -> (B, dim + projection)."""
        return torch.cat(self.halves(pictures, camids), dim=1)


NETWORK = ClipReID


def build(weights: str | Path | None, preset: str) -> Extractor:
    """CLIP-ReID of the variant in the file."""
    return build_from_file(ClipReID, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """CLIP-ReID of the variant that the official `tensors`, which came from `path`, belong to."""
    return build_from_tensors(ClipReID, tensors, path)
