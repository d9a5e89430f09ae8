from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from NFC import ID2, NFC, evaluate_ranking, fuse_generated
from NFC.features.kinds.parts import PartFeatures, part_distance_blocks, part_distances
from pose2id.devices import AtOnce
from pose2id.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden" / "bpbreid.npz"


def random_parts(*shape, seed=0, visible="bool", clusters=3):
    """(..., P, d) around a few centres, so that neighbours are mutual."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(clusters, *shape[-2:], generator=rng)
    which = torch.randint(clusters, shape[:-2], generator=rng)
    embeddings = centres[which] + 0.7 * torch.randn(*shape, generator=rng)
    weight = torch.rand(shape[:-1], generator=rng)
    return PartFeatures(
        embeddings, {"bool": weight > 0.4, "weights": weight * (weight > 0.4), "all": weight >= 0}[visible]
    )


def naive_distance(a, a_seen, b, b_seen):
    """Of two samples, (P, d) and (P,); None where they share no visible part."""
    weights = [(float(u) * float(v)) ** 0.5 for u, v in zip(a_seen, b_seen, strict=True)]
    if not sum(weights):
        return None
    lengths = [float(np.linalg.norm(x - y)) for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)]
    return sum(w * d for w, d in zip(weights, lengths, strict=True)) / sum(weights)


def naive_distances(query, gallery):
    pairs = [
        [naive_distance(*q, *g) for g in zip(gallery.embeddings, gallery.visibility, strict=True)]
        for q in zip(query.embeddings, query.visibility, strict=True)
    ]
    return np.array([[np.inf if d is None else d for d in row] for row in pairs])


@pytest.mark.parametrize("visible", ["bool", "weights", "all"])
@pytest.mark.parametrize("block", [1, 7 * 2, 10**6])
def test_distances_equal_a_naive_loop(visible, block, monkeypatch):
    monkeypatch.setattr("NFC.features.kinds.parts.BLOCK", AtOnce(block, block))
    query, gallery = random_parts(5, 2, 4, visible=visible), random_parts(7, 2, 4, seed=1, visible=visible)
    expected = naive_distances(query, gallery)
    assert np.isinf(expected).any() == (visible != "all")
    blocks = list(part_distance_blocks(query, gallery))
    assert torch.cat([b for _, b in blocks]).numpy() == pytest.approx(expected, abs=1e-6)
    result = part_distances(query, gallery)
    seen = np.isfinite(expected)
    assert result.numpy()[seen] == pytest.approx(expected[seen], abs=1e-5)
    if visible != "all":
        shared = (query.visibility[:, None] > 0) & (gallery.visibility > 0)
        lengths = (query.embeddings[:, None] - gallery.embeddings).norm(dim=-1)
        assert result.numpy()[~seen] == pytest.approx(float(lengths[shared].max()) + 1, abs=1e-5)


def test_distances_equal_the_official_ones():
    golden = np.load(GOLDEN)
    value = {
        name: torch.from_numpy(golden[f"unit/{name}"]) for name in ("q", "g", "q_vis", "g_vis", "q_visc", "g_visc")
    }
    q, g = PartFeatures(value["q"], value["q_vis"]), PartFeatures(value["g"], value["g_vis"])
    assert not (value["q_vis"][:, None] & value["g_vis"]).any(-1).all(), "the case of no shared part is among them"
    expected = golden["unit/dist_bool_mean"]
    assert part_distances(q.normalized(), g.normalized()).numpy() == pytest.approx(expected, abs=1e-5)
    q, g = PartFeatures(value["q"], value["q_visc"]), PartFeatures(value["g"], value["g_visc"])
    expected = golden["unit/dist_cont_mean"]
    assert part_distances(q.normalized(), g.normalized()).numpy() == pytest.approx(expected, abs=1e-5)


def test_ranking_by_blocks_equals_ranking_by_the_matrix(monkeypatch):
    monkeypatch.setattr("NFC.features.kinds.parts.BLOCK", AtOnce(30, 30))
    query, gallery = random_parts(12, 3, 4).normalized(), random_parts(15, 3, 4, seed=1).normalized()
    labels = np.arange(12) % 4, np.arange(15) % 4, np.zeros(12, int), np.ones(15, int)
    whole = evaluate_ranking(None, None, *labels, distances=part_distances(query, gallery))
    blocks = torch.cat([block for _, block in part_distance_blocks(query, gallery)])
    assert evaluate_ranking(None, None, *labels, distances=blocks).mAP == pytest.approx(whole.mAP, abs=1e-12)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("visible", ["bool", "weights"])
def test_fusion_equals_a_naive_loop(reduction, visible):
    feats, generated = random_parts(6, 3, 4, visible=visible), random_parts(6, 5, 3, 4, seed=1, visible=visible)
    fused = fuse_generated(feats, generated, eta=0.7, reduction=reduction)
    for i in range(6):
        for p in range(3):
            v, us = float(feats.visibility[i, p]), generated.visibility[i, :, p].double()
            total = sum(u * g for u, g in zip(us, generated.embeddings[i, :, p].double(), strict=True))
            if reduction == "mean" and us.sum():
                total = total / us.sum()
            expected = v * feats.embeddings[i, p].double() + 0.7 * total
            torch.testing.assert_close(fused.embeddings[i, p].double(), expected, rtol=1e-5, atol=1e-5)
            assert float(fused.visibility[i, p]) == max(v, float(us.float().max()))
    assert fused.visibility.dtype == feats.visibility.dtype


def test_fusion_shows_a_hidden_part_only_where_something_is_added():
    feats = PartFeatures(torch.ones(1, 2, 3), torch.tensor([[True, False]]))
    generated = PartFeatures(torch.full((1, 1, 2, 3), 2.0), torch.ones(1, 1, 2, dtype=torch.bool))
    assert fuse_generated(feats, generated).visibility.tolist() == [[True, True]]
    assert fuse_generated(feats, generated, eta=0.0).visibility.tolist() == [[True, False]]


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("visible", ["bool", "weights", "all"])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (2, 3), (4, 2), (50, 50)])
def test_nfc_equals_a_naive_loop(visible, k1, k2, block, monkeypatch):
    monkeypatch.setattr("NFC.features.kinds.parts.BLOCK", AtOnce(block, block))
    feats = random_parts(14, 2, 4, visible=visible)
    distances = naive_distances(feats, feats)
    np.fill_diagonal(distances, np.inf)
    order = [[j for j in np.argsort(row, kind="stable") if np.isfinite(row[j])] for row in distances]
    seen = feats.visibility.double()
    expected, visibility = feats.embeddings.double() * seen[..., None], feats.visibility.clone()
    changed = 0
    for i, near in enumerate(order):
        for j in near[:k1]:
            if i in order[j][:k2]:
                expected[i] += seen[j][:, None] * feats.embeddings[j].double()
                visibility[i] = torch.maximum(visibility[i], feats.visibility[j])
                changed += 1
    assert changed
    result = NFC(feats, k1, k2)
    torch.testing.assert_close(result.embeddings.double(), expected, rtol=1e-5, atol=1e-4)
    assert torch.equal(result.visibility, visibility)


def test_nfc_breaks_ties_by_the_lower_index():
    feats = PartFeatures(torch.tensor([0.0, 1.0, 1.0, 1.0, 9.0])[:, None, None], torch.ones(5, 1, dtype=torch.bool))
    # 1's nearest are 2 and 3, 2's are 1 and 3, 3's are 1 and 2: one each by index, so 1 and 2 find each other.
    assert NFC(feats, 1, 1).embeddings.flatten().tolist() == [0, 2, 2, 1, 9]


def test_samples_that_share_no_visible_part_are_no_neighbours():
    feats = PartFeatures(torch.ones(2, 2, 3), torch.tensor([[True, False], [False, True]]))
    result = NFC(feats)
    assert result.embeddings.tolist() == (feats.embeddings * feats.visibility[..., None]).tolist()
    assert torch.equal(result.visibility, feats.visibility)


@pytest.mark.parametrize("visible", ["bool", "weights"])
def test_density_equals_a_naive_loop(visible):
    feats, pids = random_parts(9, 3, 4, visible=visible), np.arange(9) % 3 * 10
    feats.visibility[:, 0] = True
    unit, seen = normalize(feats.embeddings.double(), dim=-1), feats.visibility.double()
    result = ID2(feats, pids)
    for i in range(9):
        total = 0.0
        for p in range(3):
            same = [j for j in range(9) if pids[j] == pids[i]]
            weight = sum(seen[j, p] for j in same)
            centre = sum(seen[j, p] * unit[j, p] for j in same) / weight if weight else 0
            total += seen[i, p] * ((unit[i, p] - centre) ** 2).sum()
        assert float(result[i]) == pytest.approx(float(total / seen[i].sum()), abs=1e-5)


def test_one_part_that_is_always_visible_is_the_plain_case():
    feats, generated = random_parts(30, 1, 8, visible="all"), random_parts(30, 4, 1, 8, seed=1, visible="all")
    plain, pids = feats.embeddings[:, 0], np.arange(30) % 5
    for reduction in ("sum", "mean"):
        fused = fuse_generated(feats, generated, 0.5, reduction)
        expected = fuse_generated(plain, generated.embeddings[:, :, 0], 0.5, reduction)
        torch.testing.assert_close(fused.embeddings[:, 0], expected)
    for k1, k2 in ((2, 2), (5, 3), (3, 8)):
        torch.testing.assert_close(NFC(feats, k1, k2).embeddings[:, 0], NFC(plain, k1, k2))
    torch.testing.assert_close(ID2(feats, pids), ID2(plain, pids))
    torch.testing.assert_close(part_distances(feats, feats[:9]), torch.cdist(plain, plain[:9]), rtol=1e-4, atol=2e-3)


def test_half_precision_keeps_its_dtype():
    feats = random_parts(8, 2, 4, visible="all")
    half = PartFeatures(feats.embeddings.bfloat16(), feats.visibility)
    extra = PartFeatures(half.embeddings[:, None], half.visibility[:, None])
    for result in (NFC(half), fuse_generated(half, extra)):
        assert result.embeddings.dtype == torch.bfloat16


def test_flat_and_back():
    feats = random_parts(4, 3, 5)
    flat = feats.flatten()
    assert flat.shape == (4, 3 * 5 + 3)
    back = PartFeatures.unflatten(flat, 3)
    assert torch.equal(back.embeddings, feats.embeddings) and torch.equal(back.visibility.bool(), feats.visibility)
    grouped = PartFeatures.unflatten(flat.view(2, 2, -1), 3)
    assert grouped.embeddings.shape == (2, 2, 3, 5) and grouped.visibility.shape == (2, 2, 3)
    with pytest.raises(UserError, match="features of 18 numbers do not hold 4 parts"):
        PartFeatures.unflatten(flat, 4)


def test_vectors_for_plots():
    feats = random_parts(6, 3, 5)
    feats.visibility[:] = torch.tensor([True, True, False])
    squares = (feats.embeddings[0] - feats.embeddings[1]).square().sum(-1)
    vectors = feats.as_vectors()
    assert float((vectors[0] - vectors[1]).square().sum()) == pytest.approx(float(squares[:2].mean()), rel=1e-5)


def test_normalized_rows_and_length():
    feats = random_parts(6, 2, 4)
    torch.testing.assert_close(feats.normalized().embeddings.norm(dim=-1), torch.ones(6, 2))
    assert len(feats[torch.tensor([4, 1])]) == 2 and torch.equal(feats[4:5].embeddings[0], feats.embeddings[4])


def test_mistakes_are_told_in_one_line():
    feats = random_parts(4, 2, 3)
    with pytest.raises(UserError, match=r"need embeddings \(..., P, d\) and visibility \(..., P\)"):
        PartFeatures(feats.embeddings, feats.visibility[:, :1])
    with pytest.raises(UserError, match="parts differ"):
        part_distances(feats, random_parts(4, 3, 3))
    with pytest.raises(UserError, match=r"visibility of query must lie in \[0, 1\]"):
        part_distances(PartFeatures(feats.embeddings, feats.visibility * 2.0), feats)
    with pytest.raises(UserError, match="k1 and k2 must be at least 1"):
        NFC(feats, 0, 1)
    with pytest.raises(UserError, match="must be 'sum' or 'mean'"):
        fuse_generated(feats, random_parts(4, 2, 2, 3), reduction="max")
    with pytest.raises(UserError, match=r"generated must be \(N, M, P, d\)"):
        fuse_generated(feats, random_parts(3, 2, 2, 3))
    feats.embeddings[0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        ID2(feats, np.zeros(4, int))
