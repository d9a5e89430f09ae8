"""Training on pairs of pictures, with the labels of the data set: same person or two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError
from pose2id.loop.state import Settings

from ...networks.reid_network import ReIDNetwork
from ..batches import Batches, Source
from ..data import TrainingSet
from .base import Scheme


class PairBatches(Source):
    """Groups of an anchor, another picture of its person and pictures of others, each paired with the anchor.

    So a picture's map serves as many pairs as there are; that pairs share their anchor is ours.
    """

    def __init__(self, batches: Batches, scheme: "PairScheme") -> None:
        """Raises `UserError` for a batch that groups do not fill, or people who are too few or seen too rarely."""
        self.batches, self.scheme = batches, scheme
        group = 2 + scheme.negatives
        if batches.batch_size % group:
            raise UserError(
                f"a batch of {batches.batch_size} pictures cannot be cut into groups of {group}, an anchor, one of its "
                f"person and {scheme.negatives} of others; give a loop.batch_size that {group} divides"
            )
        self.groups = batches.batch_size // group
        labels = batches.labels[batches.drawn]
        people, counts = np.unique(labels, return_counts=True)
        self.anchors = batches.drawn[np.isin(labels, people[counts > 1])]
        if len(people) < 2 or not len(self.anchors):
            raise UserError("pairs need at least two people in the training pictures, and one of them in two pictures")

    def fixed_settings(self) -> Settings:
        return self.batches.fixed_settings()

    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """A batch of `Batches` with pairs (P, 2) int64, rows of it, the anchor first: of its person, then of others."""
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generators[0]).item())
        rows = np.stack([self._group(anchor, rng) for anchor in self.draw_anchors(rng)])
        places = torch.arange(rows.size).view(rows.shape)
        pairs = torch.stack([places[:, :1].expand(-1, rows.shape[1] - 1), places[:, 1:]], -1).flatten(0, 1)
        batch = self.batches.shown(rows.flatten(), generators[0]) | {"pairs": pairs}
        return with_mirrored(batch) if self.scheme.mirrored else batch

    def draw_anchors(self, rng: np.random.Generator) -> np.ndarray:
        """(groups,) rows of the training set."""
        return rng.choice(self.anchors, self.groups)

    def draw_others(self, anchor: int, rng: np.random.Generator) -> np.ndarray:
        """(negatives,) rows of pictures of others than the anchor's person."""
        return rng.choice(self.others(anchor), self.scheme.negatives)

    def others(self, anchor: int) -> np.ndarray:
        """(n,) rows of all pictures of other people than the anchor's."""
        drawn, labels = self.batches.drawn, self.batches.labels
        return drawn[labels[drawn] != labels[anchor]]

    def _group(self, anchor: int, rng: np.random.Generator) -> np.ndarray:
        """(2 + negatives,) rows of the training set."""
        drawn, labels, camids = self.batches.drawn, self.batches.labels, self.batches.pictures.camids
        partners = drawn[(labels[drawn] == labels[anchor]) & (drawn != anchor)]
        elsewhere = partners[camids[partners] != camids[anchor]]
        if self.scheme.other_camera and len(elsewhere):
            partners = elsewhere
        return np.array([anchor, rng.choice(partners), *self.draw_others(anchor, rng)])


def with_mirrored(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch of B pictures and P pairs -> 2 B and 2 P, the mirror images and their pairs behind."""
    doubled = {name: torch.cat([values, values]) for name, values in batch.items()}
    pictures, pairs = batch["pictures"], batch["pairs"]
    mirrored = torch.cat([pictures, pictures.flip(-1)]), torch.cat([pairs, pairs + len(pictures)])
    return doubled | dict(zip(("pictures", "pairs"), mirrored, strict=True))


@dataclass(frozen=True)
class PairScheme(Scheme):
    """One pair of the same person to `negatives` pairs of two; `loop.batch_size` counts pictures.

    other_camera: the same person's pictures come from two cameras, where there are two. mirrored: every pair is there a
    second time, both pictures mirrored.
    """

    gives_pairs = True

    negatives: int = 2
    other_camera: bool = True
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise UserError(f"scheme: pairs: negatives must be at least 1, got {self.negatives}")

    def num_labels(self, pictures: TrainingSet) -> int:
        return pictures.num_labels

    def start(self, network: ReIDNetwork, batches: Batches) -> Source:
        return PairBatches(batches, self)
