"""Training with the labels of the data set."""

from dataclasses import dataclass

from ...networks.reid_network import ReIDNetwork
from ..batches import Batches, Source
from ..data import TrainingSet
from .base import Scheme


@dataclass(frozen=True)
class Supervised(Scheme):
    """The labels stay as they are."""

    def num_labels(self, pictures: TrainingSet) -> int:
        return pictures.num_labels

    def start(self, network: ReIDNetwork, batches: Batches) -> Source:
        return batches
