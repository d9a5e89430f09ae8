"""DukeMTMC-reID (withdrawn by its authors).

`<root>/{bounding_box_train, query, bounding_box_test}/0005_c2_f0046985.jpg`, cameras 1 to 8, no junk, no distractors.
"""

import re
from pathlib import Path

from .base import Dataset
from .market_like import read_market_like

EXAMPLE = "0005_c2_f0046985.jpg"
FILE_NAME = re.compile(r"(\d+)_c([1-8])_f\d+")
PUBLISHED = {"train": (16_522, 702), "query": (2_228, 702), "gallery": (17_661, 1_110)}


def read_dukemtmc(root: Path) -> Dataset:
    """Read the three folders; see `read_market_like`."""
    return read_market_like("dukemtmc", root, FILE_NAME, EXAMPLE, PUBLISHED)
