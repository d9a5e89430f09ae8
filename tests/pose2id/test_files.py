"""Files that are whole or not there, and what is left of writers that were killed."""

import errno
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from pose2id.errors import UserError
from pose2id.files import create_array, remove_leftovers, replacing, replacing_in, write_text


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


def test_whoever_writes_into_a_folder_first_removes_what_the_killed_left(tmp_path):
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("a")
        dead = tmp_path / partial.parent.name.replace(str(os.getpid()), "999999999")
    dead.mkdir()
    (dead / "a.txt").write_text("half")
    (tmp_path / ".mine").mkdir()
    program = "import sys; from pose2id.files import write_text; write_text(sys.argv[1], 'whole')"
    subprocess.run([sys.executable, "-c", program, tmp_path / "b.txt"], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine", "a.txt", "b.txt"]


def test_only_our_own_leftovers_go(tmp_path):
    with replacing(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        own = partial.parent.name
        dead = own.replace(str(os.getpid()), "999999999")
        earlier = f"{dead.rsplit('-', 1)[0]}~a.txt"  # files of an earlier version
        others = {
            ".hidden",
            "a.txt~",
            ".b.txt~",
            dead.lstrip("."),
            f".00000000{dead[9:]}",  # of another machine
        }
        for name in {dead, earlier, *others}:
            (tmp_path / name).touch()
        assert set(remove_leftovers(tmp_path)) == {tmp_path / dead, tmp_path / earlier}
        assert {path.name for path in tmp_path.iterdir()} == others | {own}
    assert (tmp_path / "a.txt").read_text() == "half"
    assert not (tmp_path / own).exists()


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


def test_names_as_long_as_the_file_system_takes_are_written(tmp_path):
    name = "𠮷" * 63  # 252 bytes
    write_text(tmp_path / name, "kept")
    assert (tmp_path / name).read_text() == "kept"
    with pytest.raises(UserError, match=r"cannot write .*name too long"):
        write_text(tmp_path / ("a" * 256), "lost")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_content_of_a_torch_file_does_not_depend_on_who_writes_it(tmp_path):
    for place in ("a", "b"):
        with replacing(tmp_path / place / "w.pth") as partial:
            torch.save({"w": torch.ones(3)}, partial)
    assert (tmp_path / "a/w.pth").read_bytes() == (tmp_path / "b/w.pth").read_bytes()


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as partial:
            partial.touch(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_files_of_a_folder_take_their_places_together(tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/other").write_text("stays")
    with replacing_in(tmp_path / "vae") as hidden:
        (hidden / "config").write_text("new")
        assert not (tmp_path / "vae/config").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "vae").iterdir()} == {"other": "stays", "config": "new"}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: IoError(No space left on device)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_one_line(tmp_path, error):
    write_text(tmp_path / "a", "first")
    with pytest.raises(UserError, match=r"cannot write .*/a: ") as told, replacing(tmp_path / "a") as partial:
        partial.write_text("half")
        raise error
    assert "\n" not in str(told.value)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_an_array_is_zeros_and_has_all_of_its_room(tmp_path):
    array = create_array(tmp_path / "a.npy", np.float16, (100, 3000))
    array[3] = 1
    array.flush()
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= array.nbytes
    read = np.load(tmp_path / "a.npy")
    assert read.shape == (100, 3000) and read.dtype == np.float16 and read.sum() == 3000


def test_an_array_without_room_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.npy: No space left"):
        create_array(tmp_path / "a.npy", np.uint8, (10,))
    monkeypatch.delattr(os, "posix_fallocate")
    assert not create_array(tmp_path / "b.npy", np.uint8, (3 * 2**20,)).any()
