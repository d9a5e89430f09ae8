"""Re-scoring shortlists by `reconstruction`: seconds of a share of Market1501, and a plain way on some of its pairs."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..features.feature_set import FeatureSet
from ..features.kinds import ColumnFeatures
from ..matching import Reconstruction

QUERIES, GALLERY, SHORTLIST = 3_368, 15_913, 100  # of Market1501, and as the authors' code has it
DIM = 2_048
COLUMNS = {"sfr": 71, "fastreid": 110}
PLAIN_PAIRS = 20


@dataclass(frozen=True)
class Rescored:
    """seconds: of the share that was measured; expected: of all queries.

    plain: seconds of a pair in the plain way, by ours.
    """

    pairs: int
    seconds: float
    expected: float
    plain: float
    difference: float  # of the distances, at most
    gallery_gib: float  # columns of the whole gallery in float16


@torch.inference_mode()
def rescoring_case(columns: int, form: str = "l2", share: float = 0.01, device: str = "cpu", seed: int = 0) -> Rescored:
    """That share of queries and gallery, so that a gallery picture is in as many shortlists as in the whole.

    Columns are random, of unit length and float16, as a gallery of them had better be kept.
    """
    queries, pictures = max(1, round(share * QUERIES)), max(SHORTLIST, round(share * GALLERY))
    query, gallery = (_random_set(count, columns, device, seed + k) for k, count in enumerate((queries, pictures)))
    matcher = Reconstruction(form=form, shortlist=SHORTLIST)
    candidates = torch.rand(queries, pictures, device=device).argsort(dim=1)[:, :SHORTLIST]
    matcher.rescore(query[torch.arange(1)], gallery, candidates[:1])  # to warm up
    started = _now(device)
    scores = matcher.rescore(query, gallery, candidates)
    seconds, started = _now(device) - started, _now(device)
    plain = torch.stack([_plain(matcher, query, gallery, candidates, pair) for pair in range(PLAIN_PAIRS)])
    plain_seconds = (_now(device) - started) / PLAIN_PAIRS
    difference = float((plain - scores.flatten()[:PLAIN_PAIRS]).abs().max()) if form == "l2" else float("nan")
    pairs = scores.numel()
    gib = GALLERY * columns * DIM * 2 / 2**30
    whole = seconds / pairs * QUERIES * SHORTLIST
    return Rescored(pairs, seconds, whole, plain_seconds * pairs / seconds, difference, gib)


def _random_set(count: int, columns: int, device: str, seed: int) -> FeatureSet:
    generator = torch.Generator(device).manual_seed(seed)
    local = torch.empty(count, columns, DIM, dtype=torch.float16, device=device)
    for row in local:  # in place: no peak in float32
        row.copy_(normalize(torch.randn(columns, DIM, generator=generator, device=device), dim=1))
    whole = normalize(torch.randn(count, DIM, generator=generator, device=device), dim=1)
    weights = torch.full((count, columns), 1 / columns, device=device)
    return FeatureSet(ColumnFeatures(whole, local, weights), None, None)


def _plain(matcher: Reconstruction, query: FeatureSet, gallery: FeatureSet, candidates: Tensor, pair: int) -> Tensor:
    """One pair as the authors' code does it: the inverse, and the columns rebuilt."""
    row, other = pair // SHORTLIST, candidates.flatten()[pair]
    x, y = query.feats.columns[row].float(), gallery.feats.columns[other].float()
    weights = torch.linalg.inv(y @ y.T + matcher.kappa * torch.eye(len(y), device=y.device)) @ y @ x.T
    local = (x - weights.T @ y).norm(dim=1) @ query.feats.weights[row]
    whole = 1 - query.feats.whole[row] @ gallery.feats.whole[other]
    return (1 - matcher.share) * whole + matcher.share * local


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
