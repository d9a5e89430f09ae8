"""What every training scheme offers."""

from abc import ABC, abstractmethod
from typing import ClassVar

from ...networks.reid_network import ReIDNetwork
from ..batches import Batches, Source
from ..data import TrainingSet


class Scheme(ABC):
    """Which batches a network is trained on and with which labels; a subclass is a frozen dataclass of its settings."""

    gives_pairs: ClassVar[bool] = False  # its batches have `pairs`

    @abstractmethod
    def num_labels(self, pictures: TrainingSet) -> int:
        """How many classes the network needs."""

    @abstractmethod
    def start(self, network: ReIDNetwork, batches: Batches) -> Source:
        """The run's source: `batches`, or something that draws from them and may change their labels or `network`."""
