"""The documented names of `pose2id.weights`, under their earlier name."""

from pose2id.weights import load_tensors, read_tensors, strip_prefix

__all__ = ["load_tensors", "read_tensors", "strip_prefix"]
