"""Group normalization with SiLU as one operator on channels-last tensors: `torch.ops.pose2id.group_norm`.

PyTorch's own on a GPU copies a channels-last tensor to a contiguous one, and the convolution after it copies it back.
Inference only: the operator has no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

torch.library.define(
    "pose2id::group_norm",
    "(Tensor x, Tensor weight, Tensor bias, int groups, float eps, bool silu, Tensor? shift) -> Tensor",
)


def group_norm(x: Tensor, norm: nn.GroupNorm, silu: bool, shift: Tensor | None = None) -> Tensor:
    """(N, C, H, W) -> the same, channels-last: `norm` of x + shift (N, C), then SiLU if asked for.

    Moments are in float32 whatever the dtype (float32, bfloat16, float16). On CUDA a Triton kernel, elsewhere
    `plain_group_norm`.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    return torch.ops.pose2id.group_norm(x, norm.weight, norm.bias, norm.num_groups, norm.eps, silu, shift)


def plain_group_norm(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool, shift: Tensor | None
) -> Tensor:
    """What the kernel must equal, in PyTorch's operators."""
    x = x if shift is None else x + shift[:, :, None, None]
    normed = F.group_norm(x, groups, weight, bias, eps)
    return (F.silu(normed) if silu else normed).contiguous(memory_format=torch.channels_last)


def _on_cuda(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool, shift: Tensor | None
) -> Tensor:
    from .kernels import group_norm_kernel  # Triton is not everywhere

    with torch.cuda.device_of(x):
        return group_norm_kernel(x, weight, bias, groups, eps, silu, shift)


torch.library.impl("pose2id::group_norm", "CPU", plain_group_norm)
torch.library.impl("pose2id::group_norm", "CUDA", _on_cuda)
torch.library.register_fake("pose2id::group_norm", lambda x, *_: torch.empty_like(x))
