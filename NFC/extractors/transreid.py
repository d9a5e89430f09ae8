"""TransReID: a ViT with overlapping patches, a global branch and four jigsaw branches.

Names of the modules are those of the official checkpoint `transformer_20.pth`.
"""

import copy
from dataclasses import asdict, dataclass
from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

SHIFT = 5  # the jigsaw branch rotates the patch tokens by SHIFT - 1 places
GROUPS = 2  # ... interleaves this many groups of them
PARTS = 4  # ... and cuts the result into this many parts
SIE_SCALE = 3.0  # weight of the side-information embedding

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


@dataclass
class TransReIDSizes:
    """Section `reid` of a preset. Zero cameras and views: no side-information embedding."""

    height: int = 256
    width: int = 128
    patch: int = 16
    stride: int = 12
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 751
    fc_classes: int = 1000
    num_cameras: int = 0
    num_views: int = 0

    @property
    def feature_dim(self) -> int:
        return (1 + PARTS) * self.dim


class PatchEmbed(nn.Module):
    """Overlapping patches: (B, 3, H, W) -> (B, N, dim)."""

    def __init__(self, patch: int, stride: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """The backbone. Its last block, `norm` and `fc` are in the checkpoint but not run: the branches hold copies."""

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
        patches = ((height - patch) // stride + 1) * ((width - patch) // stride + 1)
        self.num_views = max(num_views, 1)
        sides = max(num_cameras, 1) * self.num_views
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, dim))
        self.sie_embed = nn.Parameter(torch.zeros(sides, 1, dim)) if sides > 1 else None
        self.patch_embed = PatchEmbed(patch, stride, dim)
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_ratio, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth)
        )
        self.norm = LayerNorm(dim)
        self.fc = nn.Linear(dim, fc_classes) if fc_classes else None

    def forward(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, 1 + N, dim): class token and patch tokens before the last block."""
        tokens = self.patch_embed(images)  # (B, N, dim)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos_embed
        if self.sie_embed is not None:
            tokens = tokens + SIE_SCALE * self.sie_embed[self._side_index(camids, viewids)]
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return tokens

    def _side_index(self, camids: Tensor | None, viewids: Tensor | None) -> Tensor:
        """Row of the side-information embedding for each picture; cameras vary slowest."""
        if camids is None and viewids is None:
            raise ValueError("this TransReID has a camera/view embedding: pass zero-based camids (or viewids)")
        index = 0 if camids is None else camids * self.num_views
        return index if viewids is None else index + viewids


def jigsaw_parts(patches: Tensor) -> list[Tensor]:
    """Shuffle patch tokens (B, N, dim) and cut them into `PARTS` parts of (B, N // PARTS, dim).

    The tokens are rotated left by SHIFT - 1, then the GROUPS halves are interleaved (an odd count first
    gets its last-but-one token appended). What remains after the last part is dropped.
    """
    batch, count, dim = patches.shape
    shuffled = patches.roll(1 - SHIFT, dims=1)
    if count % GROUPS:
        shuffled = torch.cat([shuffled, shuffled[:, -2:-1]], dim=1)
    shuffled = shuffled.view(batch, GROUPS, -1, dim).transpose(1, 2).reshape(batch, -1, dim)
    length = count // PARTS
    return [shuffled[:, part * length : (part + 1) * length] for part in range(PARTS)]


class TransReID(nn.Module):
    """Test feature: [global, four local / 4] before the neck, (1 + 4) * dim numbers a picture."""

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
    ) -> None:
        super().__init__()
        self.feature_dim = (1 + PARTS) * dim
        self.base = ViT(height, width, patch, stride, dim, depth, heads, mlp_ratio, fc_classes, num_cameras, num_views)
        for name in self._branch_names() if num_classes else []:  # the heads serve training alone
            setattr(self, f"classifier{name}", nn.Linear(dim, num_classes, bias=False))
            setattr(self, f"bottleneck{name}", nn.BatchNorm1d(dim))
        self._initialise()
        self.b1 = nn.Sequential(copy.deepcopy(self.base.blocks[-1]), copy.deepcopy(self.base.norm))
        self.b2 = copy.deepcopy(self.b1)

    @classmethod
    def from_sizes(cls, sizes: TransReIDSizes) -> "TransReID":
        return cls(**asdict(sizes))

    def unused_at_test(self) -> tuple[str, ...]:
        """Prefixes of the tensors that the test feature does not depend on."""
        last = len(self.base.blocks) - 1
        return "classifier", "bottleneck", "base.fc.", "base.norm.", f"base.blocks.{last}."

    @staticmethod
    def _branch_names() -> list[str]:
        return [""] + [f"_{part}" for part in range(1, PARTS + 1)]

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
        """Five features (B, dim) before the neck: global, then the four jigsaw parts."""
        tokens = self.base(images, camids, viewids)  # (B, 1 + N, dim)
        cls_token, patches = tokens[:, :1], tokens[:, 1:]
        features = [self.b1(tokens)[:, 0]]
        for part in jigsaw_parts(patches):
            features.append(self.b2(torch.cat([cls_token, part], dim=1))[:, 0])
        return features

    def forward(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Test feature.

        images: (B, 3, H, W) RGB in [-1, 1]; camids, viewids: (B,) int64, zero-based, only for a network with a
        side-information embedding (`ValueError` when it has one and both are missing). Returns (B, 5 * dim).
        """
        whole, *parts = self.branch_features(images, camids, viewids)
        return torch.cat([whole, *(part / PARTS for part in parts)], dim=1)

    def heads(
        self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For training: class scores (five of (B, num_classes)) and the features (five of (B, dim)) before the neck."""
        features = self.branch_features(images, camids, viewids)
        scores = [
            getattr(self, f"classifier{name}")(getattr(self, f"bottleneck{name}")(feature))
            for name, feature in zip(self._branch_names(), features, strict=True)
        ]
        return scores, features
