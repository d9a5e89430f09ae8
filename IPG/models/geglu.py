"""The gate of a feed-forward layer (GEGLU) as one operator, which reads and writes once: `torch.ops.pose2id.geglu`.

Inference only: the operator has no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

torch.library.define("pose2id::geglu", "(Tensor both) -> Tensor")


def geglu(both: Tensor) -> Tensor:
    """(..., 2 C), values and gates -> (..., C): values times GELU of the gates; on CUDA a Triton kernel."""
    return torch.ops.pose2id.geglu(both)


def plain_geglu(both: Tensor) -> Tensor:
    """What the kernel must equal, in PyTorch's operators."""
    values, gates = both.chunk(2, dim=-1)
    return values * F.gelu(gates)


def _on_cuda(both: Tensor) -> Tensor:
    from .kernels import geglu_kernel  # Triton is not everywhere

    with torch.cuda.device_of(both):
        return geglu_kernel(both)


torch.library.impl("pose2id::geglu", "CPU", plain_geglu)
torch.library.impl("pose2id::geglu", "CUDA", _on_cuda)
torch.library.register_fake("pose2id::geglu", lambda both: both.new_empty(*both.shape[:-1], both.shape[-1] // 2))
