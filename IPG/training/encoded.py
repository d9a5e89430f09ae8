"""What the frozen networks say of the pictures to learn from: computed once, kept on disk."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from NFC.networks import Extractor
from pose2id.devices import this_process, usable_cores
from pose2id.files import create_array, remove_leftovers, replacing
from pose2id.presets import Preset
from pose2id.processes.locks import locked
from pose2id.reading.numpy_files import fits_npy, map_npy

from ..models import VAE, encode_pictures, vae_input
from .data import Material

CHUNK_PIXELS = 2**20  # pictures that go through the networks together: 8 of the full size, which need 2 GB


@dataclass(frozen=True)
class Encoded:
    """What is known of P pictures: read-only arrays, mapped from disk.

    latents (P, C, h, w) float16, scaled; features (P, F) float16 of the ReID network; uncond_feature (F,) float32, that
    of an all-zero picture.
    """

    latents: np.ndarray
    features: np.ndarray
    uncond_feature: Tensor


def encode_material(material: Material, vae: VAE, extractor: Extractor, preset: Preset, cache: Path) -> Encoded:
    """The outputs of both networks for all pictures, in a folder of `cache` named after networks and pictures.

    The networks work on their device, in float32. A run that was killed goes on where it stopped. Of several processes
    the first computes and the others wait, and so does another run with the same pictures and networks.
    """
    folder = cache / fingerprint(material, vae, extractor, preset)
    process = this_process()
    with process.main_process_first(), locked(folder, wait=True, here=process.is_main_process):
        remove_leftovers(folder)
        latents, no_latents = _mapped(folder / "latents.npy", (len(material), *preset.latent_shape), np.float16)
        features, no_features = _mapped(folder / "features.npy", (len(material), extractor.feature_dim), np.float16)
        done, _ = _mapped(folder / "done.npy", (len(material),), np.bool_)
        if no_latents or no_features:
            done[:] = False
        _fill(material, vae, extractor, preset, latents, features, done)
    device = next(extractor.parameters()).device
    with torch.no_grad():
        uncond_feature = extractor(torch.zeros(1, 3, extractor.height, extractor.width, device=device))[0].cpu()
    for array in (latents, features):
        array.flags.writeable = False
    return Encoded(latents, features, uncond_feature)


def fingerprint(material: Material, vae: VAE, extractor: Extractor, preset: Preset) -> str:
    """Names what the arrays depend on: the weights of both networks, the pictures and their size at work."""
    sizes = preset.generation
    digest = hashlib.sha256(f"{material.digest} {len(material)} {sizes.height} {sizes.width}".encode())
    for network in (vae, extractor):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _mapped(path: Path, shape: tuple[int, ...], dtype: type) -> tuple[np.ndarray, bool]:
    """The array at `path`, writable, and whether it is new: zeros, where there is none yet, or one that was cut."""
    new = not fits_npy(path, shape, dtype)
    if new:
        with replacing(path) as partial:
            create_array(partial, dtype, shape)
    return map_npy(path, "r+"), new


@torch.inference_mode()
def _fill(
    material: Material,
    vae: VAE,
    extractor: Extractor,
    preset: Preset,
    latents: np.ndarray,
    features: np.ndarray,
    done: np.ndarray,
) -> None:
    """Compute the rows that are not done."""
    device, sizes = next(extractor.parameters()).device, preset.generation

    def prepare(number: int) -> tuple[Tensor, Tensor]:
        picture = material.read(number)
        return vae_input(picture, sizes), extractor.preprocess(picture)

    missing = np.flatnonzero(~done)
    if not len(missing):
        return
    with tqdm(total=len(done), initial=len(done) - len(missing), unit="picture", desc="latents") as progress:
        for rows, prepared in _ahead(prepare, missing, chunk=max(1, CHUNK_PIXELS // (sizes.height * sizes.width))):
            for_vae, for_reid = (torch.stack(pictures).to(device) for pictures in zip(*prepared, strict=True))
            latents[rows] = encode_pictures(vae, for_vae).cpu().numpy()
            features[rows] = extractor(for_reid).cpu().numpy()
            done[rows] = True
            progress.update(len(rows))


def _ahead(
    prepare: Callable[[int], tuple[Tensor, Tensor]], numbers: np.ndarray, chunk: int
) -> Iterator[tuple[np.ndarray, list[tuple[Tensor, Tensor]]]]:
    """Chunks of (numbers, what `prepare` gives for them), the next being prepared by threads meanwhile."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        waiting: deque[tuple[np.ndarray, list[Future]]] = deque()
        for start in range(0, len(numbers), chunk):
            rows = numbers[start : start + chunk]
            waiting.append((rows, [threads.submit(prepare, int(number)) for number in rows]))
            if len(waiting) > 1:
                yield _results(*waiting.popleft())
        yield from (_results(*chunk) for chunk in waiting)


def _results(numbers: np.ndarray, futures: list[Future]) -> tuple[np.ndarray, list]:
    return numbers, [future.result() for future in futures]
