"""YAML files and command-line overrides, read into typed dataclasses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .errors import UserError

Schema = TypeVar("Schema")


def load_config(
    schema: type[Schema], path: str | Path | None = None, overrides: Sequence[str] = (), section: str | None = None
) -> Schema:
    """Build `schema` (a dataclass) from a YAML file and `key=value` overrides, in that order.

    `section` reads only that top-level key of the file. Unknown keys, wrong types and a missing
    file raise `UserError` in one line.
    """
    config = OmegaConf.structured(schema)
    try:
        if path is not None:
            if not Path(path).is_file():
                raise UserError(f"config file {path} does not exist")
            loaded = OmegaConf.load(path)
            config = OmegaConf.merge(config, loaded[section] if section else loaded)
        config = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
        return OmegaConf.to_object(config)
    except (OmegaConfBaseException, YAMLError, TypeError) as error:  # TypeError: a list where a mapping was, or back
        reason = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"config {path or ''} {' '.join(overrides)}: {reason}") from error


def read_values(schema: type[Schema], values: Mapping[str, object], what: str) -> Schema:
    """Build `schema` (a dataclass, frozen or not) from its defaults and `values`, as strictly as `load_config`.

    what: what a `UserError` calls the values.
    """
    config = OmegaConf.structured(schema)
    OmegaConf.set_readonly(config, False)
    try:
        return OmegaConf.to_object(OmegaConf.merge(config, OmegaConf.create(dict(values))))
    except OmegaConfBaseException as error:
        raise UserError(f"{what}: {' '.join(str(error).split(chr(10))[0].split())}") from error
