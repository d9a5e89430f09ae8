"""The network to train: its sizes, what it starts from, and the file that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from pose2id.config import load_config
from pose2id.presets import TransReIDSizes, preset_file
from pose2id.weights import load_tensors, read_tensors, strip_prefix, write_safetensors

from ..networks.foreign import timm_backbone
from ..networks.transreid import TransReID
from .data import TrainingSet

TIMM = "timm:"
HEADS = ("classifier", "bottleneck")


@dataclass
class NetworkConfig:
    """A TransReID of the sizes of `preset`.

    start: a file of TransReID or of an ImageNet ViT in timm's names, `timm:NAME` for timm's own weights (downloaded
    where they are not there yet), or None for random weights.
    camera_embedding: learn an embedding of the cameras of the training pictures.
    """

    preset: str = "mini"
    start: str | None = None
    camera_embedding: bool = False


def build_network(config: NetworkConfig, pictures: TrainingSet, seed: int) -> TransReID:
    """The network with classifiers for the labels of `pictures`; random weights are those of `seed`.

    What neither training nor test uses is frozen. Raises `UserError` for weights that do not fit.
    """
    sizes = replace(
        network_sizes(config.preset),
        num_classes=pictures.num_labels,
        num_cameras=int(pictures.camids.max()) + 1 if config.camera_embedding else 0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TransReID.from_sizes(sizes)
    if config.start:
        start_from(network, config.start, sizes)
    unused = tuple(prefix for prefix in network.unused_at_test() if prefix not in HEADS)
    for name, parameter in network.named_parameters():
        if name.startswith(unused):
            parameter.requires_grad_(False)
    return network


def network_sizes(preset: str) -> TransReIDSizes:
    return load_config(TransReIDSizes, preset_file(preset), section="reid")


def start_from(network: TransReID, start: str, sizes: TransReIDSizes) -> None:
    """Load the weights that `NetworkConfig.start` names; heads, classes and cameras need not be in them."""
    if start.startswith(TIMM):
        tensors = timm_backbone.build(start.removeprefix(TIMM), None, random=False).network.state_dict()
    else:
        tensors = strip_prefix(read_tensors(start))
    if "patch_embed.proj.weight" in tensors:
        tensors = from_imagenet(tensors, sizes)
    load_tensors(network, tensors, start, (*HEADS, "base.fc.", "base.sie_embed"))


def from_imagenet(tensors: Mapping[str, Tensor], sizes: TransReIDSizes) -> dict[str, Tensor]:
    """timm's ViT -> names of TransReID: positions resampled to the picture, the last block copied to the branches."""
    renamed = {f"base.{name.replace('head.', 'fc.')}": tensor for name, tensor in tensors.items()}
    if "base.pos_embed" in renamed:
        grid = [(side - sizes.patch) // sizes.stride + 1 for side in (sizes.height, sizes.width)]
        renamed["base.pos_embed"] = resample_abs_pos_embed(
            renamed["base.pos_embed"], grid, interpolation="bilinear", antialias=False
        )
    if sizes.jigsaw:
        last = {f"base.blocks.{sizes.depth - 1}.": "0.", "base.norm.": "1."}
        for branch in ("b1", "b2"):
            for prefix, place in last.items():
                copied = {name: tensor for name, tensor in renamed.items() if name.startswith(prefix)}
                renamed |= {f"{branch}.{place}{name.removeprefix(prefix)}": t for name, t in copied.items()}
    return renamed


def export(network: TransReID, preset: str, folder: Path) -> Path:
    """Write `transformer_20.safetensors` (float16) in the official names; returns its path.

    Heads, which serve training alone, are in it where the preset has classes.
    """
    left_out = () if network_sizes(preset).num_classes else HEADS
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in network.state_dict().items()
        if not name.startswith(left_out)
    }
    path = folder / "transformer_20.safetensors"
    write_safetensors(tensors, path)
    return path
