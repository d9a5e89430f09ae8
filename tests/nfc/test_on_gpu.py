"""Everything between features and scores with tensors of a GPU, which is pretended, and with Triton's interpreter."""

import json
from pathlib import Path

import pytest

from tests.commands import NEEDS_TRITON, interpreted

MOST_WAITS = {"nearest": 11, "ranking": 13, "farthest": 8}  # of the CPU for the GPU, which then has nothing to do

pytestmark = NEEDS_TRITON


@pytest.fixture(scope="module")
def answers():
    printed = interpreted(Path(__file__).parent / "on_gpu.py")
    return [json.loads(line) for line in printed.splitlines() if line.startswith("[")]


def test_answers_are_those_of_a_cpu(answers):
    assert len(answers) > 40
    wrong = [answer for answer in answers if not isinstance(answer[1], float) or answer[1] > 1e-6]
    assert not wrong


def test_the_cpu_seldom_waits(answers):
    waits = {name: counted for name, _, _, counted in answers}
    for name, most in MOST_WAITS.items():
        assert sum(waits[name].values()) <= most, waits[name]
