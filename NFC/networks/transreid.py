"""TransReID (He et al., ICCV 2021): a ViT with overlapping patches, a camera embedding and four jigsaw branches.

Names of the modules are those of the official checkpoints, so nothing has to be translated.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.presets import JIGSAW_PARTS, TransReIDSizes, preset_file
from pose2id.weights import name_list

from .base import Extractor, Preprocessing
from .blocks.heads import bn_neck, class_scores
from .blocks.jigsaw import jigsaw_parts
from .blocks.side_vit import SideInformationViT
from .blocks.vit import class_look, count_patches, recognise_layout, resampled_positions
from .files import build_from_file, build_from_tensors
from .looks import Look
from .reid_network import Branch, Inputs, ReIDNetwork

HEADS = {384: 6, 768: 12}  # width -> attention heads of DeiT-S and of ViT-B, DeiT-B


class TransReID(ReIDNetwork):
    """Test feature: [global, four local / 4] before the neck; without the jigsaw branches, global alone."""

    name = "transreid"
    Sizes = TransReIDSizes
    optional = (*ReIDNetwork.optional, "num_views", "fc_classes")
    learns_cameras = True

    def __init__(self, sizes: TransReIDSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = sizes.feature_dim
        self.base = SideInformationViT(sizes)
        suffixes = ["", *(f"_{part}" for part in range(1, JIGSAW_PARTS + 1))] if sizes.jigsaw else [""]
        self.suffixes = suffixes if sizes.num_classes else []  # of the heads, which serve training alone
        for suffix in self.suffixes:
            setattr(self, f"classifier{suffix}", nn.Linear(sizes.dim, sizes.num_classes, bias=False))
            setattr(self, f"bottleneck{suffix}", bn_neck(sizes.dim))
        self._initialise()
        if sizes.jigsaw:
            self.b1 = nn.Sequential(copy.deepcopy(self.base.blocks[-1]), copy.deepcopy(self.base.norm))
            self.b2 = copy.deepcopy(self.b1)

    @classmethod
    def from_sizes(cls, sizes: TransReIDSizes) -> Self:
        return cls(sizes)

    @classmethod
    def file_stem(cls) -> str:
        return "transformer_20"

    @classmethod
    def preset_sizes(cls, preset: str) -> TransReIDSizes:
        return load_config(TransReIDSizes, preset_file(preset), section="reid")

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> TransReIDSizes:
        """The variant: cameras, jigsaw branches, stride, picture size, ViT-B or DeiT-S.

        The preset's sizes decide what shapes leave open: heads and depth of networks as wide as itself, and the picture
        where the number of patches is its own.
        """
        sizes = cls.preset_sizes(preset)
        if lacking := {"base.patch_embed.proj.weight", "base.pos_embed"} - tensors.keys():
            raise UserError(f"{path} does not fit: it lacks {name_list(lacking)}; use a file of TransReID")
        dim = len(tensors["base.patch_embed.proj.weight"])
        if dim != sizes.dim:
            if dim not in HEADS:
                raise UserError(
                    f"{path} does not fit: width {dim} is of no official TransReID; name the preset it is of"
                )
            sizes = replace(sizes, dim=dim, depth=12, heads=HEADS[dim], mlp_ratio=4.0)
        if tensors["base.pos_embed"].shape[1] - 1 != count_patches(
            sizes.height, sizes.width, sizes.stride, sizes.patch
        ):
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

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width)

    def official_preprocessing(self, preset: str) -> Preprocessing:
        """Bilinear, as in the tests of TransReID and of Pose2ID's demo; as a part of the generator it is Lanczos."""
        return replace(self.preprocessing(), resize="bilinear")

    def extractor(self, preprocessing: Preprocessing | None = None) -> Extractor:
        cameras = self.base.sie_embed is not None
        return Extractor(self, self.feature_dim, preprocessing or self.preprocessing(), uses_camids=cameras)

    def unused_at_test(self) -> tuple[str, ...]:
        return *self.heads(), *self.unused_in_training()

    def heads(self) -> tuple[str, ...]:
        return "classifier", "bottleneck"

    def unused_in_training(self) -> tuple[str, ...]:
        """ImageNet's classifier and, with jigsaw branches, what these hold copies of."""
        copied = ("base.norm.", f"base.blocks.{len(self.base.blocks) - 1}.") if self.sizes.jigsaw else ()
        return "base.fc.", *copied

    def of_one_data_set(self) -> tuple[str, ...]:
        return *self.heads(), "base.fc.", "base.sie_embed"

    def _initialise(self) -> None:
        """Weights 0.02 (classifiers 0.001) truncated normal, biases zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.001 if name.startswith("classifier") else 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for parameter in self.base.parameters(recurse=False):
            nn.init.trunc_normal_(parameter, std=0.02)

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ViT: positions resampled to the picture, the last block copied to the branches."""
        resampled = resampled_positions(tensors, self.base.patch_embed.grid)
        renamed = {f"base.{name.replace('head.', 'fc.')}": tensor for name, tensor in resampled.items()}
        if self.sizes.jigsaw:
            last = {f"base.blocks.{self.sizes.depth - 1}.": "0.", "base.norm.": "1."}
            for branch in ("b1", "b2"):
                for prefix, place in last.items():
                    copied = {name: tensor for name, tensor in renamed.items() if name.startswith(prefix)}
                    renamed |= {f"{branch}.{place}{name.removeprefix(prefix)}": t for name, t in copied.items()}
        return renamed

    def branch_features(
        self, pictures: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> list[Tensor]:
        """Features (B, dim) before the neck: global, then the four jigsaw parts."""
        tokens = self.base(pictures, camids, viewids)  # (B, 1 + N, dim)
        if not self.sizes.jigsaw:
            return [self.base.norm(self.base.blocks[-1](tokens))[:, 0]]
        cls_token, patches = tokens[:, :1], tokens[:, 1:]
        features = [self.b1(tokens)[:, 0]]
        for part in jigsaw_parts(patches, JIGSAW_PARTS):
            features.append(self.b2(torch.cat([cls_token, part], dim=1))[:, 0])
        return features

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The global branch has weight 1/2, the jigsaw branches share the other half."""
        features = self.branch_features(inputs.pictures, inputs.camids)
        weights = [0.5, *[0.5 / JIGSAW_PARTS] * JIGSAW_PARTS] if self.sizes.jigsaw else [1.0]
        scores = [
            class_scores(getattr(self, f"bottleneck{suffix}"), getattr(self, f"classifier{suffix}"), feature)
            for suffix, feature in zip(self.suffixes, features, strict=False)
        ] or [None] * len(features)
        return [Branch(*branch) for branch in zip(features, scores, weights, strict=True)]

    def explain(self, inputs: Inputs) -> list[Look]:
        """The attention of the global branch."""
        last = self.b1[0] if self.sizes.jigsaw else self.base.blocks[-1]
        return [class_look(last, self.base.patch_embed, inputs.pictures, self)]

    def forward(self, pictures: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Test feature.

        pictures: (B, 3, H, W) RGB in [-1, 1]; camids, viewids: (B,) int64, zero-based, for a network with a
        side-information embedding; without both, as for generated pictures, none is added. Returns (B, 5 * dim), or
        (B, dim) without the jigsaw branches.
        """
        whole, *parts = self.branch_features(pictures, camids, viewids)
        return torch.cat([whole, *(part / JIGSAW_PARTS for part in parts)], dim=1)


NETWORK = TransReID


def build(weights: str | Path | None, preset: str) -> Extractor:
    """TransReID of the variant in the file."""
    return build_from_file(TransReID, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> Extractor:
    """TransReID of the variant that `tensors`, which came from `path`, belong to."""
    return build_from_tensors(TransReID, tensors, path, preset)
