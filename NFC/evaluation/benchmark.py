"""The numbers that the authors of a method give for a benchmark, from `configs/evaluate/<data set>.yaml`.

    numbers:
      affinity:
        - {when: {mode: all, shots: 1}, k1: 4, k2: 1}

`when` names options of the data set; without it the numbers hold for all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pose2id.errors import UserError
from pose2id.reading.yaml_files import read_yaml
from pose2id.resources import CONFIGS

from ..datasets import DATASETS
from ..methods import METHODS, Numbers


def benchmark_numbers(
    dataset: str | None, options: Mapping[str, Any], given: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Numbers:
    """The numbers of each method for data set `dataset` with `options`; `given` ones stand in for those of its file.

    dataset: None where the features are of no data set in particular; then there are the given ones alone. `UserError`
    for given ones of no method, or with a `when` that names no options.
    """
    _check(given)
    path = CONFIGS / "evaluate" / f"{dataset}.yaml"
    known: Any = given or (read_yaml(path).get("numbers", {}) if path.is_file() else {})
    reader = DATASETS.get(dataset) if dataset else None
    defaults = {name: choices[0] for name, choices in reader.options.items()} if reader else {}
    chosen = {name: str(value) for name, value in (defaults | dict(options)).items()}
    return {
        method: {name: value for name, value in entry.items() if name != "when"}
        for method, entries in known.items()
        for entry in entries
        if all(chosen.get(name) == str(value) for name, value in entry.get("when", {}).items())
    }


def _check(given: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for method, entries in given.items():
        if method not in METHODS:
            raise UserError(f"numbers: '{method}' is unknown; choose one of: {', '.join(METHODS)}")
        for when in (entry.get("when", {}) for entry in entries):
            if not isinstance(when, Mapping):
                raise UserError(
                    f"numbers.{method}: when is {when}; it must hold options of the data set, such as {{mode: all}}"
                )
