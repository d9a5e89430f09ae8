"""What BPBReID and KPR share: attention maps of body parts, one embedding and one visibility a part.

Names of the modules are those of the official checkpoints.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pose2id.errors import UserError

from ...features.kinds.layout import Layout
from ...features.kinds.parts import PartFeatures
from ..base import Extractor, Preprocessing
from ..looks import Look, PartLook, energy_look, numbered
from ..reid_network import Branch, Inputs, ReIDNetwork
from .heads import bn_neck, class_scores

POOLED = ("global", "foreground", "background", "parts")


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
        self.bn = bn_neck(dim)
        self.classifier = nn.Linear(dim, num_classes, bias=False) if num_classes else None

    def branch(self, embedding: Tensor) -> Branch:
        """An embedding (B, dim) before the neck with its scores behind it."""
        return Branch(embedding, class_scores(self.bn, self.classifier, embedding) if self.classifier else None)


class PartNetwork(ReIDNetwork):
    """Test feature: the foreground after its neck, then K parts before theirs, each of `dim` numbers.

    A subclass gives `feature_map`; its sizes have `parts`, `dim` and `num_classes`. In training the attention maps are
    not supervised, for that needs masks of body parts; this is ours.
    """

    def __init__(self, sizes: object, channels: int) -> None:
        """channels: of the feature map."""
        super().__init__(sizes)
        parts, dim, classes = sizes.parts, sizes.dim, sizes.num_classes
        self.part_count, self.feature_dim = 1 + parts, (1 + parts) * (dim + 1)
        for name in POOLED:
            setattr(self, f"{name}_after_pooling_dim_reduce", Reduce(channels, dim))
        self.pixel_classifier = PixelClassifier(channels, parts)
        self.global_identity_classifier = IdentityClassifier(dim, classes)
        self.background_identity_classifier = IdentityClassifier(dim, classes)
        self.foreground_identity_classifier = IdentityClassifier(dim, classes)
        self.concat_parts_identity_classifier = IdentityClassifier(parts * dim, classes)
        self.parts_identity_classifier = nn.ModuleList(IdentityClassifier(dim, classes) for _ in range(parts))

    def unused_at_test(self) -> tuple[str, ...]:
        return (
            *(f"{name}_after_pooling_dim_reduce." for name in ("global", "background")),
            *(f"{name}_identity_classifier." for name in ("global", "background", "concat_parts", "parts")),
            "foreground_identity_classifier.classifier.",
        )

    def unused_in_training(self) -> tuple[str, ...]:
        """The background, and the classifiers of single parts, which have weight 0 in the official recipe (GiLt)."""
        return "background_", "parts_identity_classifier."

    def of_one_data_set(self) -> tuple[str, ...]:
        return *self.unused_at_test(), "foreground_identity_classifier."

    def feature_map(self, pictures: Tensor, camids: Tensor | None, keypoints: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B, channels, h, w)."""
        raise NotImplementedError

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A feature map -> logits (B, 1 + K, h, w), foreground (B, dim) and parts (B, K, dim) before their necks.

        The foreground is a mean over all pixels, a part over its own weights.
        """
        logits = self.pixel_classifier(features)
        parts = logits.softmax(1)[:, 1:]
        foreground = self.foreground_after_pooling_dim_reduce((parts.amax(1, keepdim=True) * features).mean((2, 3)))
        weight = parts.sum((2, 3)).clamp(min=1e-6)  # (B, K)
        pooled = torch.einsum("bkhw,bchw->bkc", parts, features) / weight[..., None]
        pooled = self.parts_after_pooling_dim_reduce(pooled.flatten(0, 1)).unflatten(0, weight.shape)
        return logits, foreground, pooled

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Foreground, parts side by side and the whole picture, the three that the official recipe classifies.

        Metric losses act on all three here; officially on the parts alone.
        """
        features = self.feature_map(inputs.pictures, inputs.camids, inputs.keypoints)
        _, foreground, parts = self.embed(features)
        whole = self.global_after_pooling_dim_reduce(features.mean((2, 3)))
        return [
            self.foreground_identity_classifier.branch(foreground),
            self.concat_parts_identity_classifier.branch(parts.flatten(1)),
            self.global_identity_classifier.branch(whole),
        ]

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> PartFeatures:
        """Test feature of (B, 3, H, W) pictures: embeddings (B, 1 + K, dim), visibility (B, 1 + K) bool.

        A part is visible if it wins a pixel, the foreground always. camids and keypoints are for the networks that know
        them.
        """
        logits, foreground, parts = self.embed(self.feature_map(pictures, camids, keypoints))
        foreground = self.foreground_identity_classifier.bn(foreground)
        return PartFeatures(torch.cat([foreground[:, None], parts], dim=1), self.visible(logits))

    def visible(self, logits: Tensor) -> Tensor:
        """(B, 1 + K, h, w) -> (B, 1 + K) bool."""
        winner = logits.argmax(1).flatten(1)  # (B, h * w)
        visible = (winner[:, None] == torch.arange(self.part_count, device=winner.device)[:, None]).any(2)
        visible[:, 0] = True  # the place of the background is the foreground's
        return visible

    def explain(self, inputs: Inputs) -> list[Look]:
        """The attention maps of the parts, with their visibility, and the foreground."""
        features = self.feature_map(inputs.pictures, inputs.camids, inputs.keypoints)
        logits = self.pixel_classifier(features)
        parts, (_, *visible) = logits.softmax(1)[0, 1:], self.visible(logits)[0].tolist()
        return [
            PartLook("Attention of the parts", parts, numbered("part", len(parts)), visible=visible),
            PartLook("Foreground", parts.amax(0, keepdim=True), ["foreground"]),
            energy_look(features[0]),
        ]

    def extractor(self, preprocessing: Preprocessing | None = None) -> "PartExtractor":
        return PartExtractor(self, preprocessing or self.preprocessing())


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
    """An extractor of part features, `parts` of them. They travel flat: the embeddings, then the visibilities."""

    network: PartNetwork

    def __init__(self, network: PartNetwork, preprocessing: Preprocessing, uses_camids: bool = False) -> None:
        super().__init__(network, network.feature_dim, preprocessing, uses_camids=uses_camids)
        self.parts = network.part_count
        self.layout = Layout("parts", (self.parts,))

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> Tensor:
        """As `Extractor.forward`: (B, parts * dim + parts)."""
        return self.network(pictures, camids if self.uses_camids else None, keypoints).flatten()
