"""Pictures of the mini weights drawn with tensors of a GPU, which is pretended; fused where a GPU fuses."""

import json
from pathlib import Path

from tests.commands import NEEDS_TRITON, interpreted


@NEEDS_TRITON
def test_pictures_are_those_of_a_cpu():
    """As measured on a GPU: by at most 1 of 255 in float32, a little more in bfloat16."""
    printed = interpreted(Path(__file__).parent / "on_gpu.py")
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    assert len(found) == 6
    wrong = [(name, by) for name, by in found if not isinstance(by, float) or by > (10 if "bfloat16" in name else 1)]
    assert not wrong
