"""YAML files and command-line overrides, read into typed dataclasses, and dataclasses as YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import UserError
from .reading.files import one_line
from .reading.yaml_files import literal, marked, read_yaml, unmarked
from .settings.misfits import misfit

Schema = TypeVar("Schema")


def load_config(
    schema: type[Schema],
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    section: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> Schema:
    """Build `schema` (a dataclass) from a YAML file, `key=value` overrides and `given` values, in that order.

    `section` reads only that top-level key of the file. What a key of type text is given is taken as it stands, dollar
    signs and all. Unknown keys, wrong types, a missing file and lacking settings raise `UserError` in one line.
    """
    texts, others = _sorted_overrides(schema, overrides)
    texts += [([name], value) for name, value in (given or {}).items()]
    below = _plain(read_yaml(path)) if path is not None else {}
    below, above = below[section] if section else below, {}
    try:
        above = _plain(read_dotlist(others))
        config = OmegaConf.merge(OmegaConf.structured(schema), _merged(below, above))
        lacking = OmegaConf.missing_keys(config)
        for name in lacking & {".".join(keys) for keys, _ in texts}:
            OmegaConf.update(config, name, "")  # what is given stands there soon
        if still := sorted(OmegaConf.missing_keys(config)):
            raise UserError(f"{' and '.join(still)} must be given: --{still[0]} or {still[0]}=...")
        built = cast(Schema, OmegaConf.to_object(config))
    except (OmegaConfBaseException, yaml.YAMLError, TypeError) as error:  # TypeError: a list where settings were
        file = f"config {path}: " if path is not None else ""
        if told := misfit(schema, below, section or ""):
            raise UserError(file + told) from error
        words = " ".join(overrides)
        raise UserError(misfit(schema, above) or f"{file}{words}: {one_line(error, None)}") from error
    for keys, text in texts:
        built = _with(built, keys, text)
    return built


def read_values(schema: type[Schema], values: Mapping[str, Any], what: str) -> Schema:
    """Build `schema` (a dataclass, frozen or not) from its defaults and `values`, as strictly as `load_config`.

    what: what a `UserError` calls the values.
    """
    config = OmegaConf.structured(schema)
    OmegaConf.set_readonly(config, False)
    try:
        return cast(Schema, OmegaConf.to_object(OmegaConf.merge(config, literal(dict(values)))))
    except (OmegaConfBaseException, TypeError) as error:  # TypeError: a list where settings were
        raise UserError(f"{what}: {misfit(schema, values) or one_line(error, None)}") from error
    except UserError as error:  # of the dataclass itself
        raise UserError(f"{what}: {error}") from error


def read_dotlist(overrides: Sequence[str]) -> DictConfig:
    """`key=value` pairs as a config; values are YAML, but `${...}` in them is text like any other."""
    return unmarked(OmegaConf.from_dotlist([marked(override) for override in overrides]))


def to_yaml(config: object) -> str:
    """A config as the YAML text that `load_config` reads."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=10**6)


def plain(value: Any) -> Any:
    """Dataclasses, enums and paths as dictionaries, lists, numbers and text."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _plain(config: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(config))


def _merged(below: Any, above: Any, key: str = "") -> Any:
    """`above` over `below`: names and values are joined, anything else takes the place of what was there."""
    if not isinstance(below, Mapping | list) or not isinstance(above, Mapping):
        return above
    if isinstance(below, list):
        raise UserError(f"{key} is a list in the config file, and {above!r:.80} is none; give it whole: {key}=[...]")
    changed = {name: _merged(below.get(name), value, f"{key}.{name}".lstrip(".")) for name, value in above.items()}
    return {**below, **changed}


def _sorted_overrides(schema: type, overrides: Sequence[str]) -> tuple[list[tuple[list[str], Any]], list[str]]:
    """Overrides of text, as keys and value, and all others, which OmegaConf reads."""
    texts, others = [], []
    last = {override.partition("=")[0]: override for override in overrides}  # of one key given twice
    for override in last.values():
        name, equals, value = override.partition("=")
        keys = name.split(".")
        if equals and value not in ("", "null") and _is_text(schema, keys):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            texts.append((keys, value[1:-1] if quoted else value))
        else:
            texts = [text for text in texts if text[0] != keys]  # the last one holds
            others.append(override)
    return texts, others


def _is_text(schema: type, keys: Sequence[str]) -> bool:
    """Whether the field that `keys` lead to holds text, or text or nothing."""
    hint: Any = schema
    for key in keys:
        hint = get_type_hints(hint).get(key) if is_dataclass(hint) else None
    return hint is str or set(get_args(hint)) == {str, type(None)}


def _with(config: Schema, keys: Sequence[str], value: Any) -> Schema:
    first, *rest = keys
    return replace(cast(Any, config), **{first: _with(getattr(config, first), rest, value) if rest else value})
