"""Everything that a GPU is for, against the plain way on the same GPU, in a few minutes; each row as it is done.

pose2id bench gpu-check [--small] [--seconds 420]

Searches and rankings beside chunks of float32 products with `topk` or `argsort`, with the equality of the answers; then
norms, fused networks, references in batches and replayed calls beside the plain ones, with how far apart they are;
pictures by the official order of work, by ours, by a student's four steps with a small decoder; then training steps.
What no time is left for is said. --small: toy sizes, to see on any machine that it works.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from NFC import evaluate_ranking, k_reciprocal_rerank
from NFC.neighbours.search import nearest_neighbours
from pose2id.devices import pick_device
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import COUNT, check_ranges

from .. import IPGPipeline
from ..models.group_norm import group_norm
from .gpu import Bench
from .ipg import GUIDANCE
from .training import Setting
from .training import measure as measure_step

K, PICTURES_EACH = 4, 25  # neighbours; pictures of a person
CHUNK = 2**28  # distances at once, the plain way
REFERENCES = 4  # references, of eight pictures each
Answer = Callable[[], object]


@dataclass
class CheckConfig:
    small: bool = False  # toy sizes
    seconds: int = 420  # nothing is begun after these
    preset: str = "sd15"  # of the generator; mini with small

    def __post_init__(self) -> None:
        check_ranges(self, {"seconds": COUNT})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(CheckConfig, __doc__, arguments)
    if config is not None:
        Check(config).run()


class Check:
    """The rows, in the order of what matters most."""

    def __init__(self, config: CheckConfig) -> None:
        self.config, self.device, self.started = config, pick_device(), time.monotonic()
        self.shrink = 32 if config.small else 1
        self.console = Console(width=140)

    def run(self) -> None:
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        self.console.print(f"{name}, torch {torch.__version__}")
        for rows, dim in ((19_732, 3_840), (93_820, 768)):
            self.neighbours(rows, dim, plain=True)
        for queries, items in ((3_368, 15_913), (11_659, 82_161)):
            self.ranking(queries, items, 768)
        self.norms()
        self.pictures()
        for queries, items in ((3_368, 15_913), (11_659, 82_161)):
            self.reranking(queries, items, 768)
        self.neighbours(1_000_000, 256, plain=False)
        self.training()

    def neighbours(self, rows: int, dim: int, plain: bool) -> None:
        feats, _ = self.features(rows, dim)
        self.row(
            f"{K} neighbours, {len(feats):,} x {dim}",
            lambda: nearest_neighbours(feats, K)[0],
            (lambda: plain_neighbours(feats, K)) if plain else None,
            lambda ours, theirs: f"equal in {float((ours == theirs).all(1).double().mean()):.3%} of the rows",
        )

    def ranking(self, queries: int, items: int, dim: int) -> None:
        feats, pids = self.features(queries + items, dim)
        count = queries // self.shrink
        cameras = torch.arange(len(pids), device=self.device) % 6
        labels = [part for labels in (pids, cameras) for part in (labels[:count], labels[count:])]
        self.row(
            f"ranking, {count:,} x {len(feats) - count:,} x {dim}",
            lambda: evaluate_ranking(feats[:count], feats[count:], *labels).mAP,
            lambda: plain_map(feats[:count], feats[count:], *labels),
            lambda ours, theirs: f"mAP differs by {abs(ours - theirs):.0e}",
        )

    def reranking(self, queries: int, items: int, dim: int) -> None:
        feats, _ = self.features(queries + items, dim)
        count = queries // self.shrink
        self.row(
            f"k-reciprocal, {count:,} + {len(feats) - count:,}, d = {dim}",
            lambda: k_reciprocal_rerank(feats[:count], feats[count:]),
        )

    def norms(self) -> None:
        """Group normalization with SiLU as one operator: of a block of the UNet and of the decoder."""
        rows, precision = 32 // self.shrink, {"device": self.device, "dtype": torch.bfloat16}
        for channels, height, width in ((320, 64, 32), (128, 512, 256)):
            x = torch.randn(rows, height, width, channels, **precision).permute(0, 3, 1, 2)
            norm = nn.GroupNorm(32, channels, **precision).requires_grad_(False)
            self.row(
                f"norm and SiLU, {rows} x {channels} x {height} x {width}, bfloat16",
                lambda x=x, norm=norm: group_norm(x, norm, silu=True),
                lambda x=x, norm=norm: silu(norm(x)).contiguous(memory_format=torch.channels_last),
                apart,
            )

    def pictures(self) -> None:
        preset = "mini" if self.config.small else self.config.preset
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        bench = Bench(preset, self.device, dtype)
        steps = 2 if self.config.small else 20
        official = {"num_inference_steps": steps, "guidance_scale": GUIDANCE}
        student = {"num_inference_steps": 4, "guidance_scale": 1.0}
        count = 1 if self.config.small else REFERENCES
        done = 8 * count
        precision = str(dtype).removeprefix("torch.")

        def ours(fused: bool | None = None) -> Tensor:
            bench.pipe.optimise(fused=fused)  # also where the plain way changed how the UNets attend
            return bench.ours(count, 32, official)

        self.row(f"{done} pictures, {steps} steps with guidance, {precision}", ours, lambda: bench.plain(count, steps))
        self.row(f"{done} pictures, fused networks", lambda: ours(True), lambda: ours(False), apart)
        self.encoding(bench.pipe)
        bench.pipe.optimise()
        self.row(f"{done} pictures, a student's 4 steps", lambda: bench.ours(count, 32, student))
        if self.device.type == "cuda":
            self.replaying(bench, student)
        if preset == "sd15":
            bench.pipe.vae = AutoencoderTiny().to(self.device, dtype).eval()
            self.row(f"{done} pictures, 4 steps, small decoder", lambda: bench.ours(count, 32, student))
        if self.device.type == "cuda":
            bench.pipe.optimise(compiled=True)
            self.row(f"{done} pictures, {steps} steps, compiled", lambda: bench.ours(count, 32, official))

    def replaying(self, bench: Bench, settings: dict[str, object]) -> None:
        """Calls of small batches recorded and replayed beside launched ones."""

        def ours(replayed: bool) -> Tensor:
            bench.pipe.execution = replace(bench.pipe.execution, replayed=replayed)
            return bench.ours(1, 2, settings)

        self.row("8 pictures, 4 steps, 2 at a time, replayed", lambda: ours(True), lambda: ours(False), apart)
        bench.pipe.optimise()

    def encoding(self, pipe: IPGPipeline) -> None:
        """References in one batch beside one by one."""
        pixels = np.random.default_rng(0).integers(0, 256, (REFERENCES, 128, 64, 3), np.uint8)
        people = [[Image.fromarray(picture)] for picture in pixels]

        def encoded(at_once: int) -> Tensor:
            return torch.cat(
                [keys.flatten() for _, kept in pipe.encode_people(people, at_once) for keys, _ in kept.values()]
            )

        self.row(f"{REFERENCES} references, encoded", lambda: encoded(REFERENCES), lambda: encoded(1), apart)

    def training(self) -> None:
        preset, batch = ("mini", 2) if self.config.small else (self.config.preset, 8)
        everything = Setting("everything", ("ifr", "pose_guider", "reference_unet", "denoising_unet"))
        if self.late("training steps"):
            return
        seconds, peak = measure_step(everything, preset, batch, steps=4)
        self.console.print(f"training, everything, batch {batch}: {batch / seconds:.1f} samples/s, {peak:.1f} GiB")

    def features(self, rows: int, dim: int) -> tuple[Tensor, Tensor]:
        """Features (N, d) and pids (N,) of people with some pictures near their centre and some far."""
        rows = rows // self.shrink
        generator = torch.Generator(self.device).manual_seed(0)
        kept = {"generator": generator, "device": self.device}
        pids = torch.randint(max(2, rows // PICTURES_EACH), (rows,), **kept)
        axes = torch.randn(64, dim, **kept)
        centres = normalize(torch.randn(int(pids.max()) + 1, 64, **kept), dim=1)
        feats = torch.empty(rows, dim, device=self.device)
        for part in torch.arange(rows, device=self.device).split(2**16):
            noise = normalize(torch.randn(len(part), 64, **kept), dim=1)
            strength = 0.3 + 1.3 * torch.rand(len(part), 1, **kept)
            feats[part] = normalize((centres[pids[part]] + strength * noise) @ axes, dim=1)
        return feats, pids

    def late(self, name: str) -> bool:
        if time.monotonic() - self.started < self.config.seconds:
            return False
        self.console.print(f"{name}: no time left")
        return True

    def row(
        self, name: str, ours: Answer, plain: Answer | None = None, compare: Callable[..., str] | None = None
    ) -> None:
        """Print seconds of both, the fastest of a few runs, peak memory of ours, and how the answers compare."""
        if self.late(name):
            return
        try:
            answer, seconds, peak = self.measure(ours)
            line = f"{name}: {1000 * seconds:,.1f} ms, {peak:.2f} GiB"
            if plain is not None:
                expected, theirs, _ = self.measure(plain)
                line += f"; plain {1000 * theirs:,.1f} ms, {theirs / seconds:.1f} x"
                line += f"; {compare(answer, expected)}" if compare else ""
        except torch.OutOfMemoryError as error:
            line = f"{name}: memory ran out ({str(error).splitlines()[0]})"
        self.console.print(line)

    def measure(self, work: Answer) -> tuple[object, float, float]:
        """The answer, seconds of the fastest of up to three runs after the first, and GiB above what was there."""
        gpu = self.device.type == "cuda"
        answer, times, begun = work(), [], time.monotonic()
        before = torch.cuda.memory_allocated() if gpu else 0
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        while len(times) < 3 and (not times or time.monotonic() - begun < 10):
            self.synchronize()
            started = time.perf_counter()
            answer = work()
            self.synchronize()
            times.append(time.perf_counter() - started)
        return answer, min(times), (torch.cuda.max_memory_allocated() - before) / 2**30 if gpu else 0.0

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def apart(ours: Tensor, theirs: Tensor) -> str:
    return f"apart by {float((ours - theirs).float().norm() / theirs.float().norm()):.1e} of their length"


def plain_neighbours(feats: Tensor, k: int) -> Tensor:
    """(N, k): chunks of a float32 product, then `topk`."""
    squares, found = feats.square().sum(1), []
    for rows in torch.arange(len(feats), device=feats.device).split(max(1, CHUNK // len(feats))):
        distances = squares - 2 * feats[rows] @ feats.T  # less what is the same for all of a row
        distances[torch.arange(len(rows)), rows] = torch.inf
        found.append(distances.topk(k, largest=False).indices)
    return torch.cat(found)


def plain_map(
    query: Tensor, gallery: Tensor, q_pids: Tensor, g_pids: Tensor, q_camids: Tensor, g_camids: Tensor
) -> float:
    """mAP by blocks of `argsort`."""
    total, valid = 0.0, 0
    for rows in torch.arange(len(query), device=query.device).split(max(1, CHUNK // 8 // len(gallery))):
        order = torch.cdist(query[rows], gallery).argsort(1)
        same = q_pids[rows, None] == g_pids[order]
        kept = ~(same & (q_camids[rows, None] == g_camids[order]))
        rank, hits = kept.cumsum(1), (same & kept).cumsum(1)
        matches = same & kept
        count = matches.sum(1)
        precision = (matches * hits / rank.clamp(min=1)).sum(1) / count.clamp(min=1)
        total += float(precision[count > 0].double().sum())
        valid += int((count > 0).sum())
    return total / valid
