"""The batch job behind `inference.py`: run what `IPG.plan` says, write it, resume.

A job turns a folder of references into pictures of the same people in every pose. What is whole on disk is
kept, so running the same command again goes on where the last run stopped. Under `accelerate launch` every process
takes its share of the references.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Semaphore

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from PIL import Image
from tqdm import tqdm

from IPG import manifest
from IPG.canvas import make_canvas
from IPG.pictures import read_picture, write_picture
from IPG.pipeline import IPGPipeline
from IPG.plan import (
    DECISIVE,
    DTYPES,
    Chunk,
    GenerationConfig,
    Job,
    Pose,
    Report,
    Task,
    load_poses,
    plan_jobs,
    unfinished_chunks,
)
from NFC.errors import UserError
from NFC.features import usable_cores

IO_THREADS = 2  # chunks that are read or written while others are drawn
TILE = 8  # pictures that go through the networks together; fixed, so that the batch size never changes a picture


def generate(config: GenerationConfig) -> list[str]:
    """Run the job of a resolved config; return one line for each file that could not be used.

    These lines also go to stderr as they come up, beside the progress. Raises `UserError` for what makes the
    whole job impossible: missing folders or weights, an output folder that holds pictures of other settings.
    """
    process = PartialState()
    failures: list[str] = []

    def report(line: str) -> None:
        failures.append(line)
        tqdm.write(line, file=sys.stderr)

    def report_once(line: str) -> None:
        if process.is_main_process:
            report(line)

    poses = load_poses(config, report_once)
    jobs = list(plan_jobs(config, poses, report_once))
    if not poses:
        return failures
    settings = {name: getattr(config, name) for name in DECISIVE}
    description = manifest.describe(settings, {pose.name: pose.path for pose in poses}, Path(config.ckpt_dir))
    for job in jobs:
        manifest.check(job.out, description)
    pipe = IPGPipeline.from_pretrained(
        config.ckpt_dir, preset=config.preset, device=config.device, dtype=DTYPES[config.dtype]
    )
    pipe.optimise(config.attention, config.channels_last, config.compile)
    if pipe.vae is None:
        raise UserError(f"no picture autoencoder in {config.ckpt_dir}; put a diffusers VAE folder there as vae/")
    artist = Artist(pipe, config, poses)
    for job in jobs:
        if process.is_main_process:
            manifest.save(job.out, description)
        share = replace(job, tasks=job.tasks[process.process_index :: process.num_processes])
        _run(artist, share, report)
        everywhere = gather_object(failures) if process.num_processes > 1 else failures
        if process.is_main_process:
            manifest.save(job.out, description, everywhere)
    return everywhere


def _run(artist: "Artist", job: Job, report: Report) -> None:
    """Draw what the job lacks. Each thread takes a chunk from reading to writing; the networks are shared."""
    chunks = list(unfinished_chunks(job.tasks, artist.poses, artist.config.batch_size))
    wanted = sum(len(tasks) * len(missing) for tasks, missing in chunks)
    total = len(job.tasks) * len(artist.poses)
    threads = ThreadPoolExecutor(artist.at_once + IO_THREADS)
    try:
        with tqdm(total=total, initial=total - wanted, unit="img", desc=job.out.name) as progress:
            for (tasks, missing), failures in zip(chunks, threads.map(artist.finish, chunks), strict=True):
                for line in failures:
                    report(line)
                progress.update(len(tasks) * len(missing))
    finally:
        threads.shutdown(cancel_futures=True)


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
        self.at_once = max(1, usable_cores() // PartialState().num_processes) if on_cpu else 1
        self.seats = Semaphore(self.at_once)
        self.tile = TILE
        self.pose_features = pipe.encode_pose(pipe.preprocess_poses([pose.picture for pose in poses]))

    def finish(self, chunk: Chunk) -> list[str]:
        """Read, draw and write; returns a line for each reference that cannot be read."""
        tasks, missing = chunk
        failures, loaded = [], []
        for task in tasks:
            try:
                loaded.append((task, read_picture(task.reference)))
            except UserError as error:
                failures.append(str(error))
        with self.seats:
            rows = self._draw(loaded, missing)
        for (task, reference), row in zip(loaded, rows, strict=True):
            self._write(task, reference, dict(zip(missing, row, strict=True)))
        return failures

    def _draw(self, loaded: list[tuple[Task, Image.Image]], missing: tuple[int, ...]) -> list[list[Image.Image]]:
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
                    reference_names=[task.reference.name for task, _ in loaded],
                    pose_names=[self.poses[i].path.name for i in missing],
                    batch_size=tile,
                    scheduler=self.config.scheduler,
                    guidance_interval=tuple(self.config.guidance_interval),
                    pose_features=self.pose_features[list(missing)],
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
