"""Processes that work for this one, however they are started, and end with it."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

from ..devices import usable_cores
from ..errors import UserError


@contextmanager
def worker_pool(workers: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of `workers` processes (one a core), which end when this process does, even when it is killed.

    A worker that dies raises `UserError`, for most often memory ran out. What was not begun is dropped on an error.
    """
    pool = ProcessPoolExecutor(workers or usable_cores(), initializer=start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError("a worker process died, perhaps for lack of memory; try fewer workers: --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this is a worker
    wait([parent.sentinel])
    os._exit(1)
