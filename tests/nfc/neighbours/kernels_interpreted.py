"""Run by test_kernels.py in a process of its own, with TRITON_INTERPRET=1: the kernels against plain loops and sums."""

import itertools

import torch

from NFC.neighbours import kernels
from NFC.scoring.kernels import compare_with_matches

DTYPES = torch.float32, torch.bfloat16
SHAPES = [(1, 1), (5, 7), (40, 700), (33, 256)]
BLOCKS = [(4, 50, 3), (7, 2100, 9), (3, 1024, 1), (3, 30, 4)]  # queries, items, true matches


def selected(shape: tuple[int, int], dtype: torch.dtype, both: bool, sign: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values, rows, cols = (
        torch.randn(size, generator=generator).to(dtype) - sign * shift
        for size, shift in ((shape, 0), (shape[:1], 1), (shape[1:], 1))
    )
    limits = rows[:, None].expand(shape)
    if both:
        limits = sign * (sign * limits).maximum(sign * cols)
    row, col = kernels.select_pairs(values, rows, cols if both else None, sign)
    expected = (sign * values <= sign * limits).nonzero().tolist()
    assert sorted(map(list, zip(row.tolist(), col.tolist(), strict=True))) == expected


def more_than_there_is_room_for() -> None:
    values = torch.randn(20, 300)
    room, kernels.ROOM = kernels.ROOM, 16
    row, _ = kernels.select_pairs(values, values.amax(1), None)
    kernels.ROOM = room
    assert len(row) == values.numel()


def measured(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(count, 300, generator=generator).to(dtype) for count in (50, 60))
    row, col = (torch.randint(count, (101,), generator=generator) for count in (50, 60))
    b[7] = b[3]
    col[:2], row[:2] = torch.tensor([3, 7]), 5
    found = kernels.pair_distances(a, b, row, col)
    torch.testing.assert_close(found, (a[row].double() - b[col].double()).square().sum(1))
    assert found[0] == found[1]  # equal rows are equally far
    assert not len(kernels.pair_distances(a, b, row[:0], col[:0]))


def compared(sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    (queries, items, matches), generator = sizes, torch.Generator().manual_seed(0)
    values = torch.randn(queries, items, generator=generator).to(dtype)
    wrong = torch.rand(queries, items, generator=generator) < 0.8
    centre = torch.randn(queries, matches, generator=generator).sort(1).values
    centre[0, matches // 2 :] = torch.inf
    width = 0.1 * torch.rand(queries, 1, generator=generator)
    below, above = (centre - width).to(dtype), (centre + width).to(dtype)
    last = above.masked_fill(above.isinf(), -9).amax(1, keepdim=True)
    nearer, ties, place, total = compare_with_matches(values, wrong, below, above, last, values.numel())
    expected, tied = torch.zeros_like(nearer), []
    for row, col in itertools.product(range(queries), range(items)):
        value = values[row, col]
        if not wrong[row, col] or value > last[row]:
            continue
        if ((below[row] <= value) & (value <= above[row])).any():
            tied.append(row * items + col)
        elif (passed := int((below[row] <= value).sum())) < matches:
            expected[row, passed] += 1
    assert torch.equal(nearer, expected) and sorted(place.tolist()) == tied and total == len(tied)
    assert ties.tolist() == (torch.tensor(tied, dtype=torch.int64) // items).bincount(minlength=queries).tolist()
    if total > 1:
        *_, part, again = compare_with_matches(values, wrong, below, above, last, total - 1)
        assert again == total and len(part) == total - 1 and set(part.tolist()) <= set(tied)


if __name__ == "__main__":
    for case in itertools.product(SHAPES, DTYPES, (False, True), (1, -1)):
        selected(*case)
    more_than_there_is_room_for()
    for dtype in (torch.float16, torch.float32, torch.float64):
        measured(dtype)
    for case in itertools.product(BLOCKS, DTYPES):
        compared(*case)
    print("equal")
