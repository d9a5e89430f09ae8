"""Products of chosen pairs against distances summed directly, and their bounds."""

import pytest
import torch

from NFC.neighbours.distances import pair_distances
from NFC.neighbours.products import BFLOAT16_ON_GPU, FLOAT32, Centring, error_bounds, multiply, multiply_pairs, pack


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_pairs_lie_within_their_bounds(seed, dtype, offset):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(n, 40, generator=generator).add(offset).to(dtype) for n in (7, 90))
    centring = Centring.of(a, b)
    row, col = (torch.randint(high, (300,), generator=generator) for high in (7, 90))
    exact = pair_distances(a, b, row, col, centring.scale) / 2
    rows, cols = pack(a, centring, FLOAT32), pack(b, centring, FLOAT32)
    row_error, col_error = error_bounds(rows, cols)
    value = multiply_pairs(cols.matrix, rows.partner(), col, row)
    assert ((value - exact).abs() <= row_error[row] + col_error[col]).all()
    assert multiply_pairs(cols.matrix, rows.partner(), col[:0], row[:0]).shape == (0,)


def test_bfloat16_products_come_out_in_float32():
    """As on a GPU: nothing is added for storing, so the result must not be rounded to bfloat16."""
    a = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    packed = pack(a, Centring.of(a), BFLOAT16_ON_GPU)
    values = multiply(packed.partner(), packed.matrix, BFLOAT16_ON_GPU)
    exact = (a.double()[:, None] - a.double()).square().sum(2) / 2
    row_error, col_error = error_bounds(packed, packed)
    assert values.dtype == torch.float32
    assert ((values - exact).abs() <= row_error[:, None] + col_error).all()
    assert (values != values.bfloat16()).any()
