"""Reference attention with less to compute and to copy in a step: for inference on a GPU, see `reference_attention`.

Queries, keys and values come from one product. Those of the reference lie behind the place of the picture's own, where
each step writes; keys and values of the identity tokens are computed once for all steps.
"""

from dataclasses import dataclass, field

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import bmm_flop, register_flop_formula

from .reference_attention import (
    CROSS_ATTENTION,
    Kernel,
    ProjectedTokens,
    Reference,
    ReferenceReader,
    attend,
    key_mask,
    sdpa,
    set_reference_processors,
)

torch.library.define("pose2id::project_into", "(Tensor tokens, Tensor weight, Tensor(a!) rows) -> ()")


def _project_into(tokens: Tensor, weight: Tensor, rows: Tensor) -> None:
    """(B, N, dim) by a weight (out, dim), into the first N of rows (B, M, out); an operator, so that it compiles."""
    torch.bmm(tokens, weight.T.expand(len(tokens), -1, -1), out=rows[:, : tokens.shape[1]])


torch.library.impl("pose2id::project_into", "CompositeExplicitAutograd", _project_into)
torch.library.register_fake("pose2id::project_into", lambda tokens, weight, rows: None)


@register_flop_formula(torch.ops.pose2id.project_into)
def _flop(tokens: torch.Size, weight: torch.Size, rows: torch.Size, out_shape: object = None) -> int:
    return bmm_flop(tokens, (tokens[0], *weight[::-1]))


@dataclass(frozen=True)
class PlacedReference:
    """A `Reference` where the readers want it: for a block's name its rows (B, own + kept, 3 dim), for one run.

    A row is query, key and value of a token. The first `own` are written anew in every step; of the kept ones, which
    are those of the reference, the query is not used.
    """

    rows: dict[str, Tensor]
    weights: Tensor | None = None


def place_reference(reference: Reference, batch: int) -> PlacedReference:
    """Projected features of batch `batch` or 1, of pictures that have as many tokens as those to draw."""
    placed, pictures = {}, 1 if reference.weights is None else reference.weights.shape[1]
    for name, (keys, values) in reference.features.items():
        kept, dim = keys.shape[1:]
        own = kept // pictures
        rows = placed[name] = keys.new_empty(batch, own + kept, 3 * dim)
        rows[:, own:, dim : 2 * dim], rows[:, own:, 2 * dim :] = keys, values
    return PlacedReference(placed, reference.weights)


@dataclass(frozen=True)
class FusedReader(ReferenceReader):
    """`ReferenceReader` with one product for queries, keys and values, by their stacked weights (3 dim, dim)."""

    name: str
    kernel: Kernel = sdpa
    weight: Tensor = field(kw_only=True)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        reference: Reference | PlacedReference | None = None,
        identity: ProjectedTokens | None = None,
    ) -> Tensor:
        if isinstance(reference, Reference):
            return super().__call__(attn, hidden_states, reference=reference)
        if reference is None:
            return attend(self.kernel, attn, *linear(hidden_states, self.weight).chunk(3, -1))
        own, rows, mask = hidden_states.shape[1], reference.rows[self.name], None
        torch.ops.pose2id.project_into(hidden_states, self.weight, rows)
        queries, keys, values = rows.chunk(3, -1)
        if reference.weights is not None:
            mask = key_mask(reference.weights.to(rows.dtype), own, rows.shape[1] - own)
        return attend(self.kernel, attn, queries[:, :own], keys, values, mask)


def set_fused_processors(unet: UNet2DConditionModel, kernel: Kernel = sdpa) -> None:
    """`set_reference_processors` with `FusedReader`; weights that change afterwards are not seen by it."""

    def reader(name: str, kernel: Kernel) -> FusedReader:
        attn = unet.get_submodule(f"{name}.attn1")
        weights = [layer.weight.detach() for layer in (attn.to_q, attn.to_k, attn.to_v)]
        return FusedReader(name, kernel, weight=torch.cat(weights))

    set_reference_processors(unet, reader, kernel)


def project_tokens(unet: UNet2DConditionModel, tokens: Tensor) -> ProjectedTokens:
    """Keys and values of identity tokens (B, T, token_dim) in every block: once for all steps."""
    blocks = [name.removesuffix(CROSS_ATTENTION) for name in unet.attn_processors if name.endswith(CROSS_ATTENTION)]
    projections = {block: unet.get_submodule(f"{block}.attn2") for block in blocks}
    return {block: (attn.to_k(tokens), attn.to_v(tokens)) for block, attn in projections.items()}
