"""Reconstruction against the goldens, the direct solve, scikit-learn's lasso, and what must not matter."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

import NFC.matching.reconstruction as module
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import ColumnFeatures
from NFC.matching import Euclidean, Reconstruction
from NFC.matching.lasso import lasso, violation
from NFC.matching.reconstruction import reconstruction_distances
from NFC.matching.shortlist import nearest_by
from pose2id.errors import UserError
from tests.nfc.networks.official import error, golden


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    stored = golden("dsr_distance")
    return stored | {"queries": stored["queries"].mT, "gallery": stored["gallery"].mT}


def random_columns(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def overlapping(count: int, seed: int) -> Tensor:
    """Means of overlapping windows, which depend on each other: (count, 21 + 10, 24) of rank 21."""
    maps = torch.rand(count, 24, 7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return normalize(torch.cat([avg_pool2d(maps, (k, 1), 1).flatten(2) for k in (1, 4)], 2).mT[:, :31], dim=2)


def direct(x: Tensor, y: Tensor, kappa: float) -> Tensor:
    """(N, d) and (M, d) -> norms (N,), with the rebuild written down."""
    weights = torch.linalg.inv(y @ y.T + kappa * torch.eye(len(y), dtype=y.dtype)) @ y @ x.T
    return (x - weights.T @ y).norm(dim=1)


def test_golden_l2(given):
    mean = reconstruction_distances(given["queries"], given["gallery"], kappa=5e-4)
    weighted = reconstruction_distances(given["queries"], given["gallery"], given["scores"])
    assert mean.dtype == torch.float32
    assert error(mean, given["l2_mean_kappa_0005"]) < 2e-5
    assert error(weighted, given["l2_weighted_kappa_001"]) < 2e-5
    exact = [given[name].double() for name in ("queries", "gallery", "scores")]
    assert error(reconstruction_distances(*exact[:2], kappa=5e-4), given["l2_mean_f64"].float()) < 1e-6
    torch.testing.assert_close(reconstruction_distances(*exact), given["l2_weighted_f64"], rtol=1e-10, atol=1e-12)


def test_golden_l1(given):
    queries, gallery = given["queries"].double(), given["gallery"].double()
    for k, beta in enumerate(given["betas"].tolist()):
        result = reconstruction_distances(queries, gallery, form="l1", beta=beta)
        torch.testing.assert_close(result, given["l1_mean"][k], rtol=1e-7, atol=1e-9)
        problems = (gallery @ gallery.mT).repeat(3, 1, 1), (gallery @ queries[:, None].mT).flatten(0, 1)
        weights = lasso(*problems, beta).view(3, 6, 20, 7)
        assert error(weights, given["l1_weights"][k]) < 1e-6
        rebuilt = (queries[:, None].mT - gallery.mT @ weights).norm(dim=2)
        torch.testing.assert_close(rebuilt, given["l1_residual_norms"][k], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kappa", [1e-4, 1e-3, 0.1])
def test_the_closed_form_equals_the_direct_one(kappa):
    query, gallery = random_columns(4, 7, 24, seed=1), overlapping(5, 2)
    expected = torch.stack([torch.stack([direct(x, y, kappa).mean() for y in gallery]) for x in query])
    torch.testing.assert_close(reconstruction_distances(query, gallery, kappa=kappa), expected, rtol=1e-8, atol=1e-10)
    arrays = reconstruction_distances(query.numpy(), gallery.numpy(), kappa=kappa)
    assert isinstance(arrays, np.ndarray) and arrays.shape == (4, 5)


def test_the_gallery_is_the_dictionary_and_norms_are_no_squares():
    x, y = random_columns(1, 6, 32, seed=1), random_columns(1, 4, 32, seed=2)
    there, back = reconstruction_distances(x, y), reconstruction_distances(y, x)
    assert float(there) == pytest.approx(float(direct(x[0], y[0], 1e-3).mean()))
    assert abs(float(there - back)) > 1e-3
    assert float(there) != pytest.approx(float(direct(x[0], y[0], 1e-3).square().mean()), rel=1e-2)
    assert 0 < float(reconstruction_distances(x, x)) < 0.01


@pytest.mark.parametrize("beta", [0.05, 0.4, 1.0])
def test_the_lasso_meets_its_conditions_and_scikit_learns(beta):
    x, y = overlapping(3, 1), overlapping(3, 2)
    gram, products = y @ y.mT, y @ x.mT
    weights = lasso(gram, products, beta)
    assert violation(gram, products, weights, beta).max() <= 1e-8
    assert (weights == 0).double().mean() > 0.5

    def objective(k: int, n: int, w: Tensor) -> float:
        return float((x[k, n] - w @ y[k]).square().sum() + beta * w.abs().sum())

    for k in range(3):
        other = Lasso(alpha=beta / (2 * 24), fit_intercept=False, tol=1e-12, max_iter=100_000)
        for n in range(0, 31, 10):
            found = torch.from_numpy(other.fit(y[k].T.numpy(), x[k, n].numpy()).coef_)
            assert objective(k, n, weights[k, :, n]) <= objective(k, n, found) + 1e-9
            torch.testing.assert_close(weights[k, :, n] @ y[k], found @ y[k], rtol=0, atol=1e-4)


def test_the_soft_threshold_is_half_of_beta():
    alone = lasso(torch.ones(1, 1, 1).double(), torch.tensor([[[0.9, 0.3, -0.5, 0.1]]]).double(), 0.4)
    torch.testing.assert_close(alone, torch.tensor([[[0.7, 0.1, -0.3, 0.0]]]).double())


def test_equal_and_empty_columns_are_no_trouble_to_the_lasso():
    y = random_columns(1, 5, 16, seed=3)
    y[0, 3], y[0, 4] = y[0, 0], 0
    weights = lasso(y @ y.mT, y @ random_columns(1, 3, 16, seed=4).mT, 0.1)
    assert weights.isfinite().all() and not weights[0, 4].any()


def sets(queries: int = 4, pictures: int = 9, columns: tuple[int, int] = (7, 11), dim: int = 32):
    def one(count: int, own: int, seed: int) -> FeatureSet:
        weights = torch.rand(count, own, generator=torch.Generator().manual_seed(seed))
        parts = random_columns(count, 20, seed=seed).float(), random_columns(count, own, dim, seed=seed + 1).float()
        return FeatureSet(ColumnFeatures(*parts, weights).normalized(), None, None)

    return one(queries, columns[0], 1), one(pictures, columns[1], 5)


@pytest.mark.parametrize("form", ["l2", "l1"])
@pytest.mark.parametrize("block", [1, 2**10, 2**23])
def test_a_shortlist_is_scored_by_both_and_the_rest_follows(form, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", module.AtOnce(block, block))
    query, gallery = sets()
    matcher = Reconstruction(shortlist=3, form=form, share=0.25)
    distances, rows = matcher.distances(query, gallery), torch.arange(4)
    order, cheap = nearest_by(distances, 9), nearest_by(Euclidean().distances(query, gallery), 9)
    assert torch.equal(order[:, 3:], cheap[:, 3:]) and torch.equal(
        order[:, :3].sort().values, cheap[:, :3].sort().values
    )
    local = reconstruction_distances(query.feats.columns, gallery.feats.columns, query.feats.weights, form)
    whole = 1 - query.feats.whole @ gallery.feats.whole.T
    expected = (0.75 * whole + 0.25 * local).gather(1, cheap[:, :3]).double()
    torch.testing.assert_close(distances[rows].gather(1, cheap[:, :3]), expected, rtol=1e-4, atol=1e-5)
    assert distances[rows].max() < 10, "no number stands for `far`"


def test_its_options():
    query, gallery = sets()
    first = torch.arange(4)
    plain = Reconstruction(share=1, scores=False).distances(query, gallery)[first]
    mean = reconstruction_distances(query.feats.columns, gallery.feats.columns)
    torch.testing.assert_close(plain.float(), mean, rtol=1e-4, atol=1e-5)
    euclidean = Reconstruction(share=0, whole="euclidean").distances(query, gallery)[first]
    torch.testing.assert_close(euclidean.float(), torch.cdist(query.feats.whole, gallery.feats.whole))


@pytest.mark.parametrize("matcher", [Reconstruction(), Reconstruction(scores=False), Reconstruction(form="l1")])
def test_zero_columns_that_fill_up_change_nothing(matcher):
    query, gallery = sets()
    longer = [replace(part, feats=part.feats.padded(16)) for part in (query, gallery)]
    rows = torch.arange(4)
    torch.testing.assert_close(matcher.distances(*longer)[rows], matcher.distances(query, gallery)[rows])
    with pytest.raises(UserError, match="have 7 columns, more than 5"):
        query.feats.padded(5)


def test_more_columns_than_numbers_are_told(caplog):
    for form, lines in (("l2", 1), ("l1", 0)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Reconstruction(form=form).distances(*sets(columns=(4, 11), dim=11))
        assert len(caplog.records) == lines
    with caplog.at_level(logging.WARNING):
        nothing = reconstruction_distances(random_columns(2, 5, 8, seed=1), random_columns(2, 30, 8, seed=2))
    assert "30 columns of 8 numbers rebuild anything" in caplog.text and nothing.max() < 0.05


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"form": "l3"}, "unknown form 'l3'; choose one of: l2, l1"),
        ({"whole": "manhattan"}, "unknown whole 'manhattan'"),
        ({"kappa": 0.0}, "kappa"),
        ({"beta": -1.0}, "beta"),
        ({"share": 1.5}, "share"),
        ({"shortlist": 0}, "shortlist"),
    ],
)
def test_what_cannot_be_is_one_line(values, told):
    with pytest.raises(UserError, match=told) as caught:
        Reconstruction(**values)
    assert "\n" not in str(caught.value)


def test_sets_that_cannot_be_compared_are_one_line():
    query, gallery = random_columns(2, 3, 8), random_columns(2, 3, 9)
    with pytest.raises(UserError, match="differ in size: 8 and 9"):
        reconstruction_distances(query, gallery)
    with pytest.raises(UserError, match=r"weights must be \(2, 3\)"):
        reconstruction_distances(query, query, torch.ones(2, 4))
    other = sets(dim=16)[1]
    with pytest.raises(UserError, match="differ in size: 32 and 16"):
        Reconstruction().distances(sets()[0], other)
    with pytest.raises(UserError, match="need whole"):
        ColumnFeatures(torch.ones(2, 3), torch.ones(2, 4, 3), torch.ones(2, 5))
