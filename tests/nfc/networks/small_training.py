"""A few steps of training on synthetic people, and how well the network tells others apart before and after."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from NFC import evaluate_ranking
from NFC.datasets.synthetic import View, World

CAMERAS = 4
BATCH_PEOPLE = 8


@lru_cache
def people(first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (N, 3, 128, 64) in [-1, 1], pids and camids: one of each person by each camera."""
    world = World(0)
    views = [View(pid, camid, 0) for pid in range(first, first + count) for camid in range(CAMERAS)]
    pictures = np.stack([world.shoot(view).picture for view in views])
    labels = torch.tensor([[view.pid, view.camid] for view in views])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1, labels[:, 0], labels[:, 1]


def contrastive_loss(feats: Tensor, pids: Tensor) -> Tensor:
    """Each picture must find those of its own person in the batch: (B, d), (B,) -> scalar."""
    feats = normalize(feats, dim=1)
    logits = (feats @ feats.T / 0.1).fill_diagonal_(-1e4)
    same = (pids[:, None] == pids).fill_diagonal_(False)
    return -(logits.log_softmax(1) * same).sum() / same.sum()


Vectors = Callable[[Tensor, Tensor], Sequence[Tensor]]  # (images, camids) -> features (B, d), trained side by side
Distances = Callable[[Tensor, Tensor], Tensor]  # (images, camids) -> (N, N)


def before_and_after(
    network: nn.Module, vectors: Vectors, distances: Distances, size: tuple[int, int], steps: int, lr: float
) -> tuple[float, float]:
    """mAP of the random network and of the trained one, among people neither has seen."""
    settle(network, vectors, size)
    before = accuracy(distances, size)
    train(network, vectors, size, steps, lr)
    settle(network, vectors, size)
    return before, accuracy(distances, size)


def train(network: nn.Module, vectors: Vectors, size: tuple[int, int], steps: int, lr: float) -> None:
    """Train on 24 people."""
    pictures, pids, camids = people(0, 24)
    pictures = interpolate(pictures, size, mode="area")
    groups = torch.arange(len(pids)).view(-1, CAMERAS)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    network.train()
    for _ in range(steps):
        rows = groups[torch.randperm(len(groups), generator=generator)[:BATCH_PEOPLE]].flatten()
        loss = sum(contrastive_loss(v, pids[rows]) for v in vectors(pictures[rows], camids[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def settle(network: nn.Module, vectors: Vectors, size: tuple[int, int]) -> None:
    """Give the batch norms the statistics of the training pictures, and go to evaluation mode."""
    pictures, _, camids = (values[:48] for values in people(0, 24))
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = 1.0
    network.train()
    vectors(interpolate(pictures, size, mode="area"), camids)
    network.eval()


@torch.no_grad()
def accuracy(distances: Distances, size: tuple[int, int]) -> float:
    """mAP among 16 people who were not trained on."""
    pictures, pids, camids = people(100, 16)
    matrix = distances(interpolate(pictures, size, mode="area"), camids)
    return evaluate_ranking(None, None, pids, pids, camids, camids, distances=matrix).mAP


def without_gradient(network: nn.Module, unused: tuple[str, ...]) -> list[str]:
    """Parameters that the last step did not reach, other than those that start with one of `unused`."""
    return [name for name, p in network.named_parameters() if p.grad is None and not name.startswith(unused)]
