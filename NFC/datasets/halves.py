"""Random halves of a benchmark's people, for those whose official split is one drawn anew, or none.

The draws are our own: ten, by the seeds 1 to 10. As only `random.random` is used, which Python promises to keep, the
halves are the same everywhere and for good.
"""

import random
from collections.abc import Collection

ALL = "all"
SPLITS = range(1, 11)
OPTIONS = {"split": (ALL, *SPLITS)}


def split_numbers(split: str | int) -> list[int]:
    """The draws that the option asks for."""
    return [*SPLITS] if split == ALL else [int(split)]


def draw_test_half(pids: Collection[int], split: int) -> frozenset[int]:
    """The test people of a draw, one more than the training people where the number is odd."""
    rng = random.Random(split)
    drawn = sorted(sorted(pids), key=lambda _: rng.random())
    return frozenset(drawn[: (len(drawn) + 1) // 2])
