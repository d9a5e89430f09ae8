"""Sorted rows against plain sorting, where most numbers are wanted and where few are."""

import pytest
import torch

from NFC.scoring.sorted_rows import ordered_bits, places_between, sorted_rows


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("limit", [0.0, 0.5, 10.0])
def test_places_and_columns_equal_naive(seed, dtype, limit):
    generator = torch.Generator().manual_seed(seed)
    rows, count = (int(torch.randint(1, high, (), generator=generator)) for high in (9, 200))
    values = torch.randn(rows, count, generator=generator).to(dtype)
    wanted = torch.rand(rows, count, generator=generator) < 0.9
    bounds = torch.randn(rows, 5, generator=generator).clamp(max=limit).to(dtype)
    result = sorted_rows(values, wanted, torch.full((rows, 1), limit, dtype=dtype))
    places = result.places(ordered_bits(bounds))
    for row in range(rows):
        listed = [(float(values[row, i]), i) for i in range(count) if wanted[row, i]]
        for j in range(5):
            start, stop = int(result.starts[row]), int(places[row, j])
            below = sorted(each for each in listed if each[0] < float(bounds[row, j]))
            assert stop - start == len(below)
            assert result.columns(torch.arange(start, stop)).tolist() == [column for _, column in below]


def test_each_place_is_listed_once_with_the_first_column_that_holds_it():
    first, stop = torch.tensor([[0, 1, 7], [3, 3, 4]]), torch.tensor([[2, 4, 7], [3, 6, 6]])
    row, column, place = places_between(first, stop)
    assert row.tolist() == [0] * 4 + [1] * 3
    assert column.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert place.tolist() == [0, 1, 2, 3, 3, 4, 5]
