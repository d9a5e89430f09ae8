"""Commands on a disk that is full: one line and exit code 2, never a signal, and the same command goes on later."""

import subprocess

import pytest

from pose2id.errors import run_command
from tests.commands import program
from tests.nfc.toy import write_market


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def assert_one_line(done: subprocess.CompletedProcess, place: object) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert "No space left on device" in lines[0] and str(place) in lines[0] and "Traceback" not in done.stderr


def test_groups_need_room_for_all_of_them(small_disk):
    words = ["-m", "pose2id", "synthetic", "--layout", "groups", "--groups", 50, "--workers", 1]
    assert_one_line(program(*words, "--out", small_disk / "groups"), small_disk)


def test_training_with_a_cache_and_an_output_on_it(small_disk, tmp_path):
    write_market(tmp_path / "market")
    for number in range(20):
        for person in (11, 12):
            source = next((tmp_path / "market/bounding_box_train").iterdir())
            name = f"{person:04d}_c1s1_{number:06d}_00.jpg"
            (tmp_path / "market/bounding_box_train" / name).write_bytes(source.read_bytes())
    words = ["-m", "pose2id", "train-reid", "data.groups=null", "data.dataset=market1501"]
    words += [f"data.dataset_dir={tmp_path / 'market'}", "loop.batch_size=8"]
    words += ["loop.max_train_steps=1", "loop.log_every=1"]
    on_disk = [f"data.cache={small_disk}/cache", f"loop.output_dir={tmp_path}/out"]
    assert_one_line(program(*words, *on_disk), small_disk)
    on_disk = [f"data.cache={tmp_path}/cache", f"loop.output_dir={small_disk}/out"]
    assert_one_line(program(*words, *on_disk), small_disk)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "/disk/file"), "error: /disk/file: No space left on device\n"),
        (PermissionError(13, "Permission denied", "a", None, "b"), "error: a and b: Permission denied\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
    ],
)
def test_what_the_system_refuses_is_one_line(capsys, error, line):
    def refused() -> int:
        raise error

    with pytest.raises(SystemExit) as left:
        run_command(refused)
    assert left.value.code == 2 and capsys.readouterr().err == line
