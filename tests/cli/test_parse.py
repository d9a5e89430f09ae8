"""`pose2id train-parser`, `parse` and `bench parser` through the command line."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import write_layout
from tests.commands import finished, here

SIZES = ["sizes.height=32", "sizes.width=16", "sizes.dims=[8,12]", "sizes.depths=[1,1]", "sizes.heads=[1,2]"]


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("groups")
    write_groups(folder, seed=0, num_groups=4, workers=1)
    return folder


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "market"
    write_layout("market1501", folder, seed=5, train_pids=1, test_pids=2, workers=1, shots=1)
    return folder


def train(groups: Path, out: Path, steps: int, *words: str) -> int:
    settings = [f"groups={groups}", f"loop.output_dir={out}", f"loop.max_train_steps={steps}", "loop.batch_size=4"]
    return here("train-parser", *settings, *SIZES, "held_out_people=2", "loop.lr_schedule=constant", *words)


def test_training_stopped_and_resumed_equals_one_run(groups, tmp_path, capsys):
    assert train(groups, tmp_path / "whole", 4) == 0
    assert train(groups, tmp_path / "parts", 2) == 0 and train(groups, tmp_path / "parts", 4) == 0
    whole, parts = ((tmp_path / name / "parser/model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    quality = json.loads((tmp_path / "whole/quality.json").read_text())
    assert set(quality) == {"visible", "infrared", "occluded", "all"} and "foreground" in quality["all"]
    assert "upper arms" in capsys.readouterr().out
    assert train(groups, tmp_path / "parts", 4, "sizes.joined=32") == 2
    assert train(groups / "nowhere", tmp_path / "none", 4) == 2
    assert "holds no finished groups" in capsys.readouterr().err
    pictures = ["--pictures", groups.parent / "none", "--out", tmp_path / "maps"]
    assert here("parse", *pictures, "--weights", tmp_path / "whole/parser") == 2  # there is no such folder
    assert here("bench", "parser", "--weights", tmp_path / "whole/parser", "--people", 1, "--batch_size", 2) == 0
    assert "pictures/s" in capsys.readouterr().out


def test_a_data_set_is_parsed_resumed_and_what_is_broken_named(market, tmp_path, capsys):
    out = tmp_path / "maps"
    broken, *others = sorted((market / "query").iterdir())
    drawn = market / "query_gen/pose1" / others[0].name
    drawn.parent.mkdir(parents=True)
    drawn.write_bytes(others[0].read_bytes())
    kept = broken.read_bytes()
    broken.write_bytes(b"no picture")
    words = ["parse", "--dataset", "market1501", "--root", market, "--out", out, "--batch_size", 5, "--device", "cpu"]
    assert here(*words) == 1
    assert f"cannot read picture {broken}" in capsys.readouterr().err
    maps = {path: path.stat().st_mtime_ns for path in finished(out)}
    names = {path.relative_to(out).with_suffix(".jpg").as_posix() for path in maps}
    pictures = {path.relative_to(market).as_posix() for path in market.rglob("*.jpg") if "/-1_" not in str(path)}
    assert names == pictures - {f"query/{broken.name}", f"query_gen/pose1/{drawn.name}"}
    broken.write_bytes(kept)
    next(iter(maps)).unlink()
    assert here(*words, "--generated") == 0
    assert "wrote 3 label maps" in capsys.readouterr().out
    assert sum(path.stat().st_mtime_ns == then for path, then in maps.items()) == len(maps) - 1
    assert (out / "query" / broken.name).with_suffix(".png").is_file()
    assert (out / "query_gen/pose1" / drawn.name).with_suffix(".png").is_file()


def test_maps_of_a_folder_are_of_the_size_of_its_pictures(tmp_path, capsys):
    folder, out = tmp_path / "pictures", tmp_path / "maps"
    (folder / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (20, 40)), ("b/c.jpg", (33, 70))):
        Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)).save(folder / name)
    assert here("parse", "--pictures", folder, "--out", out) == 0
    for name, size in (("a.png", (20, 40)), ("b/c.png", (33, 70))):
        with Image.open(out / name) as labels:
            assert (labels.mode, labels.size) == ("P", size) and np.array(labels).max() <= 6
    capsys.readouterr()
    later = time.time() + 60
    Image.fromarray(rng.integers(256, size=(30, 50, 3), dtype=np.uint8)).save(folder / "a.png")  # another picture
    os.utime(folder / "a.png", (later, later))
    (out / "b/c.png").write_bytes(b"junk")
    assert here("parse", "--pictures", folder, "--out", out) == 0
    assert "wrote 2 label maps" in capsys.readouterr().out
    assert Image.open(out / "a.png").size == (50, 30) and Image.open(out / "b/c.png").size == (33, 70)
    for words, told in (
        (["--pictures", folder, "--out", out, "--weights", tmp_path / "no"], "holds no parser: file"),
        (["--pictures", folder, "--out", folder / "maps"], "lies in the folder of pictures"),
        (["--pictures", folder, "--root", folder, "--out", out], "name either root"),
        (["--out", out], "name either root"),
        (["--pictures", folder / "b", "--out", out], "made with other settings"),
        (["--pictures", folder, "--out", tmp_path], "is not empty"),
    ):
        assert here("parse", *words) == 2
        assert told in capsys.readouterr().err
    (folder / "a.jpg").write_bytes((folder / "b/c.jpg").read_bytes())
    assert here("parse", "--pictures", folder, "--out", out) == 2
    assert "would have one map, a.png" in capsys.readouterr().err
