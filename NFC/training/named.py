"""Entries of a config that name something of a registry: {name: NAME, its own settings}."""

from collections.abc import Mapping
from typing import TypeVar

from pose2id.config import read_values
from pose2id.errors import UserError

Thing = TypeVar("Thing")


def read_named(registry: Mapping[str, type[Thing]], value: object, what: str) -> tuple[str, Thing]:
    """The name and the dataclass of `registry` that `value` describes; `UserError`, which says `what`, if none does."""
    if not isinstance(value, Mapping) or value.get("name") not in registry:
        raise UserError(f"{what}: need name, one of {', '.join(registry)}, with its settings; got {value}")
    settings = {key: setting for key, setting in value.items() if key != "name"}
    return value["name"], read_values(registry[value["name"]], settings, f"{what}, {value['name']}")
