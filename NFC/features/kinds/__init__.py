"""Kinds of features by name: how members are compared, summed and normalised. docs/extending.md adds one."""

from torch import Tensor

from pose2id.arrays import Array, as_tensor
from pose2id.errors import UserError

from .base import Features, Reduction
from .columns import ColumnFeatures
from .joined import JoinedFeatures
from .layout import Layout
from .maps import MapFeatures
from .parts import PartFeatures
from .sets import SetFeatures
from .stripes import StripeFeatures
from .vectors import VectorFeatures

KINDS: dict[str, type[Features]] = {
    "vectors": VectorFeatures,
    "parts": PartFeatures,
    "sets": SetFeatures,
    "maps": MapFeatures,
    "stripes": StripeFeatures,
    "columns": ColumnFeatures,
}


def unflatten(flat: Tensor, layout: Layout) -> Features:
    """Flat features (..., D) of `layout` as what they are; `UserError` for an unknown kind, or unfitting sizes."""
    if layout.kind not in KINDS:
        raise UserError(f"unknown kind of features '{layout.kind}'; choose one of: {', '.join(KINDS)}")
    return KINDS[layout.kind].unflatten(flat, *layout.sizes)


def as_kind(feats: Array | Features, name: str, axes: int = 1) -> Features:
    """`feats` with `axes` leading axes, checked: a plain array is one of vectors. `UserError` starts with `name`."""
    features = feats if isinstance(feats, Features) else VectorFeatures(as_tensor(feats, name))
    return features.check(name, axes)


def like(features: Features, given: Array | Features) -> Array | Features:
    """`features` as the user gave `given`: a kind stays a kind, an array becomes an array of the same kind."""
    if isinstance(given, Features):
        return features
    flat = features.flatten()
    return flat if isinstance(given, Tensor) else flat.numpy()


__all__ = [
    "KINDS",
    "ColumnFeatures",
    "Features",
    "JoinedFeatures",
    "Layout",
    "MapFeatures",
    "PartFeatures",
    "Reduction",
    "SetFeatures",
    "StripeFeatures",
    "VectorFeatures",
    "as_kind",
    "like",
    "unflatten",
]
