"""The batch job behind `pose2id generate`: run what `IPG.job.plan` says, write it, resume.

A job turns a folder of references into pictures of the same people in every pose. What is whole on disk is
kept, so running the same command again goes on where the last run stopped. Under `accelerate launch` every process
takes its share of the references.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm

from pose2id.devices import this_process, usable_cores
from pose2id.files import remove_leftovers
from pose2id.processes.locks import locked

from ..pipeline import IPGPipeline
from . import manifest
from .estimate import Estimate
from .lacking import Chunk, unfinished_chunks
from .noise import NamedNoise, Noise, OfficialNoise
from .plan import Job, Plan, make_plan
from .settings import DTYPES, GenerationConfig
from .worker import ChunkWorker

IO_THREADS = 2  # chunks that are read or written while others are drawn
PROGRESS = "{desc}: {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

Result = TypeVar("Result")


def generate(config: GenerationConfig) -> list[str]:
    """Run the job of a resolved config; return one line for each file that could not be used.

    These lines also go to stderr as they come up, beside the progress. `UserError` as `make_plan` raises it.
    """
    process, plan = this_process(), make_plan(config)
    if process.is_main_process:
        _tell([*plan.notes, *plan.unused])
    failures = list(plan.unused)
    pipe = IPGPipeline.from_files(plan.weights, config.preset, config.device, DTYPES[config.dtype])
    pipe.optimise(config.attention, config.compile)
    on_cpu = config.device == "cpu"
    if process.is_main_process and not on_cpu:
        _tell([f"on {config.device} in {config.dtype}: {pipe.execution}"])
    at_once = max(1, usable_cores() // process.num_processes) if on_cpu else 1
    noise_kind = OfficialNoise if config.official_noise else NamedNoise
    with torch_threads(1 if on_cpu else torch.get_num_threads()):
        worker = ChunkWorker(pipe, plan.poses, config.sampling, config.tile, at_once)
        shares = [replace(job, tasks=job.tasks[process.process_index :: process.num_processes]) for job in plan.jobs]
        lacking = [list(unfinished_chunks(share.tasks, plan.poses, config.batch_size)) for share in shares]
        estimate = _estimate(plan, lacking)
        for job, share, chunks in zip(plan.jobs, shares, lacking, strict=True):
            noise = noise_kind(config.seed, [pose.path.name for pose in plan.poses], pipe.preset.latent_shape)
            with locked(job.out, here=process.is_main_process):
                if process.is_main_process:
                    manifest.save(job.out, job.manifest)
                    remove_leftovers(job.out)
                unused = _run(worker, share, chunks, noise, estimate)
                unused = gather_object(unused) if process.num_processes > 1 else unused
                failures += unused
                if process.is_main_process:
                    manifest.save(job.out, job.manifest, plan.unused + unused)
    return failures


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads for one operation meanwhile.

    On a CPU every chunk is computed by one core, several at once: faster than several cores on one chunk, and the bits
    of a picture do not depend on how many cores there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        tqdm.write(line, file=sys.stderr)


def _estimate(plan: Plan, lacking: Sequence[Sequence[Chunk]]) -> Estimate:
    """Of what this process will take; the main process also says how much there is to draw."""
    process = this_process()
    pictures = sum(chunk.pictures for chunks in lacking for chunk in chunks)
    if process.is_main_process:
        share = f" by this process, one of {process.num_processes}" if process.num_processes > 1 else ""
        _tell([f"{pictures:,} pictures to draw{share}; with those there are, {plan.pictures:,}"])
    return Estimate(pictures, sum(map(bool, lacking)))


def _run(worker: ChunkWorker, job: Job, chunks: Sequence[Chunk], noise: Noise, estimate: Estimate) -> list[str]:
    """Draw what the job lacks; returns a line for each reference that could not be used.

    Each thread takes a chunk from reading to writing; the networks are shared.
    """
    total = len(job.tasks) * len(worker.poses)
    unused: list[str] = []
    process = this_process()
    share = f" (share 1 of {process.num_processes})" if process.num_processes > 1 else ""
    done = total - sum(chunk.pictures for chunk in chunks)
    bar = {"total": total, "initial": done, "unit": "img", "desc": job.out.name + share}
    count = worker.at_once + IO_THREADS
    threads = ThreadPoolExecutor(count)
    try:
        with tqdm(**bar, bar_format=PROGRESS, disable=not process.is_main_process) as progress:
            results = _in_order(threads, worker.finish, _with_noise(chunks, noise), ahead=2 * count)
            for chunk, lines in zip(chunks, results, strict=True):
                _tell(lines)
                unused += lines
                progress.update(chunk.pictures)
                _tell(estimate.add(chunk.pictures) if process.is_main_process else ())
    finally:
        threads.shutdown(cancel_futures=True)
    return unused


def _with_noise(chunks: Sequence[Chunk], noise: Noise) -> Iterator[tuple[Chunk, Tensor]]:
    """Each chunk with its noise (tasks, missing poses, C, h, w), drawn in order, when it is asked for."""
    for chunk in chunks:
        yield chunk, torch.stack([noise.draw(task.name, task.turn)[list(chunk.missing)] for task in chunk.tasks])


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
