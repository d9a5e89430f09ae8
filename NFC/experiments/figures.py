"""Figures 4, 7, 8 and 9 of the paper, and the drawing of Figure 5, whose pictures need the generator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..chain import Chain
from ..datasets import generated_paths
from ..report.pictures import PictureRow, Tile
from ..report.plots import heat_map, picture_plot, sweep_plot, tsne_plot
from ..scoring.protocol import Protocol
from ..scoring.ranking import evaluate_ranking, rank_gallery
from ..steps import GeneratedPictures, NeighbourCentralization
from .results import Result
from .tables import BASE, OURS
from .world import World

ETAS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
NEIGHBOURS = (1, 2, 3, 4, 5, 6)  # k1 and k2 of Fig. 9
PEOPLE, PICTURES = 10, 20  # identities of Fig. 4, and at most so many pictures of each
QUERIES = 6  # rows of Fig. 7


def fig4(world: World) -> Result:
    """t-SNE of 10 identities with a network without ReID training, before and after."""
    gallery = world.bench("market1501", "generic").gallery
    chosen = _most_seen(gallery.pids, world)
    part = gallery[chosen]
    chains = {"Before": BASE, "After": OURS}
    panels = {name: chain.centralize(part, "gallery").feats.flatten() for name, chain in chains.items()}
    plot = tsne_plot(panels, part.pids.tolist(), f"{PEOPLE} identities, network without ReID training")
    return Result(
        "Fig. 4: t-SNE of 10 identities, before and after",
        plots={"tsne": (plot, "Each colour and marker is one person; Market1501 gallery.")},
    )


def fig7(world: World, pose: int = 1) -> Result:
    """Ranking with generated pictures of the same pose: the pose no longer has a say."""
    bench = world.bench("market1501", "transreid")
    people = [i for i, r in enumerate(bench.dataset.gallery) if r.pid not in bench.dataset.distractors]
    gallery = bench.gallery[torch.tensor(people)]
    q, g = (part.generated[:, pose - 1].normalized().flatten() for part in (bench.query, gallery))
    labels = bench.query.pids, gallery.pids, bench.query.camids, gallery.camids
    exclude = Protocol.of(bench.dataset).exclude
    ranking = evaluate_ranking(q, g, *labels, exclude=exclude)
    nearest = rank_gallery(q, g, *labels, k=8, exclude=exclude)
    valid = ranking.valid_queries.nonzero()[0]
    shown = valid[np.linspace(0, len(valid) - 1, min(QUERIES, len(valid))).round().astype(int)]

    def drawn(record) -> Path:
        return generated_paths(record, pose)[-1]

    rows = []
    for index in shown:
        query = bench.dataset.query[index]
        hits = [bench.dataset.gallery[people[i]] for i in nearest[index] if i >= 0]
        tiles = [Tile(query.path), Tile(drawn(query)), *(Tile(drawn(hit), hit.pid == query.pid) for hit in hits)]
        rows.append(PictureRow(f"pid {query.pid}", tiles))
    plot = picture_plot(rows, ["query", "in the pose", *map(str, range(1, 9))], f"All in pose {pose}")
    caption = (
        f"Query and gallery replaced by their generated pictures in pose {pose}: mAP {100 * ranking.mAP:.2f}, "
        f"Rank-1 {100 * ranking.cmc[0]:.2f}. Green frames: the query's person."
    )
    return Result("Fig. 7: ranking in one pose", galleries={"same_pose": (plot, caption)})


def fig8(world: World) -> Result:
    """The weight of generated pictures."""
    bench = world.bench("market1501", "transreid")
    rows = [bench.score(f"eta {eta:g}", Chain.of(GeneratedPictures(eta=eta))) for eta in ETAS]
    series = {"mAP": [row.mAP for row in rows], "Rank-1": [row.cmc[0] for row in rows]}
    plot = sweep_plot(ETAS, series, "η", "IPG by weight of the generated pictures")
    best = max(rows, key=lambda row: row.mAP)
    caption = f"Best mAP {100 * best.mAP:.2f} at {best.name}. Dotted: without generated pictures."
    return Result("Fig. 8: η (Market1501, TransReID)", plots={"eta": (plot, caption)})


def fig9(world: World) -> Result:
    """The two neighbourhood sizes of NFC."""
    bench = world.bench("market1501", "transreid")
    rows = [
        [bench.score("", Chain.of(NeighbourCentralization(k1=k1, k2=k2))) for k2 in NEIGHBOURS] for k1 in NEIGHBOURS
    ]
    values = {
        "mAP": np.array([[row.mAP for row in line] for line in rows]),
        "Rank-1": np.array([[row.cmc[0] for row in line] for line in rows]),
    }
    return Result(
        "Fig. 9: k1 and k2 of NFC (Market1501, TransReID)",
        plots={
            metric.lower(): (heat_map(scores, NEIGHBOURS, NEIGHBOURS, f"{metric} (%)"), f"{metric}; the best is bold.")
            for metric, scores in values.items()
        },
    )


def draw_fig5(references: Sequence[Path], pictures: dict[str, Sequence[Sequence[Image.Image]]], caption: str) -> Result:
    """With and without IFR. pictures: name of the variant -> [reference][pose]."""
    rows = []
    for number, reference in enumerate(references):
        for name, drawn in pictures.items():
            rows.append(PictureRow(name, [Tile(reference), *map(Tile, drawn[number])]))
    poses = len(next(iter(pictures.values()))[0])
    plot = picture_plot(
        rows, ["reference", *(f"pose {k + 1}" for k in range(poses))], "Identity tokens of IFR, or none"
    )
    return Result("Fig. 5: with and without IFR", galleries={"ifr": (plot, caption)})


def _most_seen(pids: Tensor, world: World) -> Tensor:
    """Indices of up to 20 pictures of each of the 10 people with most pictures; ties go to the lower pid."""
    distractors = torch.tensor(sorted(world.dataset("market1501").distractors), dtype=torch.int64)
    people, counts = pids[~torch.isin(pids, distractors)].unique(return_counts=True)
    chosen = people[counts.argsort(descending=True, stable=True)[:PEOPLE]]
    return torch.cat([(pids == pid).nonzero()[:PICTURES, 0] for pid in chosen])
