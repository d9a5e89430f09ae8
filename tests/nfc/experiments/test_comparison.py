"""Comparisons of trained networks, on a tiny world: rows, claims, what is kept, and mistakes in their files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from NFC.experiments.comparison.controls import upside_down
from NFC.experiments.comparison.run import COMPARISONS, run_comparison
from NFC.experiments.comparison.scoring import chain_of
from NFC.experiments.comparison.settings import Claim, RowRecipe, TableRecipe, described, read_comparison
from NFC.experiments.comparison.tables import claims_table, rows_table
from NFC.experiments.comparison.training import Source
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import StripeFeatures
from pose2id.errors import UserError

TINY = {
    "seeds": [1, 2],
    "data": {"street": {"train_pids": 6, "test_pids": 4, "kinds": ["ordinary", "upper"]}},
    "networks": {
        "short": {
            "config": "baseline",
            "data": "street",
            "changes": ["loop.max_train_steps=2", "loop.batch_size=16", "network.sizes.num_classes=6"],
        },
        "longer": {
            "config": "baseline",
            "data": "street",
            "after": "short",
            "changes": ["loop.max_train_steps=1", "loop.batch_size=16"],
        },
    },
    "tables": {
        "one": {
            "heading": "One",
            "data": "street",
            "rows": {"short": {"network": "short"}, "longer": {"network": "longer", "steps": ["nfc"], "every": 2}},
            "claims": [{"row": "longer", "against": "short", "points": {"ordinary": -200, "upper": 200}}],
        }
    },
}


@pytest.fixture
def tiny(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY, sort_keys=False))
    return path


def test_a_comparison_is_trained_scored_and_kept(tiny, tmp_path, capsys):
    out = tmp_path / "out"
    page = run_comparison("lecture", "", str(tiny), [], out)
    assert page.is_file() and "longer over short" in page.read_text()
    rows = json.loads((out / "one" / "one.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["short", "longer"]
    for row in rows:
        assert row["values"].keys() == {"ordinary", "upper"} and all(0 < value <= 1 for value in row["values"].values())
    (claim,) = json.loads((out / "one" / "one_claims.json").read_text())["rows"]
    assert claim["note"] == "asked: ordinary -200, upper +200; missed on upper"
    printed = capsys.readouterr().out
    assert "== lecture.one" in printed and "Means and deviations over 2 trainings" in printed

    networks = sorted((out / "networks").glob("*/*/*.safetensors"))
    assert len(networks) == 4
    times = [path.stat().st_mtime_ns for path in [*networks, *sorted((out / "one/rows").iterdir())]]
    run_comparison("lecture", "one", str(tiny), [], out)
    assert times == [path.stat().st_mtime_ns for path in [*networks, *sorted((out / "one/rows").iterdir())]]
    os.utime(out / "networks/short/1/baseline.safetensors")  # as if it was trained again
    run_comparison("lecture", "one", str(tiny), [], out)
    rows = [path.stat().st_mtime_ns for path in sorted((out / "one/rows").iterdir())]
    assert sum(new != old for new, old in zip(rows, times[4:], strict=True)) == 1
    with pytest.raises(UserError, match="was trained with other settings"):
        for row in (out / "one/rows").iterdir():
            row.unlink()
        run_comparison("lecture", "one", str(tiny), ["networks.short.changes=[loop.max_train_steps=3]"], out)


def test_means_spreads_and_paired_differences():
    recipe = TableRecipe("T", "street", {"a": RowRecipe("x"), "b": RowRecipe("y", published="90")})
    figures = {
        "a": [{"ordinary": {"mAP": 0.5}}, {"ordinary": {"mAP": 0.7}}],
        "b": [{"ordinary": {"mAP": 0.6}}, {"ordinary": {"mAP": 0.9}}],
    }
    first, second = rows_table(recipe, figures).rows
    assert first.values["ordinary"] == pytest.approx(0.6) and first.spreads["ordinary"] == pytest.approx(0.1)
    assert second.note == "published: 90"
    for points, verdict in ((14, "held"), (16, "missed on ordinary")):
        recipe.claims = [Claim("b", "a", {"ordinary": points})]
        (row,) = claims_table(recipe, figures).rows
        assert row.values["ordinary"] == pytest.approx(np.mean([0.1, 0.2])) and row.note.endswith(verdict)
        assert row.spreads["ordinary"] == pytest.approx(0.05)


def test_recall_of_a_shortlist_is_noted_where_every_seed_has_it():
    recipe = TableRecipe("T", "street", {"a": RowRecipe("x"), "b": RowRecipe("y", published="90")})
    shares = [{"ordinary": 0.9, "upper": 0.5}, {"ordinary": 1.0, "upper": 0.6}]
    judged = [{kind: {"mAP": 0.5, "Recall@100": share} for kind, share in seed.items()} for seed in shares]
    plain = [{kind: {"mAP": 0.5} for kind in seed} for seed in shares]
    first, second = rows_table(recipe, {"a": plain, "b": judged}).rows
    assert first.note == "" and second.note == "published: 90; Recall@100: ordinary 95.0, upper 55.0"
    assert first.values.keys() == second.values.keys() == {"ordinary", "upper"}
    first, _ = rows_table(recipe, {"a": [plain[0], judged[1]], "b": judged}).rows  # one kept from earlier
    assert first.note == ""


@pytest.mark.parametrize("name", COMPARISONS)
def test_shipped_comparisons_fit_together(name):
    comparison = read_comparison(name, None, [])
    assert len(comparison.seeds) >= 3 and comparison.tables


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("tables.one.data=nowhere", "table one: unknown data 'nowhere'; choose one of: street"),
        ("networks.longer.after=none", "network longer: unknown network 'none'"),
        ("tables.one.rows.short.network=none", "table one: unknown network 'none'"),
        ("tables.one.rows.short.every=0", "every"),
        ("tables.one.rows.short.control=asleep", "unknown control 'asleep'; choose one of: upside_down"),
        ("tables.one.colour=red", "colour"),
    ],
)
def test_mistakes_are_one_line(tiny, override, told):
    with pytest.raises(UserError, match=told) as error:
        read_comparison("lecture", tiny, [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", COMPARISONS)
def test_steps_of_shipped_comparisons_can_be(name):
    comparison = read_comparison(name, None, [])
    for table in comparison.tables.values():
        for row in table.rows.values():
            chain_of(row.steps, comparison.data[table.data], Source("idla", None, "mini"))


def test_steps_that_cannot_be_are_told_before_training(tiny, tmp_path):
    with pytest.raises(UserError, match="'magic' is unknown"):
        run_comparison("lecture", "", str(tiny), ["tables.one.rows.longer.steps=[magic]"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_keep_their_figures_where_settings_are_added():
    assert described(RowRecipe("x", ["nfc"])) == {"network": "x", "steps": ["nfc"]}
    assert described(RowRecipe("x", every=3, control="upside_down")) == {
        "network": "x",
        "every": 3,
        "control": "upside_down",
    }


def test_stripes_are_turned_over_and_others_refused():
    whole, stripes = torch.rand(2, 3), torch.rand(2, 4, 5)
    turned = upside_down(FeatureSet(StripeFeatures(whole, stripes), None, None)).feats
    assert turned.whole.equal(whole) and turned.stripes.equal(stripes[:, [3, 2, 1, 0]])
    with pytest.raises(UserError, match="features of kind 'vectors' have none"):
        upside_down(FeatureSet(whole, None, None))


def test_unknown_tables_are_named(tiny, tmp_path):
    with pytest.raises(UserError, match="lecture has no table 'two'; choose one of: one"):
        run_comparison("lecture", "two", str(tiny), [], tmp_path)
