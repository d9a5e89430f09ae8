"""Run by test_on_gpu.py in a process of its own: everything between features and scores on a pretended GPU and a CPU.

Prints one line of JSON for each: what it is, how far apart the answers are, and how often the CPU waited for the GPU.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import normalize

from tests.pretended_gpu import pretended_gpu

Case = tuple[str, Callable[..., object], tuple]


def features(people: int, each: int, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(people * each, generator=generator)
    pids = torch.arange(people).repeat_interleave(each)[order]
    centres, noise = (torch.randn(n, dim, generator=generator) for n in (people, len(pids)))
    return normalize(centres[pids] + 0.9 * noise), pids, torch.arange(len(pids)) % 4


def functions() -> Iterator[Case]:
    from NFC import ID2, NFC, evaluate_ranking, fuse_generated, k_reciprocal_rerank, rank_gallery
    from NFC.neighbours.farthest import farthest_distances
    from NFC.neighbours.search import nearest_in_gallery, nearest_neighbours

    feats, pids, camids = features(30, 12, 48)
    sides = [part for values in (feats, pids, camids) for part in (values[:80], values[80:])]
    clones = feats[:90].repeat(4, 1)  # ties, and more candidates than are looked at

    def scores(*sides: object, **options: object) -> torch.Tensor:
        result = evaluate_ranking(*sides, **options)
        return torch.from_numpy(result.average_precision).nan_to_num()

    yield "nearest", nearest_neighbours, (feats, 4)
    yield "nearest of clones", nearest_neighbours, (clones, 5)
    yield "nearest, float64", nearest_neighbours, (feats.double(), 4)
    yield "nearest, float16", nearest_neighbours, (feats.half(), 4)
    yield "nearest, far from 1", nearest_neighbours, (1e25 * feats, 4)
    yield "nearest in gallery", nearest_in_gallery, (*sides[:2], 6)
    yield "farthest", farthest_distances, (feats,)
    yield "NFC", NFC, (feats,)
    yield "ID2", ID2, (feats, pids)
    yield "fusion", fuse_generated, (feats[:20], feats[20:100].view(20, 4, -1))
    yield "ranking", scores, tuple(sides)
    yield "ranking of noise", scores, (torch.randn(80, 9), torch.randn(280, 9), *sides[2:])
    yield "ranking of clones", scores, (clones[:80], clones[80:360], *sides[2:])
    yield "ranking by identities", lambda *given: scores(*given, cmc="identities"), tuple(sides)
    yield "rank lists", rank_gallery, tuple(sides)
    yield "k-reciprocal", k_reciprocal_rerank, (sides[0], sides[1])


def entries() -> Iterator[Case]:
    """Every matcher and every step, on every kind of features."""
    from NFC.chain import Chain
    from NFC.features.kinds import KINDS
    from NFC.matching import MATCHERS
    from NFC.methods import build_methods
    from NFC.steps import STEPS
    from tests.nfc.examples import example_set
    from tests.nfc.networks.pair_networks import write_tiny_idla

    weights = write_tiny_idla(Path(tempfile.mkdtemp()))
    numbers = {"affinity": {"k1": 3, "k2": 2}, "pair_network": {"extractor": "idla", "weights": str(weights)}}

    def sets(kind: str) -> list:
        found = [example_set(kind, count, seed) for count, seed in ((7, 1), (13, 2))]
        return [replace(each, feats=each.feats.normalized()) for each in found]

    def matched(matcher: object, *sets: object) -> torch.Tensor:
        distances = matcher.distances(*sets)
        return distances[torch.arange(7, device=sets[0].pids.device)]

    def refined(step: object, *sets: object) -> torch.Tensor:
        chain = Chain.of(step)
        refined = [chain.centralize(each, split) for each, split in zip(sets, ("query", "gallery"), strict=True)]
        return torch.cat([each.feats.flatten() for each in chain.expand(*refined)])

    for name, matcher in MATCHERS.items():
        for kind in matcher.kinds:
            (built,) = build_methods([name], numbers)
            yield f"{name} of {kind}", lambda *sets, built=built: matched(built, *sets), tuple(sets(kind))
    for name, step in STEPS.items():
        for kind in step.kinds or KINDS:
            (built,) = build_methods([name])
            yield f"{name} of {kind}", lambda *sets, built=built: refined(built, *sets), tuple(sets(kind))


def on_gpu(value: object) -> object:
    from NFC.features.feature_set import FeatureSet

    if isinstance(value, torch.Tensor):
        return value.to("cuda")
    if isinstance(value, FeatureSet):
        moved = {name: on_gpu(getattr(value, name)) for name in ("pids", "camids")}
        return replace(value, feats=value.feats.to("cuda"), generated=value.generated.to("cuda"), **moved)
    return value


def apart(ours: object, theirs: object) -> float:
    """The largest difference relative to the largest number; infinite for other shapes, or an answer on the CPU."""
    if isinstance(ours, tuple):
        return max(apart(*pair) for pair in zip(ours, theirs, strict=True))
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    ours, theirs = ours.cpu().double(), theirs.double()
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))


def main() -> None:
    with pretended_gpu() as counts:
        for name, function, given in (*functions(), *entries()):
            expected = function(*given)
            moved = [on_gpu(value) for value in given]
            counts.clear()
            try:
                found = function(*moved)
                waits, operators = counts.waits.copy(), counts.operators
                difference = apart(found, expected)
            except Exception as error:
                waits, operators, difference = {}, 0, f"{type(error).__name__}: {error}"
            print(json.dumps([name, difference, operators, waits]), flush=True)


if __name__ == "__main__":
    main()
