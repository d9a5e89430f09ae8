"""What imported files hold, by the names that are understood."""

from pathlib import Path

from pose2id.errors import UserError, printable
from pose2id.reading.arrays import ALONE, Arrays, read_arrays
from pose2id.reading.labels import whole_number
from pose2id.reading.text import read_table

from .feature_set import SPLITS
from .kinds import KINDS

NAMES = {
    "feats": ("feats", "features", "feat", "f"),
    "pids": ("pids", "pid", "labels", "label"),
    "camids": ("camids", "camid", "cams", "cam"),
    "generated": ("generated",),
    **{kind: (kind,) for kind in KINDS},  # the sizes of features of this kind
}
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SHOWN = 20  # names of arrays that a message lists


def read_file(path: Path, what: str = "feature file") -> Arrays:
    """The arrays in a file, by name; `UserError` for a file that cannot be read or is of another kind."""
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return _read_labels(path, DELIMITERS[suffix], what)
    arrays = read_arrays(path, is_known, what, also=DELIMITERS)
    return {"feats" if name == ALONE else name: array for name, array in arrays.items()}


def _read_labels(path: Path, delimiter: str, what: str) -> Arrays:
    """Columns whose name is known, as whole numbers; others are ignored."""
    names = [f"{prefix}{alias}" for aliases in NAMES.values() for alias in aliases for prefix in ("", *PREFIXES)]
    columns, lines = read_table(path, what, delimiter, names)
    return {
        name: [whole_number(line.values[name], f"{printable(path)} line {line.number}", name) for line in lines]
        for name in columns
        if is_known(name)
    }


PREFIXES = tuple(f"{split}_" for split in SPLITS)


def is_known(name: str) -> bool:
    """Whether an array of this name means anything here."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return any(name in names for names in NAMES.values())


def held(arrays: Arrays, name: str, split: str) -> str | None:
    """The key under which `arrays` hold `name`: first with the split before it, then without."""
    keys = [f"{prefix}{alias}" for prefix in (f"{split}_", "") for alias in NAMES[name]]
    return next((key for key in keys if key in arrays), None)


def find(arrays: Arrays, name: str, split: str, path: Path) -> object:
    """The values of `name`; `UserError` where there are none says what there is."""
    key = held(arrays, name, split)
    if key is not None and arrays[key] is not None:
        return arrays[key]
    if key is not None:
        raise UserError(f"{path}: {key} is no array of numbers; save {name} as one")
    names = [str(key) for key in arrays]
    there = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    hint = "; without cameras, give 0 for every query and 1 for the gallery" if name == "camids" else ""
    raise UserError(
        f"{path} has no {name} (it has {there or 'nothing of use'}); name them {' or '.join(NAMES[name])}{hint}"
    )
