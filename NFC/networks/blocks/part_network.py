"""The head that BPBReID and KPR share: attention maps of body parts, one embedding and one visibility a part.

Names of the modules are those of the official checkpoints.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pose2id.errors import UserError

from ...features.kinds.parts import PartFeatures
from ..base import Extractor, Preprocessing

BRANCHES = ("global", "foreground", "background", "parts")


class Reduce(nn.Module):
    """(B, channels) -> (B, dim), not negative."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, dim), nn.BatchNorm1d(dim), nn.ReLU())

    def forward(self, pooled: Tensor) -> Tensor:
        return self.layers(pooled)


class PixelClassifier(nn.Module):
    """(B, channels, h, w) -> logits (B, 1 + parts, h, w); channel 0 is the background."""

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.classifier = nn.Conv2d(channels, 1 + parts, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.bn(features))


class IdentityClassifier(nn.Module):
    """A branch's neck `bn` and, for training alone, its class scores; no classes, no `classifier`."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(dim)
        self.classifier = nn.Linear(dim, num_classes, bias=False) if num_classes else None


class PartNetwork(nn.Module):
    """Test feature: the foreground after its neck, then K parts before theirs, each of `dim` numbers.

    A subclass gives `feature_map`. The branches `global`, `background` and `concat_parts` and all classifiers are in
    the checkpoints for training and do not reach the test feature.
    """

    def __init__(self, channels: int, parts: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.part_count, self.dim = 1 + parts, dim
        for branch in BRANCHES:
            setattr(self, f"{branch}_after_pooling_dim_reduce", Reduce(channels, dim))
        self.pixel_classifier = PixelClassifier(channels, parts)
        self.global_identity_classifier = IdentityClassifier(dim, num_classes)
        self.background_identity_classifier = IdentityClassifier(dim, num_classes)
        self.foreground_identity_classifier = IdentityClassifier(dim, num_classes)
        self.concat_parts_identity_classifier = IdentityClassifier(parts * dim, num_classes)
        self.parts_identity_classifier = nn.ModuleList(IdentityClassifier(dim, num_classes) for _ in range(parts))

    @staticmethod
    def unused_at_test() -> tuple[str, ...]:
        """Prefixes of the tensors that the test feature does not depend on."""
        return (
            *(f"{branch}_after_pooling_dim_reduce." for branch in ("global", "background")),
            *(f"{branch}_identity_classifier." for branch in ("global", "background", "concat_parts", "parts")),
            "foreground_identity_classifier.classifier.",
        )

    def feature_map(self, images: Tensor, camids: Tensor | None, prompts: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B, channels, h, w)."""
        raise NotImplementedError

    def forward(self, images: Tensor, camids: Tensor | None = None, prompts: Tensor | None = None) -> PartFeatures:
        """Test feature of (B, 3, H, W) pictures: embeddings (B, 1 + K, dim), visibility (B, 1 + K) bool.

        The foreground is a mean over all pixels, a part over its own weights. A part is visible if it wins a pixel, the
        foreground always. camids and prompts are for the networks that know them.
        """
        features = self.feature_map(images, camids, prompts)
        logits = self.pixel_classifier(features)  # (B, 1 + K, h, w)
        parts = logits.softmax(1)[:, 1:]
        foreground = self.foreground_after_pooling_dim_reduce((parts.amax(1, keepdim=True) * features).mean((2, 3)))
        foreground = self.foreground_identity_classifier.bn(foreground)  # (B, dim)
        weight = parts.sum((2, 3)).clamp(min=1e-6)  # (B, K)
        pooled = torch.einsum("bkhw,bchw->bkc", parts, features) / weight[..., None]
        pooled = self.parts_after_pooling_dim_reduce(pooled.flatten(0, 1)).unflatten(0, weight.shape)  # (B, K, dim)
        winner = logits.argmax(1).flatten(1)  # (B, h * w)
        visible = (winner[:, None] == torch.arange(self.part_count, device=winner.device)[:, None]).any(2)
        visible[:, 0] = True  # the place of the background is the foreground's
        return PartFeatures(torch.cat([foreground[:, None], pooled], dim=1), visible)


def stack_scales(maps: list[Tensor]) -> Tensor:
    """Feature maps, finest first -> one of the finest map's size, channels side by side."""
    size = maps[0].shape[2:]
    coarser = [interpolate(m, size, mode="bilinear", align_corners=True) for m in maps[1:]]
    return torch.cat([maps[0], *coarser], dim=1)


def count_parts(tensors: Mapping[str, Tensor], path: str | Path, network: str) -> int:
    """K of the network a file holds; `UserError` when it is of another network."""
    name = "pixel_classifier.classifier.weight"
    if name not in tensors:
        raise UserError(f"{path} does not fit: it lacks {name}; use a file of {network}")
    return len(tensors[name]) - 1


class PartExtractor(Extractor):
    """An extractor of part features. They travel flat, `PartFeatures.unflatten(features, extractor.parts)`."""

    def __init__(self, network: PartNetwork, preprocessing: Preprocessing, uses_camids: bool = False) -> None:
        feature_dim = network.part_count * (network.dim + 1)
        super().__init__(network, feature_dim, preprocessing, uses_camids=uses_camids)
        self.parts = network.part_count

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """As `Extractor.forward`: (B, parts * dim + parts), the embeddings and then the visibility."""
        return super().forward(images, camids).flatten()
