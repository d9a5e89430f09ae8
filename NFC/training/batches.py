"""Batches of training pictures: people sampled, generated pictures mixed in, augmented, as the network wants them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from pose2id.loop.part import Part
from pose2id.loop.state import Settings, named_settings
from pose2id.pictures import read_picture

from ..networks.base import NO_CAMERA, Preprocessing
from .augmentation import AugmentationConfig, Shown, augment_shown
from .data import DataConfig, TrainingSet, resized
from .sampler import SAMPLERS


class Source(Part, ABC):
    """The batches of a run: what `Loop` calls for each of them, tells of every step, and keeps the state of."""

    @abstractmethod
    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """A batch of B pictures, as `Batches` gives them; what is random in it comes from `generators`."""


class Batches(Source):
    """Sampled pictures with the labels of a training set."""

    def __init__(
        self,
        pictures: TrainingSet,
        config: DataConfig,
        augmentation: AugmentationConfig,
        batch_size: int,
        preprocessing: Preprocessing,
    ) -> None:
        self.pictures, self.config, self.augmentation = pictures, config, augmentation
        self.batch_size, self.preprocessing = batch_size, preprocessing
        self.told_camids = pictures.camids if pictures.cameras else np.full_like(pictures.camids, NO_CAMERA)
        self.relabel(pictures.labels)

    def relabel(self, labels: np.ndarray) -> None:
        """Draw batches by other labels (N,) int64 from here on; pictures with a negative one are not drawn."""
        self.labels, self.drawn = labels, np.flatnonzero(labels >= 0)
        self.sampler = SAMPLERS[self.config.sampler](
            labels[self.drawn], self.pictures.camids[self.drawn], self.batch_size, self.config.pictures_per_person
        )

    def fixed_settings(self) -> Settings:
        data = {name: value for name, value in asdict(self.config).items() if name in self.config.DECIDE_BATCHES}
        return (
            named_settings("augmentation", asdict(self.augmentation))
            | named_settings("data", data)
            | {"number of pictures": len(self.pictures.pictures)}
        )

    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """pictures (B, 3, H, W) float32, preprocessed; labels, camids, rows in the set (B,) int64; generated (B,) bool.

        What the network is told of bodies is there too, see `Inputs`. Where nobody noted cameras, camids are
        `NO_CAMERA`. A source of pairs adds pairs (P, 2) int64, rows of it.
        A batch is one draw, so all of its random numbers are those of the first generator.
        """
        return self.shown(self.drawn[self.sampler(generators[0])], generators[0])

    def shown(self, rows: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        """The batch of the pictures `rows` (B,) of the training set, some replaced by generated ones, augmented."""
        generated = torch.rand(len(rows), generator=generator) < self.config.generated_ratio
        poses = torch.randint(self.config.poses, (len(rows),), generator=generator)
        pixels = np.array(self.pictures.pictures[rows])
        drawn = {}
        for place in generated.nonzero()[:, 0].tolist():
            path = self.pictures.generated[rows[place]][poses[place]]
            drawn[place] = path, read_picture(path)
            pixels[place] = resized(drawn[place][1], self.preprocessing)
        bodies, size = self.pictures.bodies, (self.preprocessing.height, self.preprocessing.width)
        shown = Shown(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, *bodies.of(rows, drawn, size))
        shown = augment_shown(shown, self.augmentation, generator, bodies.sides)
        return bodies.inputs.of(shown.points, shown.labels, size) | {
            "pictures": self.preprocessing.normalise(shown.pictures),
            "labels": torch.from_numpy(self.labels[rows]),
            "camids": torch.from_numpy(self.told_camids[rows]),
            "rows": torch.from_numpy(rows),
            "generated": generated,
        }
