"""Generation speed on a GPU, with random weights: pictures a second, memory, and the share of the arithmetic limit.

python scripts/benchmark_gpu.py [--peak_tflops 790] [--references 8]

Every row draws `references` x 8 poses from latents to pictures: the official order of work (see bench_ipg.py), then
ours eager and compiled, with each attention kernel and batch size, and with each setting that trades quality for
speed. Model FLOP utilisation counts the arithmetic of the UNets and of the autoencoder's decoder.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from bench_ipg import GUIDANCE, plain_latents, random_networks
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from IPG import IPGPipeline
from IPG.models import stack_references
from IPG.presets import load_preset
from NFC.errors import run_command
from NFC.features import pick_device

POSES = 8


class Bench:
    """One pipeline with encoded inputs of a reference and eight poses."""

    def __init__(self, preset: str, device: torch.device, dtype: torch.dtype) -> None:
        sizes = load_preset(preset)
        self.pipe = IPGPipeline(sizes, **random_networks(sizes), device=device, dtype=dtype)
        generation, generator = sizes.generation, torch.Generator().manual_seed(0)
        pictures = torch.rand(1, 3, self.pipe.extractor.height, self.pipe.extractor.width, generator=generator)
        self.tokens = self.pipe.encode_identity(pictures * 2 - 1)
        self.uncond_tokens = self.pipe.encode_uncond()
        poses = torch.rand(POSES, 3, generation.height, generation.width, generator=generator)
        self.pose_features = self.pipe.encode_pose(poses)
        self.reference_latents = torch.randn(1, *sizes.latent_shape, generator=generator)
        self.noise = torch.randn(POSES, *sizes.latent_shape, generator=generator)

    def ours(self, references: int, batch_size: int, steps: int, **options: object) -> None:
        """All poses of `references` references, `batch_size` pictures at a time."""
        features = [self.pipe.encode_reference(self.reference_latents, self.tokens) for _ in range(references)]
        pairs = [(r, p) for r in range(references) for p in range(POSES)]
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            poses = [p for _, p in batch]
            latents = self.pipe.denoise(
                self.noise[poses],
                self.pose_features[poses],
                self.tokens,
                self.uncond_tokens,
                stack_references([features[r] for r, _ in batch]),
                steps,
                GUIDANCE,
                **options,
            )
            self.pipe.decode(latents)

    def plain(self, references: int, steps: int) -> None:
        for _ in range(references):
            latents = plain_latents(
                self.pipe,
                self.reference_latents,
                self.noise,
                self.tokens,
                self.uncond_tokens,
                self.pose_features,
                steps,
            )
            for one in latents:
                self.pipe.decode(one[None])


def measure(work: Callable[[], None], device: torch.device) -> tuple[float, float, float]:
    """Seconds, TFLOP and peak GiB of `work`, after one run to warm up."""
    with FlopCounterMode(display=False) as counter:
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return seconds, counter.get_total_flops() / 1e12, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="sd15")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--peak_tflops", type=float, default=790.0, help="of this device in bfloat16 (H200: 790)")
    parser.add_argument("--kernels", nargs="+", default=["sdpa", "xformers"])
    parser.add_argument("--no_compile", action="store_true")
    args = parser.parse_args()
    device = pick_device()
    bench = Bench(args.preset, device, torch.bfloat16)
    table = Table(title=f"{args.preset}, {args.references} references x {POSES} poses, {args.steps} steps, {device}")
    for column in ("", "images/s", "s per reference", "peak GiB", "MFU"):
        table.add_column(column, justify="right" if column else "left")

    def row(name: str, work: Callable[[], None]) -> None:
        seconds, tflop, peak = measure(work, device)
        images = args.references * POSES
        share = tflop / seconds / args.peak_tflops
        cells = f"{images / seconds:.2f}", f"{seconds / args.references:.2f}", f"{peak:.1f}", f"{share:.1%}"
        table.add_row(name, *cells)
        Console(stderr=True).print(name, *cells)

    row("official order of work", lambda: bench.plain(args.references, args.steps))
    for kernel in args.kernels:
        bench.pipe.optimise(kernel, channels_last=True)
        for size in args.batch_sizes:
            row(f"{kernel}, batch {size}", lambda size=size: bench.ours(args.references, size, args.steps))
    bench.pipe.optimise(args.kernels[0], channels_last=True, compile=not args.no_compile)
    size = args.batch_sizes[-1]
    label = "eager" if args.no_compile else "compiled"
    row(f"{args.kernels[0]}, {label}, batch {size}", lambda: bench.ours(args.references, size, args.steps))
    for name, steps, options in (
        ("10 steps, dpm++", 10, {"scheduler": "dpm++"}),
        ("10 steps, unipc", 10, {"scheduler": "unipc"}),
        ("guidance in 200..800", args.steps, {"guidance_interval": (200, 800)}),
    ):
        row(f"{label}, {name}", lambda s=steps, o=options: bench.ours(args.references, size, s, **o))
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
