"""What of a user's values does not fit the dataclass they are for, in one line: which key, its value, what it must be.

OmegaConf is what converts and refuses; this is asked for words once it has refused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import BooleanNode, EnumNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import OmegaConfBaseException

SCALARS: dict[type, tuple[Callable[..., object], str]] = {
    int: (IntegerNode, "a whole number"),
    float: (FloatNode, "a number"),
    bool: (BooleanNode, "true or false"),
    str: (StringNode, "text"),
}

MOST_NAMES = 8  # that are offered in place of one that nobody knows
MOST_LETTERS = 80  # of a value that is shown


def misfit(hint: Any, value: Any, key: str = "") -> str | None:
    """What is wrong with the first part of `value` that a field of type `hint` cannot take; None where all fits.

    key: of the value, dots and all; "" for a whole config.
    """
    part = _in_settings if is_dataclass(hint) else PARTS.get(get_origin(hint), _in_scalar)
    return part(hint, value, key)


def _in_union(hint: Any, value: Any, key: str) -> str | None:
    choices = get_args(hint)
    found = [misfit(choice, value, key) for choice in choices if choice is not NoneType]
    return None if (value is None and NoneType in choices) or None in found else found[0]


def _in_settings(schema: Any, value: Any, key: str) -> str | None:
    names = [field.name for field in fields(schema)]
    if not isinstance(value, Mapping):
        return _told(key, value, f"it must hold settings, such as {{{names[0]}: ...}}")
    dot = f"{key}." if key else ""
    if unknown := [name for name in value if name not in names]:
        nearest = get_close_matches(str(unknown[0]), names, MOST_NAMES, cutoff=0)
        more = ", ..." if len(names) > MOST_NAMES else ""
        return f"'{dot}{unknown[0]}' is unknown; choose among: {', '.join(nearest)}{more}"
    hints = get_type_hints(schema)
    return _first(misfit(hints[name], item, f"{dot}{name}") for name, item in value.items())


def _in_list(hint: Any, value: Any, key: str) -> str | None:
    item_hint = get_args(hint)[0]
    if isinstance(value, list | tuple):
        return _first(misfit(item_hint, item, f"{key}[{number}]") for number, item in enumerate(value))
    fits = value is not None and len(str(value)) < MOST_LETTERS and misfit(item_hint, value) is None
    such = f", such as [{value}]" if fits else ""
    return _told(key, value, f"it must be a list{such}")


def _in_mapping(hint: Any, value: Any, key: str) -> str | None:
    if not isinstance(value, Mapping):
        return _told(key, value, "it must hold names and values, such as {name: value}")
    if odd := [name for name in value if not isinstance(name, str)]:
        return f"{key} has the name {odd[0]!r}; names must be text, so put it in quotes"
    item_hint = get_args(hint)[1]
    return _first(misfit(item_hint, item, f"{key}.{name}") for name, item in value.items())


def _in_scalar(hint: Any, value: Any, key: str) -> str | None:
    known = SCALARS
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = {hint: (partial(EnumNode, hint), f"one of: {', '.join(hint.__members__)}")}
    if hint not in known:
        return None
    node, words = known[hint]
    try:
        node(value, is_optional=False)
    except OmegaConfBaseException:
        return _told(key, value, f"it must be {words}")
    return None


def _told(key: str, value: Any, must: str) -> str:
    return f"{key or 'this'} is {'null' if value is None else f'{value!r:.{MOST_LETTERS}}'}; {must}"


def _first(found: Iterable[str | None]) -> str | None:
    return next((told for told in found if told is not None), None)


PARTS = {Union: _in_union, UnionType: _in_union, list: _in_list, tuple: _in_list, dict: _in_mapping}
