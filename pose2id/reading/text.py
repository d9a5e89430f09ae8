"""Text files: UTF-8, with or without a byte-order mark, up to a size; lines, JSON, lines of JSON, tables."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, printable
from .files import foreign_kind, one_line, require_file

LARGEST_TEXT = 2**30  # bytes
LARGEST_INT = 2**63 - 1
WIDEST_INT = 20  # characters
LINE_END = re.compile("\r\n|\r|\n")  # and nothing else that Python would split at, such as U+2028 within a path


def read_text(path: str | Path, what: str = "file", remedy: str = "", limit: int = LARGEST_TEXT) -> str:
    """The text of a file without its byte-order mark; `what` and `remedy` begin and end its `UserError`."""
    path = require_file(path, what, remedy)
    end = f"; {remedy}" if remedy else ""
    try:
        if (size := path.stat().st_size) > limit:
            raise UserError(f"{what} {printable(path)} is too large: {size:,} bytes; such a file has at most {limit:,}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{what} {printable(path)} cannot be read: {error.strerror or error}{end}") from error
    if (kind := foreign_kind(path)) and content:
        raise UserError(f"{what} {printable(path)} cannot be read: it is {kind}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        reason = "it is UTF-16" if utf_16 else f"byte {error.object[error.start]:#x} at place {error.start}"
        raise UserError(
            f"{what} {printable(path)} cannot be read as UTF-8 text: {reason}; {remedy or 'save it as UTF-8'}"
        ) from error
    if "\0" in text:
        raise UserError(f"{what} {printable(path)} cannot be read as UTF-8 text: it is binary, or UTF-16{end}")
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text; only line feeds and carriage returns end one."""
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def _whole(digits: str) -> int:
    if len(digits) > WIDEST_INT or abs(int(digits)) > LARGEST_INT:
        raise ValueError(f"the number {digits[:WIDEST_INT]}... is too large")
    return int(digits)


def _real(digits: str) -> float:
    if not isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:WIDEST_INT]} is too large")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


# By whether numbers have to be finite.
DECODERS = {
    True: json.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_no_constant),
    False: json.JSONDecoder(parse_int=_whole, parse_float=_real),
}


def parse_json(text: str, where: str, finite: bool = True) -> Any:
    """What a JSON text holds; `where` starts the `UserError` for anything but JSON with numbers of ordinary size.

    finite: NaN and Infinity, which are no JSON, are refused.
    """
    try:
        return DECODERS[finite].decode(text)
    except RecursionError as error:
        raise UserError(f"{where}: brackets are nested too deep") from error
    except ValueError as error:
        raise UserError(f"{where}: {one_line(error)}") from error


def read_json(path: str | Path, what: str = "file", remedy: str = "", finite: bool = True) -> Any:
    """What a JSON file holds; see `read_text` and `parse_json`."""
    return parse_json(read_text(path, what, remedy), f"{what} {printable(path)} is not JSON", finite)


def read_json_lines(
    path: str | Path,
    what: str = "file",
    remedy: str = "",
    finite: bool = True,
    partial: bool = False,
    wrong: str = "",
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, mapping) of each line that is not blank; `UserError` for a line that holds anything else.

    partial: the file is that of a process that may have been killed: a last line that is cut is left out. wrong: said
    of the line in front of what is wrong with it, such as "holds no pose".
    """
    lines = lines_of(read_text(path, what, remedy))
    for number, line in enumerate(lines, start=1):
        where = f"{printable(path)}, line {number} {wrong}".rstrip()
        if line.strip():
            try:
                value = parse_json(line, where, finite)
            except UserError:
                if partial and number == len(lines):
                    return
                raise
            yield where, mapping(value, where)


def mapping(value: Any, where: str, *keys: str) -> dict[str, Any]:
    """`value`, if it is a mapping that has `keys`; else `UserError` starting with `where`."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: a {type(value).__name__} where names and values ({{...}}) are expected")
    if lacking := [key for key in keys if key not in value]:
        raise UserError(f"{where}: lacks '{lacking[0]}'")
    return value


def number_rows(value: Any, where: str, columns: int = 3) -> np.ndarray:
    """`value`, lists of lists or flat, as (n, columns) float64, all finite; else `UserError` starting with `where`."""
    try:
        rows = np.array(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{where}: not rows of {columns} numbers: {one_line(error)}") from error
    if rows.size == 0:
        return np.zeros((0, columns))
    if rows.dtype.kind not in "fiu":
        raise UserError(f"{where}: null or text where numbers are expected; leave out what was not found")
    if rows.ndim > 2 or (rows.ndim == 2 and rows.shape[1] != columns) or rows.size % columns or rows.ndim == 0:
        raise UserError(f"{where}: of shape {rows.shape}, not rows of {columns} numbers")
    if not np.isfinite(rows).all():
        raise UserError(f"{where}: holds NaN or infinity; leave out what was not found")
    return rows.reshape(-1, columns).astype(np.float64)


def path_text(value: Any, where: str) -> str:
    """`value`, if it is text that can name a file; else `UserError` starting with `where`."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: the path is {value!r:.50}, not text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: the path {value!r:.50} is not UTF-8") from error
    if "\0" in value:
        raise UserError(f"{where}: the path {value!r:.50} cannot be that of a file")
    return value


@dataclass(frozen=True)
class Line:
    """A line of a table: its number, and its values by column, without white space around them."""

    number: int
    values: dict[str, str]


def read_table(path: Path, what: str, delimiter: str = ",", wanted: Sequence[str] = ()) -> tuple[list[str], list[Line]]:
    """The columns that the first line names, and all further lines; a column that a line lacks is "" there.

    wanted: columns that may occur once only. A field that is too long or unquoted raises `UserError` naming the line.
    """
    reader = csv.reader(io.StringIO(read_text(path, what), newline=""), delimiter=delimiter, skipinitialspace=True)
    lines = []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for fields in reader:
            if fields:
                padded = fields + [""] * (len(columns) - len(fields))
                values = {name: value.strip() for name, value in zip(columns, padded, strict=False)}
                lines.append(Line(reader.line_num, values))
    except csv.Error as error:
        raise UserError(
            f"{what} {printable(path)}: line {reader.line_num}: {one_line(error)}; mend that line"
        ) from error
    for name in wanted:
        if columns.count(name) > 1:
            raise UserError(f"{what} {printable(path)} has the column {name} twice; leave one")
    return columns, lines
