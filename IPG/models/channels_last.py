"""diffusers' blocks with fewer passes over memory: all stays channels-last, norms and gates are fused. Inference only.

Networks keep their modules and tensor names; only the class of a block, which is what it computes with them, changes.
"""

import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from .geglu import geglu
from .group_norm import group_norm


class ChannelsLastGroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` whose pictures stay channels-last."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        if hidden_states.ndim != 4:
            return super().forward(hidden_states)
        return group_norm(hidden_states, self, silu=False)


class ChannelsLastResnet(ResnetBlock2D):
    """Norm, SiLU and convolution twice; the first bias and the timestep are added where the second norm reads."""

    def forward(self, input_tensor: Tensor, temb: Tensor | None) -> Tensor:
        """(B, C, h, w) and time embedding (B, T) -> (B, C', h, w)."""
        hidden = _convolve(self.conv1, group_norm(input_tensor, self.norm1, silu=True))
        shift = self.conv1.bias.expand(len(hidden), -1)
        if temb is not None:
            shift = shift + self.time_emb_proj(F.silu(temb))
        hidden = group_norm(hidden, self.norm2, silu=True, shift=shift)
        if self.conv_shortcut is None:
            return input_tensor + self.conv2(hidden)
        bias = self.conv_shortcut.bias + self.conv2.bias
        shortcut = F.linear(input_tensor.permute(0, 2, 3, 1), self.conv_shortcut.weight.flatten(1), bias)
        return shortcut.permute(0, 3, 1, 2) + _convolve(self.conv2, hidden)


class ChannelsLastTransformer(Transformer2DModel):
    """Tokens are the pixels as they lie in memory; convolutions of one pixel are products of tokens."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        cross_attention_kwargs: dict[str, object] | None = None,
        return_dict: bool = False,
        **unused: object,
    ) -> tuple[Tensor]:
        """(B, C, h, w) -> the same; masks, timesteps and classes, which ours do not have, are ignored."""
        tokens = self.norm(hidden_states).permute(0, 2, 3, 1)
        shape = tokens.shape[1:3]
        tokens = F.linear(tokens.flatten(1, 2), self.proj_in.weight.flatten(1), self.proj_in.bias)
        for block in self.transformer_blocks:
            tokens = block(
                tokens, encoder_hidden_states=encoder_hidden_states, cross_attention_kwargs=cross_attention_kwargs
            )
        tokens = F.linear(tokens, self.proj_out.weight.flatten(1), self.proj_out.bias)
        return (hidden_states + tokens.unflatten(1, shape).permute(0, 3, 1, 2),)


class FusedGEGLU(GEGLU):
    """The gate of a feed-forward layer, read and written once."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return geglu(self.proj(hidden_states))


def _convolve(conv: nn.Conv2d, hidden: Tensor) -> Tensor:
    """Without the bias, which a GPU would add in a pass of its own."""
    return F.conv2d(hidden, conv.weight, None, conv.stride, conv.padding)


SWAPS: dict[type, type] = {
    nn.GroupNorm: ChannelsLastGroupNorm,
    ResnetBlock2D: ChannelsLastResnet,
    Transformer2DModel: ChannelsLastTransformer,
    GEGLU: FusedGEGLU,
}


def set_channels_last_blocks(network: nn.Module, on: bool) -> None:
    """Let every block of `network` that has such a form compute in it, or as diffusers does again."""
    swaps = SWAPS if on else {ours: plain for plain, ours in SWAPS.items()}
    for module in network.modules():
        if type(module) in swaps and _fits(module):
            module.__class__ = swaps[type(module)]


def _fits(module: nn.Module) -> bool:
    """Whether a block is of the plain kind that Stable Diffusion has."""
    if isinstance(module, ResnetBlock2D):
        resized = module.upsample is not None or module.downsample is not None
        return not resized and module.time_embedding_norm == "default" and module.output_scale_factor == 1
    return not isinstance(module, Transformer2DModel) or module.is_input_continuous
