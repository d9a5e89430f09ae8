"""How, not what, is computed: what is fastest on a device."""

from dataclasses import dataclass

import torch

from pose2id.devices import runs_triton


@dataclass(frozen=True)
class Execution:
    """channels_last: the layout of the networks' weights. together: references are encoded in batches.

    fused: norms with SiLU, projections and the places of references in one, see `models.channels_last` and
    `models.fused_attention`. replayed: so are calls of small batches, see `models.replayed`.
    """

    channels_last: bool
    together: bool
    fused: bool
    replayed: bool

    def __str__(self) -> str:
        layout = "channels-last" if self.channels_last else "contiguous"
        references = "references in batches" if self.together else "references one by one"
        norms = f"{'fused' if self.fused else 'plain'} norms and projections"
        return f"{layout}, {references}, {norms}{', small batches replayed' if self.replayed else ''}"


def execution_for(device: torch.device, dtype: torch.dtype) -> Execution:
    """The fastest on a device.

    Convolutions in half precision are faster channels-last, those in float32 are slower. References one by one keep the
    bits of a picture on a CPU independent of its company.
    """
    half = dtype != torch.float32
    fused = half and device.type == "cuda" and runs_triton(device)
    together = device.type != "cpu"
    return Execution(channels_last=half, together=together, fused=fused, replayed=device.type == "cuda")
