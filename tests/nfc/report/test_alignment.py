"""The drawing of an alignment shows the shortest path."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC.report.alignment import alignment_plot
from NFC.report.plots import figure_bytes
from pose2id.errors import UserError


def stripes(count, seed):
    return normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def pictures():
    return [Image.new("RGB", (8, 16), colour) for colour in ("red", "blue")]


def test_lines_join_the_stripes_of_the_path():
    first = stripes(4, 0)
    moved = torch.cat([stripes(2, 1), first[:-1]])  # K = 5: first[i] is moved[i + 2]
    figure = alignment_plot(pictures(), [first, moved], "moved")
    axes = figure.axes[0]
    lines = [tuple(np.round(line.get_ydata(), 3)) for line in axes.lines]
    assert len(lines) == 4 + 5 - 1 and "over 8 cells" in axes.get_xlabel()
    heights = [{round(2 - 2 * (stripe + 0.5) / count, 3): stripe for stripe in range(count)} for count in (4, 5)]
    cells = [tuple(height[y] for height, y in zip(heights, line, strict=True)) for line in lines]
    assert cells[0] == (0, 0) and cells[-1] == (3, 4) and {(0, 2), (1, 3), (2, 4)} <= set(cells)
    widths = dict(zip(cells, (line.get_linewidth() for line in axes.lines), strict=True))
    assert widths[0, 2] == max(widths.values()) > widths[0, 0]
    assert figure_bytes(figure, "png") == figure_bytes(alignment_plot(pictures(), [first, moved], "moved"), "png")


def test_stripes_of_other_sizes_are_one_line():
    with pytest.raises(UserError, match="differ in size: 16 and 8"):
        alignment_plot(pictures(), [stripes(4, 0), stripes(4, 1)[:, :8]])
