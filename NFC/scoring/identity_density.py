"""ID2, identity density: how far samples lie from the centre of their identity. Pose2ID, arXiv 2503.00938."""

from torch import Tensor

from pose2id.arrays import Array, as_labels

from ..features.kinds import Features, as_kind


def ID2(feats: Array | Features, pids: object) -> Array | Tensor:
    """Squared Euclidean distance of each L2-normalised feature to its identity's centre; smaller is denser.

    The centre is the plain mean of the identity's normalised features, not normalised again. The global figure
    is the mean over samples. A zero feature stays zero (norms below 1e-12 count as 1e-12).

    feats: (N, d) floating, NumPy or torch, any device, or another kind of `NFC.features.kinds`, which says what its
    centre is; pids: (N,) integers.
    Returns (N,) of the same kind and device, in [0, 4]; float32, or float64 for float64 features.
    Raises `UserError` (a ValueError) for lengths that differ, NaN, infinity or no samples.
    Source: Pose2ID, arXiv 2503.00938, the ID2 metric.
    """
    features = as_kind(feats, "feats")
    labels = as_labels(pids, "pids", len(features), features.device)
    densities = features.densities(labels.unique(return_inverse=True)[1])
    return densities if isinstance(feats, Tensor | Features) else densities.numpy()
