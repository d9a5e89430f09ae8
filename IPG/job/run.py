"""The batch job behind `inference.py`: run what `IPG.job.plan` says, write it, resume.

A job turns a folder of references into pictures of the same people in every pose. What is whole on disk is
kept, so running the same command again goes on where the last run stopped. Under `accelerate launch` every process
takes its share of the references.
"""

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from threading import Semaphore
from typing import TypeVar

import torch
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pose2id.devices import this_process, usable_cores
from pose2id.errors import UserError
from pose2id.files import remove_leftovers
from pose2id.pictures import read_picture, write_picture

from .. import manifest
from ..canvas import make_canvas
from ..checkpoints import find_generator
from ..pipeline import IPGPipeline
from .noise import OfficialNoise
from .plan import Chunk, Job, Pose, Report, Task, load_poses, plan_jobs, unfinished_chunks
from .settings import DECISIVE, DTYPES, GenerationConfig, tile_of

IO_THREADS = 2  # chunks that are read or written while others are drawn
PROGRESS = "{desc}: {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

Result = TypeVar("Result")


def generate(config: GenerationConfig) -> list[str]:
    """Run the job of a resolved config; return one line for each file that could not be used.

    These lines also go to stderr as they come up, beside the progress. Raises `UserError` for what makes the
    whole job impossible: missing folders or weights, an output folder that holds pictures of other settings.
    """
    process = this_process()
    failures: list[str] = []

    def report(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def report_once(line: str) -> None:
        if process.is_main_process:
            failures.append(line)
            report(line)

    files = find_generator(config.ckpt_dir, config.preset, config.vae)
    poses = load_poses(config, report_once)
    jobs = plan_jobs(config, poses, report_once)
    if not poses:
        return failures
    weights = {role: manifest.fingerprint(path) for role, path in files.items()}
    descriptions = [_describe(config, job, poses, weights) for job in jobs]
    for job, description in zip(jobs, descriptions, strict=True):
        manifest.check(job.out, description)
    pipe = IPGPipeline.from_pretrained(
        config.ckpt_dir, config.preset, config.vae, device=config.device, dtype=DTYPES[config.dtype]
    )
    pipe.optimise(config.attention, config.compile)
    artist = Artist(pipe, config, poses)
    stray = list(failures)
    for job, description in zip(jobs, descriptions, strict=True):
        if process.is_main_process:
            manifest.save(job.out, description)
            remove_leftovers(job.out)
        share = replace(job, tasks=job.tasks[process.process_index :: process.num_processes])
        unused = _run(artist, share, report)
        unused = gather_object(unused) if process.num_processes > 1 else unused
        failures += unused
        if process.is_main_process:
            manifest.save(job.out, description, stray + unused)
    return failures


def _describe(config: GenerationConfig, job: Job, poses: list[Pose], weights: dict[str, str]) -> manifest.Manifest:
    """The manifest of a folder. With official noise a picture also depends on which references and poses there are."""
    options = asdict(config)
    settings = {name: options.pop(name) for name in DECISIVE}
    if config.official_noise:
        names = hashlib.sha256("\n".join(task.name for task in job.tasks).encode()).hexdigest()
        settings["official_noise"] = f"{len(poses)} poses of {len(job.tasks)} references {names}"
    return manifest.describe(settings, options, {pose.name: pose.path for pose in poses}, weights)


def _run(artist: "Artist", job: Job, report: Report) -> list[str]:
    """Draw what the job lacks; returns a line for each reference that could not be used.

    Each thread takes a chunk from reading to writing; the networks are shared.
    """
    chunks = list(unfinished_chunks(job.tasks, artist.poses, artist.config.batch_size))
    wanted = sum(len(tasks) * len(missing) for tasks, missing in chunks)
    total = len(job.tasks) * len(artist.poses)
    unused: list[str] = []
    process = this_process()
    share = f" (share 1 of {process.num_processes})" if process.num_processes > 1 else ""
    bar = {"total": total, "initial": total - wanted, "unit": "img", "desc": job.out.name + share}
    count = artist.at_once + IO_THREADS
    threads = ThreadPoolExecutor(count)
    try:
        with tqdm(**bar, bar_format=PROGRESS, disable=not process.is_main_process) as progress:
            work = zip(chunks, artist.noise(chunks), strict=True)
            results = _in_order(threads, artist.finish, work, ahead=2 * count)
            for (tasks, missing), lines in zip(chunks, results, strict=True):
                for line in lines:
                    report(line)
                unused += lines
                progress.update(len(tasks) * len(missing))
    finally:
        threads.shutdown(cancel_futures=True)
    return unused


def _in_order(
    threads: Executor, work: Callable[..., Result], arguments: Iterable[tuple], ahead: int
) -> Iterator[Result]:
    """`work(*each)` for each of the arguments, in order; these are taken as needed, with `ahead` calls under way."""
    under_way: deque[Future[Result]] = deque()
    for each in arguments:
        under_way.append(threads.submit(work, *each))
        if len(under_way) > ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


class Artist:
    """Takes chunks from references on disk to pictures on disk. Safe to be called from several threads.

    On a CPU every chunk is computed by one core, several at once: faster than several cores on one chunk, and the bits
    of a picture do not depend on how many cores there are. When memory runs out, batches get smaller for good.
    """

    def __init__(self, pipe: IPGPipeline, config: GenerationConfig, poses: list[Pose]) -> None:
        self.pipe, self.config, self.poses = pipe, config, poses
        on_cpu = pipe.device.type == "cpu"
        if on_cpu:
            torch.set_num_threads(1)
        self.at_once = max(1, usable_cores() // this_process().num_processes) if on_cpu else 1
        self.seats = Semaphore(self.at_once)
        self.tile = tile_of(config.device)
        self.pose_features = pipe.encode_pose(pipe.preprocess_poses([pose.picture for pose in poses]))

    def noise(self, chunks: Iterable[Chunk]) -> Iterator[Tensor | None]:
        """What `finish` starts from: (tasks, missing poses, C, h, w) a chunk; None is the pipeline's own."""
        if not self.config.official_noise:
            yield from (None for _ in chunks)
            return
        official = OfficialNoise(self.config.seed, len(self.poses), self.pipe.preset.latent_shape)
        for tasks, missing in chunks:
            yield torch.stack([official.draw(task.turn)[list(missing)] for task in tasks])

    def finish(self, chunk: Chunk, noise: Tensor | None) -> list[str]:
        """Read, draw and write; returns a line for each reference that cannot be read."""
        tasks, missing = chunk
        failures, loaded, rows = [], [], []
        for row, task in enumerate(tasks):
            try:
                loaded.append((task, read_picture(task.reference)))
                rows.append(row)
            except UserError as error:
                failures.append(str(error))
        with self.seats:
            drawn = self._draw(loaded, missing, None if noise is None else noise[rows])
        for (task, reference), images in zip(loaded, drawn, strict=True):
            self._write(task, reference, dict(zip(missing, images, strict=True)))
        return failures

    def _draw(
        self, loaded: list[tuple[Task, Image.Image]], missing: tuple[int, ...], noise: Tensor | None
    ) -> list[list[Image.Image]]:
        """Pictures of each reference in its missing poses."""
        while True:
            tile = self.tile
            try:
                return self.pipe(
                    [picture for _, picture in loaded],
                    None,
                    num_inference_steps=self.config.steps,
                    guidance_scale=self.config.guidance_scale,
                    seed=self.config.seed,
                    reference_names=[task.name for task, _ in loaded],
                    pose_names=[self.poses[i].path.name for i in missing],
                    batch_size=tile,
                    scheduler=self.config.scheduler,
                    guidance_interval=tuple(self.config.guidance_interval),
                    feature_interval=self.config.feature_interval,
                    pose_features=self.pose_features[list(missing)],
                    noise=noise,
                )
            except torch.OutOfMemoryError as error:
                if tile == 1:
                    raise UserError("memory ran out even for one picture at a time; try --dtype bfloat16") from error
                self.tile = tile // 2
            torch.cuda.empty_cache()
            tqdm.write(f"memory ran out; going on with {self.tile} pictures at a time", file=sys.stderr)

    def _write(self, task: Task, reference: Image.Image, drawn: dict[int, Image.Image]) -> None:
        """Write a reference's new pictures and its canvas, which also shows those that were there before."""
        for i, image in drawn.items():
            write_picture(task.pictures[i], image)
        if task.canvas:
            pictures = [read_picture(path) for path in task.pictures]
            write_picture(task.canvas, make_canvas(reference, [pose.picture for pose in self.poses], pictures))
