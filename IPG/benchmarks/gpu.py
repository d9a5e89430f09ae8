"""Generation speed on a GPU, with random weights: pictures a second, memory, and the share of the arithmetic limit.

pose2id bench gpu [--peak_tflops 790] [--references 8]

Every row draws `references` x 8 poses from latents to pictures: the official order of work (see ipg.py), then
ours with each attention kernel and batch size, eager and compiled, then each setting that trades quality for speed.
Model FLOP utilisation is the arithmetic that the row's own order of work needs (UNets and decoder), over time and
the limit of the device in bfloat16.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pose2id.devices import pick_device
from pose2id.presets import load_preset
from pose2id.settings.flags import parse_command

from .. import IPGPipeline
from ..models import stack_references
from .ipg import GUIDANCE, plain_latents, random_networks

POSES = 8
WIDTH = 120  # of the table, also where there is no terminal
DIALS = {  # on top of the official steps, guidance and scheduler
    "10 steps, dpm++": {"num_inference_steps": 10, "scheduler": "dpm++"},
    "10 steps, unipc": {"num_inference_steps": 10, "scheduler": "unipc"},
    "10 steps, euler": {"num_inference_steps": 10, "scheduler": "euler"},
    "guidance in 200..800": {"guidance_interval": (200, 800)},
    "features of every 2nd step": {"feature_interval": 2},
    "features of every 3rd step": {"feature_interval": 3},
}


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

    def ours(self, references: int, batch_size: int, settings: dict[str, object]) -> Tensor:
        """All poses of `references` references, `batch_size` pictures at a time; their latents."""
        features = [self.pipe.encode_reference(self.reference_latents, self.tokens) for _ in range(references)]
        pairs = [(r, p) for r in range(references) for p in range(POSES)]
        drawn = []
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            poses = [p for _, p in batch]
            latents = self.pipe.denoise(
                self.noise[poses],
                self.pose_features[poses],
                self.tokens,
                self.uncond_tokens,
                stack_references([features[r] for r, _ in batch]),
                **settings,
            )
            self.pipe.decode(latents)
            drawn.append(latents)
        return torch.cat(drawn)

    def plain(self, references: int, steps: int) -> None:
        """The official order of work, by diffusers' own blocks."""
        self.pipe.optimise(fused=False)
        inputs = self.reference_latents, self.noise, self.tokens, self.uncond_tokens, self.pose_features
        for _ in range(references):
            for latents in plain_latents(self.pipe, *inputs, steps):
                self.pipe.decode(latents[None])


def count_tflop(work: Callable[[], None]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def measure(work: Callable[[], None], device: torch.device) -> tuple[float, float | None]:
    """Seconds and peak GiB of `work`, after one run to warm up; no memory figure on a CPU."""
    work()
    if device.type != "cuda":
        started = time.perf_counter()
        work()
        return time.perf_counter() - started, None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started, torch.cuda.max_memory_allocated() / 2**30


class Report:
    """A table of rows that are also shown as they come."""

    def __init__(self, title: str, references: int, peak_tflops: float, device: torch.device) -> None:
        self.references, self.peak_tflops, self.device = references, peak_tflops, device
        self.table = Table(title=title)
        for column in ("", "images/s", "s per reference", "peak GiB", "MFU", "times plain"):
            self.table.add_column(column, justify="right" if column else "left", no_wrap=True)
        self.first: float | None = None

    def row(self, name: str, work: Callable[[], None], tflop_per_reference: float) -> None:
        """Measure `work`; what this machine cannot do (no kernel, no memory) is told in the row."""
        try:
            seconds, peak = measure(work, self.device)
        except (ImportError, NotImplementedError, torch.OutOfMemoryError) as error:
            Console(stderr=True, width=WIDTH).print(f"{name}: {error}")
            name, cells = f"{name}: {type(error).__name__}", ("-",) * 5
        else:
            self.first = self.first or seconds
            cells = (
                f"{self.references * POSES / seconds:.2f}",
                f"{seconds / self.references:.2f}",
                "-" if peak is None else f"{peak:.1f}",
                f"{tflop_per_reference * self.references / seconds / self.peak_tflops:.1%}",
                f"{self.first / seconds:.2f}",
            )
        self.table.add_row(name, *cells)
        Console(stderr=True, width=WIDTH).print(name, *cells)


@dataclass
class BenchConfig:
    preset: str = "sd15"
    references: int = 8
    steps: int = 20
    batch_sizes: list[int] = field(default_factory=lambda: [8, 16, 32, 64])
    peak_tflops: float = 790.0  # of this device in bfloat16 (H200: 790)
    kernels: list[str] = field(default_factory=lambda: ["sdpa", "xformers"])
    no_compile: bool = False


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    device = pick_device()
    title = f"{args.preset}, {args.references} references x {POSES} poses, {args.steps} steps with guidance, {device}"
    report = Report(title, args.references, args.peak_tflops, device)

    for dtype in (torch.float32, torch.bfloat16):
        bench = Bench(args.preset, device, dtype)
        tflop = count_tflop(lambda bench=bench: bench.plain(1, args.steps))
        name = f"official order of work, {str(dtype).removeprefix('torch.')}"
        report.row(name, lambda bench=bench: bench.plain(args.references, args.steps), tflop)

    official = {"num_inference_steps": args.steps, "guidance_scale": GUIDANCE}
    bench.pipe.optimise()
    tflops = {
        name: count_tflop(lambda s=s: bench.ours(1, POSES, official | s)) for name, s in ({"": {}} | DIALS).items()
    }

    def ours(name: str, size: int, dial: str = "") -> None:
        settings = official | DIALS.get(dial, {})
        report.row(name, lambda: bench.ours(args.references, size, settings), tflops[dial])

    modes = ("eager",) if args.no_compile else ("eager", "compiled")
    for mode in modes:
        for kernel in args.kernels:
            bench.pipe.optimise(kernel, compiled=mode == "compiled")
            for size in args.batch_sizes:
                ours(f"{kernel}, {mode}, batch {size}", size)
    bench.pipe.optimise(args.kernels[0], compiled=modes[-1] == "compiled")
    for dial in DIALS:  # with the first kernel and the last mode and batch size
        ours(f"... {dial}", args.batch_sizes[-1], dial)
    Console(width=WIDTH).print(report.table)
