"""How DMLI aligns two pictures: their stripes side by side, joined along the shortest path."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from ..features.kinds.alignment import check_stripes, element_distances, shortest_path
from .pictures import Picture, open_picture
from .plots import in_style, new_figure

GAP = 1.0  # between pictures of width 1 and height 2
COLOURS = "viridis"  # dark lines join stripes that resemble each other
WIDEST, NARROWEST = 4.0, 0.8  # lines of distance 0 and of the largest that unit stripes can have


@in_style
def alignment_plot(
    pictures: Sequence[Picture], stripes: Sequence[Tensor], title: str = "", largest: float = float(np.tanh(1))
) -> Figure:
    """Two pictures with their stripes (H, d) and (K, d), of unit length, joined along the path of DMLI.

    A line is the darker and the thicker the nearer its two stripes, up to the distance `largest`; the sum is below.
    `UserError` for stripes that cannot be compared.
    """
    check_stripes(*stripes)
    elements = element_distances(*(each.detach().to("cpu", torch.float64) for each in stripes)).numpy()
    path = shortest_path(elements)
    figure, axes = new_figure(5.4, 3.6, title)
    sides = [(0.0, 1.0), (1.0 + GAP, 2.0 + GAP)]
    for picture, count, side in zip(pictures, elements.shape, sides, strict=True):
        _draw_picture(axes, picture, count, side)
    colours = ScalarMappable(Normalize(0, largest), COLOURS)
    for i, j in path.T:
        heights = [2 - 2 * (stripe + 0.5) / count for stripe, count in zip((i, j), elements.shape, strict=True)]
        near = 1 - min(1.0, elements[i, j] / largest)
        width = NARROWEST + (WIDEST - NARROWEST) * near
        axes.plot((1, 1 + GAP), heights, color=colours.to_rgba(elements[i, j]), linewidth=width, marker="o", ms=4)
    axes.set(xlim=(-0.02, 2 + GAP + 0.02), ylim=(-0.02, 2.02), aspect="equal", xticks=[], yticks=[])
    axes.set_xlabel(f"D = {elements[tuple(path)].sum():.2f} over {path.shape[1]} cells")
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    figure.colorbar(colours, ax=axes, label="distance of stripes", shrink=0.6)
    return figure


def _draw_picture(axes: Axes, picture: Picture, count: int, side: tuple[float, float]) -> None:
    """The picture between `side`, cut into `count` stripes."""
    axes.imshow(np.asarray(open_picture(picture)), extent=(*side, 0, 2), aspect="auto", zorder=1)
    axes.hlines(np.linspace(0, 2, count + 1), *side, color="white", linewidth=0.8, zorder=2)
