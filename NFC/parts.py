"""Part features, as documented before they moved."""

from .features.kinds.parts import (
    ID2_parts,
    NFC_parts,
    PartFeatures,
    fuse_generated_parts,
    part_distance_blocks,
    part_distances,
)

__all__ = ["ID2_parts", "NFC_parts", "PartFeatures", "fuse_generated_parts", "part_distance_blocks", "part_distances"]
