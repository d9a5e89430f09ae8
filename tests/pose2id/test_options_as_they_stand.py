"""Options that look like something else to YAML, to OmegaConf or to rich are taken and shown as they stand."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from NFC.evaluation import EvaluateConfig
from NFC.report.formats import to_terminal
from NFC.report.table import ResultTable, Row
from pose2id.config import load_config, read_values, to_yaml
from pose2id.errors import UserError
from pose2id.settings.flags import parse_command

ODD = ["${x}", "${", "${a.b:c}", "a${oc.env:HOME}b", r"\${x}", r"\\${x}", "$", "[/b]", "o[/b]", "𠮷", ":red_heart:"]


@dataclass
class Options:
    text: str | None = None
    texts: list[str] = field(default_factory=list)
    chosen: dict[str, str] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)
    several: list[Any] = field(default_factory=list)


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_of_every_kind_of_option(odd):
    words = ["--text", odd, "--texts", odd, "b", "--chosen", f"key='{odd}'", "--anything", f"key='{odd}'"]
    config = parse_command(Options, "", words)
    expected = Options(odd, [odd, "b"], {"key": odd}, {"key": odd})
    assert config == expected
    words = [f"text={odd}", f"chosen.key='{odd}'", f"anything.key='{odd}'", f"several=['{odd}', {{a: '{odd}'}}]"]
    assert load_config(Options, overrides=words) == Options(odd, [], {"key": odd}, {"key": odd}, [odd, {"a": odd}])
    assert read_values(Options, {"chosen": {"key": odd}, "text": odd}, "options") == Options(odd, [], {"key": odd})


@pytest.mark.parametrize("odd", ODD)
def test_what_is_written_down_is_read_back(tmp_path, odd):
    """Paths of any spelling survive the config.yaml of a run; in a file of one's own they stand for themselves."""
    config = Options(odd, [odd, "b"], {"key": odd}, {"key": odd, "deep": [{"a": odd}]}, [1, odd])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(Options, path) == config
    path.write_text(f"text: '{odd}'\n", encoding="utf-8")
    assert load_config(Options, path) == Options(odd)


@pytest.mark.parametrize("words", [["--texts", "a", "b=c", "text=d"], ["a", "text=d", "b=c"]])
def test_settings_may_follow_words(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^unknown setting 'b=c'; --help lists them$"):
        parse_command(Options, "", words, positional="texts")
    expected = Options("d", ["a", "b=c"])
    assert parse_command(Options, "", ["a", "b=c", "text=d"], positional="texts", foreign=True) == expected
    (tmp_path / "b=c").touch()
    assert parse_command(Options, "", words, positional="texts") == expected


@pytest.mark.parametrize("words", [["--text", ""], ["--texts", "a", ""], [""], ["several=['']"]])
def test_empty_texts_are_what_a_shell_made_of_nothing(words):
    with pytest.raises(UserError, match=r"^an empty text \(''\) is given for (text|texts|several); give what is meant"):
        parse_command(Options, "", words, positional="texts")


def test_the_last_of_two_values_holds():
    assert load_config(Options, overrides=["text=a", "text=null"]).text is None
    assert load_config(Options, overrides=["text=null", "text=a"]).text == "a"


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("${}\\.:ab[]/ "), max_size=12))
def test_values_of_dictionaries(text):
    quoted = "'" + text.replace("'", "''") + "'"
    assert load_config(Options, overrides=[f"anything.key={quoted}"]).anything == {"key": text}
    assert read_values(Options, {"anything": {"key": text}}, "options").anything == {"key": text}


def test_numbers_in_dictionaries_stay_numbers():
    config = load_config(EvaluateConfig, overrides=["options.shots=10", "options.mode=indoor", "steps=[nfc]"])
    assert config.options == {"shots": 10, "mode": "indoor"} and config.steps == ["nfc"]


@pytest.mark.parametrize("odd", [*ODD, "[bold]x", "a\\"])
def test_tables_show_names_as_they_are(odd):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(to_terminal(ResultTable(f"title {odd}", [Row(f"row {odd}", {"mAP": 0.5})], ("mAP",))))
    shown = console.export_text()
    assert f"title {odd}" in shown and f"row {odd}" in shown
