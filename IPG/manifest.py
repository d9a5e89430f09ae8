"""What a folder of generated pictures was made with, so that a later run adds to it only what fits."""

import json
import zlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from NFC.errors import UserError
from NFC.files import write_text

FILE_NAME = "manifest.json"
WEIGHT_SUFFIXES = {".safetensors", ".pth", ".bin"}
Manifest = dict[str, dict[str, str]]


def describe(settings: Mapping[str, object], poses: Mapping[str, Path], weights: Path) -> Manifest:
    """Everything but the references that decides what pictures look like: settings, pose files, a folder of weights."""
    files = sorted(path for path in weights.rglob("*") if path.suffix in WEIGHT_SUFFIXES)
    return {
        "settings": {name: str(value) for name, value in settings.items()},
        "poses": {name: f"{path.name} {_fingerprint(path)}" for name, path in poses.items()},
        "weights": {path.relative_to(weights).as_posix(): _fingerprint(path) for path in files},
        "versions": {name: version(name) for name in ("torch", "diffusers")},
    }


def check(folder: Path, manifest: Manifest) -> None:
    """Raise `UserError` when `folder` holds pictures that were made with other settings, poses or weights.

    Only what both manifests name is compared: more poses may join, and versions may differ.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text())
        differ = [
            f"{name} was {before[section][name]}, now {value}"
            for section in ("settings", "poses", "weights")
            for name, value in manifest[section].items()
            if before[section].get(name, value) != value
        ]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is not a manifest of this program; remove it") from error
    if differ:
        raise UserError(
            f"{folder} holds pictures made otherwise ({'; '.join(differ)}); remove it or name another folder"
        )


def save(folder: Path, manifest: Manifest, failures: Sequence[str] = ()) -> None:
    """Write the manifest into `folder`, with one line for each file that could not be used."""
    write_text(folder / FILE_NAME, json.dumps({**manifest, "failures": list(failures)}, indent=1) + "\n")


def _fingerprint(path: Path, sample: int = 1 << 20) -> str:
    """Size and checksum of both ends of a file: tells trained weights apart without reading gigabytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(sample)
        file.seek(max(0, size - sample))
        return f"{size}-{zlib.crc32(file.read(), zlib.crc32(head)):08x}"
