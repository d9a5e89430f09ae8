"""Text, JSON, tables, YAML and labels: the value, or one line that says where it is wrong."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.reading.labels import as_integers, number_labels, whole_number
from pose2id.reading.text import lines_of, number_rows, parse_json, read_json_lines, read_table, read_text


@dataclass
class Config:
    device: str | None = None
    poses: int = 8
    options: dict[str, Any] = field(default_factory=dict)


def test_text_is_utf_8_with_or_without_a_mark(tmp_path):
    path = tmp_path / "a.txt"
    for content in ("é\n".encode(), "é\n".encode("utf-8-sig")):
        path.write_bytes(content)
        assert read_text(path) == "é\n"
    for content, told in (("é".encode("latin-1"), "byte 0xe9"), ("é".encode("utf-16"), "UTF-16"), (b"\0", "binary")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"cannot be read as UTF-8 text: .*{told}"):
            read_text(path)
    path.write_bytes(bytes(11))
    with pytest.raises(UserError, match="too large: 11 bytes"):
        read_text(path, limit=10)


def test_only_line_feeds_end_lines():
    assert lines_of("a\u2028b\x85c\r\nd\re\n") == ["a\u2028b\x85c", "d", "e"]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e400", "1" * 30, "9" * 5000, "[" * 100_000, "{", "", "nul"])
def test_what_is_no_json_of_ordinary_numbers_is_refused(text):
    with pytest.raises(UserError, match=r"^here: ") as error:
        parse_json(text, "here")
    assert len(str(error.value).splitlines()) == 1


def test_json_is_read():
    assert parse_json('{"a": [1, -2.5, null, 9223372036854775807]}', "") == {"a": [1, -2.5, None, 2**63 - 1]}
    assert np.isnan(parse_json("NaN", "", finite=False))


def test_lines_of_json_name_the_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2\n')
    assert [row for _, row in read_json_lines(path, partial=True)] == [{"a": 1}]
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: "):
        list(read_json_lines(path))
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: a list where names and values"):
        list(read_json_lines(path))


@pytest.mark.parametrize(
    "value",
    [None, "x", 1, {}, [[None, None, 0]], [[1, 2]], [[1, 2, float("nan")]], [[1], [2, 3]], [10**400], [True] * 3],
)
def test_rows_of_numbers_are_finite(value):
    with pytest.raises(UserError, match=r"^here: "):
        number_rows(value, "here")
    assert number_rows([1, 2, 3, 4, 5, 6.5], "").tolist() == [[1, 2, 3], [4, 5, 6.5]] and number_rows([], "").size == 0


def test_tables_have_one_line_for_what_is_wrong(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('pid, path\n 1 ,"a\u2028,b"\n2\n')
    columns, lines = read_table(path, "table")
    assert columns == ["pid", "path"]
    assert [(line.number, line.values) for line in lines] == [
        (2, {"pid": "1", "path": "a\u2028,b"}),
        (3, {"pid": "2", "path": ""}),
    ]
    path.write_text("pid\n" + "1" * 200_000)
    with pytest.raises(UserError, match=r"a\.csv: line 2: field larger"):
        read_table(path, "table")
    path.write_text("pid,pid\n")
    with pytest.raises(UserError, match="column pid twice"):
        read_table(path, "table", wanted=["pid"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("17", 17), ("0017", 17), ("17.0", 17), ("-1", -1), ("-0", 0), ("+3", 3), ("9223372036854775807", 2**63 - 1)],
)
def test_whole_numbers(text, number):
    assert whole_number(text, "") == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "1_0", "٣", "nan", "1e3", "9223372036854775808", "9" * 6000, "0x1"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(UserError, match=r"^here: pid "):
        whole_number(text, "here")


def test_equal_numbers_are_one_label():
    assert number_labels(["1", "001", "1.0", "-1"], "") == {"1": 1, "001": 1, "1.0": 1, "-1": -1}
    assert number_labels(["b", "1", "01", "a"], "") == {"01": 0, "1": 0, "a": 1, "b": 2}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([2**64 - 1], np.uint64), "too large"),
        (np.array([2**24], np.float32), "too large to be exact"),
        (np.array([0.5]), "row 0 is 0.5"),
        (np.array([np.nan]), "whole numbers"),
        (torch.tensor([2.0**9]).bfloat16(), "too large to be exact"),
    ],
)
def test_label_arrays_are_exact(values, told):
    with pytest.raises(UserError, match=told):
        as_integers(values, "pids")
    assert as_integers(np.array([[1.0, 2.0]], np.longdouble), "pids").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"5\n", "the single value '5'"),
        (b"true\n", "the single value 'true'"),
        (b"- 1\n", "holds a list"),
        (b"device: \xe9\n", "UTF-8"),
        ("device: x\n".encode("utf-16"), "UTF-16"),
        (bytes(range(1, 9)), "is no YAML"),
        (b"a: " + b"[" * 50_000, "nested too deep"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(8)),
            "more than 100,000",
        ),
        (b"a: &a [*a]\n", "more than 100,000"),
        (b"poses: " + b"9" * 6000, "is no YAML"),
        (b"a: *x\n", "is no YAML in line 1"),
        (b"x: !!python/object/apply:os.getcwd []\n", "is no YAML"),
    ],
)
def test_configs_that_are_none_are_one_line(tmp_path, content, told):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        load_config(Config, path)
    assert "c.yaml" in str(error.value) and len(str(error.value).splitlines()) == 1


def test_an_empty_config_and_one_with_a_mark(tmp_path):
    path = tmp_path / "c.yaml"
    for content, poses in (("", 8), ("# none\n", 8), ("\ufeffposes: 3\n", 3)):
        path.write_text(content, encoding="utf-8")
        assert load_config(Config, path).poses == poses


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_config_or_one_line(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    try:
        load_config(Config, path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
