"""Market1501: `<root>/{bounding_box_train, query, bounding_box_test}/0002_c1s1_000451_03.jpg`.

Junk (pid -1, 3,819 pictures of the test folder) is left out; the 2,798 distractors (pid 0000) are ranked.
"""

import re
from pathlib import Path

from .base import Dataset
from .market_like import read_market_like

DISTRACTORS = frozenset({0})
FILE_NAME = re.compile(r"(-1|\d+)_c([1-9]\d*)s\d+_")
PUBLISHED = {"train": (12_936, 751), "query": (3_368, 750), "gallery": (15_913, 751)}


def read_market1501(root: Path) -> Dataset:
    """Read the three folders; see `read_market_like`."""
    return read_market_like("market1501", root, FILE_NAME, "0002_c1s1_000451_03.jpg", PUBLISHED, DISTRACTORS)
