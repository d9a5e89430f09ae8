"""Full-size generation with random weights: the official order of work, written plainly, against IPGPipeline.

pose2id bench ipg [--poses 2] [--steps 3] [--preset sd15]

Plain: float32; the reference UNet runs on the whole guidance batch, every self-attention sees the reference in both
halves, and the unconditional half is then attended again without it. All in one run, on the same weights.
"""

import gc
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from NFC.networks import Extractor, Preprocessing
from NFC.networks.transreid import TransReID
from pose2id.presets import Preset, load_preset
from pose2id.settings.flags import parse_command

from .. import IPGPipeline, Sampling
from ..models import (
    build_denoising_unet,
    build_ifr,
    build_pose_guider,
    build_reference_unet,
    build_scheduler,
    build_vae,
)

GUIDANCE = 3.5


class PlainAttention:
    """Attention of the plain path. `bank` is filled by the reference UNet and read by the denoising one."""

    def __init__(self, name: str, bank: dict[str, Tensor], write: bool) -> None:
        self.name, self.bank, self.write = name, bank, write

    def __call__(
        self,
        attn,
        hidden_states,
        encoder_hidden_states=None,
        attention_mask=None,
        kept=None,
        reference=None,
        identity=None,
    ):
        if encoder_hidden_states is not None:
            return self.attend(attn, hidden_states, encoder_hidden_states)
        if self.write:
            self.bank[self.name] = hidden_states
            return self.attend(attn, hidden_states, hidden_states)
        both = self.attend(attn, hidden_states, torch.cat([hidden_states, self.bank[self.name]], dim=1))
        half = len(hidden_states) // 2
        both[:half] = self.attend(attn, hidden_states[:half], hidden_states[:half])
        return both

    @staticmethod
    def attend(attn, hidden_states: Tensor, context: Tensor) -> Tensor:
        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        parts = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        out = nn.functional.scaled_dot_product_attention(*map(heads, parts))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


@torch.inference_mode()
def plain_latents(
    pipe: IPGPipeline,
    reference_latents: Tensor,
    noise: Tensor,
    tokens: Tensor,
    uncond_tokens: Tensor,
    pose_features: Tensor,
    steps: int,
) -> Tensor:
    """The official order of work: noise (P, C, h, w) -> latents. Replaces the pipeline's attention processors."""
    count, bank = len(noise), {}
    for unet, write in ((pipe.reference_unet, True), (pipe.denoising_unet, False)):
        names = [name.removesuffix(".processor") for name in unet.attn_processors]
        unet.set_attn_processor({f"{name}.processor": PlainAttention(name, bank, write) for name in names})
    both = torch.cat([uncond_tokens.repeat(count, 1, 1), tokens.repeat(count, 1, 1)])
    poses = pose_features.repeat(2, 1, 1, 1)
    pipe.reference_unet(reference_latents.to(both).repeat(2 * count, 1, 1, 1), both)
    scheduler = build_scheduler(pipe.preset)
    scheduler.set_timesteps(steps, device=pipe.device)
    latents = noise.to(pipe.device)
    for t in scheduler.timesteps:
        doubled = latents.to(both.dtype).repeat(2, 1, 1, 1)
        uncond, cond = pipe.denoising_unet(doubled, t, both, poses).float().chunk(2)
        latents = scheduler.step(uncond + GUIDANCE * (cond - uncond), t, latents).prev_sample
    return latents


@torch.inference_mode()
def plain(pipe: IPGPipeline, reference: Image.Image, poses: list[Image.Image], steps: int) -> list[Image.Image]:
    """The official order of work from pictures to pictures."""
    latents = plain_latents(
        pipe,
        pipe.encode_pictures([reference]),
        torch.stack([pipe.noise(12580, "0", str(i)) for i in range(len(poses))]),
        pipe.encode_identity(pipe.extractor.preprocess(reference)[None]),
        pipe.encode_uncond(),
        pipe.encode_pose(pipe.preprocess_poses(poses)),
        steps,
    )
    return [pipe.decode(one[None])[0] for one in latents]  # the official code decodes one at a time


def random_networks(preset: Preset) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    reid = preset.reid
    networks = {
        "extractor": Extractor(TransReID.from_sizes(reid), reid.feature_dim, Preprocessing(reid.height, reid.width)),
        "ifr": build_ifr(preset),
        "pose_guider": build_pose_guider(preset),
        "reference_unet": build_reference_unet(preset),
        "denoising_unet": build_denoising_unet(preset),
        "vae": build_vae(preset.vae),
    }
    nn.init.normal_(networks["pose_guider"].conv_out.weight, std=0.02)
    return networks


def timed(work: Callable[[], object]) -> tuple[object, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def largest_difference(first: list[Image.Image], second: list[Image.Image]) -> int:
    pairs = zip(first, second, strict=True)
    return max(int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max()) for a, b in pairs)


@dataclass
class BenchConfig:
    preset: str = "sd15"
    poses: int = 2
    steps: int = 3


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    preset = load_preset(args.preset)
    networks = random_networks(preset)
    noise = np.random.default_rng(0)
    reference = Image.fromarray(noise.integers(0, 256, (256, 128, 3), np.uint8))
    poses = [Image.fromarray(noise.integers(0, 256, (256, 128, 3), np.uint8)) for _ in range(args.poses)]
    sampling = Sampling(args.steps, GUIDANCE)
    table = Table(title=f"{args.preset}, 1 reference x {args.poses} poses, {args.steps} steps, CPU")
    for column in ("", "seconds", "ratio", "largest difference", "peak GiB"):
        table.add_column(column, justify="right" if column else "left")

    def row(name: str, seconds: float, difference: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        table.add_row(name, f"{seconds:.1f}", f"{base / seconds:.2f}", difference, f"{peak:.1f}")

    def ours(sampling: Sampling) -> list[list[Image.Image]]:
        return pipe.generate([reference], poses, sampling, batch_size=args.poses)

    pipe = IPGPipeline(preset, **networks, device="cpu")
    plain(pipe, reference, poses, steps=1)  # every row is preceded by one step to warm up
    expected, base = timed(lambda: plain(pipe, reference, poses, args.steps))
    row("plain, float32", base, "")

    pipe.optimise()
    ours(replace(sampling, steps=1))
    images, seconds = timed(lambda: ours(sampling))
    row("ours, float32", seconds, str(largest_difference(expected, images[0])))
    del pipe
    gc.collect()
    pipe = IPGPipeline(preset, **networks, device="cpu", dtype=torch.bfloat16).optimise()
    ours(replace(sampling, steps=1))
    images, seconds = timed(lambda: ours(sampling))
    row("ours, bfloat16", seconds, str(largest_difference(expected, images[0])))
    Console().print(table)
