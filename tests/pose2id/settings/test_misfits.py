"""Values of another type than their setting's are named in one line: the key, the value and what it must be."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from NFC.evaluation import EvaluateConfig
from NFC.training.job import ReIDTrainConfig
from pose2id.config import load_config, read_values
from pose2id.errors import UserError
from pose2id.settings.flags import parse_command


class Colour(Enum):
    red = "r"
    blue = "b"


@dataclass
class Inner:
    shares: list[float] = field(default_factory=list)
    factors: dict[str, float] = field(default_factory=dict)


@dataclass
class Outer:
    count: int = 1
    rate: float = 1.0
    sure: bool = False
    colour: Colour = Colour.red
    text: str | None = None
    files: list[str] | None = None
    steps: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    anything: Any = None
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("count: abc", "count is 'abc'; it must be a whole number"),
        ("count: 1.5", "count is 1.5; it must be a whole number"),
        ("count: null", "count is null; it must be a whole number"),
        ("count: {x: 1}", "count is {'x': 1}; it must be a whole number"),
        ("rate: [1]", "rate is [1]; it must be a number"),
        ("sure: maybe", "sure is 'maybe'; it must be true or false"),
        ("colour: green", "colour is 'green'; it must be one of: red, blue"),
        ("colour: [red]", "colour is ['red']; it must be one of: red, blue"),
        ("text: [a]", "text is ['a']; it must be text"),
        ("files: q.npz", "files is 'q.npz'; it must be a list, such as [q.npz]"),
        ("files: {a: b}", "files is {'a': 'b'}; it must be a list"),
        ("steps: nfc", "steps is 'nfc'; it must be a list, such as [nfc]"),
        ("steps: {name: nfc}", "steps is {'name': 'nfc'}; it must be a list, such as [{'name': 'nfc'}]"),
        ("options: 5", "options is 5; it must hold names and values, such as {name: value}"),
        ("options: [a]", "options is ['a']; it must hold names and values, such as {name: value}"),
        ("options: {3: a}", "options has the name 3; names must be text, so put it in quotes"),
        ("numbers: {nfc: {k1: 4}}", "numbers.nfc is {'k1': 4}; it must be a list, such as [{'k1': 4}]"),
        ("numbers: {nfc: [4]}", "numbers.nfc[0] is 4; it must hold names and values, such as {name: value}"),
        ("inner: 5", "inner is 5; it must hold settings, such as {shares: ...}"),
        ("inner: [5]", "inner is [5]; it must hold settings, such as {shares: ...}"),
        ("inner: {shares: [1, x]}", "inner.shares[1] is 'x'; it must be a number"),
        ("inner: {factors: {a.: b}}", "inner.factors.a. is 'b'; it must be a number"),
        ("inner: {share: 1}", "'inner.share' is unknown; choose among: shares, factors"),
    ],
)
def test_the_key_the_value_and_what_it_must_be(tmp_path, text, told):
    path = tmp_path / "c.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(UserError) as error:
        load_config(Outer, path)
    assert str(error.value) == f"config {path}: {told}"
    values = {"count": 1} | dict(load_config(Holder, overrides=[f"values={{{text}}}"]).values)
    with pytest.raises(UserError) as error:
        read_values(Outer, values, "header")
    assert str(error.value) == f"header: {told}"


@dataclass
class Holder:
    values: dict[Any, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("count=abc", "count is 'abc'; it must be a whole number"),
        ("count.x=3", "count is {'x': 3}; it must be a whole number"),
        ("inner.shares=3", "inner.shares is 3; it must be a list, such as [3]"),
        ("numbers.nfc.k1=4", "numbers.nfc is {'k1': 4}; it must be a list, such as [{'k1': 4}]"),
    ],
)
def test_an_override_is_not_blamed_on_the_file(tmp_path, override, told):
    (tmp_path / "c.yaml").write_text("count: 3\n")
    with pytest.raises(UserError) as error:
        load_config(Outer, tmp_path / "c.yaml", ["rate=2", override])
    assert str(error.value) == told


def test_of_a_file_with_both_the_section_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("part: {count: x}\n")
    with pytest.raises(UserError, match=r"c\.yaml: part\.count is 'x'; it must be a whole number"):
        load_config(Outer, tmp_path / "c.yaml", section="part")


def test_a_list_takes_the_place_of_settings_and_settings_never_that_of_a_list(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("anything: {weight: 1, kept: 2}\n")
    assert load_config(Outer, path, ["anything=[a]"]).anything == ["a"]
    assert load_config(Outer, path, ["anything=a"]).anything == "a"
    assert load_config(Outer, path, ["anything.weight=3"]).anything == {"weight": 3, "kept": 2}
    path.write_text("anything: [a]\n")
    with pytest.raises(UserError, match=r"^anything is a list in the config file, and \{'weight': 3\} is none; "):
        load_config(Outer, path, ["anything.weight=3"])


@pytest.mark.parametrize(
    ("schema", "words", "told"),
    [
        (EvaluateConfig, ["steps=nfc"], "steps is 'nfc'; it must be a list, such as [nfc]"),
        (EvaluateConfig, ["--numbers", "nfc.k1=4"], "numbers.nfc is {'k1': 4}; it must be a list"),
        (EvaluateConfig, ["--batch_size", "many"], "batch_size is 'many'; it must be a whole number"),
        (ReIDTrainConfig, ["--losses", "v"], "losses: 'v' is unknown; choose one of: identity"),
        (ReIDTrainConfig, ["losses=[verifcation]"], "losses: 'verifcation' is unknown"),
        (ReIDTrainConfig, ["scheme=magic"], "scheme: 'magic' is unknown"),
        (ReIDTrainConfig, ["network.sizes=5"], "network.sizes is 5; it must hold names and values"),
    ],
)
def test_dry_runs_refuse_what_runs_refuse(schema, words, told):
    with pytest.raises(UserError) as error:
        parse_command(schema, "", ["--dry_run", *words])
    assert str(error.value).startswith(told)


def test_a_bare_loss_over_those_of_the_file():
    path = Path(__file__).resolve().parents[3] / "configs/train/reid.yaml"
    for word in ("losses=verification", "losses=[verification]", "losses=[{name: verification}]"):
        assert list(load_config(ReIDTrainConfig, path, [word]).read_losses()) == ["verification"]
