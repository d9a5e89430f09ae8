"""Steps by name: features in, better features out. docs/extending.md adds one."""

from ..features.feature_set import SPLITS
from .base import OneSetStep, Side, Step
from .generated import GeneratedPictures
from .nfc import NeighbourCentralization
from .query_expansion import QueryExpansion

STEPS: dict[str, type[Step]] = {
    "generated": GeneratedPictures,
    "nfc": NeighbourCentralization,
    "query_expansion": QueryExpansion,
}

__all__ = [
    "SPLITS",
    "STEPS",
    "GeneratedPictures",
    "NeighbourCentralization",
    "OneSetStep",
    "QueryExpansion",
    "Side",
    "Step",
]
