"""Pictures on disk to features in memory, on one device or shared by the processes of `accelerate launch`."""

import logging
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import chain, islice
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError, printable
from pose2id.pictures import read_picture

from ..networks.base import Extractor
from ..networks.reading import PictureReader

logger = logging.getLogger(__name__)

SHARD_PICTURES = 1024  # about as many features as a stopped extraction may lose
MOST_TOLD = 20  # pictures that cannot be used

Batch = dict[str, Tensor]  # what an extractor is called with


class Precision(Enum):
    """What a network computes in; other than float32 by autocast, with the weights kept in float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Pictures(TorchDataset):
    """What an extractor sees of each picture, in the order of `paths`.

    Without camids pictures are generated ones: no camera took them, and only a reader that `knows_generated` is told
    their paths. The `UserError` of a picture that cannot be read stands in its place.
    """

    def __init__(self, extractor: Extractor, paths: Sequence[Path], camids: Sequence[int] | None) -> None:
        self.read, self.paths = extractor.reader(), paths
        self.told_paths = camids is not None or (isinstance(self.read, PictureReader) and self.read.knows_generated)
        self.camids = camids if "camids" in extractor.inputs else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch | UserError:
        path = self.paths[index]
        try:
            sample = self.read(read_picture(path), path if self.told_paths else None)
        except UserError as error:
            return error
        return sample if self.camids is None else sample | {"camids": torch.tensor(self.camids[index])}


def collate(samples: Sequence[Batch | UserError]) -> Batch | list[UserError]:
    """The samples as one batch, or their errors."""
    return [sample for sample in samples if isinstance(sample, UserError)] or default_collate(samples)


def told_at_once(errors: Iterable[UserError]) -> UserError:
    """The error of a picture, or one for several, at most `MOST_TOLD`, each of which is named on stderr."""
    told = list(islice(errors, MOST_TOLD))
    if len(told) == 1:
        return told[0]
    for error in told:
        tqdm.write(printable(error), file=sys.stderr)
    more = " or more" if len(told) == MOST_TOLD else ""
    return UserError(f"{len(told)}{more} pictures cannot be used, each named above; the first: {told[0]}")


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

    extractor: is moved to `device` (a GPU if there is one); what it wants besides pictures it says in `inputs`.
    Generated pictures, camids=None, come without cameras, and with what is known of their poses.
    flip: the mean of the features of each picture and of its mirror image, before any normalisation.
    Progress with the time left goes to stderr. Raises `UserError` for no paths or an unreadable picture; pictures after
    that one are read first, so that all are named that cannot be.
    """
    if not paths:
        raise UserError("no pictures to extract features from")
    if batch_size < 1 or num_workers < 0:
        raise UserError(f"need batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}")
    state, device = this_process(), pick_device(device)
    extractor = extractor.to(device).eval()
    batches = [range(i, min(i + batch_size, len(paths))) for i in range(first, len(paths), batch_size)]
    own = batches[state.process_index :: state.num_processes]
    pictures = Pictures(extractor, [Path(path) for path in paths], camids)
    workers = min(_possible_workers(pictures, num_workers), len(own))
    loader = DataLoader(
        pictures, batch_sampler=own, num_workers=workers, collate_fn=collate, pin_memory=device.type == "cuda"
    )
    loaded = _loaded(loader)
    turns = max(1, SHARD_PICTURES // (batch_size * state.num_processes))  # batches of each process in a shard
    shard = turns * batch_size * state.num_processes
    bar = {"total": len(paths), "initial": first, "desc": description, "unit": "picture"}
    with tqdm(**bar, disable=not state.is_main_process) as progress:
        for start in range(first, len(paths), shard):
            block = torch.zeros(turns, batch_size, extractor.feature_dim)
            with _failing_together(state):
                for slot, batch in zip(block, islice(loaded, turns), strict=False):
                    if isinstance(batch, list):
                        raise told_at_once(chain(batch, _errors(loaded)))
                    feats = embed(extractor, batch, device, precision, flip)
                    slot[: len(feats)] = feats
                    progress.update(min(len(feats) * state.num_processes, len(paths) - progress.n))
            parts = gather(block.to(state.device)).cpu().view(state.num_processes, turns, batch_size, -1)
            yield parts.transpose(0, 1).flatten(0, 2)[: len(paths) - start]


def _possible_workers(pictures: Pictures, wanted: int) -> int:
    """Processes that are spawned have to be sent what reads the pictures; what cannot be sent is used in this one."""
    if not wanted or isinstance(pictures.read, PictureReader) or multiprocessing.get_start_method() == "fork":
        return wanted
    logger.warning("the extractor has a `sample` of its own, so pictures are read without workers; see `reader`")
    return 0


def _errors(loaded: Iterable[Batch | list[UserError]]) -> Iterator[UserError]:
    """Those of the batches to come."""
    return chain.from_iterable(batch for batch in loaded if isinstance(batch, list))


def _loaded(loader: DataLoader) -> Iterator[Batch | list[UserError]]:
    """The batches of a loader; `UserError` for a worker that dies."""
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "a process that reads pictures died, perhaps for lack of (shared) memory; try --num_workers 0"
        ) from error


@torch.inference_mode()
def embed(extractor: Extractor, batch: Batch, device: torch.device, precision: Precision, flip: bool) -> Tensor:
    """A collated batch of B pictures -> (B, feature_dim) float32; `UserError` where memory runs out."""
    batch = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
    reduced = precision is not Precision.float32
    try:
        with torch.autocast(device.type, getattr(torch, precision.value), enabled=reduced):
            feats = extractor(**batch).float()
            return (feats + extractor(**extractor.mirror(batch)).float()) / 2 if flip else feats
    except torch.OutOfMemoryError as error:
        count = len(batch["pictures"])
        raise UserError(f"memory ran out with {count} pictures at a time; try a lower --batch_size") from error


@contextmanager
def _failing_together(state: PartialState) -> Iterator[None]:
    """Raise in every process the `UserError` that one of them met, so that none waits for another in vain."""
    line = None
    try:
        yield
    except UserError as error:
        line = str(error)
    lines = gather_object([line]) if state.num_processes > 1 else [line]
    if line := next(filter(None, lines), None):
        raise UserError(line)
