"""Pictures on disk to features in memory, on one device or shared by the processes of `accelerate launch`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import islice
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError
from pose2id.pictures import read_picture

from ..networks.base import Extractor

SHARD_PICTURES = 1024  # about as many features as a stopped extraction may lose


class Precision(Enum):
    """What a network computes in; other than float32 by autocast, with the weights kept in float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Pictures(TorchDataset):
    """What an extractor is given of each picture, in the order of `paths`; camids is None for generated pictures.

    An unreadable file raises `UserError` naming it.
    """

    def __init__(self, paths: Sequence[Path], camids: Sequence[int] | None, extractor: Extractor) -> None:
        self.paths, self.camids, self.sample = paths, camids, extractor.sample
        self.tells_camera = camids is not None and extractor.uses_camids

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        path = self.paths[index]
        sample = self.sample(read_picture(path), None if self.camids is None else path)
        return sample | {"camids": self.camids[index]} if self.tells_camera else sample


def extract_features(
    extractor: Extractor, paths: Sequence[str | Path], camids: Sequence[int] | None = None, **loading
) -> Tensor:
    """Features of the pictures at `paths`, (N, feature_dim) float32 on the CPU; arguments as in `extract_shards`."""
    return torch.cat(list(extract_shards(extractor, paths, camids, **loading)))


def extract_shards(
    extractor: Extractor,
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

    extractor: moved to `device` (a GPU if there is one). Generated pictures, camids=None, come without camera and path.
    flip: the mean of the features of each picture and of its mirror image, before any normalisation.
    Progress with the time left goes to stderr. Raises `UserError` for no paths or an unreadable picture.
    """
    if not paths:
        raise UserError("no pictures to extract features from")
    if batch_size < 1 or num_workers < 0:
        raise UserError(f"need batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}")
    state, device = this_process(), pick_device(device)
    extractor = extractor.to(device).eval()
    pictures = Pictures([Path(path) for path in paths], camids, extractor)
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
                for slot, samples in zip(block, islice(loaded, turns), strict=False):
                    batch = {name: tensor.to(device, non_blocking=True) for name, tensor in samples.items()}
                    feats = _embed(extractor, batch, precision, flip)
                    slot[: len(feats)] = feats
                    progress.update(min(len(feats) * state.num_processes, len(paths) - progress.n))
            parts = gather(block.to(state.device)).cpu().view(state.num_processes, turns, batch_size, -1)
            yield parts.transpose(0, 1).flatten(0, 2)[: len(paths) - start]


@torch.inference_mode()
def _embed(extractor: Extractor, batch: dict[str, Tensor], precision: Precision, flip: bool) -> Tensor:
    """The samples of B pictures -> (B, feature_dim) float32."""
    reduced = precision is not Precision.float32
    with torch.autocast(batch["pictures"].device.type, getattr(torch, precision.value), enabled=reduced):
        feats = extractor(**batch).float()
        return (feats + extractor(**extractor.mirror(batch)).float()) / 2 if flip else feats


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
