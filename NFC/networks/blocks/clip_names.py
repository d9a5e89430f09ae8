"""Official names and layouts of CLIP-ReID's image encoders <-> timm's."""

import re
from collections.abc import Mapping

from torch import Tensor

ENCODER = "image_encoder."  # official prefix of what is used at test time

# Official name, ours; `*` stands for anything. The first pattern that fits a whole name counts.
VIT_NAMES = (
    ("conv1.*", "patch_embed.proj.*"),
    ("class_embedding", "cls_token"),
    ("positional_embedding", "pos_embed"),
    ("ln_pre.*", "norm_pre.*"),
    ("ln_post.*", "norm.*"),
    ("proj", "head.weight"),
    ("transformer.resblocks.*.ln_1.*", "blocks.*.norm1.*"),
    ("transformer.resblocks.*.ln_2.*", "blocks.*.norm2.*"),
    ("transformer.resblocks.*.attn.in_proj_*", "blocks.*.attn.qkv.*"),
    ("transformer.resblocks.*.attn.out_proj.*", "blocks.*.attn.proj.*"),
    ("transformer.resblocks.*.mlp.c_fc.*", "blocks.*.mlp.fc1.*"),
    ("transformer.resblocks.*.mlp.c_proj.*", "blocks.*.mlp.fc2.*"),
)
RESNET_NAMES = (
    *(
        (f"layer{stage + 1}.*.{official}.*", f"stages.{stage}.*.{ours}.*")
        for stage in range(4)
        for official, ours in (
            ("downsample.0", "shortcut.conv.conv"),
            ("downsample.1", "shortcut.conv.bn"),
            ("conv1", "conv1_1x1.conv"),
            ("bn1", "conv1_1x1.bn"),
            ("conv2", "conv2_kxk.conv"),
            ("bn2", "conv2_kxk.bn"),
            ("conv3", "conv3_1x1.conv"),
            ("bn3", "conv3_1x1.bn"),
        )
    ),
    *((f"conv{number}.*", f"stem.conv{number}.conv.*") for number in (1, 2, 3)),
    *((f"bn{number}.*", f"stem.conv{number}.bn.*") for number in (1, 2, 3)),
    ("attnpool.positional_embedding", "head.pos_embed"),
    ("attnpool.c_proj.*", "head.proj.*"),
    *((f"attnpool.{part}_proj.*", f"head.{part}.*") for part in "qkv"),
)


def from_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names and layouts -> ours; tensors outside of the image encoder keep their names."""
    names = VIT_NAMES if f"{ENCODER}class_embedding" in tensors else RESNET_NAMES
    ours = {}
    for name, tensor in tensors.items():
        if name.startswith(ENCODER):
            name = f"encoder.{_renamed(name.removeprefix(ENCODER), names)}"
        match name:
            case "encoder.cls_token":
                tensor = tensor.view(1, 1, -1)
            case "encoder.pos_embed":
                tensor = tensor.unsqueeze(0)
            case "encoder.head.weight":
                tensor = tensor.T
        ours[name] = tensor
    return ours


def to_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_official`."""
    names = [(ours, official) for official, ours in (VIT_NAMES if "encoder.cls_token" in tensors else RESNET_NAMES)]
    official = {}
    for name, tensor in tensors.items():
        match name:
            case "encoder.cls_token":
                tensor = tensor.flatten()
            case "encoder.pos_embed":
                tensor = tensor.squeeze(0)
            case "encoder.head.weight":
                tensor = tensor.T
        if name.startswith("encoder."):
            name = f"{ENCODER}{_renamed(name.removeprefix('encoder.'), names)}"
        official[name] = tensor
    return official


def _renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    """`name` by the first pattern that fits it; as it is where none does."""
    for old, new in names:
        if found := re.fullmatch(re.escape(old).replace(r"\*", "(.+)"), name):
            parts = iter(found.groups())
            return "".join(next(parts) if piece == "*" else piece for piece in re.split(r"(\*)", new))
    return name
