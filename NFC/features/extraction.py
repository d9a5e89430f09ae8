"""Pictures on disk to features in memory, on one device or shared by the processes of `accelerate launch`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError
from pose2id.pictures import read_picture

SHARD_PICTURES = 1024  # about as many features as a stopped extraction may lose


class Precision(Enum):
    """What a network computes in; other than float32 by autocast, with the weights kept in float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Pictures(TorchDataset):
    """(preprocessed picture, camid) in the order of `paths`; an unreadable file raises `UserError` naming it."""

    def __init__(
        self, paths: Sequence[Path], camids: Sequence[int] | None, preprocess: Callable[[Image.Image, Path], Tensor]
    ) -> None:
        self.paths, self.camids, self.preprocess = paths, camids, preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        return self.preprocess(read_picture(path), path), self.camids[index] if self.camids else 0


def extract_features(
    extractor: nn.Module, paths: Sequence[str | Path], camids: Sequence[int] | None = None, **loading
) -> Tensor:
    """Features of the pictures at `paths`, (N, feature_dim) float32 on the CPU; arguments as in `extract_shards`."""
    return torch.cat(list(extract_shards(extractor, paths, camids, **loading)))


def extract_shards(
    extractor: nn.Module,
    paths: Sequence[str | Path],
    camids: Sequence[int] | None = None,
    first: int = 0,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    num_workers: int = 0,
    precision: Precision = Precision.float32,
    flip: bool = False,
    description: str = "features",
) -> Iterator[Tensor]:
    """Features of `paths[first:]` in that order, shard by shard, (n, feature_dim) float32 on the CPU.

    Under `accelerate launch` the processes share the batches of a shard and each gets all of it.

    extractor: has `.preprocess(PIL image) -> (3, H, W)` and `.feature_dim`; called on (B, 3, H, W) it gives
    (B, feature_dim). It is moved to `device` (a GPU if there is one). Where it says `.uses_camids`, it is called with
    the (B,) int64 `camids` too, and where `.uses_paths`, `.preprocess` gets the picture's path. Generated pictures,
    camids=None, come without both.
    flip: the mean of the features of each picture and of its mirror image, before any normalisation; the mirror image
    is the extractor's `.mirror(images)` where it has that.
    Progress with the time left goes to stderr. Raises `UserError` for no paths or an unreadable picture.
    """
    if not paths:
        raise UserError("no pictures to extract features from")
    if batch_size < 1 or num_workers < 0:
        raise UserError(f"need batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}")
    state, device = this_process(), pick_device(device)
    extractor = extractor.to(device).eval()
    tells_path = camids is not None and getattr(extractor, "uses_paths", False)
    camids = camids if getattr(extractor, "uses_camids", False) else None
    preprocess = extractor.preprocess if tells_path else partial(_without_path, extractor.preprocess)
    pictures = Pictures([Path(path) for path in paths], camids, preprocess)
    batches = [range(i, min(i + batch_size, len(paths))) for i in range(first, len(paths), batch_size)]
    own = batches[state.process_index :: state.num_processes]
    loaded = iter(DataLoader(pictures, batch_sampler=own, num_workers=num_workers, pin_memory=device.type == "cuda"))
    turns = max(1, SHARD_PICTURES // (batch_size * state.num_processes))  # batches of each process in a shard
    shard = turns * batch_size * state.num_processes
    with tqdm(
        total=len(paths), initial=first, desc=description, unit="picture", disable=not state.is_main_process
    ) as progress:
        for start in range(first, len(paths), shard):
            block = torch.zeros(turns, batch_size, extractor.feature_dim)
            with _failing_together(state):
                for slot, (images, cameras) in zip(block, islice(loaded, turns), strict=False):
                    given = () if camids is None else (cameras.to(device),)
                    slot[: len(images)] = _embed(
                        extractor, images.to(device, non_blocking=True), given, precision, flip
                    )
                    progress.update(min(len(images) * state.num_processes, len(paths) - progress.n))
            parts = gather(block.to(state.device)).cpu().view(state.num_processes, turns, batch_size, -1)
            yield parts.transpose(0, 1).flatten(0, 2)[: len(paths) - start]


def _without_path(preprocess: Callable[[Image.Image], Tensor], picture: Image.Image, path: Path) -> Tensor:
    return preprocess(picture)


@torch.inference_mode()
def _embed(
    extractor: nn.Module, images: Tensor, camids: tuple[Tensor, ...], precision: Precision, flip: bool
) -> Tensor:
    """(B, 3, H, W) -> (B, feature_dim) float32; camids: the cameras (B,), or empty."""
    reduced = precision is not Precision.float32
    with torch.autocast(images.device.type, getattr(torch, precision.value), enabled=reduced):
        feats = extractor(images, *camids).float()
        if not flip:
            return feats
        mirrored = extractor.mirror(images) if hasattr(extractor, "mirror") else images.flip(-1)
        return (feats + extractor(mirrored, *camids).float()) / 2


@contextmanager
def _failing_together(state: PartialState) -> Iterator[None]:
    """Raise in every process the `UserError` that one of them met, so that none waits for another in vain.

    From a worker of the data loader it arrives wrapped in a traceback and leaves as its one line.
    """
    line = None
    try:
        yield
    except UserError as error:
        line = str(error).strip().splitlines()[-1].removeprefix("pose2id.errors.UserError: ")
    lines = gather_object([line]) if state.num_processes > 1 else [line]
    if line := next(filter(None, lines), None):
        raise UserError(line)
