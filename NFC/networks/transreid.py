"""TransReID (He et al., ICCV 2021): a ViT with overlapping patches, a camera embedding and four jigsaw branches.

Names of the modules are those of the official checkpoints, so nothing has to be translated.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.presets import JIGSAW_PARTS, TransReIDSizes, preset_file
from pose2id.weights import load_tensors, name_list, read_tensors, strip_prefix, weights_file

from .base import Extractor, Preprocessing, camera_rows
from .blocks.vit import OverlapPatches, count_patches, recognise_layout

SHIFT = 5  # the jigsaw branch rotates the patch tokens by SHIFT - 1 places
GROUPS = 2  # ... interleaves this many groups of them

SIE_SCALE = 3.0  # weight of the side-information embedding

HEADS = {384: 6, 768: 12}  # width -> attention heads of DeiT-S and of ViT-B, DeiT-B

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class ViT(nn.Module):
    """The backbone up to its last block, which is left to the branches."""

    def __init__(
        self,
        height: int,
        width: int,
        patch: int,
        stride: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        fc_classes: int,
        num_cameras: int,
        num_views: int,
    ) -> None:
        super().__init__()
        self.num_views = max(num_views, 1)
        sides = max(num_cameras, 1) * self.num_views
        self.patch_embed = OverlapPatches((height, width), patch, dim, stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.num_patches + 1, dim))
        self.sie_embed = nn.Parameter(torch.zeros(sides, 1, dim)) if sides > 1 else None
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth)
        )
        self.norm = LayerNorm(dim)
        self.fc = nn.Linear(dim, fc_classes) if fc_classes else None

    def forward(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, 1 + N, dim): class token and patch tokens before the last block."""
        tokens = self.patch_embed(images)  # (B, N, dim)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos_embed
        if self.sie_embed is not None and not (camids is None and viewids is None):
            index = 0 if camids is None else camids * self.num_views  # cameras vary slowest
            index = index if viewids is None else index + viewids
            tokens = tokens + SIE_SCALE * camera_rows(self.sie_embed, index)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return tokens


def jigsaw_parts(patches: Tensor) -> list[Tensor]:
    """Shuffle patch tokens (B, N, dim) and cut them into `JIGSAW_PARTS` parts of (B, N // JIGSAW_PARTS, dim).

    The tokens are rotated left by SHIFT - 1, then the GROUPS halves are interleaved (an odd count first
    gets its last-but-one token appended). What remains after the last part is dropped.
    """
    batch, count, dim = patches.shape
    shuffled = patches.roll(1 - SHIFT, dims=1)
    if count % GROUPS:
        shuffled = torch.cat([shuffled, shuffled[:, -2:-1]], dim=1)
    shuffled = shuffled.view(batch, GROUPS, -1, dim).transpose(1, 2).reshape(batch, -1, dim)
    length = count // JIGSAW_PARTS
    return [shuffled[:, part * length : (part + 1) * length] for part in range(JIGSAW_PARTS)]


