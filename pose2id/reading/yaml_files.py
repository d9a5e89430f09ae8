"""YAML files: one mapping of ordinary size, however it is nested or refers to itself."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import UserError, printable
from .files import one_line
from .text import read_text

LARGEST_YAML = 2**22  # bytes
MOST_VALUES = 10**5  # once everything that refers to something else is written out
MARK = "\ue000"  # stands for a dollar sign while YAML is read; no text has it


def read_yaml(path: str | Path, what: str = "config file") -> DictConfig:
    """The mapping in a YAML file, empty for an empty file; `UserError` naming the file for anything else.

    `${...}` is text like any other: a path may hold it, and what a run writes down is read back as it stood.
    """
    text = read_text(path, what, limit=LARGEST_YAML)
    start = f"{what} {printable(path)}"
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return OmegaConf.create({})
        if not isinstance(root, yaml.MappingNode):
            kind = "a list" if isinstance(root, yaml.SequenceNode) else f"the single value {root.value!r:.50}"
            raise UserError(f"{start} holds {kind}; it must hold names and values, such as 'device: cpu'")
        if _written_out(root, {}) > MOST_VALUES:
            raise UserError(f"{start} holds more than {MOST_VALUES:,} values; remove what refers to itself (& and *)")
        loaded = OmegaConf.load(io.StringIO(marked(text)))
        assert isinstance(loaded, DictConfig)  # the root is a mapping
        return unmarked(loaded)
    except UserError:
        raise
    except RecursionError as error:
        raise UserError(f"{start} is nested too deep") from error
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{start} is no YAML{place}: {one_line(ValueError(error.problem or error.context))}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, OverflowError, OSError) as error:
        raise UserError(f"{start} is no YAML: {one_line(error)}") from error


def marked(text: str) -> str:
    """The text with something else where a dollar sign stands, which OmegaConf would look into; see `unmarked`."""
    return text.replace("$", MARK)


def unmarked(config: DictConfig) -> DictConfig:
    """What was read from `marked` text, its dollar signs back as plain text."""
    return literal(_texts(OmegaConf.to_container(config), lambda text: text.replace(MARK, "$")))


def literal(values: Mapping[str, Any]) -> DictConfig:
    """The same as a config that takes `${` as text."""
    escaped = _texts(values, lambda text: re.sub(r"(\\*)\$\{", r"\1\1\\${", text))
    return cast(DictConfig, OmegaConf.create(escaped))


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same with all of its texts changed, keys too."""
    if isinstance(value, Mapping):
        return {_texts(key, change): _texts(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values `node` is once written out; more than is allowed where it contains itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # until it is known: that of a node that contains itself
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_written_out(part, known) for part in inner)
    return known[id(node)]
