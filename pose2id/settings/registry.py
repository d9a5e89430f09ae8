"""Entries of a config that name something of a registry, with numbers of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar, cast

from ..config import read_dotlist, read_values
from ..errors import UserError

Thing = TypeVar("Thing")

EMPTY: Mapping[str, Mapping[str, Any]] = {}


def read_named(
    registry: Mapping[str, type[Thing]],
    entry: object,
    what: str,
    numbers: Mapping[str, Mapping[str, Any]] = EMPTY,
) -> tuple[str, Thing]:
    """The name and the dataclass of `registry` that `entry` describes: `nfc`, `nfc:k1=4` or `{name: nfc, k1: 4}`.

    numbers: by name, known ones that the entry's own go before. `UserError`, starting with `what`, for an unknown name
    or number, one of another type, and for numbers that are lacking.
    """
    name, own = _read(entry, what)
    if not isinstance(name, str) or name not in registry:
        raise UserError(f"{what}: '{name}' is unknown; choose one of: {', '.join(registry)}")
    values = {**numbers.get(name, {}), **own}
    needed = [
        field.name for field in fields(cast(Any, registry[name])) if field.default is field.default_factory is MISSING
    ]
    if lacking := [number for number in needed if number not in values]:
        given = ",".join(f"{number}=..." for number in lacking)
        raise UserError(f"{what}: {name} needs {', '.join(lacking)}; give {name}:{given}, or leave out {name}")
    return name, read_values(registry[name], values, f"{what}: {name}")


def listed(entries: object) -> list[Any]:
    """The entries of a setting that lists some: one by itself, `nfc` or `{name: nfc, k1: 4}`, is a list of one."""
    return list(entries) if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]


def _read(entry: object, what: str) -> tuple[str, dict[str, Any]]:
    """The name and the numbers of an entry."""
    if isinstance(entry, str):
        name, _, numbers = entry.partition(":")
        return name, dict(read_dotlist(numbers.split(","))) if numbers else {}
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise UserError(f"{what}: '{entry}' names nothing; write NAME, NAME:number=4 or {{name: NAME, number: 4}}")
    # YAML reads the bare word `on` as true
    return entry["name"], {"on" if key is True else key: value for key, value in entry.items() if key != "name"}
