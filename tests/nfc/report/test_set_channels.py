"""The drawing of channels that two pictures share."""

import numpy as np
import torch
from PIL import Image

from NFC.report.set_channels import COUNT, SORTS, heat, set_channel_plot


def test_channels_are_sorted_by_what_both_have_and_what_one_has_alone():
    maps = torch.zeros(2, 12, 8, 4)
    maps[:, 4], maps[0, 7], maps[1, 2] = 1.0, 2.0, 3.0
    pictures = [Image.new("RGB", (32, 64), (90, 60, 30)), Image.new("RGB", (32, 64), (30, 60, 90))]
    titles = [axes.get_title() for axes in set_channel_plot(pictures, maps).axes[: 1 + COUNT * len(SORTS)]]
    assert titles[0] == "picture" and titles[1] == "in both\n4"
    assert titles[1 + COUNT] == "only left\n7" and titles[1 + 2 * COUNT] == "only right\n2"


def test_a_channel_shows_where_it_is_strong():
    values = torch.zeros(8, 4)
    values[0] = 1
    shown = np.asarray(heat(Image.new("RGB", (32, 64), (90, 90, 90)), values, torch.tensor(1.0))).astype(int)
    assert shown[0, 16, 0] > shown[0, 16, 2] + 50 and (shown[-1, 16] == shown[-1, 16, 0]).all()
    nothing = heat(Image.new("RGB", (32, 64)), torch.zeros(8, 4), torch.tensor(0.0))
    assert np.asarray(nothing).max() == 0
