"""Reference attention: the denoising UNet's self-attention also sees the reference picture's tokens.

Both UNets are diffusers' own; the two attention processors here are all that differs. What was kept of the reference
travels as an argument (`cross_attention_kwargs`), so the networks hold no state between calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

# Block name -> what was kept there: tokens (B, N, dim), or their keys and values (B, N, dim) each.
ReferenceFeatures = dict[str, Tensor | tuple[Tensor, Tensor]]
ProjectedTokens = dict[str, tuple[Tensor, Tensor]]  # block name -> keys and values (B or 1, T, dim) of identity tokens

SELF_ATTENTION, CROSS_ATTENTION = ".attn1.processor", ".attn2.processor"
BLOCK_ELEMENTS = 2**21  # attention weights of one block, 4 MB: what stays in the cache


@dataclass(frozen=True)
class Reference:
    """What the readers attend to: the tokens of n pictures, one picture after the other, and their weights (B, n).

    A weight multiplies what the softmax gives to a picture's tokens: with 1/n each, n copies of a picture are as good
    as one, and with 0 it is not seen. None: one picture, seen by all rows.
    """

    features: ReferenceFeatures
    weights: Tensor | None = None


def sdpa(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's attention. (B, heads, N, dim) each, mask broadcast to (B, heads, queries, keys) -> like the queries."""
    on_cpu_in_half = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
    if on_cpu_in_half and mask is None and not torch.is_grad_enabled():
        return _in_blocks(queries, keys, values)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def _in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The same in blocks of queries that stay in the cache: twice as fast on a CPU without matrix tiles (AMX)."""
    batch, heads, _, dim = queries.shape
    keys = (keys * dim**-0.5).flatten(0, 1).transpose(1, 2)
    values = values.flatten(0, 1)
    block = max(1, BLOCK_ELEMENTS // (batch * heads * keys.shape[2]))
    attended = [torch.bmm(torch.bmm(part, keys).softmax(-1), values) for part in queries.flatten(0, 1).split(block, 1)]
    return torch.cat(attended, dim=1).unflatten(0, (batch, heads))


def xformers(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """The same through xformers, which has no masks of this kind: for generation, on NVIDIA GPUs."""
    from xformers.ops import memory_efficient_attention

    if mask is not None:
        raise ValueError("xformers attention takes no mask: train with the kernel 'sdpa'")
    swapped = (x.transpose(1, 2).contiguous() for x in (queries, keys, values))
    return memory_efficient_attention(*swapped).transpose(1, 2)


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
KERNELS: dict[str, Kernel] = {"sdpa": sdpa, "xformers": xformers}


def _split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(B, N, dim) -> (B, heads, N, dim / heads)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(
    kernel: Kernel, attn: Attention, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Multi-head attention with `attn`'s output projection; queries, keys, values: (B, N, dim), already projected."""
    hidden = kernel(*(_split_heads(x, attn.heads) for x in (queries, keys, values)), mask)
    return attn.to_out[0](hidden.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class CrossAttention:
    """Plain attention; takes and ignores the reference arguments that diffusers hands to every processor.

    Keys and values are those of `identity` where it is given.
    """

    name: str
    kernel: Kernel = sdpa

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        kept: dict[str, Tensor] | None = None,
        reference: object = None,
        identity: ProjectedTokens | None = None,
    ) -> Tensor:
        if identity is None:
            keys, values = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        else:
            keys, values = (x.expand(len(hidden_states), -1, -1) for x in identity[self.name])
        return attend(self.kernel, attn, attn.to_q(hidden_states), keys, values)


@dataclass(frozen=True)
class ReferenceWriter:
    """Plain self-attention that also keeps its input, the tokens after `norm1`, in `kept[name]`."""

    name: str
    kernel: Kernel = sdpa

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        kept: dict[str, Tensor] | None = None,
    ) -> Tensor:
        if kept is not None:
            kept[self.name] = hidden_states
        return attend(self.kernel, attn, attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))


@dataclass(frozen=True)
class ReferenceReader:
    """Self-attention whose keys and values come from [own tokens ; reference tokens of the block of the same name]."""

    name: str
    kernel: Kernel = sdpa

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        reference: Reference | None = None,
        identity: ProjectedTokens | None = None,
    ) -> Tensor:
        queries, keys, values = (project(hidden_states) for project in (attn.to_q, attn.to_k, attn.to_v))
        mask = None
        if reference is not None:
            batch, own = hidden_states.shape[:2]
            kept = reference.features[self.name]
            kept_keys, kept_values = kept if isinstance(kept, tuple) else (attn.to_k(kept), attn.to_v(kept))
            keys = torch.cat([keys, kept_keys.expand(batch, -1, -1)], dim=1)
            values = torch.cat([values, kept_values.expand(batch, -1, -1)], dim=1)
            if reference.weights is not None:
                mask = key_mask(reference.weights.to(queries.dtype), own, kept_keys.shape[1])
        return attend(self.kernel, attn, queries, keys, values, mask)


def key_mask(weights: Tensor, own: int, kept: int) -> Tensor:
    """(B, n) -> (B, 1, 1, own + kept), to be added before the softmax: log weight; own tokens have weight 1."""
    logs = weights.log().repeat_interleave(kept // weights.shape[1], 1)
    return torch.cat([logs.new_zeros(len(logs), own), logs], dim=1)[:, None, None]


def set_reference_processors(
    unet: UNet2DConditionModel, self_attention: Callable[[str, Kernel], object], kernel: Kernel = sdpa
) -> None:
    """Give every self-attention of `unet` a `self_attention(block name, kernel)`, and the others plain attention."""
    unet.set_attn_processor(
        {
            name: self_attention(name.removesuffix(SELF_ATTENTION), kernel)
            if name.endswith(SELF_ATTENTION)
            else CrossAttention(name.removesuffix(CROSS_ATTENTION), kernel)
            for name in unet.attn_processors
        }
    )


def project_reference(unet: UNet2DConditionModel, features: ReferenceFeatures) -> ReferenceFeatures:
    """Keys and values of the kept tokens, by the denoising UNet's own projections: once for all poses and steps."""
    projected = {}
    for name, tokens in features.items():
        attn = unet.get_submodule(f"{name}.attn1")
        projected[name] = (attn.to_k(tokens), attn.to_v(tokens))
    return projected


def stack_references(people: Sequence[ReferenceFeatures]) -> Reference:
    """Projected features of people, a row each; of each keys and values (n, N, dim), of his n pictures.

    Where people have different numbers of pictures, some of nothing, which are not seen, fill the rows.
    """
    counts = [len(next(iter(one.values()))[0]) for one in people]
    most = max(counts)
    features = {
        name: tuple(torch.stack([_filled(one[name][part], most).flatten(0, 1) for one in people]) for part in (0, 1))
        for name in people[0]
    }
    if most == 1:
        return Reference(features)
    weights = [[1 / count] * count + [0.0] * (most - count) for count in counts]
    return Reference(features, torch.tensor(weights, device=features[next(iter(features))][0].device))


def _filled(pictures: Tensor, count: int) -> Tensor:
    """(n, N, dim) -> (count, N, dim): zeros behind."""
    if len(pictures) == count:
        return pictures
    return F.pad(pictures, (0, 0, 0, 0, 0, count - len(pictures)))