class TransReID(nn.Module):
    """Test feature: [global, four local / 4] before the neck; without the jigsaw branches, global alone."""

    def __init__(
        self,
        height: int = 256,
        width: int = 128,
        patch: int = 16,
        stride: int = 12,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        num_classes: int = 751,
        fc_classes: int = 1000,
        num_cameras: int = 0,
        num_views: int = 0,
        jigsaw: bool = True,
    ) -> None:
        super().__init__()
        self.jigsaw = jigsaw
        self.feature_dim = (1 + JIGSAW_PARTS) * dim if jigsaw else dim
        self.base = ViT(height, width, patch, stride, dim, depth, heads, mlp_ratio, fc_classes, num_cameras, num_views)
        for name in self._branch_names() if num_classes else []:  # the heads serve training alone
            setattr(self, f"classifier{name}", nn.Linear(dim, num_classes, bias=False))
            setattr(self, f"bottleneck{name}", nn.BatchNorm1d(dim))
        self._initialise()
        if jigsaw:
            self.b1 = nn.Sequential(copy.deepcopy(self.base.blocks[-1]), copy.deepcopy(self.base.norm))
            self.b2 = copy.deepcopy(self.b1)

    @classmethod
    def from_sizes(cls, sizes: TransReIDSizes) -> "TransReID":
        return cls(**asdict(sizes))

    def unused_at_test(self) -> tuple[str, ...]:
        """Prefixes of the tensors that the test feature does not depend on."""
        copied = ("base.norm.", f"base.blocks.{len(self.base.blocks) - 1}.") if self.jigsaw else ()
        return "classifier", "bottleneck", "base.fc.", *copied

    def _branch_names(self) -> list[str]:
        return ["", *(f"_{part}" for part in range(1, JIGSAW_PARTS + 1))] if self.jigsaw else [""]

    def _initialise(self) -> None:
        """Weights 0.02 (classifiers 0.001) truncated normal, biases zero; the necks' biases stay zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.001 if name.startswith("classifier") else 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm1d):
                module.bias.requires_grad_(False)
        for parameter in self.base.parameters(recurse=False):
            nn.init.trunc_normal_(parameter, std=0.02)

    def branch_features(
        self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> list[Tensor]:
        """Features (B, dim) before the neck: global, then the four jigsaw parts."""
        tokens = self.base(images, camids, viewids)  # (B, 1 + N, dim)
        if not self.jigsaw:
            return [self.base.norm(self.base.blocks[-1](tokens))[:, 0]]
        cls_token, patches = tokens[:, :1], tokens[:, 1:]
        features = [self.b1(tokens)[:, 0]]
        for part in jigsaw_parts(patches):
            features.append(self.b2(torch.cat([cls_token, part], dim=1))[:, 0])
        return features

    def forward(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Test feature.

        images: (B, 3, H, W) RGB in [-1, 1]; camids, viewids: (B,) int64, zero-based, for a network with a
        side-information embedding; without both, as for generated pictures, none is added. Returns (B, 5 * dim), or
        (B, dim) without the jigsaw branches.
        """
        whole, *parts = self.branch_features(images, camids, viewids)
        return torch.cat([whole, *(part / JIGSAW_PARTS for part in parts)], dim=1)

    def heads(
        self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For training: class scores (B, num_classes) and features (B, dim) before the neck, one of each a branch."""
        features = self.branch_features(images, camids, viewids)
        scores = [
            getattr(self, f"classifier{name}")(getattr(self, f"bottleneck{name}")(feature))
            for name, feature in zip(self._branch_names(), features, strict=True)
        ]
        return scores, features


def recognise(tensors: Mapping[str, Tensor], sizes: TransReIDSizes, path: str | Path) -> TransReIDSizes:
    """The sizes of the network that `tensors` belong to.

    `sizes` decides what shapes leave open: heads and depth of networks as wide as itself, and the picture where the
    number of patches is its own. A file of something else raises `UserError`.
    """
    if lacking := {"base.patch_embed.proj.weight", "base.pos_embed"} - tensors.keys():
        raise UserError(f"{path} does not fit: it lacks {name_list(lacking)}; use a file of TransReID")
    dim = len(tensors["base.patch_embed.proj.weight"])
    if dim != sizes.dim:
        if dim not in HEADS:
            raise UserError(f"{path} does not fit: width {dim} is of no official TransReID; name the preset it is of")
        sizes = replace(sizes, dim=dim, depth=12, heads=HEADS[dim], mlp_ratio=4.0)
    if tensors["base.pos_embed"].shape[1] - 1 != count_patches(sizes.height, sizes.width, sizes.stride, sizes.patch):
        height, width, stride = recognise_layout(tensors["base.pos_embed"], path)
        sizes = replace(sizes, height=height, width=width, stride=stride)

    def rows(name: str) -> int:
        return len(tensors[name]) if name in tensors else 0

    return replace(
        sizes,
        num_cameras=rows("base.sie_embed"),
        num_views=0,
        num_classes=rows("classifier.weight"),
        fc_classes=rows("base.fc.weight"),
        jigsaw=any(name.startswith(("b1.", "b2.")) for name in tensors),
    )


def build(weights: str | Path | None, preset: str) -> Extractor:
    """TransReID of the variant in the file: cameras, jigsaw branches, stride, picture size, ViT-B or DeiT-S.

    The preset's own kind of network sees pictures as the generator shows them to it, Lanczos-resized; others as in the
    test of TransReID, bilinear.
    """
    own = load_config(TransReIDSizes, preset_file(preset), section="reid")
    path = weights_file(weights, preset, "transformer_20")
    return from_tensors(strip_prefix(read_tensors(path)), own, path)


def from_tensors(tensors: Mapping[str, Tensor], own: TransReIDSizes, path: str | Path) -> Extractor:
    """TransReID of the variant that `tensors`, which came from `path`, belong to; `own` are the preset's sizes."""
    sizes = recognise(tensors, own, path)
    network = TransReID.from_sizes(sizes)
    load_tensors(network, tensors, path, network.unused_at_test())
    same_kind = replace(sizes, num_classes=own.num_classes, fc_classes=own.fc_classes) == own
    preprocessing = Preprocessing(sizes.height, sizes.width, resize="lanczos" if same_kind else "bilinear")
    return Extractor(network, sizes.feature_dim, preprocessing, uses_camids=sizes.num_cameras > 0)
