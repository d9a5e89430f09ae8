"""Training on pairs, then on pairs of two people that the network takes for one (Ahmed et al., CVPR 2015)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pose2id.devices import is_first_process
from pose2id.errors import UserError

from ...networks.blocks.pair_network import JudgesPairs, likeness
from ...networks.reid_network import Inputs, ReIDNetwork
from ..batches import Batches, Source
from .pairs import PairBatches, PairScheme
from .staged import hold

TOGETHER = 128  # pairs that are judged at once


class HardPairBatches(PairBatches):
    """Before step `after`, `candidates` pairs of an anchor and somebody else are judged, and the `kept` likeliest kept.

    From there on an anchor is that of one of those, its negatives are drawn from its partners in them, and only the
    network's `last_layers` learn. That one positive goes with `negatives` of them, as before, is ours.
    """

    scheme: "HardPairScheme"

    def __init__(self, network: JudgesPairs, batches: Batches, scheme: "HardPairScheme") -> None:
        super().__init__(batches, scheme)
        self.network = network
        self.trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        self.hard: np.ndarray | None = None  # (kept, 2) rows of the training set, the anchor first

    def before_step(self, step: int) -> None:
        super().before_step(step)
        if step < self.scheme.after:
            self.hard = None
            return
        if self.hard is None:
            self.hard = self._judged(np.random.default_rng(step))
        hold(self.network, self.trained, self.network.last_layers)

    def draw_anchors(self, rng: np.random.Generator) -> np.ndarray:
        return super().draw_anchors(rng) if self.hard is None else rng.choice(self.hard[:, 0], self.groups)

    def draw_others(self, anchor: int, rng: np.random.Generator) -> np.ndarray:
        if self.hard is None:
            return super().draw_others(anchor, rng)
        return rng.choice(self.hard[self.hard[:, 0] == anchor, 1], self.scheme.negatives)

    def _judged(self, rng: np.random.Generator) -> np.ndarray:
        """(kept, 2) rows: of the candidates those that the network finds most alike, the likeliest first."""
        per_anchor = -(-self.scheme.candidates // len(self.anchors))
        drawn = [
            (anchor, other)
            for anchor in rng.permutation(self.anchors)
            for other in rng.choice(self.others(anchor), per_anchor)
        ]
        pairs = np.unique(drawn[: self.scheme.candidates], axis=0)
        blocks = tqdm(
            np.split(pairs, range(TOGETHER, len(pairs), TOGETHER)), "hard pairs", disable=not is_first_process()
        )
        likeness = torch.cat([self._likeness(block) for block in blocks])
        return pairs[likeness.argsort(descending=True, stable=True)[: self.scheme.kept].numpy()]

    @torch.inference_mode()
    def _likeness(self, pairs: np.ndarray) -> Tensor:
        """Rows (P, 2) -> (P,) on the CPU: log-odds of "same", or minus the distance, of pictures as they are."""
        rows, places = np.unique(pairs, return_inverse=True)
        pixels = torch.from_numpy(np.array(self.batches.pictures.pictures[rows])).permute(0, 3, 1, 2) / 255
        device = next(self.network.parameters()).device
        shown = self.batches.preprocessing.normalise(pixels).to(device)
        self.network.eval()
        (branch,) = self.network.branches(Inputs(shown, pairs=torch.from_numpy(places.reshape(pairs.shape)).to(device)))
        return likeness(branch.pairs.distances, branch.pairs.scores).cpu()

    def state_dict(self) -> dict[str, object]:
        return {} if self.hard is None else {"hard": torch.from_numpy(self.hard)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        hard = state.get("hard")
        self.hard = hard.numpy() if isinstance(hard, Tensor) else None


@dataclass(frozen=True)
class HardPairScheme(PairScheme):
    """Like `pairs` for `after` steps; then the `kept` likeliest of `candidates` pairs of two people are the negatives.

    All three numbers are ours: no source has them.
    """

    after: int = 200_000
    candidates: int = 50_000
    kept: int = 5_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after < 0:
            raise UserError(f"scheme: hard_pairs: after cannot be below 0, got {self.after}")
        if not 1 <= self.kept <= self.candidates:
            raise UserError(
                f"scheme: hard_pairs: kept must be from 1 to candidates ({self.candidates}), got {self.kept}"
            )

    def start(self, network: ReIDNetwork, batches: Batches) -> Source:
        """`UserError` for a network that is not trained on pairs."""
        if not isinstance(network, JudgesPairs):
            raise UserError(f"network '{network.name}' judges no pairs, so none are hard; give scheme=supervised")
        return HardPairBatches(network, batches, self)
