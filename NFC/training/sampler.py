"""Which pictures go into a batch: P labels with K pictures each, or any."""

from collections.abc import Callable

import numpy as np
import torch

from pose2id.errors import UserError


class PKSampler:
    """Draws P = batch / K different labels and K pictures of each, from as many cameras as there are.

    labels, camids: (N,) integers; a label with less than K pictures repeats them. The K pictures of a label take turns
    among its cameras. Raises `UserError` for K < 2 or fewer labels than P.
    """

    def __init__(self, labels: np.ndarray, camids: np.ndarray, batch_size: int, pictures_per_label: int) -> None:
        if pictures_per_label < 2 or batch_size % pictures_per_label:
            raise UserError(
                f"a batch of {batch_size} with {pictures_per_label} pictures a person cannot be: "
                "ask for at least 2 a person, and a batch size that this divides"
            )
        self.people, self.pictures_per_label = batch_size // pictures_per_label, pictures_per_label
        rows = np.lexsort((camids, labels))
        _, starts = np.unique(labels[rows], return_index=True)
        if not 2 <= self.people <= len(starts):
            raise UserError(
                f"batches of {self.people} people cannot be drawn from {len(starts)}: "
                "each needs at least 2 people, and no more than there are"
            )
        self.rows_of = np.split(rows, starts[1:])  # of each label, sorted by camera
        self.camids = camids

    def __call__(self, generator: torch.Generator) -> np.ndarray:
        """(P * K,) int64 rows, those of a label side by side."""
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generator).item())
        chosen = rng.choice(len(self.rows_of), self.people, replace=False)
        return np.concatenate([self._draw(self.rows_of[label], rng) for label in chosen])

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """K of a label's rows: first one of each camera, then a second one of each, and so on."""
        rows = rng.permutation(rows)
        _, camera = np.unique(self.camids[rows], return_inverse=True)
        turn = np.empty(len(rows), np.int64)  # of each picture its number, from 0, among those of its camera
        for number in range(camera.max() + 1):
            of_camera = np.flatnonzero(camera == number)
            turn[of_camera] = np.arange(len(of_camera))
        return np.resize(rows[np.argsort(turn, kind="stable")], self.pictures_per_label)


class RandomSampler:
    """Draws `batch_size` different pictures, whoever they show, as PCB is trained; arguments as of `PKSampler`.

    Every batch is drawn anew, where the authors' code goes through all pictures in each epoch.
    """

    def __init__(self, labels: np.ndarray, camids: np.ndarray, batch_size: int, pictures_per_label: int) -> None:
        if not 1 <= batch_size <= len(labels):
            raise UserError(f"{batch_size} different pictures cannot be drawn from {len(labels)}; take a smaller batch")
        self.pictures, self.batch_size = len(labels), batch_size

    def __call__(self, generator: torch.Generator) -> np.ndarray:
        """(batch_size,) int64 rows."""
        return torch.randperm(self.pictures, generator=generator)[: self.batch_size].numpy()


SAMPLERS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], PKSampler | RandomSampler]] = {
    "people": PKSampler,
    "random": RandomSampler,
}
