"""Where a pair network's neighbourhood differences are strongest, drawn over the two pictures."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from pose2id.errors import UserError

from ..networks.base import Extractor
from ..networks.blocks.difference_network import DifferenceNetwork
from ..networks.blocks.neighbourhood import neighbourhood_differences
from .pictures import Picture, open_picture


@torch.inference_mode()
def difference_strengths(network: DifferenceNetwork, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (C, h, w) each -> (h, w) each: the length of the rectified K at each place, and of the rectified K'.

    That is what the network sees of a place: all channels, all neighbours; what it has learnt to make of it is not in.
    """
    size = network.sizes.neighbourhood
    query_side = neighbourhood_differences(query, gallery, size).relu()
    gallery_side = neighbourhood_differences(gallery, query, size).relu()
    return tuple(side.square().sum((0, 3, 4)).sqrt() for side in (query_side, gallery_side))


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
    first, second = network.maps(torch.stack([extractor.preprocess(picture) for picture in pictures]).to(device))
    score = float(network.pair_scores(first[None], second[None]))
    strengths = [side.cpu().numpy() for side in difference_strengths(network, first, second)]
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"log-odds of one person: {score:+.2f}")
    axes, largest = figure.subplots(1, 4), max(side.max() for side in strengths)
    shown = [picture.resize((extractor.width * 4, extractor.height * 4)) for picture in pictures]
    titles = (("query", "query − gallery (K)"), ("gallery", "gallery − query (K′)"))
    for place, (picture, strength, (name, difference)) in enumerate(zip(shown, strengths, titles, strict=True)):
        plain, heat = axes[2 * place], axes[2 * place + 1]
        plain.imshow(picture)
        plain.set_title(name, fontsize=10)
        heat.imshow(np.asarray(picture.convert("L")), cmap="gray")
        extent = -0.5, picture.width - 0.5, picture.height - 0.5, -0.5
        drawn = heat.imshow(strength, cmap="inferno", alpha=0.65, vmin=0, vmax=largest, extent=extent)
        heat.set_title(difference, fontsize=10)
    for panel in axes:
        panel.set_axis_off()
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="length of the rectified differences")
    return figure


def write_difference_figure(extractor: Extractor, query: Picture, gallery: Picture, path: Path) -> Path:
    """`difference_figure` as a picture file; returns its path."""
    difference_figure(extractor, query, gallery).savefig(path, dpi=120)
    return path
