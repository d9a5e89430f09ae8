"""Deep features of the denoising UNet, taken over from one step to the next (the idea of DeepCache, arXiv 2312.00858).

What the UNet computes away from its highest resolution changes little between neighbouring steps.
"""

from torch import Tensor, nn

from ..private import with_parts
from .denoising_unet import DenoisingUNet


class FeatureCache:
    """Called as the UNet is; every `every`-th call is complete, the others reuse the deep features of the last one.

    Each stream of predictions, conditional or not, of one batch needs its own cache. Nothing is kept in the UNet.
    """

    def __init__(self, unet: DenoisingUNet, every: int) -> None:
        self.every, self.calls = every, 0
        outer_down, outer_up = unet.down_blocks[0], unet.up_blocks[-1]
        deep = _DeepFeatures(outer_up)
        self.complete = with_parts(unet, up_blocks=nn.ModuleList([*unet.up_blocks[:-1], deep]))
        self.shallow = with_parts(
            unet,
            down_blocks=nn.ModuleList([with_parts(outer_down, downsamplers=None)]),
            mid_block=_Recall(deep),
            up_blocks=nn.ModuleList([outer_up]),
        )

    def __call__(self, *inputs: Tensor | int | dict | None) -> Tensor:
        unet = self.shallow if self.calls % self.every else self.complete
        self.calls += 1
        return unet(*inputs)


class _DeepFeatures(nn.Module):
    """The last up block, which remembers what it was given from below."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.resnets, self.has_cross_attention = block, block.resnets, True
        self.remembered: Tensor | None = None

    def forward(self, hidden_states: Tensor, **inputs: object) -> Tensor:
        self.remembered = hidden_states
        return self.block(hidden_states=hidden_states, **inputs)


class _Recall(nn.Module):
    """Stands for everything between the first down block and the last up block."""

    has_cross_attention = False

    def __init__(self, deep: _DeepFeatures) -> None:
        super().__init__()
        self.deep = deep

    def forward(self, hidden_states: Tensor, embedding: Tensor) -> Tensor:
        return self.deep.remembered
