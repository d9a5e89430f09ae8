"""Pictures of what networks of a comparison look at, of the first person who is both in query and gallery."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pose2id.errors import UserError
from pose2id.pictures import read_picture

from ...datasets import Dataset
from ...networks import Extractor, build_extractor
from ...report.alignment import alignment_plot
from ...report.pair_differences import difference_figure
from ...report.part_maps import part_map_plot
from ...report.set_channels import set_channel_plot
from ..results import Drawings
from .scoring import Bench

Pair = tuple[Path, Path]  # a query and a picture of its person by another camera


def draw(wanted: Mapping[str, str], bench: Bench) -> Drawings:
    """The drawings `wanted`, name -> network, each with the first seed's; the hardest kind of queries is shown."""
    drawings = {}
    for name, network in wanted.items():
        if name not in DRAWINGS:
            raise UserError(f"unknown drawing '{name}'; choose one of: {', '.join(DRAWINGS)}")
        source = bench.workshop.network(network, bench.workshop.comparison.seeds[0])
        extractor = build_extractor(*source, "cpu")
        figure, caption = DRAWINGS[name](extractor, true_pair(bench.queries(bench.recipe.kinds[-1])))
        drawings[name] = figure, f"{network}: {caption}"
    return drawings


def true_pair(dataset: Dataset) -> Pair:
    """`UserError` where nobody is seen by two cameras."""
    for query in dataset.query:
        for record in dataset.gallery:
            if record.pid == query.pid and record.camid != query.camid:
                return query.path, record.path
    raise UserError(f"{dataset.name}: nobody in the query is in the gallery by another camera; nothing can be drawn")


def shown(extractor: Extractor, pair: Pair) -> Tensor:
    """(2, 3, H, W), preprocessed."""
    return torch.stack([extractor.preprocess(read_picture(path), path) for path in pair])


@torch.inference_mode()
def alignment(extractor: Extractor, pair: Pair) -> tuple[Figure, str]:
    stripes = extractor.network(shown(extractor, pair)).normalized().stripes
    return alignment_plot(pair, list(stripes)), "which stripes DMLI compares, a query and a true match."


@torch.inference_mode()
def part_maps(extractor: Extractor, pair: Pair) -> tuple[Figure, str]:
    assignment = extractor.network.assignment(shown(extractor, pair))
    return part_map_plot(pair, assignment), "which part each position of the map belongs to."


def differences(extractor: Extractor, pair: Pair) -> tuple[Figure, str]:
    return difference_figure(extractor, *pair), "where pictures of one person differ from each other's surroundings."


@torch.inference_mode()
def channels(extractor: Extractor, pair: Pair) -> tuple[Figure, str]:
    maps = extractor.network.backbone(shown(extractor, pair))
    return set_channel_plot(pair, maps), "channels that two pictures of one person share, and those that one has alone."


DRAWINGS: Mapping[str, Callable[[Extractor, Pair], tuple[Figure, str]]] = {
    "alignment": alignment,
    "part_maps": part_maps,
    "differences": differences,
    "channels": channels,
}
