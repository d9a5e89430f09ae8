"""Occluded-Duke: pictures of DukeMTMC-reID in its layout, the occluded ones as queries."""

from pathlib import Path

from .base import Dataset
from .dukemtmc import EXAMPLE, FILE_NAME
from .market_like import read_market_like

PUBLISHED = {"train": (15_618, 702), "query": (2_210, 519), "gallery": (17_661, 1_110)}


def read_occluded_duke(root: Path) -> Dataset:
    """Read the three folders; see `read_market_like`."""
    return read_market_like("occluded_duke", root, FILE_NAME, EXAMPLE, PUBLISHED)
