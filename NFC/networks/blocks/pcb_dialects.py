"""The four sets of public PCB checkpoints: names of tensors, heads, test features, preprocessing.

All of this is a fact of public code; docs/local_features.md names the projects. Dropout of `torchreid` is from memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

from torch import Tensor
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ..base import IMAGENET_MEAN
from .map_network import BACKBONE, renamed
from .stripe_heads import HeadForm

OURS = (BACKBONE, "local.", "refinement.")  # what names of PCB's tensors begin with here
LINEAR = ".linear.weight"  # of reductions; a convolution in most files
PUBLISHED_PARTS = 6


def channel_major(parts: Tensor) -> Tensor:
    """(B, P, d) -> (B, d P): each part of unit length, and those of one channel side by side."""
    return normalize(parts, dim=2).transpose(1, 2).flatten(1)


@dataclass(frozen=True)
class Dialect:
    """signature: a tensor that only these files have. backbone: before the names of its tensors; classifier and heads:
    theirs, as templates of the stripe's number, and ours. joined: stripes (B, P, d) -> test feature (B, P d).
    """

    signature: str
    backbone: str
    classifier: str
    heads: Mapping[str, str]
    form: HeadForm
    joined: Callable[[Tensor], Tensor]
    own_reductions: bool = False
    convolutions: bool = True  # reductions are stored as such
    feature: str = "G"
    mirrored: bool = False  # stripes of the mirror image are added
    width: int = 128
    resize: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN

    def prefixes(self, parts: int) -> dict[str, str]:
        """Their prefixes -> ours."""
        templates = self.heads | {self.classifier: "local.classifiers.{}."} | REFINEMENT
        return {theirs.format(i): ours.format(i) for theirs, ours in templates.items() for i in range(parts)}

    def from_official(self, tensors: Mapping[str, Tensor], parts: int) -> dict[str, Tensor]:
        """Their names and shapes -> ours; what is nobody else's is the backbone's."""
        prefixes = self.prefixes(parts) | ({self.backbone: BACKBONE} if self.backbone else {})
        named = renamed(tensors, prefixes)
        ours = {name if name.startswith(OURS) else BACKBONE + name: tensor for name, tensor in named.items()}
        return {name: tensor.flatten(1) if name.endswith(LINEAR) else tensor for name, tensor in ours.items()}

    def to_official(self, tensors: Mapping[str, Tensor], parts: int) -> dict[str, Tensor]:
        shaped = {
            name: tensor[..., None, None] if self.convolutions and name.endswith(LINEAR) else tensor
            for name, tensor in tensors.items()
        }
        theirs_of = {ours: theirs for theirs, ours in self.prefixes(parts).items()}
        return renamed(shaped, theirs_of | {BACKBONE: self.backbone})

    def parts_of(self, tensors: Mapping[str, Tensor]) -> int:
        """How many stripes have a classifier in a file; the published number where classifiers were left out."""

        def there(part: int) -> bool:
            return any(name.startswith(self.classifier.format(part)) for name in tensors)

        return sum(1 for _ in takewhile(there, count())) or PUBLISHED_PARTS


REFINEMENT = {"local_mask.": "refinement.mask."}  # RPP's, of the authors' code
DIALECTS = {
    "official": Dialect(
        signature="local_conv.weight",
        backbone="base.",
        classifier="instance{}.",
        heads={"local_conv.": "local.reductions.0.linear.", "feat_bn2d.": "local.reductions.0.norm."},
        form=HeadForm(),
        joined=channel_major,
    ),
    "layumi": Dialect(
        signature="classifier0.add_block.0.weight",
        backbone="model.",
        classifier="classifier{}.classifier.0.",
        heads={
            "classifier{}.add_block.0.": "local.reductions.{}.linear.",
            "classifier{}.add_block.1.": "local.reductions.{}.norm.",
        },
        form=HeadForm(bias=True, relu=False, reduced_dropout=0.5),
        joined=lambda parts: normalize(channel_major(parts)),
        own_reductions=True,
        convolutions=False,
        mirrored=True,
        width=192,
        resize="bicubic",
    ),
    "torchreid": Dialect(
        signature="conv5.layers.0.weight",
        backbone="",
        classifier="classifier.{}.",
        heads={"conv5.layers.0.": "local.reductions.0.linear.", "conv5.layers.1.": "local.reductions.0.norm."},
        form=HeadForm(),
        joined=channel_major,
    ),
    "bpm": Dialect(
        signature="local_conv_list.0.0.weight",
        backbone="base.",
        classifier="fc_list.{}.",
        heads={
            "local_conv_list.{}.0.": "local.reductions.{}.linear.",
            "local_conv_list.{}.1.": "local.reductions.{}.norm.",
        },
        form=HeadForm(bias=True, stripe_dropout=0.0),
        joined=lambda parts: normalize(parts.flatten(1)),
        own_reductions=True,
        feature="H",
        resize="cv2_bilinear",
        mean=(0.486, 0.459, 0.408),
    ),
}


def recognise_dialect(tensors: Mapping[str, Tensor], path: str | Path) -> str:
    """Whose file `tensors`, which came from `path`, are; `UserError` for one that is none of them."""
    for name, dialect in DIALECTS.items():
        if dialect.signature in tensors:
            return name
    signatures = ", ".join(f"{dialect.signature} ({name})" for name, dialect in DIALECTS.items())
    raise UserError(f"{path} does not fit: it has none of {signatures}; use a file of PCB")
