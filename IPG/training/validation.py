"""How well the networks draw people whom training never saw: a contact sheet and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import normalize

from NFC.networks import Extractor
from pose2id.errors import UserError
from pose2id.pictures import write_picture
from pose2id.presets import Preset
from pose2id.settings.ranges import COUNT, check_ranges

from ..job.canvas import make_grid
from ..models import VAE, named_parts
from ..pipeline import IPGPipeline
from ..sampling import GUIDANCE, STEPS, Sampling
from .data import Material
from .networks import Networks
from .pairs import draw_pair, pose_picture


@dataclass
class ValidationConfig:
    """held_out: share of the people kept out of training, 0 for none. pairs: how many of them are drawn.

    steps: of denoising. guidance_scale: None takes the preset's. scheduler: unipc is good with few steps, for those
    who were not trained for few.
    """

    held_out: float = 0.0
    pairs: int = 8
    steps: int = 10
    guidance_scale: float | None = None
    scheduler: str = "unipc"

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise UserError(f"validation.held_out is {self.held_out}; it must be from 0 to below 1")
        check_ranges(self, {"pairs": COUNT, "steps": STEPS, "guidance_scale": GUIDANCE}, "validation")


class Validation:
    """Draws the same pairs whenever it is called: a reference in the pose of another picture of its person."""

    def __init__(
        self,
        material: Material,
        networks: Networks,
        vae: VAE,
        extractor: Extractor,
        preset: Preset,
        config: ValidationConfig,
    ) -> None:
        """material: people who are not in training; one pair of each, `config.pairs` at most."""
        self.networks, self.vae, self.extractor = networks, vae, extractor
        self.preset, self.config = preset, config
        size = preset.generation.output_width, preset.generation.output_height
        people = {person.pid: person for person in material.people}
        pairs = [draw_pair(people[pid], torch.Generator().manual_seed(pid)) for pid in sorted(people)[: config.pairs]]
        self.references = [material.read(reference) for reference, _ in pairs]
        self.poses = [pose_picture(material.keypoints[others[0]], preset.skeleton) for _, others in pairs]
        self.targets = [material.read(others[0]).resize(size, Image.Resampling.LANCZOS) for _, others in pairs]

    def __call__(self, folder: Path, step: int) -> dict[str, float]:
        """Write `<folder>/validation/<step>.png`: reference, pose, target, generated. Returns what `score` says."""
        pictures = self.draw()
        rows = list(zip(self.references, self.poses, self.targets, pictures, strict=True))
        write_picture(folder / "validation" / f"{step:06}.png", make_grid(rows, pictures[0].size, gap=2))
        return score(self.extractor, self.references, self.targets, pictures)

    def draw(self) -> list[Image.Image]:
        """The pictures of all pairs, by the networks as they are now."""
        training = {stem: network.training for stem, network in self.networks.items()}
        device = next(self.extractor.parameters()).device
        pipe = IPGPipeline(self.preset, self.extractor, **named_parts(self.networks), vae=self.vae, device=device)
        sampling = Sampling(self.config.steps, self.config.guidance_scale, self.config.scheduler)
        pictures = []
        for number, (reference, pose) in enumerate(zip(self.references, self.poses, strict=True)):
            noise = pipe.noise(sampling.seed, str(number), "0")[None, None]
            pictures += pipe.generate([reference], [pose], sampling, noise, batch_size=1)[0]
        for stem, network in self.networks.items():
            network.train(training[stem])
        return pictures


@torch.inference_mode()
def score(
    extractor: Extractor,
    references: Sequence[Image.Image],
    targets: Sequence[Image.Image],
    generated: Sequence[Image.Image],
) -> dict[str, float]:
    """How like the person and the picture they stand for N generated pictures are; references and targets: N each.

    identity: mean cosine similarity of a generated picture and its reference. rank1: share of generated pictures whose
    nearest target is their own. psnr: mean over the pictures, in decibels; targets are of the generated pictures' size.
    """
    reference, target, drawn = (_features(extractor, pictures) for pictures in (references, targets, generated))
    nearest = (drawn @ target.T).argmax(1)
    return {
        "identity": float((drawn * reference).sum(1).mean()),
        "rank1": float((nearest == torch.arange(len(nearest), device=nearest.device)).float().mean()),
        "psnr": float(np.mean([psnr(a, b) for a, b in zip(targets, generated, strict=True)])),
    }


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio of two RGB pictures of one size, in decibels; infinite for equal ones."""
    error = np.square(np.asarray(a, float) - np.asarray(b, float)).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _features(extractor: nn.Module, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """(N, F), normalised."""
    device = next(extractor.parameters()).device
    return normalize(torch.cat([extractor(extractor.preprocess(picture)[None].to(device)) for picture in pictures]))
