"""NFC, ranking and re-ranking against plain implementations: seconds, memory above the input, and equal answers.

pose2id bench nfc              the sizes of Market1501 and MSMT17: minutes, and 12 GB for the plain ones
pose2id bench nfc --small      the same at toy sizes, to see that it works
pose2id bench nfc --million    NFC on 1,000,000 x 256 as well: many minutes
pose2id bench nfc --processor_time    seconds of one thread, for a machine that has other work to do

The plain ones do what the official code does: they hold the whole distance matrix, sort or search all of it, and loop
over samples in Python. Every case runs in a process of its own, after a small run to warm up, so that peaks are its
own. Shown are the first run, as in a process that evaluates once, and the fastest of two more: the first one takes
new memory from the system, of which the plain ones need more. Features are L2-normalised: a centre for each person and
noise around it, little for some pictures and much for others. Where there is a GPU, ours runs on it as well.
"""

import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import normalize

from pose2id.settings.flags import parse_command

from .. import NFC, evaluate_ranking, k_reciprocal_rerank
from ..neighbours.search import nearest_neighbours, pair_distances
from .plain import (
    K1,
    K2,
    RERANK_K1,
    RERANK_K2,
    RERANK_LAMBDA,
    plain_nfc,
    plain_ranking,
    plain_rerank,
    rank_and_score,
    row_sums,
)

PICTURES_PER_PERSON, CAMERAS = 25, 6
NOISE = (0.3, 1.6)  # length of a picture's noise relative to its centre, drawn between these
DIRECTIONS = 64  # that features differ in, however many numbers they have
WARM_UP = (40, 200, 64)

PROCESS = Path("/proc/self")

Sizes = tuple[int, int, int]  # queries (0: none), gallery or set, feature size


