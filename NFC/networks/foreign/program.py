"""Programs made for one kind of input, given any number of preprocessed pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from pose2id.errors import UserError

from ..base import Preprocessing

# Batches that are tried where a program does not say which it takes.
TRIED = (1, 2, 3, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Signature:
    """What a program is called with: names of its inputs; of the first one the shape, None where it is free, and dtype.

    dtype None is one that pictures do not come in; `kind` is its name.
    """

    inputs: tuple[str, ...]
    shape: tuple[int | None, ...] | None
    dtype: torch.dtype | None
    kind: str = ""


class Program(Protocol):
    """A module that was read from a file of its own."""

    def signature(self) -> Signature: ...

    def __call__(self, images: Tensor) -> Tensor: ...


class Fitted(nn.Module):
    """A program called with any number of float32 pictures (B, 3, H, W), in batches of the one size that it takes.

    The last one is filled up with its last picture. `UserError` where the program fails or gives no features (B, d).
    """

    def __init__(self, program: nn.Module, dtype: torch.dtype, batch: int | None, path: Path) -> None:
        """batch: the size that the program takes; None for any."""
        super().__init__()
        self.program, self.dtype, self.batch, self.path = program, dtype, batch, path

    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.dtype)
        with torch.autocast(images.device.type, enabled=False):  # the program is of one precision
            if self.batch is None:
                return self._run(images)
            return torch.cat([self._run(part) for part in images.split(self.batch)])

    def _run(self, images: Tensor) -> Tensor:
        count = len(images)
        lacking = 0 if self.batch is None else self.batch - count
        if lacking:
            images = torch.cat([images, images[-1:].expand(lacking, *images.shape[1:])])
        try:
            feats = self.program(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any library, and of the program itself
            said = str(error).strip().splitlines()
            raise UserError(
                f"the network in {self.path} fails on {len(images)} pictures of {tuple(images.shape[2:])}: "
                f"{' '.join((said[-1] if said else type(error).__name__).split())[:200]}; export it anew, for "
                "pictures of the size in its .yaml"
            ) from error
        if not isinstance(feats, Tensor) or feats.ndim != 2 or len(feats) != len(images):
            shape = tuple(feats.shape) if isinstance(feats, Tensor) else type(feats).__name__
            raise UserError(
                f"the network in {self.path} has to turn (B, 3, H, W) into features (B, d), but gave {shape} for "
                f"{len(images)} pictures"
            )
        return feats[:count]


def fitted(program: nn.Module, signature: Signature, preprocessing: Preprocessing, path: Path) -> Fitted:
    """`program` for pictures that are preprocessed so; `UserError` where it wants other ones."""
    if len(signature.inputs) != 1:
        raise UserError(
            f"the network in {path} takes {len(signature.inputs)} inputs ({', '.join(signature.inputs)}); export one "
            "that takes pictures (B, 3, H, W) alone"
        )
    if signature.dtype is None or not signature.dtype.is_floating_point:
        raise UserError(
            f"the network in {path} takes {signature.kind or signature.dtype}, not pictures of floating point; export "
            "one that takes those"
        )
    wanted = (None, 3, preprocessing.height, preprocessing.width)
    shape = signature.shape or wanted
    if len(shape) != 4 or any(b is not None and a != b for a, b in zip(wanted[1:], shape[1:], strict=True)):
        known = " x ".join("any" if size is None else str(size) for size in shape)
        raise UserError(
            f"the network in {path} takes inputs of {known}, but {path.with_suffix('.yaml')} says pictures of 3 x "
            f"{preprocessing.height} x {preprocessing.width}; correct the file, or export the network anew"
        )
    network = Fitted(program, signature.dtype, shape[0], path).eval()
    if shape[0] is None:
        network.batch = _batch_that_works(network, torch.zeros(1, *wanted[1:]))
    return network


@torch.no_grad()
def _batch_that_works(network: Fitted, picture: Tensor) -> int | None:
    """None where any number of pictures can be given (one and two can), else a number that the program takes."""
    errors: list[UserError] = []
    works = []
    for batch in TRIED:
        network.batch = batch
        try:
            network(picture)
            works.append(batch)
        except UserError as error:
            errors.append(error)
        if works == [1, 2]:
            return None
        if works and batch > 1:
            return works[0]
    raise errors[0]
