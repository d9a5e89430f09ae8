"""The queries that gained and lost most: their numbers are those of the table, their pictures those of a plain sort."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from NFC import k_reciprocal_rerank
from NFC.chain import Chain
from NFC.datasets import Dataset, Record, Trial
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import PartFeatures
from NFC.matching import KReciprocal
from NFC.report.rank_lists import compare_rank_lists
from NFC.scoring.protocol import Protocol
from NFC.scoring.scores import score
from NFC.steps import NeighbourCentralization, QueryExpansion, Side

PEOPLE, CAMERAS = 7, 3
BASE = Chain()


def world(trials: bool = False) -> tuple[Dataset, FeatureSet, FeatureSet]:
    """A data set that is nowhere on disk, with features; in its trial only some of the pictures take part."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(PEOPLE, 8, generator=generator)
    splits = {}
    for split, rows in (("query", 21), ("gallery", 63)):
        pids, camids = torch.arange(rows) % PEOPLE, torch.arange(rows) // PEOPLE % CAMERAS
        feats = centres[pids] + 1.6 * torch.randn(rows, 8, generator=generator)
        labels = zip(pids.tolist(), camids.tolist(), strict=True)
        records = [Record(Path(f"{split}{i}.jpg"), pid, camid) for i, (pid, camid) in enumerate(labels)]
        splits[split] = records, FeatureSet(feats, pids, camids)
    drawn = [Trial(range(20, 4, -2), range(5, 60)), Trial(range(21), range(63))] if trials else []
    records = {split: pictures for split, (pictures, _) in splits.items()}
    return Dataset("toy", Path("toy"), [], **records, trials=drawn), splits["query"][1], splits["gallery"][1]


def naive_hits(dataset: Dataset, trial: Trial, index: int, distances: torch.Tensor, k: int) -> list[tuple[Path, bool]]:
    """Nearest first by sorting one row of distances (queries of the trial, gallery of the trial)."""
    query, row = dataset.query[index], distances[list(trial.query).index(index)]
    pictures = [dataset.gallery[i] for i in trial.gallery]
    order = sorted(range(len(pictures)), key=lambda i: row[i].item())
    kept = [pictures[i] for i in order if (pictures[i].pid, pictures[i].camid) != (query.pid, query.camid)]
    return [(picture.path, picture.pid == query.pid) for picture in kept[:k]]


@pytest.mark.parametrize("trials", [False, True])
@pytest.mark.parametrize(
    "after",
    [
        Chain.of(NeighbourCentralization()),
        Chain.of(KReciprocal(6, 3)),
        Chain.of(NeighbourCentralization(on=Side.gallery), QueryExpansion(4)),
    ],
    ids=["nfc", "rerank", "expansion"],
)
def test_lists_and_numbers_are_those_of_the_table(trials, after):
    dataset, query, gallery = world(trials)
    lists = compare_rank_lists(dataset, query, gallery, BASE, after, count=3, k=6)
    trial = dataset.trials[0] if trials else Trial(range(21), range(63))
    rows = [score("", query, gallery, settings, Protocol.of(dataset)).rankings[0] for settings in (BASE, after)]
    before, now = (row.average_precision for row in rows)
    gains = now - before
    shown = lists["Gained most"] + lists["Lost most"]
    assert [entry.gain for entry in lists["Gained most"]] == sorted(gains, reverse=True)[:3]
    assert [entry.gain for entry in lists["Lost most"]] == [gain for gain in sorted(gains)[:3] if gain < 0]
    assert len(shown) > 3
    q, g = query[torch.tensor(list(trial.query))], gallery[torch.tensor(list(trial.gallery))]
    plain = torch.cdist(*(normalize(part.feats.values, dim=1).double() for part in (q, g)))
    for entry in shown:
        index = next(i for i, record in enumerate(dataset.query) if record.path == entry.query)
        place = list(trial.query).index(index)
        assert (entry.precision_before, entry.precision_after) == (before[place], now[place])
        assert [(hit.path, hit.correct) for hit in entry.before] == naive_hits(dataset, trial, index, plain, 6)
        if after.matcher:
            feats = (normalize(part.feats.values, dim=1) for part in (q, g))
            mixed = k_reciprocal_rerank(*feats, k1=6, k2=3)
            assert [(hit.path, hit.correct) for hit in entry.after] == naive_hits(dataset, trial, index, mixed, 6)


def test_nothing_changed_shows_nothing():
    dataset, query, gallery = world()
    assert compare_rank_lists(dataset, query, gallery, BASE, BASE) == {"Gained most": [], "Lost most": []}


def test_part_features_are_compared_by_their_visible_parts():
    dataset, query, gallery = world()
    visible = [
        torch.from_numpy(np.random.default_rng(i).integers(0, 2, (len(s.pids), 2)))
        for i, s in enumerate((query, gallery))
    ]
    for mask in visible:
        mask[:, 0] = 1
    parted = [
        FeatureSet(PartFeatures(s.feats.values.unflatten(1, (2, 4)), m.float()), s.pids, s.camids)
        for s, m in zip((query, gallery), visible, strict=True)
    ]
    after = Chain.of(NeighbourCentralization())
    lists = compare_rank_lists(dataset, *parted, BASE, after, count=21, k=3)
    now = score("", *parted, after).rankings[0].average_precision
    for entry in lists["Gained most"]:
        index = [record.path for record in dataset.query].index(entry.query)
        assert entry.precision_after == now[index]
    assert lists["Gained most"]
