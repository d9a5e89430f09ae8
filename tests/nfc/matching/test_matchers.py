"""What every entry of `MATCHERS` has to keep, on every kind of features it compares."""

from dataclasses import replace

import pytest
import torch

from NFC import evaluate_ranking, rank_gallery
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import KINDS
from NFC.matching import MATCHERS
from NFC.matching.shortlist import RescoredDistances, ShortlistMatcher, nearest_by
from NFC.methods import build_methods
from pose2id.errors import UserError
from tests.nfc.examples import example_set
from tests.nfc.networks.pair_networks import write_tiny_idla

NUMBERS = {"affinity": {"k1": 3, "k2": 2}}
ROUNDED = {"dmli": {"rtol": 1e-6, "atol": 1e-6}}  # float32 products, which the number of rows may round differently
CASES = [(name, kind) for name, matcher in MATCHERS.items() for kind in matcher.kinds]


@pytest.fixture(scope="module", autouse=True)
def network_file(tmp_path_factory):
    """A network whose maps are as large as the example of its kind."""
    NUMBERS["pair_network"] = {"extractor": "idla", "weights": str(write_tiny_idla(tmp_path_factory.mktemp("idla")))}


def build(name):
    (matcher,) = build_methods([name], NUMBERS)
    return matcher


def samples(kind, count, seed, dtype=torch.float32) -> FeatureSet:
    features = example_set(kind, count, seed, dtype)
    return replace(features, feats=features.feats.normalized())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_distances_come_in_rows(name, kind):
    query, gallery = samples(kind, 7, 1), samples(kind, 13, 2)
    distances = build(name).distances(query, gallery)
    assert tuple(distances.shape) == (7, 13)
    whole = distances[torch.arange(7)]
    assert whole.shape == (7, 13) and whole.is_floating_point() and not whole.isnan().any()
    torch.testing.assert_close(distances[torch.tensor([5, 2])], whole[[5, 2]], **ROUNDED.get(name, {}))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_one_query_and_one_gallery_picture(name, kind):
    query, gallery = samples(kind, 1, 1), samples(kind, 1, 2)
    assert build(name).distances(query, gallery)[torch.tensor([0])].shape == (1, 1)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_labels_are_not_looked_at(name, kind):
    query, gallery = samples(kind, 7, 1), samples(kind, 13, 2)
    blind = [replace(features, pids=torch.zeros_like(features.pids)) for features in (query, gallery)]
    rows = torch.arange(7)
    torch.testing.assert_close(build(name).distances(query, gallery)[rows], build(name).distances(*blind)[rows])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_order_of_the_sets_decides_nothing(name, kind):
    query, gallery = samples(kind, 7, 1), samples(kind, 13, 2)
    rows, cols = torch.randperm(7), torch.randperm(13)
    whole, rows_first = build(name).distances(query, gallery)[rows], torch.arange(7)
    turned = build(name).distances(query[rows], gallery[cols])[rows_first]
    torch.testing.assert_close(turned, whole[:, cols], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_half_precision_is_close(name, kind):
    exact, half = (
        build(name).distances(samples(kind, 7, 1, dtype), samples(kind, 13, 2, dtype))[torch.arange(7)].double()
        for dtype in (torch.float32, torch.float16)
    )
    assert (exact - half).abs().median() < 0.05


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_sets_are_ranked_by_it(name, kind):
    query, gallery = samples(kind, 7, 1), samples(kind, 13, 2)
    distances = build(name).distances(query, gallery)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    result = evaluate_ranking(None, None, *labels, distances=distances)
    by_matrix = evaluate_ranking(None, None, *labels, distances=distances[torch.arange(7)])
    assert result.mAP == pytest.approx(by_matrix.mAP)
    assert (
        rank_gallery(None, None, *labels, distances=distances)
        == rank_gallery(None, None, *labels, distances=distances[torch.arange(7)])
    ).all()


@pytest.mark.parametrize("name", MATCHERS)
def test_it_is_documented_and_named(name):
    matcher = MATCHERS[name]
    assert matcher.name == name and matcher.__doc__ and matcher.kinds and set(matcher.kinds) <= KINDS.keys()
    assert build(name).label


class Opposite(ShortlistMatcher):
    """Puts the shortlist in the reverse of its cheap order."""

    name, kinds = "opposite", ("vectors",)

    def cheap(self, query, gallery):
        return MATCHERS["euclidean"]().distances(query, gallery)

    def rescore(self, query, gallery, candidates):
        return -torch.arange(candidates.shape[1]).expand(candidates.shape).double()


def test_a_costly_matcher_stands_behind_a_shortlist():
    query, gallery = samples("vectors", 6, 1), samples("vectors", 20, 2)
    matcher = Opposite(shortlist=4)
    plain, rescored = matcher.cheap(query, gallery), matcher.distances(query, gallery)
    assert isinstance(rescored, RescoredDistances)
    order, cheap = nearest_by(rescored, 20), nearest_by(plain, 20)
    assert torch.equal(order[:, :4], cheap[:, :4].flip(1)) and torch.equal(order[:, 4:], cheap[:, 4:])
    assert torch.equal(nearest_by(Opposite(shortlist=99).distances(query, gallery), 20), cheap.flip(1))
    with pytest.raises(UserError, match="opposite needs a shortlist of at least 1 picture, got 0"):
        Opposite(shortlist=0)
