"""Part features, under the names they had when they were functions of their own."""

from .features.kinds.parts import PartFeatures, part_distance_blocks, part_distances
from .scoring.identity_density import ID2 as ID2_parts
from .steps.generated import fuse_generated as fuse_generated_parts
from .steps.nfc import NFC as NFC_parts

__all__ = ["ID2_parts", "NFC_parts", "PartFeatures", "fuse_generated_parts", "part_distance_blocks", "part_distances"]
