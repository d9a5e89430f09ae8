"""What the vision transformers here share: overlapping patches, and the picture size that a position table tells."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import VisionTransformer
from torch import Tensor, nn

from pose2id.errors import UserError

from ..looks import MapLook, grid_place

# (height, width, stride) of the official checkpoints with patches of 16; no two have the same number of patches.
LAYOUTS = [(height, 128, stride) for height in (256, 384) for stride in (16, 14, 12, 11)]
PATCH = 16


class OverlapPatches(nn.Module):
    """Patch convolution of any stride: (B, 3, H, W) -> (B, N, dim), row by row. An `embed_layer` for timm."""

    def __init__(
        self, img_size: tuple[int, int], patch_size: int, embed_dim: int, stride: int, bias: bool = True, **_: object
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, stride, bias=bias)
        self.grid = grid_size(*img_size, stride, patch_size)  # rows and columns of patches
        self.num_patches = self.grid[0] * self.grid[1]

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


def overlapping_vit(height: int, width: int, stride: int, **sizes: object) -> VisionTransformer:
    """timm's VisionTransformer with patches of 16 pixels every `stride`; `sizes` are its other arguments."""
    embed_layer = partial(OverlapPatches, stride=stride)
    return VisionTransformer((height, width), PATCH, embed_layer=embed_layer, **sizes)


def grid_size(height: int, width: int, stride: int, patch: int = PATCH) -> tuple[int, int]:
    """Rows and columns of patches."""
    return (height - patch) // stride + 1, (width - patch) // stride + 1


def count_patches(height: int, width: int, stride: int, patch: int = PATCH) -> int:
    rows, columns = grid_size(height, width, stride, patch)
    return rows * columns


def resampled_positions(tensors: Mapping[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
    """Tensors of timm's ViT with the position table, if there is one, brought to a grid of rows and columns.

    One of as many patches stays as it is; another one is that of a square picture, as timm's are.
    """
    resampled = dict(tensors)
    if "pos_embed" in resampled and resampled["pos_embed"].shape[1] != 1 + grid[0] * grid[1]:
        resampled["pos_embed"] = resample_abs_pos_embed(
            resampled["pos_embed"], list(grid), interpolation="bilinear", antialias=False
        )
    return resampled


def recognise_layout(positions: Tensor, path: str | Path) -> tuple[int, int, int]:
    """(height, width, stride) from a table of positions (..., 1 + N, dim); `UserError` where no known one fits."""
    patches = positions.shape[-2] - 1
    for layout in LAYOUTS:
        if count_patches(*layout) == patches:
            return layout
    raise UserError(f"{path} does not fit: {patches} patches are of no known picture size and stride")


def before_last_block(vit: VisionTransformer, pictures: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1 + N, dim): the tokens that enter the last block of timm's ViT, the class token first."""
    tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(pictures)))
    return vit.blocks[:-1](tokens)


def attention_logits(block: nn.Module, tokens: Tensor) -> Tensor:
    """Tokens (B, T, dim) that enter a block of timm's ViT -> (B, T, T): before the softmax, a mean over the heads."""
    queries, keys, _ = block.attn.qkv(block.norm1(tokens)).chunk(3, -1)
    return queries @ keys.transpose(-2, -1) * (block.attn.scale / block.attn.num_heads)


def class_attention(block: nn.Module, tokens: Tensor) -> Tensor:
    """Tokens (B, 1 + N, dim) that enter a block of timm's ViT -> (B, N): how much the class token takes of each patch.

    A mean over the heads; what the class token keeps of itself is left out.
    """
    attention = block.attn
    queries, keys, _ = attention.qkv(block.norm1(tokens)).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    weights = torch.einsum("bhd,bnhd->bhn", queries[:, 0], keys) * attention.scale  # (B, heads, 1 + N)
    return weights.softmax(-1).mean(1)[:, 1:]


def class_look(
    block: nn.Module, patch_embed: OverlapPatches, pictures: Tensor, forward: Callable[[Tensor], object]
) -> MapLook:
    """`class_attention` of a block while the network does `forward` of one picture (1, 3, H, W)."""
    entered: list[Tensor] = []
    hook = block.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    try:
        forward(pictures)
    finally:
        hook.remove()
    maps = class_attention(block, entered[0]).unflatten(1, patch_embed.grid)
    return MapLook("Attention of the class token", maps, ["last block"], place=patch_place(patch_embed, pictures))


def patch_place(patch_embed: OverlapPatches, pictures: Tensor) -> tuple[float, float, float, float]:
    """What the patches of pictures (B, 3, H, W) cover, each a cell around its middle."""
    (size, _), (stride, _) = patch_embed.proj.kernel_size, patch_embed.proj.stride
    return grid_place((size - 1) / 2, stride, patch_embed.grid, (pictures.shape[2], pictures.shape[3]))
