"""Ours against plain implementations on this machine: seconds, and memory above the input.

python scripts/bench.py            small sizes, about a minute
python scripts/bench.py --full     the sizes of Market1501

The plain ones hold the whole distance matrix and sort all of it, as official code does. Each case runs in a process
of its own, once small to warm up and once for the figures. Features are whole numbers, so that float32 distances are
exact: both have to give equal answers, ties included. Pictures are generated where there are weights of preset mini.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

from IPG import IPGPipeline
from IPG.pictures import list_pictures, read_picture
from IPG.poses import read_pose_picture
from NFC import NFC, evaluate_ranking
from NFC.errors import UserError, run_command

# Rows of a query set (0: none), rows of the other set, feature size.
SMALL = {"NFC": (0, 6_000, 768), "ranking": (1_000, 6_000, 768)}
FULL = {"NFC": (0, 19_732, 3_840), "ranking": (3_368, 15_913, 768)}
WARM_UP = (40, 200, 64)
PICTURES_PER_PERSON, CAMERAS = 25, 6
REFERENCES, STEPS = 2, 20

Sizes = tuple[int, int, int]
Measured = tuple[np.ndarray, float, float]  # answer, seconds, MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of Market1501: minutes, and 6 GB of memory")
    cases = FULL if parser.parse_args().full else SMALL
    title = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    table = Table(
        "work", "plain s", "ours s", "ratio", "plain MiB", "ours MiB", title=title, box=SIMPLE, pad_edge=False
    )
    for work, sizes in cases.items():
        plain, ours = (in_own_process(measure, name, sizes) for name in (f"plain {work}", f"our {work}"))
        np.testing.assert_allclose(ours[0], plain[0], rtol=1e-12, err_msg=f"{work}: the answers differ")
        (_, plain_s, plain_mib), (_, our_s, our_mib) = plain, ours
        size = " x ".join(str(n) for n in sizes if n)
        row = (f"{plain_s:.2f}", f"{our_s:.2f}", f"{plain_s / our_s:.1f}", f"{plain_mib:.0f}", f"{our_mib:.0f}")
        table.add_row(f"{work} {size}", *row)
    console = Console()
    console.print(table)
    console.print("answers are equal")
    try:
        console.print(in_own_process(generation_speed))
    except UserError as error:
        console.print(f"generation not measured: {error}")


def in_own_process(function: Callable, *arguments: object):
    """`function(*arguments)` in a fresh interpreter: the peak memory of a process never falls."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(name: str, sizes: Sizes) -> Measured:
    """Run case `name` and give its answer as numbers, its seconds and how far memory rose above the input."""
    work, warm, inputs = CASES[name], make_inputs(WARM_UP), make_inputs(sizes)
    work(*warm)
    before, start = peak_memory(), time.perf_counter()
    answer = work(*inputs)
    seconds, after = time.perf_counter() - start, peak_memory()
    return fingerprint(answer), seconds, (after - before) / 2**20


def peak_memory() -> int:
    """Bytes; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def make_inputs(sizes: Sizes) -> tuple[Tensor, Tensor, Tensor, int]:
    """Features (Q + G, d) of whole numbers around the centre of each person, pids, camids, and Q."""
    queries, others, dim = sizes
    generator = torch.Generator().manual_seed(0)
    people = max(1, others // PICTURES_PER_PERSON)
    pids, camids = (torch.randint(high, (queries + others,), generator=generator) for high in (people, CAMERAS))
    centres = torch.randint(-6, 7, (people, dim), generator=generator).float()
    feats = torch.empty(queries + others, dim)
    for row, pid in zip(feats, pids, strict=True):  # in place, so that making the input is no peak of its own
        row.random_(-14, 15, generator=generator).add_(centres[pid])
    return feats, pids, camids, queries


def fingerprint(answer: Tensor | np.ndarray) -> np.ndarray:
    """(N,) float64: scores as they are, rows of features as one exact whole number each."""
    answer = torch.as_tensor(answer)
    if answer.ndim == 1:
        return answer.double().numpy()
    weights = torch.randint(1, 2**20, (answer.shape[1],), generator=torch.Generator().manual_seed(1)).double()
    return torch.stack([row.double() @ weights for row in answer]).numpy()


def our_nfc(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> Tensor:
    return NFC(feats)


def plain_nfc(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> Tensor:
    squares = feats.square().sum(1)
    distances = squares[:, None] + squares - 2 * feats @ feats.T
    distances.fill_diagonal_(torch.inf)
    nearest = distances.argsort(dim=1, stable=True)[:, :2].tolist()
    result = feats.clone()
    for i, candidates in enumerate(nearest):
        for j in candidates:
            if i in nearest[j]:
                result[i] += feats[j]
    return result


def our_ranking(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> np.ndarray:
    split = (part for labels in (pids, camids) for part in (labels[:queries], labels[queries:]))
    result = evaluate_ranking(feats[:queries], feats[queries:], *split)
    return np.array([result.mAP, result.mINP, *result.cmc])


def plain_ranking(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> np.ndarray:
    query, gallery = feats[:queries], feats[queries:]
    distances = query.square().sum(1)[:, None] + gallery.square().sum(1) - 2 * query @ gallery.T
    same_pid = (pids[:queries, None] == pids[queries:]).numpy()
    same_camid = (camids[:queries, None] == camids[queries:]).numpy()
    distances = distances.numpy() + np.float32(0.5) * same_pid  # a tie counts against the query
    order = np.argsort(distances, axis=1)
    scores = []
    for query_order, own_pid, own_camid in zip(order, same_pid, same_camid, strict=True):
        hits = own_pid[query_order][~(own_pid & own_camid)[query_order]]
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            found = np.arange(1, len(ranks) + 1)
            scores.append([(found / ranks).mean(), found[-1] / ranks[-1], *(ranks[0] <= np.arange(1, 51))])
    return np.mean(scores, axis=0)


CASES = {"our NFC": our_nfc, "plain NFC": plain_nfc, "our ranking": our_ranking, "plain ranking": plain_ranking}


def generation_speed() -> str:
    """One line on pictures a second by preset mini, from reference files to pictures in memory."""
    pipeline = IPGPipeline.from_pretrained(preset="mini")
    if pipeline.vae is None:
        raise UserError("pretrained/mini holds no vae/")
    (references, _), (poses, _) = list_pictures(ROOT / "ref"), list_pictures(ROOT / "standard_poses")
    references, poses = [read_picture(path) for path in references[:REFERENCES]], [*map(read_pose_picture, poses)]
    pipeline(references[:1], poses, num_inference_steps=1)
    start = time.perf_counter()
    made = pipeline(references, poses, num_inference_steps=STEPS)
    seconds = time.perf_counter() - start
    count = sum(map(len, made))
    return f"generation, preset mini, {STEPS} steps, {pipeline.device}: {count / seconds:.2f} images/s"


if __name__ == "__main__":
    run_command(main)
