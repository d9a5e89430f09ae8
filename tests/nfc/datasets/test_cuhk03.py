"""CUHK03 as released: pictures come out of cuhk-03.mat as they are in it; its test sets make the classic protocol."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from NFC.datasets import Dataset, build_dataset
from NFC.datasets.synthetic.layouts import write_layout
from pose2id.errors import UserError
from tests.commands import here
from tests.nfc.datasets.release_file import release_file

PAIRS = (3, 2, 1, 1, 1)  # people of each pair of cameras
EMPTY = {(0, 0, 4), (0, 1, 0), (1, 1, 9)}  # pair, person, picture
SETS = [[(1, 1 + number % 3), (2, 2)] for number in range(20)]


def pictures(seed: int) -> list[list[list[np.ndarray | None]]]:
    """Of different sizes, of each person ten."""
    rng = np.random.default_rng(seed)
    return [
        [
            [
                None
                if (pair, person, number) in EMPTY
                else rng.integers(0, 256, (rng.integers(8, 20), rng.integers(4, 9), 3), dtype=np.uint8)
                for number in range(10)
            ]
            for person in range(people)
        ]
        for pair, people in enumerate(PAIRS)
    ]


FORMS = {"detected": pictures(0), "labeled": pictures(1)}
CONTENT = release_file(FORMS, SETS)


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "cuhk03_release").mkdir()
    (tmp_path / "cuhk03_release/cuhk-03.mat").write_bytes(CONTENT)
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_pictures_are_taken_out_once(root, form):
    dataset = build_dataset("cuhk03_classic", root, form=form)
    expected = {
        f"{pair + 1}_{person + 1:03d}_{1 + (number >= 5)}_{number + 1:02d}.png": picture
        for pair, people in enumerate(FORMS[form])
        for person, pictures in enumerate(people)
        for number, picture in enumerate(pictures)
        if picture is not None
    }
    found = {path.name: np.asarray(Image.open(path)) for path in (root / f"images_{form}").iterdir()}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert sorted(path.name for path in root.iterdir()) == ["cuhk03_release", f"images_{form}"]
    times = [path.stat().st_mtime_ns for path in sorted((root / f"images_{form}").iterdir())]
    assert build_dataset("cuhk03_classic", root, form=form) == dataset
    assert times == [path.stat().st_mtime_ns for path in sorted((root / f"images_{form}").iterdir())]


def test_what_a_killed_run_took_out_is_kept(root):
    unfinished = root / "images_detected.incomplete"
    unfinished.mkdir()
    (unfinished / "1_001_1_02.png").write_bytes(b"as it was")
    build_dataset("cuhk03_classic", root)
    assert (root / "images_detected/1_001_1_02.png").read_bytes() == b"as it was" and not unfinished.exists()
    assert len(list((root / "images_detected").iterdir())) == 10 * sum(PAIRS) - len(EMPTY)


def naive_trials(form: str, numbers: Sequence[int]) -> list[tuple[list[str], list[str]]]:
    """Names of queries and gallery, drawn by one random number for each person in the order of pair and person."""
    trials = []
    for number in numbers:
        people = sorted(SETS[number - 1])
        by_view = {
            (person, view): [
                f"{person[0]}_{person[1]:03d}_{view}_{place + 1:02d}.png"
                for place in ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))[view - 1]
                if FORMS[form][person[0] - 1][person[1] - 1][place] is not None
            ]
            for person in people
            for view in (1, 2)
        }
        for draw in range(10):
            rng = random.Random(1000 * number + draw)
            gallery = [by_view[person, 2] for person in people]
            drawn = [names[int(rng.random() * len(names))] for names in gallery]
            trials.append(([name for person in people for name in by_view[person, 1]], drawn))
    return trials


def named_trials(dataset: Dataset) -> list[tuple[list[str], list[str]]]:
    return [
        ([dataset.query[i].path.name for i in trial.query], [dataset.gallery[i].path.name for i in trial.gallery])
        for trial in dataset.trials
    ]


@pytest.mark.parametrize("form", FORMS)
def test_classic_trials_equal_naive(root, form):
    dataset = build_dataset("cuhk03_classic", root, form=form)
    assert named_trials(dataset) == naive_trials(form, range(1, 21)) and not dataset.train
    assert {record.camid for record in dataset.query} == {0} and {record.camid for record in dataset.gallery} == {1}
    assert {record.pid for record in dataset.query} == {1001, 1002, 1003, 2002}
    third = build_dataset("cuhk03_classic", root, form=form, split="3")
    assert named_trials(third) == naive_trials(form, [3])
    assert {record.pid for record in third.train} == {1001, 1002, 2001, 3001, 4001, 5001}
    assert len({tuple(gallery) for _, gallery in named_trials(third)}) > 3


def test_the_new_protocol_reads_the_released_file(tmp_path):
    """As it reads the same pictures taken out, with the same lists; named as the release names them."""
    out, file = tmp_path / "out", tmp_path / "file"
    write_layout("cuhk03", out, seed=1, train_pids=2, test_pids=3, workers=1, shots=4, released=True)
    people = {form: [[[None] * 10 for _ in range(6)] for _ in range(5)] for form in FORMS}
    for form, cells in people.items():
        for path in (out / f"images_{form}").iterdir():
            pair, person, _, number = map(int, path.stem.split("_"))
            cells[pair - 1][person - 1][number - 1] = np.asarray(Image.open(path).convert("RGB"))
    file.mkdir()
    (file / "cuhk-03.mat").write_bytes(release_file(people, SETS))
    for lists in out.glob("*.mat"):
        (file / lists.name).write_bytes(lists.read_bytes())
    for form in FORMS:
        datasets = [build_dataset("cuhk03", folder, form=form) for folder in (out, file)]
        for split in ("train", "query", "gallery"):
            expected, found = (getattr(dataset, split) for dataset in datasets)
            assert [(r.path.name, r.pid, r.camid) for r in found] == [(r.path.name, r.pid, r.camid) for r in expected]
            for a, b in zip(expected, found, strict=True):
                assert np.array_equal(np.asarray(Image.open(a.path).convert("RGB")), np.asarray(Image.open(b.path)))


def foreign() -> bytes:
    return release_file({"labeled": FORMS["labeled"]}, SETS)


def grey() -> bytes:
    return release_file({"detected": [[[np.zeros((9, 4), np.uint8)] * 10]]}, [[(1, 1)]] * 20)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot read cuhk03: file .*cuhk-03.mat: it is damaged"),
        (b"MATLAB 5.0", "cannot read cuhk03: file .*cuhk-03.mat: it is damaged"),
        (CONTENT[: len(CONTENT) // 2], "cannot read cuhk03: file .*cuhk-03.mat: it is damaged"),
        (foreign(), "cannot read cuhk03: file .*cuhk-03.mat: it is damaged, or not the cuhk-03.mat .*detected"),
        (grey(), r"what is to be 1_001_1_01.png is uint8 of shape \(9, 4\)"),
        (release_file(FORMS, SETS[:3]), "has 3 test sets instead of 20"),
        (release_file(FORMS, [[(1, 1, 1)]] * 20), r"are not lists of \(pair, person\)"),
        (release_file(FORMS, [[(4, 7)]] * 20), "has no picture of person 7 of pair 4, who is in a test set"),
    ],
)
def test_what_is_wrong_with_the_file_is_told(root, content, told):
    (root / "cuhk03_release/cuhk-03.mat").write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        build_dataset("cuhk03_classic", root)
    assert "\n" not in str(error.value)


def test_what_is_missing_is_told(root):
    with pytest.raises(UserError, match=r"config_detected\.mat does not exist; it lists the pictures of the new"):
        build_dataset("cuhk03", root)
    assert not list(root.glob("images_*")), "nothing is taken out in vain"
    (root / "images_detected.incomplete").touch()
    with pytest.raises(UserError, match=r"cannot write .*images_detected\.incomplete"):
        build_dataset("cuhk03_classic", root)
    (root / "cuhk03_release/cuhk-03.mat").unlink()
    with pytest.raises(UserError, match=r"cuhk-03\.mat does not exist; the classic protocol needs it"):
        build_dataset("cuhk03_classic", root)


def test_a_flipped_bit_ends_in_one_line_or_changes_a_picture(root):
    """Nothing but a `UserError` leaves the reader, wherever the file is damaged."""
    rng = np.random.default_rng(0)
    content = np.frombuffer(release_file({"detected": [person[:1] for person in FORMS["detected"]]}, SETS), np.uint8)
    told = 0
    for _ in range(200):
        damaged = content.copy()
        damaged[rng.integers(0, len(content) // 4, 8)] ^= rng.integers(1, 256, 8, dtype=np.uint8)
        (root / "cuhk03_release/cuhk-03.mat").write_bytes(damaged.tobytes())
        for left in root.glob("images_*/*"):
            left.unlink()
        for left in root.glob("images_*"):
            left.rmdir()
        try:
            build_dataset("cuhk03_classic", root)
        except UserError:
            told += 1
    assert told > 20


def test_the_written_file_is_what_matlab_writes():
    """One more look at the test's own file: shapes as h5py shows those of the release."""
    import io

    with h5py.File(io.BytesIO(CONTENT)) as file:
        assert file["detected"].shape == (1, 5) and file["testsets"].shape == (1, 20)
        people = file[file["detected"][0, 0]]
        assert people.shape == (10, 3)
        picture = FORMS["detected"][0][0][0]
        assert file[people[0, 0]].shape == picture.shape[::-1]
        assert file[file["testsets"][0, 0]].shape == (2, 2)


def test_evaluated_by_the_command(root, tmp_path):
    """Scores are means over the trials of the test set."""
    words = ["--dataset", "cuhk03_classic", "--root", root, "options.split=2", "--preset", "mini"]
    assert here("evaluate", *words, "--nfc", "both", "--out", tmp_path / "out") == 0
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert row["trials"] == 10 and 0 < row["mAP"] <= 1
