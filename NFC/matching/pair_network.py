"""The verdict of a network that judges pairs, such as IDLA, on each query and its shortlist."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import Features, MapFeatures
from ..networks import build_extractor
from ..networks.blocks.pair_network import Order, PairNetwork
from .distances import Distances, EuclideanDistances
from .shortlist import ShortlistMatcher

BLOCK = AtOnce(cpu=2**18, gpu=2**26)  # numbers of maps


@dataclass(frozen=True, kw_only=True)
class PairNetworkMatcher(ShortlistMatcher):
    """Candidates come in the order of the network's scores, all others behind them in that of `Euclidean`.

    extractor, weights, preset: the network that gave the maps, as for `build_extractor`. order: whether query and
    gallery picture are judged in both orders.
    """

    name: ClassVar[str] = "pair_network"
    kinds: ClassVar[tuple[str, ...]] = (MapFeatures.kind,)

    extractor: str
    weights: str | None = None
    preset: str = "sd15"
    order: Order = Order.query_first

    def cheap(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        return EuclideanDistances.between(query.feats, gallery.feats)

    @torch.inference_mode()
    def rescore(self, query: FeatureSet, gallery: FeatureSet, candidates: Tensor) -> Tensor:
        """Minus the scores."""
        return -pair_scores(self._network(query.feats), query.feats, gallery.feats, candidates, self.order)

    def _network(self, features: Features) -> PairNetwork:
        """On the device of the features; `UserError` for one that judges no pairs, or whose maps are others."""
        network = build_extractor(self.extractor, self.weights, self.preset, features.device).network
        if not isinstance(network, PairNetwork):
            raise UserError(f"{self.name}: {self.extractor} judges no pairs; use a network that does, such as idla")
        if network.layout != features.layout:
            sizes = features.layout.sizes, network.layout.sizes
            raise UserError(f"{self.name}: maps of {sizes[0]}, but {self.extractor} gives {sizes[1]}; use its features")
        return network


def pair_scores(network: PairNetwork, query: Features, gallery: Features, candidates: Tensor, order: Order) -> Tensor:
    """(Q, K) float32 scores of each query with its `candidates` (Q, K) int64 in blocks, higher is more alike."""
    queries = torch.arange(len(query), device=query.device)[:, None].expand_as(candidates).flatten()
    size = BLOCK.rows(query.size, query.device)
    blocks = zip(queries.split(size), candidates.flatten().split(size), strict=True)
    scores = [network.pair_scores(query.maps[q].float(), gallery.maps[g].float(), order) for q, g in blocks]
    return torch.cat(scores).view(candidates.shape)
