"""The documented names of `NFC.networks`, under its earlier name."""

from ..networks import BACKBONES, NETWORKS, Extractor, Preprocessing, build_extractor

EXTRACTORS = NETWORKS

__all__ = ["BACKBONES", "EXTRACTORS", "Extractor", "Preprocessing", "build_extractor"]
