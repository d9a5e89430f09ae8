"""Commands from dataclasses: every field is a flag, a `key=value` and a key of a YAML file."""

import argparse
import inspect
import io
import json
import os
import re
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ..config import load_config, to_yaml
from ..errors import UserError

Schema = TypeVar("Schema")

OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)


def parse_command(
    schema: type[Schema],
    description: str,
    arguments: Sequence[str],
    default: Path | None = None,
    positional: str | None = None,
    resolve: Callable[[Schema], Schema] = lambda config: config,
    note: Callable[[Schema], str] = to_yaml,
    foreign: bool = False,
) -> Schema | None:
    """The config that a command line asks for; None after `--dry_run`, which prints it.

    schema: a dataclass. description: what `--help` says first. default: the YAML file that is read where no `--config`
    is given; a schema with a setting of that name reads none. positional: the field, a list of texts, that takes what
    is neither a flag nor `key=value`. resolve: fills in what depends on other settings or on the machine. note: what
    `--dry_run` prints. foreign: `positional` takes `key=value` of other settings too. Values come from the file, then
    from flags and `key=value` (of sections, `section.key=value`).
    Raises `UserError` for whatever cannot be read, and for texts that are empty where that is not the default.
    """
    notes, hints = _notes(schema), get_type_hints(schema)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if "config" not in hints:
        parser.add_argument("--config", metavar="FILE", help="YAML file with any of these settings", default=default)
    parser.add_argument("--dry_run", action="store_true", help="print the settings as they came out, and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings; of sections, section.key=value")
    for field in fields(cast(Any, schema)):
        if not is_dataclass(hints[field.name]):
            _add_flag(parser, field, hints[field.name], notes.get(field.name, ""))
    given = vars(parser.parse_intermixed_args(arguments))
    path = None if "config" in hints else given.pop("config")
    dry_run, overrides = given.pop("dry_run"), given.pop("overrides")
    words = [word for word in overrides if not _is_override(word, hints)]
    overrides = [word for word in overrides if _is_override(word, hints)]
    if words and positional is None:
        _refuse_settings(words)
        raise UserError(f"'{words[0]}' is neither a flag nor key=value; --help lists the settings")
    if words and positional:
        given[positional] = words
    texts = {name: given.pop(name) for name, hint in hints.items() if _is_text(hint) and given.get(name) is not None}
    for name, value in texts.items():
        if isinstance(value, list):  # a flag takes all words that follow it, and settings may be among them
            overrides += [word for word in value if _is_override(word, hints)]
            texts[name] = [word for word in value if not _is_override(word, hints)]
            _refuse_settings(() if foreign and name == positional else texts[name])
    config = load_config(schema, path, [*_as_overrides(given), *overrides], given=texts)
    _refuse_empty(config)
    config = resolve(config)
    if dry_run:
        print(note(config).rstrip())
        return None
    return config


def _is_override(word: str, hints: dict[str, Any]) -> bool:
    """Whether a word is `key=value`, the key being a setting; any other is one only if nothing else takes it."""
    match = OVERRIDE.fullmatch(word)
    return bool(match) and word.split("=")[0].split(".")[0] in hints


def _refuse_settings(words: Sequence[str]) -> None:
    """`UserError` for a word that is `key=value`, unless a file is called that."""
    for word in words:
        if OVERRIDE.fullmatch(word) and not os.path.lexists(word):
            raise UserError(f"unknown setting '{word}'; --help lists them")


def _refuse_empty(config: object) -> None:
    """`UserError` for an empty text, as a shell's variable that is not set leaves it: a path would be this folder."""
    for field in fields(cast(Any, config)):
        value = getattr(config, field.name)
        if (value == "" and field.default != "") or (isinstance(value, list) and "" in value):
            raise UserError(f"an empty text ('') is given for {field.name}; give what is meant, or leave it out")


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
    if get_origin(hint) is dict:
        return False
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
    notes: dict[str, str] = {}
    named = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline):
        if match := re.match(r"    (\w+):", token.line):
            named = match[1]
        if token.type == tokenize.COMMENT and token.line.strip() != token.string:
            notes.setdefault(named, token.string.lstrip("# ").replace("%", "%%"))
    return notes
