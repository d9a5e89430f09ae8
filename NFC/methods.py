"""Steps and matchers from configs."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pose2id.settings.registry import listed, read_named

from .chain import Method
from .matching import MATCHERS, Matcher
from .steps import STEPS, Step

METHODS: Mapping[str, type[Step] | type[Matcher]] = ChainMap(MATCHERS, STEPS)

Entry = str | Mapping[str, Any]
Numbers = Mapping[str, Mapping[str, Any]]  # by method

NETWORK = ("extractor", "weights", "preset")  # fields of methods that ask a network themselves


def with_network(numbers: Numbers, **network: str | None) -> Numbers:
    """`numbers` with the `NETWORK` in use for every method that has fields for it; what is given there goes before."""
    asking = [name for name, method in METHODS.items() if {*NETWORK} <= {field.name for field in fields(method)}]
    return {**numbers, **{name: {**network, **numbers.get(name, {})} for name in asking}}


def build_methods(entries: Entry | Sequence[Entry], numbers: Numbers | None = None) -> list[Method]:
    """Each entry's method: `nfc`, `nfc:on=gallery,k1=4` or `{name: nfc, on: gallery, k1: 4}`.

    entries: one alone is a list of one. numbers: those that the authors of a method give for the benchmark at hand; an
    entry's own go before them.
    `UserError` for an unknown name or number, one of another type, and for numbers that are lacking.
    """
    return [read_named(METHODS, entry, "steps", numbers or {})[1] for entry in listed(entries)]
