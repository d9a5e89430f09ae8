"""Train the small TransReID of the mini preset on groups of synthetic pedestrians.

python scripts/train_reid.py --groups runs/groups [--preset mini] [key=value ...]

A contrastive loss on each of the five branches; the global one has weight one half, the four jigsaw branches
share the other half.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from IPG.checkpoints import save_safetensors
from IPG.presets import load_preset
from IPG.training.loop import Loop, LoopConfig
from NFC.config import load_config
from NFC.datasets.synthetic.groups import Groups, read_groups
from NFC.errors import run_command
from NFC.extractors.transreid import TransReID

PICTURES_PER_PERSON = 4
TEMPERATURE = 0.1
PAD = 4  # pixels of random shift
ERASE = 0.4  # share of pictures with a random rectangle erased


def contrastive_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Every picture must find those of its own person among the batch: (B, d), (B,) -> scalar.

    Cross-entropy over cosine similarities, averaged over the positives of each picture (Khosla et al., 2020).
    """
    features = F.normalize(features.float(), dim=1)
    logits = features @ features.T / TEMPERATURE
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_share = logits.masked_fill(itself, float("-inf")).log_softmax(1).masked_fill(itself, 0)
    positives = (labels[:, None] == labels[None]) & ~itself
    return -((log_share * positives).sum(1) / positives.sum(1)).mean()


def augment(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Random flip, shift and erasing of (B, 3, H, W) in [-1, 1]."""
    batch, _, height, width = pictures.shape
    flip = torch.rand(batch, generator=generator) < 0.5
    pictures = torch.where(flip[:, None, None, None], pictures.flip(3), pictures)
    padded = F.pad(pictures, (PAD, PAD, PAD, PAD), mode="replicate")
    out = torch.empty_like(pictures)
    shifts = torch.randint(2 * PAD + 1, (batch, 2), generator=generator).tolist()
    corners = torch.rand(batch, 5, generator=generator).tolist()
    for row, ((dy, dx), (chance, y, x, h, w)) in enumerate(zip(shifts, corners, strict=True)):
        out[row] = padded[row, :, dy : dy + height, dx : dx + width]
        if chance < ERASE:
            top, left = int(y * height * 0.8), int(x * width * 0.8)
            bottom, right = top + 8 + int(h * height * 0.35), left + 6 + int(w * width * 0.4)
            out[row, :, top:bottom, left:right] = torch.randn(3, 1, 1, generator=generator).clamp(-1, 1)
    return out


class ReIDLoss(nn.Module):
    def __init__(self, network: TransReID) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        features = self.network.branch_features(batch["pictures"])
        losses = [contrastive_loss(feature, batch["labels"]) for feature in features]
        return losses[0] / 2 + sum(losses[1:]) / 8, {"global": losses[0].item(), "part": losses[1].item()}


class PKSampler:
    """Batches of P classes with K pictures each, every one from another view of the person if there is one."""

    def __init__(self, groups: Groups, batch_size: int) -> None:
        self.pictures = groups.pictures
        classes, self.labels = np.unique(groups.classes, return_inverse=True)
        self.groups_of = [np.flatnonzero(self.labels == label) for label in range(len(classes))]
        self.people = batch_size // PICTURES_PER_PERSON

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generator).item())
        labels = rng.choice(len(self.groups_of), self.people, replace=False)
        rows = np.concatenate([np.resize(rng.permutation(self.groups_of[c]), PICTURES_PER_PERSON) for c in labels])
        members = np.tile(rng.permutation(self.pictures.shape[1])[:PICTURES_PER_PERSON], self.people)
        pictures = torch.from_numpy(self.pictures[rows, members]).movedim(-1, 1).float() / 127.5 - 1
        return {
            "pictures": augment(pictures, generator),
            "labels": torch.from_numpy(np.repeat(labels, PICTURES_PER_PERSON)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=Path, default=Path("runs/groups"))
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--config", default="configs/train/reid.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    config = load_config(LoopConfig, args.config, args.overrides)
    sampler = PKSampler(read_groups(args.groups), config.batch_size)
    torch.manual_seed(config.seed)
    network = TransReID.from_sizes(load_preset(args.preset).reid)

    def export(path: Path) -> None:
        save_safetensors(network, path / "transformer_20.safetensors", torch.float16)

    Loop(ReIDLoss(network), sampler, export, config).run()


if __name__ == "__main__":
    run_command(main)
