"""Figures: they show what they are given, and the same input gives the same file."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.report.pictures import RIGHT, WRONG, PictureRow, Tile
from NFC.report.plots import (
    cmc_plot,
    figure_bytes,
    heat_map,
    loss_plot,
    picture_plot,
    save_figure,
    sweep_plot,
    tsne,
    tsne_plot,
)
from pose2id.errors import UserError


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def test_cmc_draws_each_curve_in_percent():
    axes = cmc_plot({"Base": np.linspace(0.5, 1, 50), "+NFC": np.linspace(0.6, 1, 50)}).axes[0]
    base, nfc = axes.get_lines()
    np.testing.assert_allclose(base.get_ydata(), 100 * np.linspace(0.5, 1, 50)[:20])
    np.testing.assert_array_equal(nfc.get_xdata(), np.arange(1, 21))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Base", "+NFC"]


def test_a_short_curve_is_drawn_as_far_as_it_goes():
    (line,) = cmc_plot({"a": np.array([0.5, 1.0])}).axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2])


def test_sweep_marks_the_level_of_the_first_value():
    axes = sweep_plot([0, 1, 2], {"mAP": [0.5, 0.7, 0.6]}, "eta", "t").axes[0]
    curve, level = axes.get_lines()
    np.testing.assert_allclose(curve.get_ydata(), [50, 70, 60])
    np.testing.assert_allclose(level.get_ydata(), 50)


def test_each_run_has_a_panel():
    runs = {"a": (np.arange(3), np.array([3.0, 2.0, 1.0])), "b": (np.arange(2), np.array([5.0, 4.0]))}
    panels = loss_plot(runs, "loss").axes
    assert [axes.get_title() for axes in panels] == ["a", "b"]
    np.testing.assert_array_equal(panels[0].get_lines()[0].get_ydata(), [3, 2, 1])
    assert panels[0].get_ylabel() == "loss"


def test_heat_map_writes_each_score_and_the_best_in_bold():
    axes = heat_map(np.array([[0.1, 0.2, 0.3], [0.4, 0.6, 0.5]]), [1, 2], [1, 2, 3], "t").axes[0]
    shown = {text.get_text(): text.get_fontweight() for text in axes.texts}
    assert list(shown) == ["10.0", "20.0", "30.0", "40.0", "60.0", "50.0"]
    assert [text for text, weight in shown.items() if weight == "bold"] == ["60.0"]
    with pytest.raises(UserError, match="k1"):
        heat_map(np.zeros((2, 2)), [1, 2], [1, 2, 3], "t")


def test_tsne_keeps_identities_together_and_its_seed():
    generator = torch.Generator().manual_seed(0)
    pids = np.repeat(np.arange(4), 8)
    feats = 4 * torch.randn(4, 16, generator=generator)[pids] + torch.randn(32, 16, generator=generator)
    points = tsne(feats, seed=1)
    np.testing.assert_array_equal(points, tsne(feats, seed=1))
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(32)
    assert (pids[distances.argmin(1)] == pids).mean() > 0.9
    panels = tsne_plot({"before": feats, "after": feats}, pids, "t").axes
    assert [axes.get_title() for axes in panels] == ["before", "after"]
    assert all(len(axes.collections) == 4 for axes in panels)


def test_tsne_refuses_what_it_cannot_show():
    with pytest.raises(UserError, match="up to 10 people"):
        tsne_plot({"a": torch.zeros(11, 2)}, range(11), "t")


def test_pictures_are_framed_by_whether_they_are_right(tmp_path):
    blank = Image.new("RGB", (64, 128), "#808080")
    row = PictureRow("query", [Tile(blank), Tile(blank, True), Tile(blank, False)])
    path = save_figure(
        tmp_path / "f.png", picture_plot([row, PictureRow("short", [Tile(blank)])], ["a", "b", "c"], "t")
    )
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    right, wrong = ((abs(pixels - rgb(colour)).sum(2) < 12) for colour in (RIGHT, WRONG))
    assert right.sum() > 1000
    assert 500 < wrong.sum() < right.sum()  # dashed
    assert right.any(0).nonzero()[0].mean() < wrong.any(0).nonzero()[0].mean()


def test_an_unreadable_picture_is_named(tmp_path):
    (tmp_path / "bad.jpg").write_text("x")
    with pytest.raises(UserError, match=r"bad\.jpg"):
        picture_plot([PictureRow("", [Tile(tmp_path / "bad.jpg")])], [], "t")


def test_files_are_whole_repeatable_and_of_a_known_kind(tmp_path):
    def draw():
        return cmc_plot({"a <&> b": np.linspace(0.5, 1, 50)})

    ElementTree.fromstring(figure_bytes(draw(), "svg"))
    for kind in ("svg", "png"):
        assert figure_bytes(draw(), kind) == figure_bytes(draw(), kind)
    with pytest.raises(UserError, match=r"\.gif"):
        save_figure(tmp_path / "a.gif", draw())
    assert list(tmp_path.iterdir()) == []
