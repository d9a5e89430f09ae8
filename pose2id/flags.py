"""Commands from dataclasses: every field is a flag, a `key=value` and a key of a YAML file."""

import argparse
import inspect
import io
import json
import re
import tokenize
from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .config import load_config, to_yaml
from .errors import UserError

Schema = TypeVar("Schema")

OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)


def parse_command(
    schema: type[Schema], description: str, arguments: Sequence[str], default: Path | None = None, name: str = ""
) -> Schema | None:
    """The config that a command line asks for; None after `--dry_run`, which prints it.

    schema: a dataclass. default: the YAML file that is read where no `--config` is given. description: what `--help`
    says first. Values come from the file, then from flags and `key=value`; sections are set by `section.key=value`.
    Raises `UserError` for whatever cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog=name or None, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", metavar="FILE", help=f"YAML file with any of these settings ({default or 'none'})")
    parser.add_argument("--dry_run", action="store_true", help="print the settings as they came out, and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings; of sections, section.key=value")
    notes, hints = _notes(schema), get_type_hints(schema)
    for field in fields(schema):
        if not is_dataclass(hints[field.name]):
            _add_flag(parser, field, hints[field.name], notes.get(field.name, ""))
    given = vars(parser.parse_intermixed_args(arguments))
    path, dry_run, overrides = given.pop("config") or default, given.pop("dry_run"), given.pop("overrides")
    for override in overrides:
        if not OVERRIDE.fullmatch(override):
            raise UserError(f"'{override}' is neither a flag nor key=value; --help lists the settings")
    texts = {name: given.pop(name) for name, hint in hints.items() if _is_text(hint) and given.get(name) is not None}
    config = replace(load_config(schema, path, [*_as_overrides(given), *overrides]), **texts)
    if dry_run:
        print(to_yaml(config), end="")
        return None
    return config


def _add_flag(parser: argparse.ArgumentParser, field: Field, hint: Any, note: str) -> None:
    kind, names = get_origin(hint), [f"--{field.name}"]
    if hint is bool:
        parser.add_argument(*names, action="store_const", const="true", help=note)
    elif kind is dict:
        parser.add_argument(*names, action="append", metavar="key=value", help=f"{note}; again for each")
    elif kind is list or any(get_origin(choice) is list for choice in get_args(hint)):
        parser.add_argument(*names, nargs="+", metavar="VALUE", help=note)
    else:
        parser.add_argument(*names, metavar=field.name.upper(), help=note)


def _is_text(hint: Any) -> bool:
    """Text or a list of texts, or one of these or nothing: taken as they stand, without a look at what is in them."""
    choices = {choice for choice in get_args(hint) if choice is not type(None)} or {hint}
    return hint == list[str] or choices <= {str, list[str]}


def _as_overrides(given: dict[str, Any]) -> list[str]:
    """Flags as `key=value`; of a list's values, those that are `key=value` themselves stand alone."""
    overrides = []
    for name, value in given.items():
        match value:
            case None:
                pass
            case list() if all(OVERRIDE.fullmatch(item) for item in value):
                overrides += [f"{name}.{item}" for item in value]
            case list():
                own = [item for item in value if not OVERRIDE.fullmatch(item)]
                overrides.append(f"{name}={json.dumps(own, ensure_ascii=False)}")
                overrides += [item for item in value if OVERRIDE.fullmatch(item)]
            case _:
                overrides.append(f"{name}={value}")
    return overrides


def _notes(schema: type) -> dict[str, str]:
    """The comment beside each field of a dataclass, which is what `--help` says of its flag."""
    try:
        source = inspect.getsource(schema)
    except OSError:  # no source at hand
        return {}
    notes, named = {}, ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline):
        if match := re.match(r"    (\w+):", token.line):
            named = match[1]
        if token.type == tokenize.COMMENT and token.line.strip() != token.string:
            notes.setdefault(named, token.string.lstrip("# ").replace("%", "%%"))
    return notes
