"""Processes that work for another end with it, however they were started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pose2id.errors import UserError
from pose2id.processes.workers import worker_pool

PARENT = """
import multiprocessing, os, sys, time
from pose2id.processes.workers import worker_pool
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with worker_pool(2) as pool:
        pids = {pool.submit(os.getpid).result() for _ in range(20)}
        busy = [pool.submit(time.sleep, 600) for _ in range(2)]
        time.sleep(1)
        print(*pool._processes, flush=True)
        time.sleep(600)
"""


def goes(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_end_with_a_killed_parent(tmp_path, method):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    parent = subprocess.Popen([sys.executable, str(script), method], stdout=subprocess.PIPE, text=True, env=environment)
    workers = list(map(int, parent.stdout.readline().split()))
    assert len(workers) == 2 and not any(map(goes, workers))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if all(map(goes, workers)):
            return
        time.sleep(0.1)
    pytest.fail("workers live on")


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(UserError, match="a worker process died"), worker_pool(1) as pool:
        pool.submit(os._exit, 1).result()
