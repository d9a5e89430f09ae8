"""What a network looks at in pictures: as values, and as files."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

import torch
from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.pictures import modified, write_picture

from .networks.base import Extractor
from .networks.looks import Look
from .networks.reid_network import Inputs, ReIDNetwork
from .report.explained import look_sheet, pair_figure
from .report.pictures import Picture, open_picture
from .report.plots import save_figure

FORMAT = "pose2id-explain-1"
NUMBERS = "explain.json"


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


def write_explanations(extractor: Extractor, paths: Sequence[Path], out: Path, notes: Mapping[str, object]) -> Path:
    """Write a sheet a picture, a figure for each comparison of the first picture with another, and `explain.json`.

    notes: what is said of the extractor in that file, whose path is returned. `UserError` as above, for fewer than two
    pictures where the network judges pairs, and for a picture that cannot be read.
    """
    if not paths:
        raise UserError("no pictures to explain: name files, or folders that hold some")
    network = _looking(extractor)
    if network.judges_pairs and len(paths) < 2:
        raise UserError(f"network '{network.name}' judges pairs of pictures: name two or more, the query first")
    for path in paths:
        modified(path)  # one that is not there is told before anything is written
    names = stems(paths)
    pictures = [
        _write_sheet(extractor, path, out, name)
        for path, name in zip(tqdm(paths, desc="pictures", unit="picture"), names, strict=True)
    ]
    pairs = [
        record
        for path, name in zip(paths[1:], names[1:], strict=True)
        for record in _write_pair(extractor, (paths[0], path), out, f"{names[0]}-{name}")
    ]
    numbers = {"format": FORMAT, **notes, "pictures": pictures, "pairs": pairs}
    write_text(out / NUMBERS, json.dumps(numbers, indent=2) + "\n")
    return out / NUMBERS


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


def _write_sheet(extractor: Extractor, path: Path, out: Path, name: str) -> dict[str, object]:
    """Write `<name>.png`; returns the picture's entry of the numbers."""
    picture, looks = open_picture(path), explain(extractor, path)
    file = out / f"{name}.png"
    write_picture(file, look_sheet(picture, path.name, looks, extractor.preprocessing))
    entry = {"picture": str(path), "size": list(picture.size), "file": file.name}
    return entry | {"looks": [look_numbers(look, picture.size) for look in looks]}


def _write_pair(extractor: Extractor, pair: tuple[Path, Path], out: Path, name: str) -> Iterator[dict[str, object]]:
    """Write `<name>-<kind>.png` for each look of two pictures; yields their entries."""
    for look in explain_pair(extractor, *pair):
        file = out / f"{name}-{look.kind}.png"
        save_figure(file, pair_figure(look, pair))
        looks = [look_numbers(look, open_picture(pair[0]).size)]
        yield {"pictures": [str(path) for path in pair], "file": file.name, "looks": looks}


def look_numbers(look: Look, size: tuple[int, int]) -> dict[str, object]:
    """A look of a picture of (width, height) as plain values."""
    return {"kind": look.kind, "title": look.title, **look.numbers(size)}
