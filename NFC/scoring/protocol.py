"""The rules of a benchmark: its trials, what does not exist for a query, how CMC counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..datasets import Dataset, Trial
from ..datasets.rules import Exclude, same_camera
from ..features.feature_set import FeatureSet


@dataclass(frozen=True)
class Protocol:
    """Fields as in `Dataset`; by default those of Market1501, all samples in one trial."""

    trials: Sequence[Trial] = ()
    exclude: Exclude = same_camera
    cmc: str = "pictures"
    distractors: frozenset[int] = frozenset()

    @classmethod
    def of(cls, dataset: Dataset) -> "Protocol":
        return cls(dataset.trials, dataset.exclude, dataset.cmc, dataset.distractors)

    def split(self, query: FeatureSet, gallery: FeatureSet) -> Iterator[tuple[FeatureSet, FeatureSet]]:
        """Query and gallery of each trial."""
        if not self.trials:
            yield query, gallery
        for trial in self.trials:
            yield query[torch.as_tensor(list(trial.query))], gallery[torch.as_tensor(list(trial.gallery))]

    def people(self, pids: Tensor) -> Tensor:
        """(N,) bool: who is somebody, and no distractor."""
        return ~torch.isin(pids, pids.new_tensor(sorted(self.distractors)))


MARKET1501 = Protocol()
