"""What a denoising call asks of a GPU: the counts themselves, and what fusing leaves out."""

import pytest
import torch
import torch.nn.functional as F

from IPG.benchmarks.counts import (
    ATTENTION,
    COPIES,
    ELEMENTWISE,
    GROUP_NORMS,
    JOINTS,
    PRODUCTS,
    Counter,
    count,
    main,
)
from tests.ipg.tiny import tiny_preset


def test_a_convolution_of_another_layout_with_a_bias():
    with torch.device("meta"), Counter() as counter:
        weight = torch.empty(6, 4, 3, 3).contiguous(memory_format=torch.channels_last)
        counter.found.clear()
        F.conv2d(torch.empty(2, 4, 8, 8), weight, torch.empty(6), padding=1)
    found = counter.found
    inputs, outputs = 4 * 2 * 4 * 64, 4 * 2 * 6 * 64
    assert found[PRODUCTS].bytes == inputs + 4 * 216 + 4 * 6 + outputs
    assert (found[COPIES].kernels, found[COPIES].bytes) == (1, 2 * inputs)
    assert found[ELEMENTWISE].bytes >= 2 * outputs


def test_views_are_nothing_and_expanded_rows_count_once():
    with torch.device("meta"):
        one = torch.empty(1, 8)
        with Counter() as counter:
            one.expand(5, 8).t().unflatten(0, (2, 4)).clone()
    assert set(counter.found) == {COPIES} and counter.found[COPIES].bytes == 4 * (8 + 40)


@pytest.fixture(scope="module")
def counts():
    return [count(tiny_preset(), 4, fused) for fused in (False, True)]


def test_fusing_leaves_out_copies_and_no_arithmetic(counts):
    plain, fused = counts
    assert plain[COPIES].kernels > 40 > 3 > fused[COPIES].kernels
    assert fused[JOINTS].bytes < plain[JOINTS].bytes and fused[ELEMENTWISE].bytes < plain[ELEMENTWISE].bytes
    assert fused["all"].bytes < 0.8 * plain["all"].bytes and fused["all"].kernels < 0.7 * plain["all"].kernels
    assert fused[ATTENTION].flop == plain[ATTENTION].flop > 0
    assert 0.9 * plain["all"].flop < fused["all"].flop <= plain["all"].flop
    assert plain[GROUP_NORMS].kernels * 2 == fused[GROUP_NORMS].kernels * 3


def test_the_table(capsys):
    main(["--preset", "mini", "--rows", "2"])
    assert COPIES in capsys.readouterr().out
