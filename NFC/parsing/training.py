"""Training of the parser on groups of synthetic pedestrians, whose body parts are known at every pixel."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SegformerForSemanticSegmentation

from pose2id.errors import UserError

from ..datasets.synthetic.groups import Groups
from ..datasets.synthetic.spoiling import spoil
from ..networks.preprocessing import Preprocessing
from .network import class_scores

OCCLUDED = 0.4  # share of pictures where something stands in front
ZOOM = (-0.15, 0.2)  # logarithms of how much larger a picture's content is shown
SHIFT = 0.06  # how far a box is off, in heights and widths of the picture


class ParsingLoss(nn.Module):
    """Cross entropy of the class of every pixel, and `dice_loss`; `accuracy` is the share of pixels that are right."""

    def __init__(self, network: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, Tensor], generators: list[torch.Generator]) -> tuple[Tensor, dict[str, float]]:
        scores = class_scores(self.network, batch["pictures"]).float()
        right = (scores.detach().max(1).indices == batch["parsing"]).float().mean()
        overlap = dice_loss(scores.softmax(1), batch["parsing"])
        return F.cross_entropy(scores, batch["parsing"]) + overlap, {"accuracy": right, "dice": overlap.detach()}


def dice_loss(shares: Tensor, parsing: Tensor) -> Tensor:
    """1 - Dice coefficient (Milletari et al., 3DV 2016) of the batch, mean over the body parts; background has none.

    shares: (B, C, H, W), each class's probability; parsing: (B, H, W) int64. Where arms are a few pixels of thousands,
    it counts them as much as it counts a torso. Squares in the denominator, and one pixel added on both sides (ours).
    """
    wanted = F.one_hot(parsing, shares.shape[1]).movedim(-1, 1)[:, 1:].to(shares.dtype)
    found = shares[:, 1:]
    both = (found * wanted).sum((0, 2, 3))
    either = (found.square() + wanted).sum((0, 2, 3))
    return 1 - ((2 * both + 1) / (either + 1)).mean()


class ParsingSampler:
    """Batches of `pictures` (B, 3, H, W), normalised, and `parsing` (B, H, W) int64 from groups, augmented.

    All of a batch comes from its first generator. `UserError` for groups that were written without body parts.
    """

    def __init__(self, groups: Groups, preprocessing: Preprocessing, batch_size: int) -> None:
        if groups.parsing is None:
            raise UserError("the groups have no body parts; write them again: pose2id synthetic --layout groups")
        self.groups, self.parsing = groups, groups.parsing
        self.preprocessing, self.batch_size = preprocessing, batch_size

    def __call__(self, generators: list[torch.Generator]) -> dict[str, Tensor]:
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generators[0]).item())
        rows, members = self.groups.draw(self.batch_size, OCCLUDED, rng)
        pictures = torch.from_numpy(self.groups.pictures[rows, members]).movedim(-1, 1).float() / 255
        parsing = torch.from_numpy(self.parsing[rows, members])
        size = self.preprocessing.height, self.preprocessing.width
        pictures, parsing = reframe(pictures, parsing, rng, size)
        pictures, covered = spoil(pictures, rng)
        pixels = self.preprocessing.normalise(pictures)
        return {"pictures": pixels, "parsing": parsing.masked_fill(covered, 0).long()}


def reframe(
    pictures: Tensor, parsing: Tensor, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, h, w) and their label maps (B, h, w) as other boxes would show them, half of them mirrored.

    Returns them in `size`; beyond the picture its edge is repeated.
    """
    batch = len(pictures)
    zoom = torch.from_numpy(np.exp(rng.uniform(*ZOOM, batch))).float()
    mirror = torch.from_numpy(np.where(rng.random(batch) < 0.5, -1.0, 1.0)).float()
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirror / zoom, 1 / zoom
    theta[:, :, 2] = torch.from_numpy(rng.uniform(-2 * SHIFT, 2 * SHIFT, (batch, 2))).float()
    grid = F.affine_grid(theta, [batch, 3, *size], align_corners=False)
    options = {"padding_mode": "border", "align_corners": False}
    shown = F.grid_sample(pictures, grid, mode="bilinear", **options)
    labels = F.grid_sample(parsing[:, None].float(), grid, mode="nearest", **options)
    return shown, labels[:, 0].round().byte()
