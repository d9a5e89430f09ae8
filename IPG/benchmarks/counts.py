"""What one call of the denoising UNet asks of a GPU, counted without one: kernels, bytes, FLOP; plain and fused.

pose2id bench counts [--preset sd15] [--rows 32]

Every operator is run on tensors without data and counted as the kernels that PyTorch's CUDA code launches for it, with
the bytes that these read and write. That says how much there is to do, not how long it takes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pose2id.presets import Preset, load_preset
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import BATCH, check_ranges

from ..models import DenoisingUNet, Reference, build_denoising_unet
from ..models.channels_last import set_channels_last_blocks
from ..models.fused_attention import place_reference, project_tokens, set_fused_processors
from ..models.reference_attention import ReferenceReader, set_reference_processors
from ..private import move

aten, ours = torch.ops.aten, torch.ops.pose2id
DTYPE = torch.bfloat16
PRODUCTS = "convolutions and products"
ATTENTION, ELEMENTWISE = "attention", "elementwise"
COPIES, JOINTS = "copies between layouts", "concatenations"
GROUP_NORMS, LAYER_NORMS = "group norms", "layer norms"
# Operator -> what it counts as, its kernels, how often it reads its largest input.
KINDS: dict[object, tuple[str, int, int]] = {
    aten.convolution: (PRODUCTS, 1, 1),
    aten.mm: (PRODUCTS, 1, 1),
    aten.addmm: (PRODUCTS, 1, 1),
    ours.project_into: (PRODUCTS, 1, 1),
    aten._scaled_dot_product_flash_attention: (ATTENTION, 1, 1),
    aten.native_group_norm: (GROUP_NORMS, 3, 2),  # moments, their product with the weights, and what is normalised
    ours.group_norm: (GROUP_NORMS, 2, 2),
    aten.native_layer_norm: (LAYER_NORMS, 1, 1),
    aten.clone: (COPIES, 1, 1),
    aten._to_copy: (COPIES, 1, 1),
    aten.copy_: (COPIES, 1, 1),
    aten.cat: (JOINTS, 1, 1),
}


@dataclass
class Work:
    kernels: int = 0
    bytes: int = 0
    flop: int = 0


class Counter(TorchDispatchMode):
    """Counts operators by kind in `found`; what returns a view is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Work] = defaultdict(Work)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        aliases = [output.alias_info for output in func._schema.returns]
        view = any(alias is not None and not alias.is_write for alias in aliases)
        if view or func.overloadpacket is aten._unsafe_view:
            return result
        kind, kernels, reads = KINDS.get(func.overloadpacket, (ELEMENTWISE, 1, 1))
        sizes = [size(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func.overloadpacket is ours.project_into:  # the last is written, in part
            sizes[-1] = size(args[0]) * len(args[1]) // args[1].shape[1]
        written = [size(leaf) for leaf in tree_leaves(result)[:1] if isinstance(leaf, Tensor)]
        self.add(kind, kernels, sum(sizes) + (reads - 1) * max(sizes, default=0) + sum(written))
        return self.convolved(result, *args[:3]) if func.overloadpacket is aten.convolution else result

    def convolved(self, result: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What cuDNN does beside: other layouts are copied to that of the weight, and a bias is added afterwards."""
        if not inputs.is_contiguous(memory_format=torch.channels_last):
            self.add(COPIES, 1, 2 * size(inputs))
        if bias is not None:
            self.add(ELEMENTWISE, 1, 2 * size(result))
        return result.contiguous(memory_format=torch.channels_last)

    def add(self, kind: str, kernels: int, count: int) -> None:
        self.found[kind].kernels += kernels
        self.found[kind].bytes += count


def size(tensor: Tensor) -> int:
    """Bytes of what is distinct in a tensor: rows that were expanded count once."""
    expanded = [count for count, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride == 0]
    return tensor.numel() * tensor.element_size() // max(1, torch.Size(expanded).numel())


def flash(queries: Tensor, keys: Tensor, values: Tensor, mask: None) -> Tensor:
    """What a GPU takes for attention without mask."""
    return aten._scaled_dot_product_flash_attention(queries, keys, values)[0]


@torch.no_grad()
def count(preset: Preset, rows: int, fused: bool) -> dict[str, Work]:
    """By kind, of a conditional call of `rows` latents with a reference each, plain or fused; the sum as "all"."""
    with torch.device("meta"):
        unet = build_denoising_unet(preset).eval()
        move(unet, torch.device("meta"), DTYPE, torch.channels_last)
        width, sizes = preset.unet.block_out_channels[0], preset.latent_shape
        latents = torch.empty(rows, *sizes, dtype=DTYPE)
        tokens = torch.empty(rows, preset.ifr.num_tokens, preset.unet.cross_attention_dim, dtype=DTYPE)
        pose = torch.empty(rows, width, *sizes[1:], dtype=DTYPE).contiguous(memory_format=torch.channels_last)
        time = torch.empty(())
        set_reference_processors(unet, ReferenceReader, flash)
        inputs = latents, time, tokens, pose, reference_of(unet, latents, time, tokens, pose)
        if fused:
            set_channels_last_blocks(unet, True)
            set_fused_processors(unet, flash)
            inputs = latents, time, project_tokens(unet, tokens), pose, place_reference(inputs[-1], rows)
        with FlopCounterMode(display=False) as flop, Counter() as counter:
            unet(*inputs)
    found = counter.found
    for operator, number in flop.get_flop_counts()["Global"].items():
        found[KINDS[operator][0]].flop += number
    found["all"] = Work(*(sum(getattr(work, name) for work in found.values()) for name in Work.__dataclass_fields__))
    return found


def reference_of(unet: DenoisingUNet, *inputs: Tensor) -> Reference:
    """Keys and values of as many tokens as each self-attention has of its own."""
    shapes: dict[str, torch.Size] = {}
    blocks = [(name, block) for name, block in unet.named_modules() if name.endswith(".attn1")]
    handles = [
        block.register_forward_hook(lambda block, args, output, name=name: shapes.update({name: output.shape}))
        for name, block in blocks
    ]
    unet(*inputs)
    for handle in handles:
        handle.remove()
    tokens = {name.removesuffix(".attn1"): torch.empty(shape, dtype=DTYPE) for name, shape in shapes.items()}
    return Reference({name: (own, own.clone()) for name, own in tokens.items()})


@dataclass
class CountsConfig:
    preset: str = "sd15"
    rows: int = 32  # pictures that go through the network together

    def __post_init__(self) -> None:
        check_ranges(self, {"rows": BATCH})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(CountsConfig, __doc__, arguments)
    if config is None:
        return
    preset = load_preset(config.preset)
    plain, fused = (count(preset, config.rows, fused) for fused in (False, True))
    table = Table(title=f"{config.preset}, one call of the denoising UNet, {config.rows} rows, bfloat16")
    for column in ("", "kernels", "fused", "GB", "fused", "TFLOP", "fused"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for kind in sorted(plain, key=lambda kind: plain[kind].bytes):
        pairs = [(getattr(plain[kind], name), getattr(fused[kind], name)) for name in Work.__dataclass_fields__]
        kernels, traffic, flop = pairs
        table.add_row(
            kind, *map(str, kernels), *(f"{n / 1e9:.2f}" for n in traffic), *(f"{n / 1e12:.2f}" for n in flop)
        )
    Console(width=120).print(table)
