"""What it costs to judge pairs: maps once a picture and 25 shifted products against the plain way, on a sample.

A case for the table of matchers: `measure` times a sample on one device and says what Market1501 would take.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from ..features.kinds import MapFeatures
from ..matching.pair_network import pair_scores
from ..networks import trainable
from ..networks.blocks.difference_network import DifferenceNetwork
from ..networks.blocks.neighbourhood import PatchSummary, neighbourhood_differences
from ..networks.blocks.pair_network import Order

QUERIES, GALLERY, SHORTLIST = 3368, 15913, 100  # Market1501


@dataclass(frozen=True)
class Cost:
    """Seconds a picture and a pair, measured; largest difference of the two ways, as a share of the largest score."""

    picture: float
    pair: float
    plain_pair: float
    difference: float

    @property
    def shortlists(self) -> float:
        """Seconds for the maps of all pictures and the 100 first of every query, from the sample."""
        return (QUERIES + GALLERY) * self.picture + QUERIES * SHORTLIST * self.pair


@torch.inference_mode()
def measure(name: str = "idla", pictures: int = 32, shortlist: int = 32, device: str = "cpu") -> Cost:
    """The network at its official size with random weights: `pictures` queries with `shortlist` candidates each."""
    torch.manual_seed(0)
    network = trainable(name)(trainable(name).Sizes()).eval().to(device)
    shown = torch.randn(pictures, 3, network.sizes.height, network.sizes.width, device=device)
    picture, maps = timed(lambda: network.maps(shown), device)
    candidates = torch.randint(pictures, (pictures, shortlist), device=device)
    features = MapFeatures(maps)
    pair, scores = timed(lambda: pair_scores(network, features, features, candidates, Order.query_first), device)
    queries = torch.arange(pictures, device=device)[:, None].expand_as(candidates)[: max(1, pictures // 8)]
    few = candidates[: len(queries)]
    plain, expected = timed(lambda: plain_scores(network, maps[queries.flatten()], maps[few.flatten()]), device)
    difference = (scores[: len(queries)].flatten() - expected).abs().max() / expected.abs().max()
    return Cost(picture / pictures, pair / candidates.numel(), plain / few.numel(), float(difference))


def plain_scores(network: DifferenceNetwork, query: Tensor, gallery: Tensor) -> Tensor:
    """As they are written down: the differences of all places and neighbours laid side by side, then a convolution."""
    sides = []
    for side, own, other in (("a", query, gallery), ("b", gallery, query)):
        summary: PatchSummary = network.get_submodule(f"summary_{side}")
        size = summary.kernel_size[0]
        differences = neighbourhood_differences(own, other, size).relu()
        patches = differences.transpose(3, 4).flatten(4).flatten(2, 3)  # (P, C, size h, size w)
        whole = conv2d(patches, summary.weight, summary.bias, stride=size)
        sides.append(network.across_patches(whole.relu(), side).flatten(1))
    scores = network.fc2(network.fc1(torch.cat(sides, 1)).relu())
    return scores[:, 1] - scores[:, 0]


def timed(compute: Callable[[], Tensor], device: str) -> tuple[float, Tensor]:
    """Seconds of a second call, and its result."""
    compute()
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    result = compute()
    wait()
    return time.perf_counter() - started, result
