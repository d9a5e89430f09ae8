"""SAP, semi-attention partition: a ViT whose part proxies learn from a teacher that is not needed at test.

The teacher is stripes, or label maps of a parser or drawn from keypoints (`blocks.limbs`). No code of its authors was
found: the base (the paper's figures point to TransReID's), the weights of the branches, all numbers but those of the
formulas and the test feature are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError
from pose2id.settings.ranges import SHARE, Range, check_ranges

from .base import Extractor, Preprocessing
from .blocks.heads import bn_neck, class_scores
from .blocks.parsing import Parsing
from .blocks.part_proxies import PartProxies
from .blocks.patch_teacher import (
    PatchLabels,
    from_label_maps,
    from_stripes,
    kept_patches,
    patch_losses,
    proxy_losses,
    repetition,
)
from .blocks.vit import (
    attention_logits,
    before_last_block,
    class_look,
    overlapping_vit,
    patch_place,
    resampled_positions,
)
from .body.inputs import BodyInputs, Table, every_class
from .files import build_from_file
from .looks import Look, MapLook, numbered
from .reid_network import Branch, Inputs, ReIDNetwork

TEACHERS = ("parsing", "stripes")
REPETITIONS = ("cosine", "printed")


@dataclass(frozen=True)
class SAPSizes:
    """Of a ViT with patches of 16 pixels, of its proxies and of what they are taught.

    teacher: "parsing", label maps with the background 0 and `parts` more classes (6: Pascal-Person-Part; 19: LIP; 17:
    ATR), or "stripes", `parts` of them. mutual_absorption: MAPR. drop: the share of patches that lose their supervision
    in each step (SSD), 0 for none; repetition: by which similarity, "cosine" or the "printed" one. patch_weight,
    proxy_weight: of the two losses, 0 for none. temperature: of the teacher; 1 is printed, lower is sharper.
    sharpness, threshold: as for `from_label_maps`. skip_empty: pictures without foreground do not count.
    """

    height: int = 256
    width: int = 128
    stride: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    teacher: str = "parsing"
    parts: int = 6
    mutual_absorption: bool = True
    drop: float = 0.3
    repetition: str = "cosine"
    patch_weight: float = 0.1
    proxy_weight: float = 0.1
    temperature: float = 1.0
    sharpness: float = 10.0
    threshold: float = 0.5
    skip_empty: bool = False
    num_classes: int = 0

    def __post_init__(self) -> None:
        positive = Range(0, 1e6, above=True)
        ranges = {"drop": Range(0, 0.99), "threshold": SHARE, "parts": Range(1, 1000), "temperature": positive}
        check_ranges(self, ranges | {"patch_weight": Range(0, 1e6), "proxy_weight": Range(0, 1e6)}, "sap")
        check_ranges(self, {"sharpness": positive}, "sap")
        if self.teacher not in TEACHERS or self.repetition not in REPETITIONS:
            raise UserError(
                f"sap: teacher must be one of {', '.join(TEACHERS)} and repetition one of {', '.join(REPETITIONS)}; "
                f"got '{self.teacher}' and '{self.repetition}'"
            )


class Seen(NamedTuple):
    """features: 1 + parts of (B, dim); patches (B, N, dim); patch_logits (B, 1 + N, 1 + N); proxy_logits (B, M, N)."""

    features: list[Tensor]
    patches: Tensor
    patch_logits: Tensor
    proxy_logits: list[Tensor]


class SAP(ReIDNetwork):
    """(B, 3, H, W) -> (B, (1 + parts) x dim): class token and part proxies before their necks, each of unit length."""

    name = "sap"
    Sizes = SAPSizes

    def __init__(self, sizes: SAPSizes) -> None:
        super().__init__(sizes)
        self.first_part = int(sizes.teacher == "parsing")  # before it stands the proxy of the background
        self.feature_dim = (1 + sizes.parts) * sizes.dim
        self.base = overlapping_vit(
            *(sizes.height, sizes.width, sizes.stride),
            embed_dim=sizes.dim,
            depth=sizes.depth,
            num_heads=sizes.heads,
            num_classes=0,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
        self.proxies = PartProxies(self.first_part + sizes.parts, sizes.dim, sizes.mutual_absorption)
        heads = 1 + sizes.parts if sizes.num_classes else 0
        self.bottleneck = nn.ModuleList(bn_neck(sizes.dim) for _ in range(heads))
        self.classifier = nn.ModuleList(nn.Linear(sizes.dim, sizes.num_classes, bias=False) for _ in range(heads))

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear")

    def training_inputs(self) -> BodyInputs:
        """Label maps where these are the teacher, and a loss listens to it."""
        taught = self.sizes.teacher == "parsing" and (self.sizes.patch_weight or self.sizes.proxy_weight)
        return BodyInputs(("parsing",), labels=partial(_labels, parts=self.sizes.parts)) if taught else BodyInputs()

    def unused_at_test(self) -> tuple[str, ...]:
        return "bottleneck.", "classifier."

    def is_imagenet(self, tensors: Mapping[str, Tensor]) -> bool:
        """So is TransReID's, whose ViT has the same names behind `base.`."""
        return super().is_imagenet(tensors) or ("base.cls_token" in tensors and "proxies.queries" not in tensors)

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ViT without its classifier, or TransReID's; the proxies start at random."""
        vit = {name.removeprefix("base."): tensor for name, tensor in tensors.items() if name.startswith("base.")}
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("base.")}
        kept = resampled_positions(vit or tensors, self.base.patch_embed.grid)
        return own | {f"base.{name}": tensor for name, tensor in kept.items() if not name.startswith("head.")}

    def see(self, pictures: Tensor) -> Seen:
        before, last = before_last_block(self.base, pictures), self.base.blocks[-1]
        tokens = self.base.norm(last(before))
        patches = tokens[:, 1:]
        proxies, proxy_logits = self.proxies(patches)
        features = [tokens[:, 0], *proxies[:, self.first_part :].unbind(1)]
        return Seen(features, patches, attention_logits(last, before), proxy_logits)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The class token has weight 1/2, the parts share the other half."""
        return self._branches(self.see(inputs.pictures))

    def outputs(self, inputs: Inputs, labels: Tensor) -> tuple[list[Branch], dict[str, Tensor]]:
        """The branches, and what is lacking to the teacher's view: "patch_teacher" and "proxy_teacher".

        `UserError` where the teacher is a parser and `inputs` has no label maps.
        """
        seen = self.see(inputs.pictures)
        if not self.sizes.patch_weight and not self.sizes.proxy_weight:
            return self._branches(seen), {}
        with torch.autocast(labels.device.type, enabled=False):
            return self._branches(seen), self._taught(seen, self.teacher(inputs))

    def teacher(self, inputs: Inputs) -> PatchLabels:
        """What the teacher says of the patches of these pictures."""
        sizes, pictures = self.sizes, inputs.pictures
        if sizes.teacher == "stripes":
            return from_stripes(len(pictures), self.base.patch_embed.grid, sizes.parts, pictures.device)
        if inputs.parsing is None:
            raise UserError("sap: the teacher is a parser, but there are no label maps; or take sizes.teacher=stripes")
        shape = 1 + sizes.parts, self.base.patch_embed.proj.kernel_size[0], sizes.stride
        return from_label_maps(inputs.parsing, *shape, sizes.sharpness, sizes.threshold)

    def _branches(self, seen: Seen) -> list[Branch]:
        weights = [0.5, *[0.5 / self.sizes.parts] * self.sizes.parts]
        heads = zip(self.bottleneck, self.classifier, seen.features, strict=False)
        scores = [class_scores(*head) for head in heads] or [None] * len(seen.features)
        return [Branch(*branch) for branch in zip(seen.features, scores, weights, strict=True)]

    def _taught(self, seen: Seen, said: PatchLabels) -> dict[str, Tensor]:
        """Means over the rows that count of the pictures that count, by their weights."""
        sizes = self.sizes
        counts = said.known & (said.foreground.any(1) if sizes.skip_empty else True)
        kept = kept_patches(repetition(seen.patches.float(), sizes.repetition == "printed"), sizes.drop)
        rows = torch.cat([torch.ones_like(kept[:, :1]), kept], 1) & counts[:, None]
        present = said.present & counts[:, None]
        losses = {}
        if sizes.patch_weight:
            values = patch_losses(seen.patch_logits.float(), said, sizes.temperature, kept)
            losses["patch_teacher"] = sizes.patch_weight * _mean(values, rows)
        if sizes.proxy_weight:
            looks = [proxy_losses(logits.float(), said, sizes.temperature, kept) for logits in seen.proxy_logits]
            losses["proxy_teacher"] = sizes.proxy_weight * _mean(sum(looks) / len(looks), present)
        return losses

    def explain(self, inputs: Inputs) -> list[Look]:
        """Which patches each proxy takes at its last look, and the class token's attention."""
        patches, pictures = self.base.patch_embed, inputs.pictures
        shares = self.see(pictures).proxy_logits[-1][0].softmax(-1).unflatten(1, patches.grid)
        names = ["background"] * self.first_part + numbered("part", self.sizes.parts)
        proxies = MapLook("Attention of the part proxies", shares, names, place=patch_place(patches, pictures))
        return [proxies, class_look(self.base.blocks[-1], patches, pictures, self)]

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.base.forward_features(pictures)
        proxies, _ = self.proxies(tokens[:, 1:])
        return normalize(torch.cat([tokens[:, :1], proxies[:, self.first_part :]], 1), dim=2).flatten(1)


def _labels(parsing: Parsing, parts: int) -> Table:
    """Every class of a parsing of `parts` and the background; `UserError` for another one."""
    if len(parsing.classes) != 1 + parts:
        raise UserError(
            f"sap has {parts} parts and the background, but the label maps have {len(parsing.classes)} classes: give "
            f"network.sizes.parts={len(parsing.classes) - 1}, or name the classes with data.parsing_classes"
        )
    return every_class(parsing)


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Of those that count, (B, R) both; 0 where none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


NETWORK = SAP


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(SAP, weights, preset)
