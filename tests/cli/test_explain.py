"""`pose2id explain` through the real command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from NFC.training.network import export
from tests.commands import ROOT, finished, here
from tests.nfc.networks.zoo import network_config, pictures, small_network


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for name, picture in zip(("a", "b", "c"), pictures(3), strict=True):
        picture.save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = export(small_network(name).eval(), network_config(name), folder / name)
        return made[name]

    return of


def explain(*words: object) -> int:
    return here("explain", *words, "--device", "cpu")


def test_sheets_and_numbers(people, weights, tmp_path):
    command = [people, "--extractor", "pcb_rpp", "--weights", weights("pcb_rpp"), "--out", tmp_path / "out"]
    assert explain(*command) == 0
    names = {path.name for path in finished(tmp_path / "out", "*.*")}
    assert names == {"a.png", "b.png", "c.png", "explain.json"}
    numbers = json.loads((tmp_path / "out/explain.json").read_text())
    assert numbers["format"] == "pose2id-explain-1" and numbers["extractor"] == "pcb_rpp" and not numbers["pairs"]
    first = numbers["pictures"][0]
    assert first["picture"] == str(people / "a.png") and first["size"] == [64, 128] and first["file"] == "a.png"
    parts, energy = first["looks"]
    assert parts["kind"] == "parts" and sum(part["share"] for part in parts["maps"]) == pytest.approx(1)
    assert (
        sum(part["mean"] for part in parts["maps"]) == pytest.approx(1) and energy["title"] == "Energy of the last map"
    )
    before = {path.name: path.read_bytes() for path in finished(tmp_path / "out", "*.*")}
    assert explain(*command) == 0
    assert before == {path.name: path.read_bytes() for path in finished(tmp_path / "out", "*.*")}


@pytest.mark.parametrize(("name", "kind"), [("idla", "differences"), ("alignedreid", "path"), ("mos", "sets")])
def test_the_first_picture_is_compared_with_the_others(people, weights, tmp_path, name, kind):
    places = [people / f"{stem}.png" for stem in "bca"]
    assert explain(*places, "--extractor", name, "--weights", weights(name), "--out", tmp_path) == 0
    pairs = json.loads((tmp_path / "explain.json").read_text())["pairs"]
    assert [pair["file"] for pair in pairs] == [f"b-c-{kind}.png", f"b-a-{kind}.png"]
    for pair in pairs:
        assert pair["looks"][0]["kind"] == kind and Image.open(tmp_path / pair["file"]).width > 300


def test_points_are_read(people, weights, tmp_path):
    row = {"path": "a.png", "keypoints": [[30.0, 5.0 + 6 * joint, 0.9] for joint in range(18)]}
    (tmp_path / "keypoints.jsonl").write_text(json.dumps(row) + "\n")
    command = [people / "a.png", people / "b.png", "--extractor", "glad", "--weights", weights("glad")]
    assert explain(*command, "--keypoints", tmp_path / "keypoints.jsonl", "--out", tmp_path / "o") == 0
    known, unknown = json.loads((tmp_path / "o/explain.json").read_text())["pictures"]
    points, _, regions = known["looks"]
    assert points["points"][0] == {"name": "nose", "point": pytest.approx([30.5, 5.5, 0.9])}
    assert [box["name"] for box in regions["boxes"]] == ["head", "upper body", "lower body"]
    assert regions["boxes"][1]["box"] == pytest.approx([0, 11, 64, 62], abs=0.6)  # from neck to middle of the hips
    assert all(point["point"][2] == 0 for point in unknown["looks"][0]["points"])


def test_pictures_of_one_name(people, weights, tmp_path):
    (tmp_path / "more").mkdir()
    Image.open(people / "b.png").save(tmp_path / "more/a.png")
    places = people / "a.png", tmp_path / "more/a.png"
    assert explain(*places, "--extractor", "baseline", "--weights", weights("baseline"), "--out", tmp_path / "o") == 0
    assert {path.name for path in finished(tmp_path / "o")} == {"a.png", "a-2.png"}


def test_pictures_of_ones_own_are_never_written_over(people, weights, tmp_path, capsys):
    pictures, network = tmp_path / "pictures", ["--extractor", "baseline", "--weights", weights("baseline")]
    shutil.copytree(people, pictures)
    for places, out, told in (
        ([pictures], pictures, "lies in the folder of pictures"),
        ([pictures], pictures / "deep/out", "lies in the folder of pictures"),
        ([pictures / "b.png"], pictures, "b.png lies in out"),
        ([people], pictures, "is not empty; name another"),
        ([pictures], tmp_path, "is not empty; name another"),
    ):
        assert explain(*places, *network, "--out", out) == 2
        assert told in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == {
        path.name: path.read_bytes() for path in people.iterdir()
    }
    assert explain(pictures, *network, "--out", tmp_path / "out") == 0
    shutil.copy(people / "a.png", tmp_path / "out/mine.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "out/mine.png")
    for place in (tmp_path / "out/mine.png", tmp_path / "link.png"):
        assert explain(place, *network, "--out", tmp_path / "out") == 2
        assert "lies in out" in capsys.readouterr().err


def test_two_runs_do_not_write_into_one_folder(people, weights, tmp_path, capsys):
    holder = "import sys; from pose2id.processes.locks import locked\nwith locked(sys.argv[1]): print(); input()"
    words = [sys.executable, "-c", holder, str(tmp_path / "out")]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        command = [people, "--extractor", "baseline", "--weights", weights("baseline"), "--out", tmp_path / "out"]
        assert explain(*command) == 2 and "is in use by another run" in capsys.readouterr().err
        process.communicate(b"\n")
    assert explain(*command) == 0


def test_one_picture_that_fails_does_not_keep_the_others(people, weights, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    shutil.copytree(people, pictures)
    (pictures / "a.png").rename(pictures / "new\nline.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    (pictures / f"{'x' * 250}.jpe").write_bytes((people / "a.png").read_bytes())
    words = ["--extractor", "alignedreid", "--weights", weights("alignedreid"), "--out", tmp_path / "out"]
    assert explain(pictures, *words) == 1
    first, *named = capsys.readouterr().err.split("pictures could not be explained:")[1].splitlines()
    assert not first and ["broken.png" in line for line in named] == [True, False]
    names = {path.name for path in finished(tmp_path / "out")}
    assert {"b.png", "c.png", "new\nline.png", "b-c-path.png"} < names
    assert len(json.loads((tmp_path / "out/explain.json").read_text())["pairs"]) == 2
    assert explain(pictures / "broken.png", people / "a.png", *words) == 1  # nothing to compare with
    assert not json.loads((tmp_path / "out/explain.json").read_text())["pairs"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.png", "baseline"], "cannot read picture nowhere.png"),
        (["{people}/a.png", "idla"], "network 'idla' judges pairs of pictures: name two or more"),
        (["{people}/a.png", "pie"], "--keypoints"),
        (["{people}/a.png", "baseline", "--keypoints", "{people}"], "the network takes no keypoints"),
        (["{people}/a.png", "pie", "--keypoints", "nowhere"], "keypoint folder nowhere does not exist"),
    ],
)
def test_mistakes_are_one_line(people, weights, tmp_path, capsys, words, said):
    place, name, *more = (word.format(people=people) for word in words)
    out = tmp_path / "out"
    assert explain(place, "--extractor", name, "--weights", weights(name), *more, "--out", out) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(error) == 1 and said in error[0] and "Traceback" not in error[0]
    assert not list(out.glob("*.png"))


def test_unknown_extractors_and_those_of_others(people, tmp_path, capsys):
    assert explain(people, "--extractor", "pcbb", "--out", tmp_path) == 2
    assert "unknown extractor 'pcbb'; choose one of: transreid" in capsys.readouterr().err
    assert explain(people, "--extractor", "timm-random:test_vit", "--out", tmp_path) == 2
    assert "nothing to show" in capsys.readouterr().err
    assert explain("--extractor", "timm-random:test_vit", "--out", tmp_path) == 2
    assert "no pictures to explain" in capsys.readouterr().err
