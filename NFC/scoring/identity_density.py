"""ID2, identity density: how far samples lie from the centre of their identity. Pose2ID, arXiv 2503.00938."""

from torch.nn.functional import normalize

from pose2id.arrays import Array, as_features, as_labels, compute_dtype, in_kind


def ID2(feats: Array, pids: object) -> Array:
    """Squared Euclidean distance of each L2-normalised feature to its identity's centre; smaller is denser.

    The centre is the plain mean of the identity's normalised features, not normalised again. The global figure
    is the mean over samples. A zero feature stays zero (norms below 1e-12 count as 1e-12).

    feats: (N, d) floating, NumPy or torch, any device; pids: (N,) integers.
    Returns (N,) of the same kind and device, in [0, 4]; float32, or float64 for float64 features.
    Raises `UserError` (a ValueError) for lengths that differ, NaN, infinity or no samples.
    Source: Pose2ID, arXiv 2503.00938, the ID2 metric.
    """
    original = as_features(feats, "feats")
    labels = as_labels(pids, "pids", len(original), original.device)
    _, identity, counts = labels.unique(return_inverse=True, return_counts=True)
    unit = normalize(original.to(compute_dtype(original)), dim=1)
    centres = unit.new_zeros(len(counts), unit.shape[1]).index_add_(0, identity, unit) / counts[:, None]
    return in_kind((unit - centres[identity]).square_().sum(1), feats)
