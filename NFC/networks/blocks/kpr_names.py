"""Official names and layouts of KPR's files <-> ours, for either backbone."""

from collections.abc import Mapping

import torch
from torch import Tensor

BACKBONE = "backbone_appearance_feature_extractor"
OUTER, INNER = f"{BACKBONE}.patch_embed.", f"{BACKBONE}.model.patch_embed."

# Of SOLIDER's Swin: official, ours.
SOLIDER = {
    ".projection.": ".proj.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".ffn.layers.0.0.": ".mlp.fc1.",
    ".ffn.layers.1.": ".mlp.fc2.",
    ".attn.w_msa.proj.": ".attention.o_proj.",
    ".attn.w_msa.relative_position_bias_table": ".attention.relative_position_bias.relative_position_bias_table",
}
QKV = ".attn.w_msa.qkv."
MERGING_ORDER = (0, 2, 1, 3)  # our place of each of the 2 x 2 pixels that a stage's end merges, in the file's order


def is_solider(official: Mapping[str, Tensor]) -> bool:
    return any(".w_msa." in name for name in official)


def from_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names and layouts -> ours.

    The files hold the patch embedding twice; the one inside the Swin counts. Of SOLIDER's Swin qkv is cut into thirds,
    and the columns of a stage's end, channel by channel in the file, become pixel by pixel.
    """
    doubles = {name for name in tensors if name.startswith(OUTER) and name.replace(OUTER, INNER) in tensors}
    once = {name.replace(OUTER, INNER): tensor for name, tensor in tensors.items() if name not in doubles}
    if not is_solider(tensors):
        return once
    ours = {}
    for name, tensor in once.items():
        if name.endswith(".relative_position_index"):
            continue  # follows from the window size
        if QKV in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                ours[name.replace(QKV, f".attention.{part}_proj.")] = third
            continue
        if ".downsample." in name:
            tensor = tensor.unflatten(-1, (-1, 4))[..., MERGING_ORDER].transpose(-1, -2).flatten(-2)
        if ".stages." in name or ".projection." in name:
            for official, our in SOLIDER.items():
                name = name.replace(official, our)
        ours[name] = tensor
    return ours


def to_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_official`, with the patch embedding twice, as in the files."""
    solider = any(".q_proj." in name for name in tensors)
    official = {}
    for name, tensor in tensors.items():
        if solider and ".q_proj." in name:
            thirds = [tensors[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            official[name.replace(".attention.q_proj.", QKV)] = torch.cat(thirds)
            continue
        if solider and (".k_proj." in name or ".v_proj." in name):
            continue
        if solider and ".downsample." in name:
            tensor = tensor.unflatten(-1, (4, -1)).transpose(-1, -2)[..., MERGING_ORDER].flatten(-2)
        if solider and (".stages." in name or "patch_embed.proj." in name):
            for their, our in SOLIDER.items():
                name = name.replace(our, their)
        official[name] = tensor
        if name.startswith(INNER):
            official[name.replace(INNER, OUTER)] = tensor
    return official
