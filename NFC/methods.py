"""Steps and matchers from configs: names with their numbers, checked against the dataclass of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from pose2id.errors import UserError

from .chain import Method
from .matching import MATCHERS, Matcher
from .steps import STEPS, Step

METHODS: Mapping[str, type[Step] | type[Matcher]] = STEPS | MATCHERS

Numbers = Mapping[str, Mapping[str, Any]]  # by method


def build_methods(entries: Sequence[str | Mapping[str, Any]], numbers: Numbers | None = None) -> list[Method]:
    """Each entry's method: `nfc`, `nfc:on=gallery,k1=4` or `{name: nfc, on: gallery, k1: 4}`.

    numbers: those that the authors of a method give for the benchmark at hand; an entry's own go before them.
    `UserError` for an unknown name or number, one of another type, and for numbers that are lacking.
    """
    return [_build(entry, numbers or {}) for entry in entries]


def _build(entry: str | Mapping[str, Any], numbers: Numbers) -> Method:
    name, own = _read(entry)
    if name not in METHODS:
        raise UserError(f"steps: unknown method '{name}'; choose one of: {', '.join(METHODS)}")
    config = OmegaConf.structured(METHODS[name])
    OmegaConf.set_readonly(config, False)
    try:
        return OmegaConf.to_object(OmegaConf.merge(config, numbers.get(name, {}), own))
    except MissingMandatoryValue as error:
        lacking = ", ".join(sorted(OmegaConf.missing_keys(config)))
        raise UserError(
            f"{name} needs {lacking}, which are known for some benchmarks only; give them, as "
            f"{name}:{lacking.split(', ')[0]}=1, or leave out {name}"
        ) from error
    except OmegaConfBaseException as error:
        raise UserError(f"steps: {name}: {' '.join(str(error).splitlines()[0].split())}") from error


def _read(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the numbers of an entry."""
    if isinstance(entry, str):
        name, _, numbers = entry.partition(":")
        return name, dict(OmegaConf.from_dotlist(numbers.split(","))) if numbers else {}
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise UserError(f"steps: '{entry}' names no method; write nfc, nfc:k1=4 or {{name: nfc, k1: 4}}")
    # YAML reads the bare word `on` as true
    numbers = {"on" if key is True else key: value for key, value in entry.items() if key != "name"}
    return entry["name"], numbers
