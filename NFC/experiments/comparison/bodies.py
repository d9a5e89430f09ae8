"""What is known of the bodies in the pictures of a comparison: the truth, estimates, and truth that was spoilt.

exact: as the world has it. estimated: by the shipped pose estimator, and by the shipped parser. noise_P: points moved
by normal random numbers of P % of the height; of label maps, P % of the blocks of 8 x 8 pixels have a random class.
shuffled: that of another picture of the same split. mean: of all pictures the same points, the mean of them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.pictures import read_labels, read_picture
from pose2id.pictures.label_maps import write_label_map
from pose2id.reading.text import read_json_lines

from ...datasets import Dataset
from ...datasets.partial import cut, kept_rows
from ...datasets.partial_queries import rng_of
from ...datasets.synthetic.layouts import KEYPOINTS, MASKS
from ...parsing.label_maps import write_label_maps
from ...parsing.network import shipped_parser

ORDINARY = "ordinary"  # queries as the data set has them
BLOCK, CLASSES = 8, 7
KNOWN = ("exact", "estimated", "noise", "shuffled", "mean")
NOTHING, DRAWN = "none", "keypoints"  # nothing is known; label maps are drawn from the points
Points = Mapping[str, np.ndarray]  # path below the data set -> (18, 3) float64


def check_known(known: str) -> None:
    """`UserError` for what no comparison can know."""
    name, _, share = known.partition("_")
    if name not in KNOWN or (name == "noise") != share.isdigit():
        raise UserError(
            f"bodies are known '{known}'; choose one of: exact, estimated, noise_P with P in %, shuffled, mean"
        )


@dataclass(frozen=True)
class Pictures:
    """A data set, read with `options`, with queries of a `kind`.

    whole: the folder of the same with queries as they are, and with the truth.
    """

    dataset: Dataset
    options: Mapping[str, Any]
    kind: str
    whole: Path

    @property
    def splits(self) -> list[str]:
        """In which it has pictures of its own."""
        return ["train", "query", "gallery"] if self.kind == ORDINARY else ["query"]

    def paths(self, split: str) -> list[Path]:
        """Below the data set."""
        return sorted({record.path.relative_to(self.dataset.root) for record in getattr(self.dataset, split)})

    def rows(self, inside: Path, height: int, seed: int) -> tuple[int, int]:
        """Which rows of the whole picture are shown, see `kept_rows`."""
        return (0, height) if self.kind == ORDINARY else kept_rows(height, self.kind, rng_of(seed, inside))


Estimate = Callable[[Pictures, Path], Path]  # (pictures, folder to write to) -> file of keypoints


class BodyFiles:
    """Files in `folder`, each made when it is first asked for."""

    def __init__(self, folder: Path, seed: int, estimate: Estimate | None = None) -> None:
        self.folder, self.seed, self.estimate = folder, seed, estimate

    def places(self, pictures: Pictures, points: str, parsing: str) -> dict[str, str]:
        """Where keypoints and parsing are found, by these names, as far as they are known."""
        found = {}
        if points not in ("", NOTHING):
            found["keypoints"] = str(self.keypoints(pictures, points))
        if parsing not in ("", NOTHING):
            found["parsing"] = parsing if parsing == DRAWN else str(self.masks(pictures, parsing))
        return found

    def keypoints(self, pictures: Pictures, known: str) -> Path:
        """A file of lines."""
        if known == "estimated":
            if self.estimate is None:
                raise UserError("nobody estimates keypoints here; leave out points: estimated")
            return self.estimate(pictures, self.folder / "estimated_points")
        file = self.folder / f"{known}.jsonl"
        if not file.is_file():
            rows = {name: points.round(2).tolist() for name, points in self._points(pictures, known).items()}
            lines = [json.dumps({"path": name, "keypoints": points}) for name, points in rows.items()]
            write_text(file, "".join(f"{line}\n" for line in lines))
        return file

    def _points(self, pictures: Pictures, known: str) -> Points:
        truth = {
            row["path"]: np.array(row["keypoints"])
            for _, row in read_json_lines(pictures.whole / KEYPOINTS, "keypoints")
        }
        found: dict[str, np.ndarray] = {}
        for split in pictures.splits:
            paths = pictures.paths(split)
            for inside, source in zip(paths, self._sources(paths, known), strict=True):
                height = read_picture(pictures.dataset.root / inside).height
                points = shown_points(truth[source.as_posix()], pictures.rows(source, height, self.seed), height)
                found[inside.as_posix()] = self._noisy_points(points, inside, known, height)
        return dict.fromkeys(found, mean_points(list(truth.values()))) if known == "mean" else found

    def _noisy_points(self, points: np.ndarray, inside: Path, known: str, height: int) -> np.ndarray:
        noise = rng_of(self.seed + 1, inside).normal(0, _share(known) * height, (len(points), 2))
        moved = np.concatenate([points[:, :2] + noise, points[:, 2:]], axis=1)
        return np.where(points[:, 2:] > 0, moved, points)

    def masks(self, pictures: Pictures, known: str) -> Path:
        """A folder of label maps; `UserError` for their mean, which there is of points alone."""
        if known == "mean":
            raise UserError("parsing: mean is known of points alone; draw label maps from them, parsing: keypoints")
        if known == "exact" and pictures.kind == ORDINARY:
            return pictures.whole / MASKS
        folder = self.folder / f"{known}_masks"
        if known == "estimated":
            root = pictures.dataset.root
            paths = [root / inside for split in pictures.splits for inside in pictures.paths(split)]
            write_label_maps(paths, root, folder, shipped_parser())
            return folder
        for split in pictures.splits:
            paths = pictures.paths(split)
            for inside, source in zip(paths, self._sources(paths, known), strict=True):
                file = (folder / inside).with_suffix(".png")
                if not file.is_file():
                    write_label_map(file, self._mask(pictures, inside, source, known))
        return folder

    def _mask(self, pictures: Pictures, inside: Path, source: Path, known: str) -> np.ndarray:
        """(H, W) uint8."""
        labels = read_labels((pictures.whole / MASKS / source).with_suffix(".png"))
        height, width = labels.shape
        if pictures.kind != ORDINARY:
            part = Image.fromarray(cut(labels, pictures.kind, rng_of(self.seed, source)))
            labels = np.array(part.resize((width, height), Image.Resampling.NEAREST))
        rng = rng_of(self.seed + 1, inside)
        blocks = -(-height // BLOCK), -(-width // BLOCK)
        classes, hit = rng.integers(CLASSES, size=blocks), rng.random(blocks) < _share(known)
        wrong, hit = (np.kron(each, np.ones((BLOCK, BLOCK), int))[:height, :width] for each in (classes, hit))
        return np.where(hit, wrong, labels).astype(np.uint8)

    def _sources(self, paths: list[Path], known: str) -> Iterator[Path]:
        """Of which picture each one is told."""
        if known != "shuffled":
            return iter(paths)
        return (paths[place] for place in np.random.default_rng(self.seed).permutation(len(paths)))


def _share(known: str) -> float:
    return int(known.removeprefix("noise_")) / 100 if known.startswith("noise_") else 0.0


def mean_points(points: Sequence[np.ndarray]) -> np.ndarray:
    """(18, 3): the mean place of each point where it is seen; a point that nobody shows is missing."""
    x, y, seen = np.stack(points).transpose(2, 0, 1)
    counts = (seen > 0).sum(0)
    places = [(axis * (seen > 0)).sum(0) / np.maximum(counts, 1) for axis in (x, y)]
    return np.stack([*places, (counts > 0).astype(float)], axis=1)


def shown_points(points: np.ndarray, rows: tuple[int, int], height: int) -> np.ndarray:
    """(18, 3) of a picture -> of its `rows`, stretched to `height`; a point that these leave out is not seen."""
    first, stop = rows
    y = (points[:, 1] + 0.5 - first) * height / (stop - first) - 0.5
    seen = (points[:, 2] > 0) & (y >= 0) & (y < height)
    return np.stack([points[:, 0], y, points[:, 2]], axis=1) * seen[:, None]
