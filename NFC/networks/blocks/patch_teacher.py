"""What a teacher says of the patches of a picture, and how attention learns it (SAP, semi-attention partition).

No code of the authors was found. Their formulas of both losses lack the minus sign, which is put in here; means instead
of sums, the share of a patch as the unit of sharpness, and that absent classes do not count, are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot

from pose2id.errors import UserError

from .vit import PATCH


@dataclass(frozen=True)
class PatchLabels:
    """Of B pictures with N patches and M classes.

    labels (B, N, M): how much a patch is of a class, rows of sum 1. foreground (B, N): 1 where a patch shows the
    person. present (B, M) bool: whether a picture has a class at all. known (B,) bool: whether it was labelled.
    """

    labels: Tensor
    foreground: Tensor
    present: Tensor
    known: Tensor


def from_label_maps(
    maps: Tensor, classes: int, patch: int = PATCH, stride: int = PATCH, sharpness: float = 10.0, threshold: float = 0.5
) -> PatchLabels:
    """Label maps (B, H, W) int64, 0 the background and -1 unknown, -> labels of patches, which may overlap.

    A row of labels is the softmax of sharpness x the shares of the classes in a patch; the paper's lambda is sharpness
    / patch^2. A patch is foreground where its label of the background is below the threshold. Unknown pixels, such as
    erased ones, are background; a map of them alone is not `known`. `UserError` for a label that is none.
    """
    if int(maps.max()) >= classes:
        raise UserError(f"a label map holds label {int(maps.max())}, but the network has {classes} classes")
    hits = maps.clamp(min=0)[:, None] == torch.arange(classes, device=maps.device)[:, None, None]
    shares = avg_pool2d(hits.float(), patch, stride).flatten(2).transpose(1, 2)  # (B, N, M)
    labels = (sharpness * shares).softmax(-1)
    foreground = (labels[..., 0] < threshold).to(labels.dtype)
    return PatchLabels(labels, foreground, shares.sum(1) > 0, (maps >= 0).flatten(1).any(1))


def from_stripes(pictures: int, grid: tuple[int, int], stripes: int, device: torch.device | None = None) -> PatchLabels:
    """Horizontal stripes of a grid of patches (rows, columns) for all pictures; there is no background."""
    rows, columns = grid
    stripe = (torch.arange(rows, device=device) * stripes // rows).repeat_interleave(columns)
    labels = one_hot(stripe, stripes).float().expand(pictures, -1, -1)
    everything = torch.ones(pictures, dtype=torch.bool, device=device)
    return PatchLabels(labels, torch.ones_like(labels[..., 0]), labels.sum(1) > 0, everything)


def affinity(said: PatchLabels) -> Tensor:
    """(B, 1 + N, 1 + N): whom the class token and the patches shall look at, the paper's A_patch."""
    pairs = said.labels @ said.labels.transpose(1, 2)
    corner = torch.ones_like(said.foreground[:, :1, None])
    first = torch.cat([corner, said.foreground[:, None]], 2)
    return torch.cat([first, torch.cat([said.foreground[..., None], pairs], 2)], 1)


def cross_entropies(logits: Tensor, target: Tensor, temperature: float = 1.0, kept: Tensor | None = None) -> Tensor:
    """(..., R, K) -> (..., R): softmax(target / temperature) and softmax(logits), of the columns kept (..., K)."""
    wanted, log_given = target / temperature, logits
    if kept is not None:
        lost = ~kept[..., None, :]
        wanted, log_given = wanted.masked_fill(lost, float("-inf")), log_given.masked_fill(lost, float("-inf"))
    log_given = log_given.log_softmax(-1)
    if kept is not None:
        log_given = log_given.masked_fill(lost, 0.0)
    return -(wanted.softmax(-1) * log_given).sum(-1)


def patch_losses(logits: Tensor, said: PatchLabels, temperature: float = 1.0, kept: Tensor | None = None) -> Tensor:
    """(B, 1 + N): cross-entropies of the attention logits (B, 1 + N, 1 + N) of class token and patches.

    kept (B, N) bool: patches that lost their row have 0.
    """
    rows = cross_entropies(logits, affinity(said).to(logits.dtype), temperature)
    return rows if kept is None else torch.cat([rows[:, :1], rows[:, 1:] * kept], 1)


def proxy_losses(logits: Tensor, said: PatchLabels, temperature: float = 1.0, kept: Tensor | None = None) -> Tensor:
    """(B, M): cross-entropies of the proxies' attention logits (B, M, N), among the patches kept (B, N)."""
    return cross_entropies(logits, said.labels.transpose(1, 2).to(logits.dtype), temperature, kept)


@torch.no_grad()
def repetition(tokens: Tensor, printed: bool = False) -> Tensor:
    """Patches (B, N, d) -> (B, N): how likely each loses its supervision, rows of sum 1.

    The softmax of the mean cosine similarity to all patches; `printed`, of the sum of raw products, which puts nearly
    all on one patch.
    """
    if printed:
        return (tokens @ tokens.sum(1)[..., None])[..., 0].softmax(1)
    unit = torch.nn.functional.normalize(tokens, dim=-1)
    return (unit @ unit.mean(1)[..., None])[..., 0].softmax(1)


@torch.no_grad()
def kept_patches(likely: Tensor, share: float) -> Tensor:
    """(B, N) bool: all but floor(share x N) patches, drawn without replacement in proportion to `likely` (B, N)."""
    kept = torch.ones_like(likely, dtype=torch.bool)
    if count := int(share * likely.shape[1]):
        drawn = torch.multinomial(likely.float().clamp(min=1e-30), count)
        kept.scatter_(1, drawn, False)
    return kept
