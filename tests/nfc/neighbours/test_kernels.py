"""The kernels of searches and rankings, run by Triton's interpreter."""

from pathlib import Path

from tests.commands import NEEDS_TRITON, interpreted


@NEEDS_TRITON
def test_the_kernels_equal_plain_loops():
    assert interpreted(Path(__file__).parent / "kernels_interpreted.py").split() == ["equal"]
