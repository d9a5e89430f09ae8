"""YAML files and command-line overrides, read into typed dataclasses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .errors import UserError

Schema = TypeVar("Schema")

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


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
    except (OmegaConfBaseException, YAMLError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"config {path or ''} {' '.join(overrides)}: {reason}") from error
