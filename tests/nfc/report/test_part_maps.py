"""Parts drawn over pictures."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from NFC.report.part_maps import COLOURS, SHOWN, part_map_plot, part_maps
from NFC.report.plots import figure_bytes
from pose2id.errors import UserError


def test_a_part_is_tinted_where_it_is():
    picture = Image.new("RGB", (8, 16), (100, 100, 100))
    shares = torch.zeros(2, 4, 2)
    shares[0, :2] = shares[1, 2:] = 1
    plain, both, first, second = (np.asarray(tile) / 255 for tile in part_maps(picture, shares))
    assert plain.shape == (16, 8, 3) and np.allclose(plain, 100 / 255)
    expected = (1 - SHOWN) * 100 / 255 + SHOWN * np.array(to_rgb(COLOURS[0]))
    assert np.allclose(first[0, 0], expected, atol=1 / 255) and np.allclose(first[-1], 100 / 255, atol=1 / 255)
    assert np.allclose(second[0], 100 / 255, atol=1 / 255)
    assert np.allclose(both[0], first[0], atol=1 / 255) and np.allclose(both[-1], second[-1], atol=1 / 255)


def test_the_plot_has_a_row_a_picture():
    pictures = [Image.new("RGB", (8, 16), (40 * i, 90, 30)) for i in range(3)]
    assignment = torch.rand(3, 6, 24, 8).softmax(1)
    figure = part_map_plot(pictures, assignment)
    assert len(figure.axes) == 3 * 8 and figure_bytes(figure, "png")
    with pytest.raises(UserError, match=r"for N pictures, got \(3, 6, 24, 8\)"):
        part_map_plot(pictures[:2], assignment)
