"""Where a pair network's neighbourhood differences are strongest, drawn over the two pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pose2id.errors import UserError

from ..networks.base import Extractor
from ..networks.blocks.difference_network import DifferenceNetwork
from ..networks.looks import DifferenceLook
from ..networks.reid_network import Inputs
from .pictures import Picture, open_picture


@torch.inference_mode()
def difference_figure(extractor: Extractor, query: Picture, gallery: Picture) -> Figure:
    """Both pictures, and beside each how its places differ from their neighbourhoods in the other, on one scale.

    The network's score, the log-odds that both show one person, is the title. `UserError` for a network that has no
    such differences.
    """
    network = extractor.network
    if not isinstance(network, DifferenceNetwork):
        raise UserError("the network has no neighbourhood differences to draw; use idla or personnet")
    pictures = [open_picture(picture) for picture in (query, gallery)]
    device = next(network.parameters()).device
    shown = torch.stack([extractor.preprocess(picture) for picture in pictures]).to(device)
    (look,) = network.explain_pair(Inputs(shown))
    return difference_plot(look, pictures, (extractor.width * 4, extractor.height * 4))


def difference_plot(look: DifferenceLook, pictures: Sequence[Picture], size: tuple[int, int]) -> Figure:
    """Two pictures, resized to (width, height), and beside each the maps of a look, all on one scale; its title is the
    verdict."""
    maps = look.maps.cpu().numpy()
    count, largest = maps.shape[1], maps.max()
    rows = 1 if count == 1 else 2
    figure = Figure(figsize=(3.6 * (1 + count) / rows, 4.4 if rows == 1 else 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{look.verdict}: {look.score:+.2f}")
    axes = figure.subplots(rows, 2 * (1 + count) // rows)
    for panels, picture, own, names, title in zip(
        axes.reshape(2, 1 + count), pictures, maps, look.names, ("query", "gallery"), strict=True
    ):
        shown = open_picture(picture).resize(size)
        panels[0].imshow(shown)
        panels[0].set_title(title, fontsize=10)
        extent = -0.5, shown.width - 0.5, shown.height - 0.5, -0.5
        for panel, values, name in zip(panels[1:], own, names, strict=True):
            panel.imshow(np.asarray(shown.convert("L")), cmap="gray")
            drawn = panel.imshow(values, cmap="inferno", alpha=0.65, vmin=0, vmax=largest, extent=extent)
            panel.set_title(name, fontsize=10)
    for panel in axes.flat:
        panel.set_axis_off()
    figure.colorbar(drawn, ax=axes, shrink=0.7, label=look.title[0].lower() + look.title[1:])
    return figure


def write_difference_figure(extractor: Extractor, query: Picture, gallery: Picture, path: Path) -> Path:
    """`difference_figure` as a picture file; returns its path."""
    difference_figure(extractor, query, gallery).savefig(path, dpi=120)
    return path
