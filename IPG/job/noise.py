"""Where the noise of a job's pictures comes from: the names, or the order of the official script."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..sampling import picture_noise


class Noise(Protocol):
    """Noise for the references of one folder."""

    def draw(self, name: str, turn: int) -> Tensor:
        """(poses, C, h, w) float32 of the reference `name`, number `turn` of its folder, from 0."""


class NamedNoise:
    """Noise that depends on the seed, the reference's name and the pose's name, and on nothing else."""

    def __init__(self, seed: int, pose_names: Sequence[str], latent_shape: tuple[int, int, int]) -> None:
        self.seed, self.pose_names, self.latent_shape = seed, pose_names, latent_shape

    def draw(self, name: str, turn: int) -> Tensor:
        return torch.stack([picture_noise(self.seed, name, pose, self.latent_shape) for pose in self.pose_names])


class OfficialNoise:
    """One generator, seeded once, that gives one batch of noise to each reference in turn.

    The references of a folder take their turns in the order of their names, and a batch has one row for each pose, in
    the order of the poses. So the noise of a picture depends on the seed, on how many references come before
    its own, and on how many poses there are; a reference that cannot be read keeps its turn. Every folder starts anew.
    """

    def __init__(self, seed: int, pose_names: Sequence[str], latent_shape: tuple[int, int, int]) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._shape = (len(pose_names), *latent_shape)
        self._next_turn = 0

    def draw(self, name: str, turn: int) -> Tensor:
        """See `Noise.draw`; `ValueError` when that turn is over.

        Turns that are skipped, because their pictures exist or another process draws them, are drawn and dropped.
        """
        if turn < self._next_turn:
            raise ValueError(f"turn {turn} is over; the next one is {self._next_turn}")
        for _ in range(turn + 1 - self._next_turn):
            noise = torch.randn(self._shape, generator=self._generator)
        self._next_turn = turn + 1
        return noise
