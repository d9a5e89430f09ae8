"""Pictures on disk to features in memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from .errors import UserError


class Pictures(TorchDataset):
    """Preprocessed pictures in the order of `paths`; an unreadable file raises `UserError` naming it."""

    def __init__(self, paths: Sequence[Path], preprocess: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        try:
            with Image.open(path) as picture:
                return self.preprocess(picture.convert("RGB"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"cannot read picture {path}: {reason}; replace or remove it") from error


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or by default a GPU if there is one; `UserError` if it cannot be used."""
    try:
        return torch.empty(0, device=name or ("cuda" if torch.cuda.is_available() else "cpu")).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used here; leave it out, or try cpu") from error


def usable_cores() -> int:
    """CPU cores this process may run on; fewer than the machine has, in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@torch.inference_mode()
def extract_features(
    extractor: nn.Module,
    paths: Sequence[str | Path],
    batch_size: int = 64,
    device: str | torch.device | None = None,
    num_workers: int = 0,
    description: str = "features",
) -> Tensor:
    """Features of the pictures at `paths`, in that order, with a progress bar on stderr.

    extractor: has `.preprocess(PIL image) -> (3, H, W)` and `.feature_dim`; called on (B, 3, H, W) it gives
    (B, feature_dim). It is moved to `device` (a GPU if there is one). Returns (N, feature_dim) float32 on the CPU.
    Raises `UserError` for no paths or an unreadable picture.
    """
    if not paths:
        raise UserError("no pictures to extract features from")
    if batch_size < 1 or num_workers < 0:
        raise UserError(f"need batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}")
    device = pick_device(device)
    extractor = extractor.to(device).eval()
    pictures = Pictures([Path(path) for path in paths], extractor.preprocess)
    loader = DataLoader(pictures, batch_size, num_workers=num_workers, pin_memory=device.type == "cuda")
    feats = torch.empty(len(paths), extractor.feature_dim)
    start = 0
    with tqdm(total=len(paths), desc=description, unit="picture") as progress:
        for batch in _unwrapped_errors(loader):
            feats[start : start + len(batch)] = extractor(batch.to(device, non_blocking=True)).float()
            start += len(batch)
            progress.update(len(batch))
    return feats


def _unwrapped_errors(loader: DataLoader) -> Iterator[Tensor]:
    """The loader's batches; a worker's `UserError` arrives wrapped in its traceback and leaves as its one line."""
    try:
        yield from loader
    except UserError as error:
        line = str(error).strip().splitlines()[-1]
        raise UserError(line.removeprefix("NFC.errors.UserError: ")) from None
