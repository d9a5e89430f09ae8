"""Training pairs from groups of synthetic pedestrians, with all that is frozen computed beforehand."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from NFC.datasets.synthetic.groups import Groups
from NFC.extractors import Extractor

from ..models import VAE, encode_pictures
from ..poses.skeleton import draw_skeleton

ENCODE_BATCH = 64
PIXEL_CENTRE = np.array([0.5, 0.5, 0])  # the world's coordinates start at a picture's corner


def _written(path: Path, shape: tuple[int, ...], dtype: type, rows, unit: str) -> np.ndarray:
    """The array at `path`; when it is not there, made of the chunks that `rows` yields and put there whole."""
    if not path.is_file():
        partial = path.with_suffix(".partial")
        array = np.lib.format.open_memmap(partial, "w+", dtype, shape)
        first = 0
        with tqdm(total=len(array), unit=unit, desc=path.stem) as progress:
            for chunk in rows():
                array[first : first + len(chunk)] = chunk
                first += len(chunk)
                progress.update(len(chunk))
        array.flush()
        partial.replace(path)
    return np.load(path, mmap_mode="r")


def fingerprint(vae: VAE, extractor: Extractor, groups: Groups) -> str:
    """Names what the cached arrays depend on: the weights of both networks and the pictures (a sample of them)."""
    digest = hashlib.sha256(str(groups.pictures.shape).encode())
    digest.update(np.ascontiguousarray(groups.pictures[:: max(1, len(groups.pictures) // 50), 0]).tobytes())
    for network in (vae, extractor):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class PairSampler:
    """Batches of references with all other pictures of their group as targets.

    The latents, ReID features and pose pictures of all groups are computed once and kept in a folder of `cache`
    named after the pictures and the networks.
    """

    def __init__(self, groups: Groups, vae: VAE, extractor: Extractor, cache: Path, batch_size: int) -> None:
        cache = cache / fingerprint(vae, extractor, groups)
        cache.mkdir(parents=True, exist_ok=True)
        count, members, height, width = groups.pictures.shape[:4]
        self.groups, self.batch_size = groups, batch_size
        example = torch.zeros(1, 3, height, width)
        with torch.inference_mode():
            latent_shape = encode_pictures(vae, example).shape[1:]
            self.uncond_feature = extractor(example)[0]
        shape = (count, members)
        self.latents = _written(
            cache / "latents.npy", (*shape, *latent_shape), np.float16, lambda: self._latents(vae), "group"
        )
        self.features = _written(
            cache / "features.npy",
            (*shape, extractor.feature_dim),
            np.float16,
            lambda: self._features(extractor),
            "group",
        )
        self.poses = _written(
            cache / "poses.npy", (*shape, height, width, 3), np.uint8, lambda: self._poses((height, width)), "group"
        )

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Any picture is the reference; in a group with an occluded picture that one is."""
        count, members = self.latents.shape[:2]
        group = torch.randint(count, (self.batch_size,), generator=generator).numpy()
        member = torch.randint(members, (self.batch_size,), generator=generator).numpy()
        member = np.where(self.groups.labels[group, 3] == 1, 0, member)
        others = (member[:, None] + np.arange(1, members)) % members
        rows = group[:, None]
        return {
            "reference_latents": torch.from_numpy(self.latents[group, member]).float(),
            "features": torch.from_numpy(self.features[group, member]).float(),
            "uncond_feature": self.uncond_feature.clone(),
            "target_latents": torch.from_numpy(self.latents[rows, others]).float(),
            "poses": torch.from_numpy(self.poses[rows, others]).movedim(-1, 2).float() / 255,
        }

    def _batches(self):
        """(n, members, 3, H, W) float32 pictures in [-1, 1]."""
        for start in range(0, len(self.groups.pictures), ENCODE_BATCH):
            pictures = torch.tensor(self.groups.pictures[start : start + ENCODE_BATCH])
            yield pictures.movedim(-1, 2).float() / 127.5 - 1

    @torch.inference_mode()
    def _latents(self, vae: VAE):
        for pictures in self._batches():
            latents = encode_pictures(vae, pictures.flatten(0, 1))
            yield latents.unflatten(0, pictures.shape[:2]).numpy()

    @torch.inference_mode()
    def _features(self, extractor: Extractor):
        for pictures in self._batches():
            yield extractor(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]).numpy()

    def _poses(self, size: tuple[int, int]):
        for keypoints in self.groups.keypoints:
            yield np.stack([draw_skeleton(points - PIXEL_CENTRE, size) for points in keypoints])[None]
