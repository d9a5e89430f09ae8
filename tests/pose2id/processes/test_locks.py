"""One run at a time in a folder."""

import multiprocessing
import os
import threading
import time

import pytest

from pose2id.errors import UserError
from pose2id.processes.locks import LOCK_FILE, locked

processes = multiprocessing.get_context("fork")


def sleep_for_ever():
    time.sleep(600)


def hold(folder, ready, with_worker):
    with locked(folder):
        if with_worker:
            worker = processes.Process(target=sleep_for_ever)
            worker.start()
            ready.put(worker.pid)
        ready.put(0)
        time.sleep(600)


def started(folder, with_worker=False):
    ready = processes.Queue()
    holder = processes.Process(target=hold, args=(folder, ready, with_worker))
    holder.start()
    worker = ready.get(timeout=30)
    return holder, worker


def test_the_second_run_is_told_of_the_first(tmp_path):
    holder, _ = started(tmp_path / "new")
    line = rf"new is in use by another run \(process {holder.pid} on .*wait"
    with pytest.raises(UserError, match=line) as told, locked(tmp_path / "new"):
        pass
    assert "\n" not in str(told.value)
    holder.kill()
    holder.join()
    with locked(tmp_path / "new"):
        assert (tmp_path / "new" / LOCK_FILE).read_text().startswith(f"process {os.getpid()} ")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_worker_that_lives_on_does_not_keep_the_lock(tmp_path):
    holder, worker = started(tmp_path, with_worker=True)
    holder.kill()
    holder.join()
    try:
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, 9)


def test_a_run_that_waits_goes_on_when_the_first_has_ended(tmp_path, capfd):
    holder, _ = started(tmp_path)
    killer = threading.Timer(0.5, holder.kill)
    killer.start()
    before = time.monotonic()
    with locked(tmp_path, wait=True):
        assert 0.2 < time.monotonic() - before < 30
    assert "waiting for another run" in capfd.readouterr().err
    holder.join()


def test_it_is_taken_again_inside_of_itself_and_not_where_another_process_has_it(tmp_path):
    with locked(tmp_path), locked(f"{tmp_path}/../{tmp_path.name}"), locked(tmp_path, here=False):
        assert (tmp_path / LOCK_FILE).is_file()
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"cannot write .*Permission denied"), locked(tmp_path / "new"):
        pass
