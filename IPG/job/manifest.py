"""What a folder of generated pictures was made with, so that a later run adds to it only what fits."""

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from pose2id.errors import UserError, printable
from pose2id.files import write_text
from pose2id.reading.text import mapping, read_json

FILE_NAME = "manifest.json"
REMEDY = "remove the folder or name another"
LIBRARIES = ("torch", "torchvision", "diffusers", "safetensors", "accelerate", "numpy", "pillow")
DECIDING = ("settings", "poses", "weights")
Manifest = dict[str, dict[str, str]]


def describe(
    settings: Mapping[str, object],
    options: Mapping[str, object],
    poses: Mapping[str, str],
    weights: Mapping[str, str],
    references: Mapping[str, Sequence[str]] | None = None,
) -> Manifest:
    """Everything but the references that a job depends on.

    settings decide what pictures look like, options do not (places, batch size, device). poses: name, and weights:
    role -> what `fingerprint` says of the file. references: task -> names of its pictures, where it has several.
    """
    return {
        "settings": {name: str(value) for name, value in settings.items()},
        "options": {name: str(value) for name, value in options.items()},
        "poses": dict(poses),
        "weights": dict(weights),
        "references": {name: " ".join(names) for name, names in (references or {}).items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def check(folder: Path, manifest: Manifest, made: Iterable[Path] = ()) -> None:
    """Raise `UserError` when `folder` holds pictures that were made with other settings, poses or weights.

    Only what both manifests name is compared: more poses may join, and options and versions may differ. made: the files
    that the job makes; where one of them is there, a manifest has to say how it was made.
    """
    path = folder / FILE_NAME
    if not path.exists():
        if file := next((file for file in made if file.exists()), None):
            name = printable(file.relative_to(folder))
            raise UserError(f"{printable(folder)} has {name}, but no {FILE_NAME} to say how it was made; {REMEDY}")
        return
    where = f"{path} is not a manifest of this program; {REMEDY}"
    before = mapping(_read(path), where, *DECIDING)
    differ = [
        f"{name} was {known[name]}, now {value}"
        for section in (*DECIDING, "references")
        for known in [mapping(before.get(section, {}), where)]
        for name, value in manifest[section].items()
        if known.get(name, value) != value
    ]
    if manifest["references"] and "references" not in before:  # of an earlier version
        differ.append("every picture was drawn from one reference, now from several")
    if differ:
        raise UserError(f"{folder} holds pictures made otherwise ({'; '.join(differ)}); {REMEDY}")


def _read(path: Path) -> object:
    try:
        return read_json(path, "manifest")
    except UserError as error:
        raise UserError(f"{error}; {REMEDY}") from error


def save(folder: Path, manifest: Manifest, failures: Sequence[str] = ()) -> None:
    """Write the manifest into `folder`, with one line for each file that could not be used."""
    write_text(folder / FILE_NAME, json.dumps({**manifest, "failures": list(failures)}, indent=1) + "\n")
