"""Batches of pairs: a reference, and other pictures of the same person with their poses."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pose2id.pictures import picture_tensor
from pose2id.presets import Preset, SkeletonSizes

from ..networks import mean_identity
from ..poses import draw_skeleton, to_pixels
from .data import Material, Person
from .encoded import Encoded

POSE_SIZE = (128, 64)  # height, width of pose files, from which inference enlarges them as well


def pose_picture(keypoints: np.ndarray, thickness: SkeletonSizes | None = None) -> Image.Image:
    """(18, 3) of x, y in 0..1 and confidence -> the skeleton as a pose file holds it, in canonical colours."""
    return Image.fromarray(draw_skeleton(to_pixels(keypoints, POSE_SIZE), POSE_SIZE, thickness))


def draw_pair(person: Person, generator: torch.Generator) -> tuple[int, np.ndarray]:
    """Numbers of a reference of `person` and of all its targets (T,), in random order."""
    reference = person.references[_pick(len(person.references), generator)]
    others = person.targets[person.targets != reference]
    return int(reference), others[torch.randperm(len(others), generator=generator).numpy()]


def _pick(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


class Pairs:
    """Batches for `IPGObjective`: one row for each generator, drawn from that generator alone.

    Every person comes equally often. A row has `targets` targets, where the person has fewer some of them twice, and 1
    to `references` references, as many as are left.
    """

    def __init__(
        self, material: Material, encoded: Encoded, preset: Preset, targets: int = 1, references: int = 1
    ) -> None:
        self.material, self.encoded, self.targets, self.references = material, encoded, targets, references
        self.size, self.thickness = (preset.generation.height, preset.generation.width), preset.skeleton

    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """See `IPGObjective.forward` for shapes."""
        references, targets = zip(*(self.draw(generator) for generator in generators), strict=True)
        filled, weights = self._fill(references)
        features = [torch.from_numpy(self.encoded.features[own]).float() for own in references]
        poses = [torch.stack([self._pose(number) for number in row]) for row in targets]
        return {
            "reference_latents": torch.from_numpy(self.encoded.latents[filled]).float(),
            "reference_weights": weights,
            "features": torch.cat([mean_identity(own) for own in features]),
            "uncond_feature": self.encoded.uncond_feature,
            "target_latents": torch.from_numpy(self.encoded.latents[np.stack(targets)]).float(),
            "poses": torch.stack(poses),
        }

    def draw(self, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of a person's references (n,), and of other pictures to learn, the targets (K,)."""
        people = self.material.people
        reference, others = draw_pair(people[_pick(len(people), generator)], generator)
        count = 1 + _pick(self.references, generator) if self.references > 1 else 1
        further = others[self.targets :][: count - 1]
        return np.array([reference, *further], np.int64), np.resize(others, self.targets)

    def _fill(self, references: Sequence[np.ndarray]) -> tuple[np.ndarray, Tensor]:
        """Numbers (R, n) of all references, the first again where there are fewer, and weights (R, n), 0 for those."""
        filled = np.array([[*own, *[own[0]] * (self.references - len(own))] for own in references])
        counts = torch.tensor([len(own) for own in references])[:, None]
        return filled, (torch.arange(self.references) < counts) / counts

    def _pose(self, number: int) -> Tensor:
        return picture_tensor(pose_picture(self.material.keypoints[number], self.thickness), *self.size)