@dataclass(frozen=True)
class Case:
    work: str  # nfc, ranking or rerank
    sizes: Sizes
    plain: bool = True  # False where the plain one would not fit
    runs: int = 3

    def shrunk(self) -> "Case":
        queries, others, dim = self.sizes
        return Case(self.work, (queries // 16, others // 16, dim // 16), self.plain, self.runs)


CASES = (
    Case("nfc", (0, 19_732, 3_840)),
    Case("nfc", (0, 19_732, 768)),
    Case("nfc", (0, 93_820, 768), plain=False),
    Case("ranking", (3_368, 15_913, 768)),
    Case("rerank", (1_000, 6_000, 768)),
    Case("rerank", (3_368, 15_913, 768), plain=False),
)
GROWTH = tuple(Case("nfc", (0, rows, 256), plain=False) for rows in (12_500, 25_000, 50_000))
MILLION = Case("nfc", (0, 1_000_000, 256), plain=False, runs=1)


@dataclass(frozen=True)
class Measured:
    seconds: float  # of the first run
    again: float  # of the fastest of the others
    mib: float  # peak above the input
    answer: dict[str, np.ndarray]


@dataclass
class BenchConfig:
    small: bool = False  # toy sizes
    million: bool = False  # NFC on a million features as well
    processor_time: bool = False  # of one thread: for a machine with other work


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    cases = [*CASES, *GROWTH, *([MILLION] if args.million else [])]
    console, gpu = Console(width=140), torch.cuda.is_available()
    columns = ["work", *("plain s", "ours s", "ratio"), *("again", "again", "ratio"), "plain MiB", "ours MiB"]
    columns += ["GPU s", "GPU MiB"] if gpu else []
    title = "processor time of one thread" if args.processor_time else f"{torch.get_num_threads()} threads"
    title = f"torch {torch.__version__}, {title}"
    title += f", {torch.cuda.get_device_name()}" if gpu else ""
    table = Table(*columns, "compared with plain", title=title, box=SIMPLE, pad_edge=False)
    for case in cases:
        case = case.shrunk() if args.small else case
        ours = in_own_process(measure, OURS[case.work], case.sizes, case.runs, args.processor_time)
        plain = (
            in_own_process(measure, PLAIN[case.work], case.sizes, case.runs, args.processor_time)
            if case.plain
            else None
        )
        row = [f"{case.work} {' x '.join(f'{n:,}' for n in case.sizes if n)}"]
        for clock in ("seconds", "again"):
            mine, theirs = getattr(ours, clock), plain and getattr(plain, clock)
            row += [f"{theirs:.2f}" if plain else "", f"{mine:.2f}", f"{theirs / mine:.1f}" if plain else ""]
        row += [f"{plain.mib:,.0f}" if plain else "", f"{ours.mib:,.0f}"]
        if gpu:
            on_gpu = in_own_process(measure, OURS[case.work], case.sizes, case.runs, device="cuda")
            row += [f"{on_gpu.again:.2f}", f"{on_gpu.mib:,.0f}"]
        row += [COMPARE[case.work](ours.answer, plain.answer, case.sizes) if plain else ""]
        console.print("  ".join(filter(None, row)), style="dim")  # a long run shows what it has
        table.add_row(*row)
    console.print(table)


def in_own_process(function: Callable, *arguments: object, **options: object):
    """The function's answer from a fresh interpreter: the peak memory of a process never falls."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **options).result()


def measure(work: Callable, sizes: Sizes, runs: int, processor_time: bool = False, device: str = "cpu") -> Measured:
    clock = time.process_time if processor_time else time.perf_counter
    torch.set_num_threads(1 if processor_time else torch.get_num_threads())
    warm, inputs = ([part.to(device) for part in make_inputs(size)] for size in (WARM_UP, sizes))
    work(*warm, WARM_UP[0])
    before, seconds = forget_peak(device), []
    for _ in range(runs):
        start = clock()
        answer = work(*inputs, sizes[0])
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - start)
    after = peak_memory(device)
    if work is our_nfc:  # which neighbours they were, outside the measurement
        answer["neighbours"] = nearest_neighbours(inputs[0], max(K1, K2))[0]
    return Measured(
        seconds[0],
        min(seconds[1:] or seconds),
        (after - before) / 2**20,
        {name: part.cpu().numpy() for name, part in answer.items()},
    )


def forget_peak(device: str) -> int:
    """Bytes in use now; from here on `peak_memory` counts anew, where the system can do that."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if PROCESS.exists():
        (PROCESS / "clear_refs").write_text("5")
    return peak_memory(device)


def peak_memory(device: str) -> int:
    """Bytes; without Linux' /proc those of the whole life of the process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if PROCESS.exists():
        (line,) = (line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def make_inputs(sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Features (Q + N, d), pids and camids (Q + N,); made in place, so that making them is no peak of its own."""
    queries, others, dim = sizes
    count, generator = queries + others, torch.Generator().manual_seed(0)
    people = max(1, count // PICTURES_PER_PERSON)
    pids, camids = (torch.randint(high, (count,), generator=generator) for high in (people, CAMERAS))
    axes = torch.randn(DIRECTIONS, dim, generator=generator)
    centres = normalize(torch.randn(people, DIRECTIONS, generator=generator), dim=1)
    feats = torch.empty(count, dim)
    for rows in torch.arange(count).split(1_000):
        noise = normalize(torch.randn(len(rows), DIRECTIONS, generator=generator), dim=1)
        strength = torch.empty(len(rows), 1).uniform_(*NOISE, generator=generator)
        feats[rows] = normalize((centres[pids[rows]] + strength * noise) @ axes, dim=1)
    return feats, pids, camids


def our_nfc(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    return {"rows": row_sums(NFC(feats, K1, K2))}


def compare_nfc(ours: dict, plain: dict, sizes: Sizes) -> str:
    """Float32 distances of the plain one may misjudge neighbours that are all but equally far; ours must be nearer."""
    differ = (ours["neighbours"] != plain["neighbours"]).any(1)
    rows = np.flatnonzero(differ)
    feats = make_inputs(sizes)[0]
    far = [
        pair_distances(feats, feats, torch.from_numpy(rows.repeat(max(K1, K2))), torch.from_numpy(side[rows].ravel()))
        for side in (ours["neighbours"], plain["neighbours"])
    ]
    if (far[0] > far[1]).any():
        raise AssertionError("a neighbour of the plain one is nearer than ours")
    touched = differ | differ[ours["neighbours"]].any(1) | differ[plain["neighbours"]].any(1)
    np.testing.assert_allclose(ours["rows"][~touched], plain["rows"][~touched], atol=1e-5)
    same = f"neighbours equal in {(~differ).sum():,} of {len(differ):,} rows"
    return same + (", in the others ours are nearer (float64)" if len(rows) else "")


def our_ranking(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    split = (part for labels in (pids, camids) for part in (labels[:queries], labels[queries:]))
    result = evaluate_ranking(feats[:queries], feats[queries:], *split)
    return {"scores": torch.tensor([result.mAP, result.mINP, *result.cmc], dtype=torch.float64)}


def compare_scores(ours: dict, plain: dict, sizes: Sizes) -> str:
    difference = np.abs(ours["scores"] - plain["scores"]).max()
    if difference > 1e-6:
        raise AssertionError(f"scores differ by {difference}")
    return f"mAP {ours['scores'][0]:.4f}, scores differ by at most {difference:.0e}"


def our_rerank(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    distances = k_reciprocal_rerank(feats[:queries], feats[queries:], RERANK_K1, RERANK_K2, RERANK_LAMBDA)
    return {"distances": distances}


def compare_rerank(ours: dict, plain: dict, sizes: Sizes) -> str:
    _, pids, camids = (part.numpy() for part in make_inputs(sizes))
    scores = [{"scores": rank_and_score(side["distances"], pids, camids, sizes[0])} for side in (ours, plain)]
    difference = np.abs(ours["distances"] - plain["distances"]).max()
    return f"{compare_scores(*scores, sizes)}, distances by {difference:.0e}"


OURS = {"nfc": our_nfc, "ranking": our_ranking, "rerank": our_rerank}
PLAIN = {"nfc": plain_nfc, "ranking": plain_ranking, "rerank": plain_rerank}
COMPARE = {"nfc": compare_nfc, "ranking": compare_scores, "rerank": compare_rerank}
