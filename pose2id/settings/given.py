"""Settings that somebody gave although nothing will look at them: told, instead of silently dropped."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, cast

from ..errors import UserError


def given(config: object, names: Sequence[str]) -> list[str]:
    """Those of the fields `names` that differ from their defaults, for nobody can tell a default that was given."""
    return [
        field.name
        for field in fields(cast(Any, config))
        if field.name in names and getattr(config, field.name) != _default(field)
    ]


def check_not_given(config: object, names: Sequence[str], partner: str) -> None:
    """`UserError` for the first of the fields `names` that was given without `partner`, with which they go."""
    for name in given(config, names):
        raise UserError(f"{name} goes with {partner}; give that, or leave out {name}")


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
