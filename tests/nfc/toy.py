"""A Market1501 of flat colours and an extractor that reads them: small, and every feature is known."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from NFC.networks import Extractor, Preprocessing

COLOURS = {0: (90, 90, 90), 1: (250, 60, 20), 2: (30, 240, 60), 3: (20, 40, 230)}
QUERY = [(1, 1), (2, 1), (3, 2)]  # (pid, camera)
GALLERY = [(1, 2), (1, 3), (2, 2), (2, 3), (3, 3), (3, 1), (0, 1)]


class MeanColour(Extractor):
    """The mean colour of each picture, (B, 3, H, W) -> (B, 3), and how many pictures it has seen."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), 3, Preprocessing(16, 8))
        self.seen = 0

    def preprocess(self, picture: Image.Image, path: str | Path | None = None) -> Tensor:
        return torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1) / 255

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> Tensor:
        self.seen += len(pictures)
        return pictures.mean((2, 3))


def write_market(root: Path, noise: int = 60) -> Path:
    """The toy data set on disk; `noise` shifts each picture's colour."""
    rng = np.random.default_rng(0)
    for split, labels in {"bounding_box_train": [(9, 1)], "query": QUERY, "bounding_box_test": GALLERY}.items():
        for number, (pid, camera) in enumerate(labels):
            colour = np.clip(np.array(COLOURS.get(pid, (0, 0, 0))) + rng.integers(-noise, noise + 1, 3), 0, 255)
            write_picture(root / split / f"{pid:04d}_c{camera}s1_{number:06d}_00.jpg", colour)
    return root


def write_generated(root: Path, poses: int, splits: Iterable[str] = ("query", "bounding_box_test")) -> None:
    """Perfect generated pictures for everybody but distractors."""
    for split in splits:
        for path in sorted((root / split).iterdir()):
            pid = int(path.name[:4])
            for k in range(1, poses + 1) if pid else ():
                write_picture(root / f"{split}_gen" / f"pose{k}" / path.name, COLOURS[pid])


def write_picture(path: Path, colour: Iterable[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 16), tuple(int(c) for c in colour)).save(path, quality=95)
