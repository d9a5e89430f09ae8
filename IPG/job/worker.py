"""One chunk of a job, from references on disk to pictures on disk."""

import sys
from collections.abc import Sequence
from threading import Semaphore

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pose2id.errors import UserError, printable
from pose2id.files import NameRefused
from pose2id.pictures import read_picture, write_picture

from ..models import picture_of
from ..pipeline import IPGPipeline
from ..sampling import Sampling, not_finite
from .canvas import make_canvas
from .lacking import Chunk
from .tasks import Pose, Task


class ChunkWorker:
    """Reads, draws and writes chunks. Safe to be called from several threads, of which `at_once` draw.

    Reading, and what happens to pixels once they are drawn, goes on beside that.
    tile: pictures that go through the networks together. When memory runs out, tiles get smaller for good.
    """

    def __init__(self, pipe: IPGPipeline, poses: Sequence[Pose], sampling: Sampling, tile: int, at_once: int) -> None:
        self.pipe, self.poses, self.sampling, self.tile = pipe, poses, sampling, tile
        self.at_once, self.seats = at_once, Semaphore(at_once)
        self.pose_features = pipe.encode_pose(pipe.preprocess_poses([pose.picture for pose in poses]))

    def finish(self, chunk: Chunk, noise: Tensor) -> list[str]:
        """Start from noise (tasks, missing poses, C, h, w).

        Returns a line for each reference that cannot be read, or of which some picture cannot be drawn or written.
        """
        failures, rows, pictures = [], [], []
        for row, task in enumerate(chunk.tasks):
            try:
                pictures.append([read_picture(path) for path in task.references])
                rows.append(row)
            except UserError as error:
                failures.append(str(error))
        with self.seats:
            drawn = self._draw(pictures, chunk.missing, noise[rows])
        sizes = self.pipe.preset.generation
        for row, reference, images in zip(rows, pictures, drawn, strict=True):
            task, found = chunk.tasks[row], dict(zip(chunk.missing, images, strict=True))
            whole = {i: picture_of(pixels, sizes) for i, pixels in found.items() if pixels is not None}
            if failed := ", ".join(self.poses[i].name for i in found if i not in whole):
                failures.append(f"{printable(task.references[0])} in {failed}: {not_finite(self.pipe.dtype)}")
            try:
                self._write(task, reference[0], whole, all_drawn=not failed)
            except NameRefused as error:
                failures.append(printable(error))
        return failures

    def _draw(
        self, references: list[list[Image.Image]], missing: tuple[int, ...], noise: Tensor
    ) -> list[list[Tensor | None]]:
        """Pixels of each reference in its missing poses; None where numbers stopped being finite."""
        pose_features = self.pose_features[list(missing)]
        while True:
            tile = self.tile
            try:
                return self.pipe.draw(references, pose_features, self.sampling, noise, batch_size=tile)
            except torch.OutOfMemoryError as error:
                if tile == 1:
                    raise UserError("memory ran out even for one picture at a time; try --dtype bfloat16") from error
                self.tile = tile // 2
            torch.cuda.empty_cache()
            tqdm.write(f"memory ran out; going on with {self.tile} pictures at a time", file=sys.stderr)

    def _write(self, task: Task, reference: Image.Image, drawn: dict[int, Image.Image], all_drawn: bool) -> None:
        """Write a reference's new pictures and, of all, its canvas, which also shows those that were there before."""
        for i, image in drawn.items():
            write_picture(task.pictures[i], image)
        if task.canvas and all_drawn:
            pictures = [read_picture(path) for path in task.pictures]
            write_picture(task.canvas, make_canvas(reference, [pose.picture for pose in self.poses], pictures))
