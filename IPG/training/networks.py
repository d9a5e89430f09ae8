"""The networks of a training run: where they start from, which of them learn, and how they are written."""

import filecmp
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.presets import Preset, default_directory
from pose2id.settings.ranges import Range, check_ranges
from pose2id.weights import SUFFIXES, find_weights, load_module, load_tensors, read_tensors, write_safetensors

from ..job.settings import DTYPES
from ..models import NETWORKS, build_denoising_unet
from ..weights.checkpoints import load_networks
from ..weights.files import find_vae

PARTS = [network.attribute for network in NETWORKS.values()]  # what configs call the networks
UNETS = ("reference_unet", "denoising_unet")

STABLE_DIFFUSION_UNETS = [
    f"unet/diffusion_pytorch_model{kind}" for kind in (".safetensors", ".bin", ".fp16.safetensors")
]
ATTENTION_PROJECTION = re.compile(r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)")
ADAPTER = "default"

Networks = dict[str, nn.Module]  # by the keys of NETWORKS


@dataclass
class NetworksConfig:
    """start_from: a folder of the official files or of ours, a diffusers folder of Stable Diffusion 1.5, or nothing.

    trainable: of `PARTS`. lora_rank: above 0, trainable UNets learn a low-rank change of their attention projections
    only. vae, reid: the frozen networks; None looks in start_from, then in the preset's place under pretrained/.
    """

    start_from: str | None = None
    trainable: list[str] = field(default_factory=lambda: list(PARTS))
    lora_rank: int = 0
    gradient_checkpointing: bool = False
    vae: str | None = None
    reid: str | None = None
    export_dtype: str = "float16"

    def __post_init__(self) -> None:
        parts = [("trainable", part, PARTS) for part in self.trainable]
        for name, value, known in (("export_dtype", self.export_dtype, DTYPES), *parts):
            if value not in known:
                raise UserError(f"networks.{name} '{value}' is not one of: {', '.join(known)}")
        if not self.trainable:
            raise UserError(f"networks.trainable is empty; name some of: {', '.join(PARTS)}")
        check_ranges(self, {"lora_rank": Range(0, 1024)}, "networks")
        if self.lora_rank and not set(UNETS) & set(self.trainable):
            raise UserError(f"networks.lora_rank needs {' or '.join(UNETS)} among networks.trainable")


def build_networks(preset: Preset, config: NetworksConfig) -> Networks:
    """The four networks, ready to learn what the config says; what is random comes from torch's global generator.

    `UserError` when `start_from` holds neither kind of weights, or weights of other sizes.
    """
    networks = _start(preset, config.start_from)
    for stem, network in networks.items():
        if NETWORKS[stem].attribute not in config.trainable:
            network.requires_grad_(False)
        elif config.lora_rank and stem in UNETS:
            _add_lora(network, config.lora_rank)
        if config.gradient_checkpointing and stem in UNETS:
            network.enable_gradient_checkpointing()
    return networks


def _start(preset: Preset, start_from: str | None) -> Networks:
    if start_from is None:
        return _new_networks(preset)
    folder = Path(start_from)
    if not folder.is_dir():
        raise UserError(f"networks.start_from {folder} does not exist; name a folder of weights")
    unet = next((folder / name for name in STABLE_DIFFUSION_UNETS if (folder / name).is_file()), None)
    if unet is not None:
        return _from_stable_diffusion(preset, unet)
    if not any((folder / f"denoising_unet{suffix}").is_file() for suffix in SUFFIXES):
        raise UserError(
            f"networks.start_from {folder} holds neither denoising_unet, reference_unet, pose_guider and IFR, nor "
            f"{STABLE_DIFFUSION_UNETS[0]} of Stable Diffusion 1.5"
        )
    return load_networks({stem: find_weights(folder, stem) for stem in NETWORKS}, preset)


def load_teacher(preset: Preset, config: NetworksConfig) -> nn.Module:
    """The denoising UNet that a run starts from, to learn from; `UserError` where it starts from none of ours."""
    if config.start_from is None:
        raise UserError("distillation needs a teacher: name the folder of its weights with networks.start_from")
    return load_module(partial(build_denoising_unet, preset), find_weights(config.start_from, "denoising_unet"))


def _new_networks(preset: Preset) -> Networks:
    return {stem: network.build(preset) for stem, network in NETWORKS.items()}


def _from_stable_diffusion(preset: Preset, unet: Path) -> Networks:
    """Both UNets take the weights of one; the pose guider starts without effect, the IFR at random."""
    networks, tensors = _new_networks(preset), read_tensors(unet)
    load_tensors(networks["denoising_unet"], tensors, unet)
    load_tensors(networks["reference_unet"], tensors, unet, training_only=("conv_norm_out.", "conv_out."))
    return networks


def _add_lora(unet: nn.Module, rank: int) -> None:
    """Low-rank changes (Hu et al., arXiv 2106.09685), zero at first, of the attention projections that matter."""
    projections = [
        name
        for name, module in unet.named_modules()
        if ATTENTION_PROJECTION.fullmatch(name) and module.weight.requires_grad
    ]
    unet.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=projections), unet, ADAPTER)


def export_networks(networks: Mapping[str, nn.Module], preset: Preset, folder: Path, dtype: torch.dtype) -> None:
    """Write the four networks as the official release has them, low-rank changes added to the weights they change."""
    for stem, network in NETWORKS.items():
        path, tensors = folder / f"{stem}.safetensors", merged_tensors(networks[stem])
        with torch.device("meta"):
            load_tensors(network.build(preset), tensors, path)  # has exactly what an official file has
        write_safetensors(tensors, path, dtype)


@torch.no_grad()
def merged_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a network as it would be without LoRA layers, which add the same to what it computes."""
    tensors = network.state_dict()
    for name, layer in network.named_modules():
        if isinstance(layer, LoraLayer):
            for key in layer.state_dict():
                del tensors[f"{name}.{key}"]
            plain = layer.get_base_layer().state_dict()
            plain["weight"] = plain["weight"] + layer.get_delta_weight(ADAPTER)
            tensors |= {f"{name}.{key}": tensor for key, tensor in plain.items()}
    return tensors


def frozen_files(preset: str, config: NetworksConfig) -> tuple[Path, Path]:
    """(picture autoencoder, ReID network): those named, else those of `start_from`, else the preset's own."""
    places = [Path(place) for place in (config.start_from, default_directory(preset)) if place]
    vae = Path(config.vae) if config.vae else next(filter(None, map(find_vae, places)), None)
    if vae is None:
        raise UserError(f"no picture autoencoder in {' or '.join(map(str, places))}; name it: networks.vae=...")
    if config.reid:
        return vae, Path(config.reid)
    found = [place for place in places if any((place / f"transformer_20{suffix}").is_file() for suffix in SUFFIXES)]
    return vae, find_weights((found or places)[0], "transformer_20")


def export_frozen(vae: Path, reid: Path, folder: Path) -> None:
    """Copy the frozen networks beside the others: the folder is all that `pose2id generate --ckpt_dir` needs then."""
    suffix = next((suffix for suffix in SUFFIXES if reid.name.endswith(suffix)), reid.suffix)
    copies = {folder / f"transformer_20{suffix}": reid}
    if vae.is_dir():
        copies |= {folder / "vae" / path.name: path for path in vae.iterdir() if path.is_file()}
    else:
        copies[folder / f"vae{vae.suffix}"] = vae
    for copy, original in copies.items():
        if not copy.is_file() or not filecmp.cmp(copy, original, shallow=False):
            with replacing(copy) as partial:
                shutil.copyfile(original, partial)
