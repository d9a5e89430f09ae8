import multiprocessing
import os
import time

import pytest

from pose2id.errors import UserError
from pose2id.files import remove_leftovers, replacing, write_text


def write_for_ever(path, writing):
    with replacing(path) as partial:
        partial.write_text("half")
        writing.set()
        time.sleep(600)


def test_a_killed_writer_leaves_something_that_the_next_run_removes(tmp_path):
    processes = multiprocessing.get_context("fork")
    writing = processes.Event()
    writer = processes.Process(target=write_for_ever, args=(tmp_path / "deep/a.txt", writing))
    writer.start()
    assert writing.wait(30)
    assert remove_leftovers(tmp_path) == []  # the writer lives
    writer.kill()
    writer.join()
    (left,) = (tmp_path / "deep").iterdir()
    assert remove_leftovers(tmp_path) == [left]
    assert list((tmp_path / "deep").iterdir()) == []


def test_only_our_own_leftovers_go(tmp_path):
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        dead = partial.name.replace(str(os.getpid()), "999999999")
        others = {
            ".hidden",
            "a.txt~",
            ".b.txt~",
            dead.lstrip("."),
            f".00000000{dead[9:]}",  # of another machine
        }
        for name in {dead, *others}:
            (tmp_path / name).touch()
        assert remove_leftovers(tmp_path) == [tmp_path / dead]
        assert {path.name for path in tmp_path.iterdir()} == others | {partial.name}
    assert (tmp_path / "a.txt").read_text() == "half"


def test_text_is_whole_or_what_it_was(tmp_path):
    write_text(tmp_path / "new/a.txt", "first")
    with pytest.raises(RuntimeError), replacing(tmp_path / "new/a.txt") as partial:
        partial.write_text("seco")
        raise RuntimeError
    assert (tmp_path / "new/a.txt").read_text() == "first"
    assert len(list((tmp_path / "new").iterdir())) == 1
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "file/a.txt", "no folder")
