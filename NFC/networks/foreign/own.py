"""A network of your own: `package.module:function` or `path/to/file.py:function`; docs/extractors.md has a template."""

import sys
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
    """Call the function with the file of weights, or None; it returns (network, Preprocessing) or an `Extractor`."""
    match find_function(name)(None if weights is None else Path(weights)):
        case Extractor() as extractor:
            return extractor
        case (nn.Module() as network, Preprocessing() as preprocessing):
            return measured_extractor(network, preprocessing)
    raise UserError(f"extractor '{name}' has to return (torch module, Preprocessing) or an Extractor")


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
