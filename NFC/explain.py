"""What a network looks at in pictures: as values, and as files."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

import torch
from tqdm import tqdm

from pose2id.errors import UserError, printable
from pose2id.files import NameRefused, remove_leftovers, write_text
from pose2id.pictures import Unreadable, write_picture
from pose2id.processes.claims import claim
from pose2id.processes.locks import locked

from .networks.base import Extractor
from .networks.looks import Look
from .networks.reid_network import Inputs, ReIDNetwork
from .report.explained import look_sheet, pair_figure
from .report.pictures import Picture, open_picture
from .report.plots import save_figure

FORMAT = "pose2id-explain-1"
NUMBERS = "explain.json"
NOTE = ".explain.json"  # in the folder that is written to: it holds explanations

Entry = dict[str, object]  # of `NUMBERS`


@torch.inference_mode()
def explain(extractor: Extractor, picture: Picture) -> list[Look]:
    """What the extractor's network looks at in a picture, or the file of one: at least one look.

    Points, prompts and label maps are those that the extractor finds for a file. `UserError` for a network that has
    nothing to show, or that has not been told where the body is.
    """
    return _looking(extractor).explain(_inputs(extractor, [picture]))


@torch.inference_mode()
def explain_pair(extractor: Extractor, query: Picture, gallery: Picture) -> list[Look]:
    """What it looks at when it compares two pictures; of most networks nothing."""
    return _looking(extractor).explain_pair(_inputs(extractor, [query, gallery]))


def write_explanations(
    extractor: Extractor, paths: Sequence[Path], out: Path, notes: Mapping[str, object]
) -> tuple[Path, list[UserError]]:
    """Write a sheet a picture, a figure for each comparison of the first picture with another, and `explain.json`.

    notes: what is said of the extractor in that file. Returns its path, and an error for each picture that is left out:
    it cannot be read, or its name is too long. `UserError` as above, for fewer than two pictures where the network
    judges pairs, where all are left out, and for an `out` that holds anything but explanations.
    """
    if not paths:
        raise UserError("no pictures to explain: name files, or folders that hold some")
    network = _looking(extractor)
    if network.judges_pairs and len(paths) < 2:
        raise UserError(f"network '{network.name}' judges pairs of pictures: name two or more, the query first")
    _spare(paths, out)
    with locked(out):
        claim(out, NOTE, {"format": FORMAT})
        remove_leftovers(out)
        failures: list[UserError] = []
        pictures, pairs = _write_all(extractor, list(zip(paths, stems(paths), strict=True)), out, failures)
        if not pictures:
            raise failures[0]
        numbers = {"format": FORMAT, **notes, "pictures": pictures, "pairs": pairs}
        write_text(out / NUMBERS, json.dumps(numbers, indent=2) + "\n")
    return out / NUMBERS, failures


def _spare(paths: Iterable[Path], out: Path) -> None:
    """`UserError` for a picture that a file in `out` could take the place of."""
    place = Path(os.path.realpath(out))
    for path in paths:
        if place in (Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent):
            raise UserError(f"picture {printable(path)} lies in out {printable(out)}; name another folder")


def _write_all(
    extractor: Extractor, named: Sequence[tuple[Path, str]], out: Path, failures: list[UserError]
) -> tuple[list[Entry], list[Entry]]:
    """Entries of the pictures and of the pairs, whose files are written; errors of single ones go to `failures`."""
    pictures: list[Entry] = []
    pairs: list[Entry] = []
    seen = []
    for path, name in tqdm(named, desc="pictures", unit="picture"):
        with _left_out(failures):
            pictures.append(_write_sheet(extractor, path, out, name))
            seen.append((path, name))
    query, first = named[0]
    for path, name in seen[1:] if seen[:1] == [named[0]] else ():
        with _left_out(failures):
            pairs += _write_pair(extractor, (query, path), out, f"{first}-{name}")
    return pictures, pairs


@contextmanager
def _left_out(failures: list[UserError]) -> Iterator[None]:
    """Add what is wrong with one picture alone to `failures`."""
    try:
        yield
    except (Unreadable, NameRefused) as error:
        failures.append(error)


def stems(paths: Iterable[Path]) -> list[str]:
    """Names of files without their ends; of equal ones, the second is numbered 2, and so on."""
    found: list[str] = []
    for path in paths:
        numbered = (f"{path.stem}-{number}" for number in count(2))
        found.append(next(name for name in chain([path.stem], numbered) if name not in found))
    return found


def _looking(extractor: Extractor) -> ReIDNetwork:
    network = extractor.network
    if not isinstance(network, ReIDNetwork):
        raise UserError("this network has nothing to show: it is none of the zoo, whose networks say what they look at")
    told = extractor.keypoints or ("parsing" in extractor.inputs and extractor.bodies.have_labels)
    if "points" in extractor.inputs and not told:
        raise UserError(
            f"network '{network.name}' looks where the body is: name its points with --keypoints, a folder of keypoint "
            "files or a keypoints.jsonl" + (", or label maps with --parsing" if "parsing" in extractor.inputs else "")
        )
    return network


def _inputs(extractor: Extractor, pictures: Sequence[Picture]) -> Inputs:
    """What the network is given of the pictures, on its device; no cameras."""
    device = next(extractor.parameters()).device
    samples = [extractor.sample(open_picture(own), own if isinstance(own, Path) else None) for own in pictures]
    return Inputs(**{name: torch.stack([sample[name] for sample in samples]).to(device) for name in samples[0]})


def _write_sheet(extractor: Extractor, path: Path, out: Path, name: str) -> Entry:
    """Write `<name>.png`; returns the picture's entry of the numbers."""
    picture, looks = open_picture(path), explain(extractor, path)
    file = out / f"{name}.png"
    write_picture(file, look_sheet(picture, path.name, looks, extractor.preprocessing))
    entry: Entry = {"picture": str(path), "size": list(picture.size), "file": file.name}
    return entry | {"looks": [look_numbers(look, picture.size) for look in looks]}


def _write_pair(extractor: Extractor, pair: tuple[Path, Path], out: Path, name: str) -> Iterator[Entry]:
    """Write `<name>-<kind>.png` for each look of two pictures; yields their entries."""
    for look in explain_pair(extractor, *pair):
        file = out / f"{name}-{look.kind}.png"
        save_figure(file, pair_figure(look, pair))
        looks = [look_numbers(look, open_picture(pair[0]).size)]
        yield {"pictures": [str(path) for path in pair], "file": file.name, "looks": looks}


def look_numbers(look: Look, size: tuple[int, int]) -> Entry:
    """A look of a picture of (width, height) as plain values."""
    return {"kind": look.kind, "title": look.title, **look.numbers(size)}
