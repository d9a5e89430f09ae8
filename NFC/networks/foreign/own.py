"""A network of your own: `package.module:function` or `path/to/file.py:function`; docs/extractors.md has a template."""

import inspect
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from torch import nn

from pose2id.errors import UserError
from pose2id.reading.files import fault_of

from ..base import Extractor, Preprocessing, measured_extractor


def build(name: str, weights: str | Path | None) -> Extractor:
    """Call the function with the file of weights, or None; it returns (network, Preprocessing) or an `Extractor`.

    Only a function of Python whose first parameter is called `weights`, the others having defaults, is called. One that
    fails, and one that returns something else, raise `UserError`.
    """
    function = find_function(name)
    if not _takes_weights(function):
        raise UserError(
            f"extractor '{name}' is no function of weights; write it as `def {name.split(':')[-1]}(weights):`"
        )
    try:
        built = function(None if weights is None else Path(weights))
    except UserError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"extractor '{name}' fails in {last.filename}, line {last.lineno}: {type(error).__name__}: {said}"
        ) from error
    match built:
        case Extractor() as extractor:
            return extractor
        case (nn.Module() as network, Preprocessing() as preprocessing):
            return measured_extractor(network, preprocessing)
    raise UserError(f"extractor '{name}' has to return (torch module, Preprocessing) or an Extractor")


def _takes_weights(function: Callable) -> bool:
    """Whether it is made to be called with weights: nothing else is called, for it might do anything."""
    try:
        first, *others = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # no parameters, or built in
        return False
    needed = [p for p in others if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return first.name == "weights" and not needed


def find_function(name: str) -> Callable:
    location, _, function = name.rpartition(":")
    module = load_file(Path(location)) if location.endswith(".py") else load_module(location)
    if not callable(getattr(module, function, None)):
        raise UserError(f"extractor '{name}': {location} has no function '{function}'")
    return getattr(module, function)


def load_module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(f"no module '{name}' can be imported; run where it lies, or write its file.py") from error
        raise


def load_file(path: Path) -> ModuleType:
    if fault := fault_of(path):
        raise UserError(f"file {path} of the extractor {fault}")
    spec = spec_from_file_location(path.stem, path)
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
