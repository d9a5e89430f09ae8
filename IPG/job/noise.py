"""Noise in the order of the official script, for `--official_noise`. Otherwise see `IPGPipeline.noise`."""

import torch
from torch import Tensor


class OfficialNoise:
    """One generator, seeded once, that gives one batch of noise to each reference in turn.

    The references of a folder take their turns in the order of their names, and a batch has one row for each pose, in
    the order of the poses. So the noise of a picture depends on the seed, on how many references come before
    its own, and on how many poses there are; a reference that cannot be read keeps its turn. Every folder starts anew.
    """

    def __init__(self, seed: int, poses: int, latent_shape: tuple[int, int, int]) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._shape = (poses, *latent_shape)
        self._next_turn = 0

    def draw(self, turn: int) -> Tensor:
        """(poses, C, h, w) float32 of reference number `turn`, from 0. `ValueError` when that turn is over.

        Turns that are skipped, because their pictures exist or another process draws them, are drawn and dropped.
        """
        if turn < self._next_turn:
            raise ValueError(f"turn {turn} is over; the next one is {self._next_turn}")
        for _ in range(turn + 1 - self._next_turn):
            noise = torch.randn(self._shape, generator=self._generator)
        self._next_turn = turn + 1
        return noise
