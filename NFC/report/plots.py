"""Curves, maps and scatters of the paper's figures, drawn without a display."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from torch import Tensor

from pose2id.errors import UserError
from pose2id.files import replacing

from .pictures import RIGHT, WRONG, PictureRow, open_picture

COLOURS = matplotlib.style.library["petroff10"]["axes.prop_cycle"].by_key()["color"]  # safe for the colour-blind
MARKERS = "osD^vP*Xp<"
STYLE = {
    "font.size": 12,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "pose2id",  # the same figure is the same file
}


def in_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """`draw` in the look that all figures have."""

    @wraps(draw)
    def drawn(*arguments, **options) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


@in_style
def cmc_plot(curves: Mapping[str, np.ndarray], title: str = "CMC", ranks: int = 20) -> Figure:
    """Share of queries with a true match among the first k, one line a name; curves (max_rank,) in [0, 1]."""
    figure, axes = new_figure(6.4, 4.4, title)
    for number, (name, curve) in enumerate(curves.items()):
        shown = 100 * np.asarray(curve)[:ranks]
        axes.plot(np.arange(1, len(shown) + 1), shown, label=name, **_look(number))
    axes.set(xlabel="Rank", ylabel="Queries matched (%)", xticks=[1, *range(5, ranks + 1, 5)])
    axes.legend(loc="lower right")
    return figure


@in_style
def sweep_plot(
    values: Sequence[float], series: Mapping[str, Sequence[float]], parameter: str, title: str, base: bool = True
) -> Figure:
    """Scores in [0, 1] against a parameter (Fig. 8: eta), one line a metric.

    base: the first value is the one without the method; it is drawn as a dashed level.
    """
    figure, axes = new_figure(6.4, 4.4, title)
    for number, (name, scores) in enumerate(series.items()):
        percent = 100 * np.asarray(scores)
        axes.plot(values, percent, label=name, **_look(number))
        if base:
            axes.axhline(percent[0], color=COLOURS[number], linestyle=":", linewidth=1.2)
    axes.set(xlabel=parameter, ylabel="%")
    axes.legend(loc="best")
    return figure


@in_style
def heat_map(scores: np.ndarray, rows: Sequence[int], columns: Sequence[int], title: str) -> Figure:
    """Scores (len(rows), len(columns)) in [0, 1] for each pair of k1 (down) and k2 (across), Fig. 9."""
    percent = 100 * np.asarray(scores)
    if percent.shape != (len(rows), len(columns)):
        raise UserError(f"{percent.shape} scores for {len(rows)} values of k1 and {len(columns)} of k2")
    figure, axes = new_figure(1.6 + 0.85 * len(columns), 1.5 + 0.62 * len(rows), title)
    image = axes.imshow(percent, cmap="cividis", aspect="auto")
    middle = (percent.min() + percent.max()) / 2
    for (row, column), value in np.ndenumerate(percent):
        colour = "white" if value < middle else "black"
        weight = "bold" if value == percent.max() else "normal"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontweight=weight)
    axes.set(xlabel="k2", ylabel="k1", xticks=range(len(columns)), yticks=range(len(rows)))
    axes.set_xticklabels(columns)
    axes.set_yticklabels(rows)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes)
    return figure


@in_style
def tsne_plot(panels: Mapping[str, Tensor], pids: Sequence[int], title: str, seed: int = 0) -> Figure:
    """t-SNE of features (N, d) of the same N pictures, one panel a name (Fig. 4); each pid has a colour and a marker.

    At most 10 identities. Raises `UserError` for more, or for fewer than 4 pictures.
    """
    labels = np.asarray(pids)
    people = np.unique(labels)
    if len(people) > len(COLOURS) or len(labels) < 4:
        raise UserError(f"t-SNE shows 4 pictures or more of up to {len(COLOURS)} people, got {len(labels)}")
    figure = Figure(figsize=(5 * len(panels), 5), layout="constrained")
    figure.suptitle(title)
    for axes, (name, feats) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        points = tsne(feats, seed)
        for number, pid in enumerate(people):
            mine = points[labels == pid]
            axes.scatter(*mine.T, s=48, color=COLOURS[number], marker=MARKERS[number], edgecolors="white", lw=0.4)
        axes.set(title=name, xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set(visible=True, color="#999999")
    return figure


@in_style
def loss_plot(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], metric: str) -> Figure:
    """Training curves, one panel a run: its steps (n,) and the metric at them (n,)."""
    figure = Figure(figsize=(3.6 * len(curves), 3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (name, (steps, values)) in zip(panels, curves.items(), strict=True):
        axes.plot(steps, values, color=COLOURS[0], linewidth=1.5)
        axes.set(title=name, xlabel="step", xlim=(0, None))
    panels[0].set_ylabel(metric)
    return figure


@in_style
def picture_plot(rows: Sequence[PictureRow], columns: Sequence[str], title: str) -> Figure:
    """Rows of pictures with labels on the left and names above (Figs. 5 and 7), framed green if right, red if wrong.

    columns: a name for each picture of the longest row, or none at all.
    """
    wide = max(len(row.tiles) for row in rows)
    figure = Figure(figsize=(1.6 + 0.8 * wide, 0.7 + 1.65 * len(rows)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(rows), wide, squeeze=False)
    for axes, name in zip(grid[0], columns, strict=False):
        axes.set_title(name, fontsize=10)
    for cells, row in zip(grid, rows, strict=True):
        cells[0].set_ylabel(row.label, rotation=0, ha="right", va="center", fontsize=10)
        for axes, tile in zip(cells, row.tiles, strict=False):
            axes.imshow(np.asarray(open_picture(tile.picture)), aspect="auto", extent=(0, 1, 0, 2))
            frame = {None: "none", True: RIGHT, False: WRONG}[tile.correct]
            for side in axes.spines.values():
                side.set(visible=True, color=frame, linewidth=3, linestyle="--" if tile.correct is False else "-")
        for axes in cells:
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        for axes in cells[len(row.tiles) :]:
            axes.axis("off")
    return figure


def tsne(feats: Tensor, seed: int = 0) -> np.ndarray:
    """(N, d) -> (N, 2), the same for the same seed."""
    perplexity = min(30.0, (len(feats) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(feats.double().cpu().numpy())


def save_figure(path: Path, figure: Figure) -> Path:
    """Write a figure as `.png` or `.svg`, by its name's end; returns the path."""
    suffix = Path(path).suffix.removeprefix(".")
    with replacing(path) as partial:
        partial.write_bytes(figure_bytes(figure, suffix))
    return Path(path)


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as the content of a "png" or "svg" file; equal figures give equal bytes."""
    if kind not in ("png", "svg"):
        raise UserError(f"figures are written as .png or .svg, not '.{kind}'")
    content = BytesIO()
    with matplotlib.rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(content, format=kind, dpi=150, facecolor="white", metadata=metadata)
    return content.getvalue()


def new_figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """Of one panel, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _look(number: int) -> dict[str, object]:
    """Colour and marker of the n-th line."""
    return {"color": COLOURS[number % 10], "marker": MARKERS[number % 10], "markersize": 5, "linewidth": 2}
