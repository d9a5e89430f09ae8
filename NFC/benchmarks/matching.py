"""Matchers of local features at the size of Market1501: seconds and memory above input and result, as ranking asks.

pose2id bench matching              3,368 queries and 15,913 gallery pictures: some minutes on two cores
pose2id bench matching --small      the same at toy sizes, to see that it works
pose2id bench matching --only dmli  some cases

Features are random, so that nothing is near anything else. Every case runs in a process of its own, on the CPU and on
a GPU where there is one. Distances are asked for in blocks of queries, as ranking does, and put into one matrix; some
pairs are checked against a plain way. Of the costliest a share is measured, and the whole worked out from it: matchers
behind a shortlist compare each query with 100 gallery pictures.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from pose2id.devices import AtOnce
from pose2id.errors import UserError
from pose2id.settings.flags import parse_command

from ..features.feature_set import FeatureSet
from ..features.kinds import Features, SetFeatures, StripeFeatures
from ..matching import MATCHERS
from . import pair_networks, reconstruction
from .nfc import forget_peak, in_own_process, peak_memory
from .similarity_inference import similarity_inference_cost

FULL, SMALL = (3_368, 15_913), (40, 60)  # queries and gallery pictures
BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances asked for at once
CHECKED = 3  # queries and gallery pictures compared by the plain way


@dataclass(frozen=True)
class Case:
    """A matcher on random features: `make` gives so many of them, from a generator; `plain` one distance of a pair.

    every: each so-manieth query is measured, and its seconds count so many times.
    """

    matcher: str
    make: Callable[[int, torch.Generator], Features]
    plain: Callable[[Features, Features], float]
    every: int = 1


def stripes(count: int, generator: torch.Generator) -> StripeFeatures:
    """8 stripes of 128 numbers, as AlignedReID has them."""
    whole, local = (torch.randn(count, *shape, generator=generator) for shape in ((128,), (8, 128)))
    return StripeFeatures(normalize(whole, dim=-1), normalize(local, dim=-1))


def plain_dmli(query: StripeFeatures, gallery: StripeFeatures) -> float:
    """Cell by cell, in float64."""
    cells = torch.cdist(query.stripes[0].double(), gallery.stripes[0].double()).div(2).tanh()
    for i, j in torch.cartesian_prod(*map(torch.arange, cells.shape)).tolist():
        cells[i, j] += min([cells[i - 1, j]] * (i > 0) + [cells[i, j - 1]] * (j > 0), default=0.0)
    return float(cells[-1, -1] + (query.whole - gallery.whole).double().square().sum())


def sets(count: int, generator: torch.Generator) -> SetFeatures:
    """2,048 channels, half of them empty, as MoS has them."""
    return SetFeatures(torch.randn(count, 2048, generator=generator).relu())


def plain_jaccard(query: SetFeatures, gallery: SetFeatures) -> float:
    a, b = query.values[0].double(), gallery.values[0].double()
    return float(1 - torch.minimum(a, b).sum() / torch.maximum(a, b).sum())


CASES = {
    "dmli, 8 stripes of 128": Case("dmli", stripes, plain_dmli),
    "jaccard, 2,048 channels": Case("jaccard", sets, plain_jaccard, every=16),
}


class Row(NamedTuple):
    seconds: float
    mib: float | None = None
    off: float | None = None


def rebuilt(columns: int, device: str, small: bool) -> Row:
    case = reconstruction.rescoring_case(columns, share=0.0003 if small else 0.01, device=device)
    return Row(case.expected, off=case.difference)


def judged(network: str, device: str, small: bool) -> Row:
    cost = pair_networks.measure(network, *((4, 4) if small else (32, 32)), device=device)
    return Row(cost.shortlists, off=cost.difference)


def inferred(items: int, device: str, small: bool) -> Row:
    cost = similarity_inference_cost(*((8, 200, 16) if small else (64, items, 32)), device=device)
    return Row(cost.seconds, cost.mib)


# Matcher, what measures its own sizes, and the size or network.
OTHERS: dict[str, tuple[str, Callable[..., Row], int | str]] = {
    "reconstruction, 71 columns, 100 a query": ("reconstruction", rebuilt, reconstruction.COLUMNS["sfr"]),
    "reconstruction, 110 columns, 100 a query": ("reconstruction", rebuilt, reconstruction.COLUMNS["fastreid"]),
    "pair_network, IDLA, 100 a query": ("pair_network", judged, "idla"),
    "pair_network, PersonNet, 100 a query": ("pair_network", judged, "personnet"),
    "similarity_inference, 64 x 100,000 of 32": ("similarity_inference", inferred, 100_000),
}


@torch.inference_mode()
def measured(name: str, device: str, small: bool) -> Row:
    """Seconds, MiB above features and result, and the largest difference from the plain way."""
    case, generator, sizes = CASES[name], torch.Generator().manual_seed(0), SMALL if small else FULL
    sizes = max(CHECKED, sizes[0] // case.every), sizes[1]
    queries, gallery = (FeatureSet(case.make(count, generator).to(device), None, None) for count in sizes)
    matcher, result = MATCHERS[case.matcher](), torch.ones(sizes, device=device)  # its memory is taken now
    matcher.distances(queries[:CHECKED], gallery[:CHECKED])[torch.arange(CHECKED)]
    before, started = forget_peak(device), time.perf_counter()
    distances = matcher.distances(queries, gallery)
    for rows in torch.arange(sizes[0], device=device).split(BLOCK.rows(sizes[1], result.device)):
        result[rows] = distances[rows].float()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds, memory = time.perf_counter() - started, (peak_memory(device) - before) / 2**20
    pairs = torch.cartesian_prod(torch.arange(CHECKED), torch.arange(CHECKED) + sizes[1] - CHECKED).tolist()
    off = max(abs(float(result[q, g]) - case.plain(queries.feats[[q]], gallery.feats[[g]])) for q, g in pairs)
    return Row(seconds * case.every, memory, off)


@dataclass
class BenchConfig:
    small: bool = False
    only: list[str] | None = None  # matchers; all


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    works = {name: (case.matcher, measured, name) for name, case in CASES.items()} | OTHERS
    known = {matcher for matcher, *_ in works.values()}
    if unknown := set(args.only or ()) - known:
        raise UserError(f"no case of matcher '{min(unknown)}'; choose among: {', '.join(sorted(known))}")
    sizes = SMALL if args.small else FULL
    table = Table(title=f"{sizes[0]:,} x {sizes[1]:,} pairs, {torch.get_num_threads()} threads")
    for column in ("", "device", "seconds", "MiB above", "differs by"):
        table.add_column(column, justify="right" if column else "left")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for name, (matcher, work, what) in works.items():
            if matcher in (args.only or known):
                seconds, mib, off = in_own_process(work, what, device, args.small)
                numbers = "" if mib is None else f"{mib:,.0f}", "" if off is None else f"{off:.0e}"
                table.add_row(name, device, f"{seconds:.1f}", *numbers)
    Console().print(table)
