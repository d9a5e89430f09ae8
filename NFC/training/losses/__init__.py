"""Losses by name, and how a config lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pose2id.config import read_values
from pose2id.errors import UserError
from pose2id.settings.registry import listed, read_named

from .all_triplets import AllTriplets
from .base import Loss
from .contrastive import Contrastive, contrastive_loss
from .contrastive_pairs import ContrastivePairs
from .identity import Identity
from .jaccard_triplet import JaccardTriplet
from .local_triplet import LocalTriplet
from .margin_triplet import MarginTriplet
from .reconstruction_triplet import ReconstructionTriplet
from .spatial_to_channel import SpatialToChannel
from .triplet import Triplet, batch_hard_triplet_loss
from .verification import Verification

__all__ = ["LOSSES", "Loss", "batch_hard_triplet_loss", "contrastive_loss", "read_losses"]

LOSSES: dict[str, type[Loss]] = {
    "identity": Identity,
    "triplet": Triplet,
    "margin_triplet": MarginTriplet,
    "contrastive": Contrastive,
    "jaccard_triplet": JaccardTriplet,
    "spatial_to_channel": SpatialToChannel,
    "contrastive_pairs": ContrastivePairs,
    "verification": Verification,
    "local_triplet": LocalTriplet,
    "reconstruction_triplet": ReconstructionTriplet,
    "all_triplets": AllTriplets,
}


@dataclass(frozen=True)
class ShortForm:
    """`losses` as a mapping: weights of the first three losses, of which 0 leaves one out, and their numbers."""

    identity_weight: float = 1.0
    label_smoothing: float = 0.0
    triplet_weight: float = 1.0
    contrastive_weight: float = 0.0
    temperature: float = 0.1

    def entries(self) -> list[dict[str, object]]:
        """The same as a list."""
        listed = [
            {"name": "identity", "weight": self.identity_weight, "label_smoothing": self.label_smoothing},
            {"name": "triplet", "weight": self.triplet_weight},
            {"name": "contrastive", "weight": self.contrastive_weight, "temperature": self.temperature},
        ]
        return [entry for entry in listed if entry["weight"]]


def read_losses(values: str | Sequence[str | Mapping[str, object]] | Mapping[str, object]) -> dict[str, Loss]:
    """The losses of a config by name: a list of names or {name, weight, the loss's own numbers}, or a `ShortForm`.

    One loss alone, by its name or with numbers, is a list of one.
    Raises `UserError` for none at all, the same one twice, or what cannot be.
    """
    if isinstance(values, Mapping) and "name" not in values:
        values = read_values(ShortForm, values, "losses").entries()
    losses = [read_named(LOSSES, value, "losses") for value in listed(values)]
    names = [name for name, _ in losses]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"losses: name at least one of {', '.join(LOSSES)}, each once; got {', '.join(names) or 'none'}"
        )
    return dict(losses)
