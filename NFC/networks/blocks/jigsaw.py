"""TransReID's shuffle of patch tokens."""

import torch
from torch import Tensor

SHIFT = 5  # the tokens are rotated by SHIFT - 1 places
GROUPS = 2  # ... and so many groups of them interleaved


def jigsaw_parts(patches: Tensor, parts: int) -> list[Tensor]:
    """Shuffle patch tokens (B, N, dim) and cut them into `parts` parts of (B, N // parts, dim).

    The tokens are rotated left by SHIFT - 1, then the GROUPS halves are interleaved (an odd count first
    gets its last-but-one token appended). What remains after the last part is dropped.
    """
    batch, count, dim = patches.shape
    shuffled = patches.roll(1 - SHIFT, dims=1)
    if count % GROUPS:
        shuffled = torch.cat([shuffled, shuffled[:, -2:-1]], dim=1)
    shuffled = shuffled.view(batch, GROUPS, -1, dim).transpose(1, 2).reshape(batch, -1, dim)
    length = count // parts
    return [shuffled[:, part * length : (part + 1) * length] for part in range(parts)]
