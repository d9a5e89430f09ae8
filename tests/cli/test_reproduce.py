"""scripts/reproduce.py: with everything in place, with nothing, with some; killed and run again."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from IPG.experiments import fig5
from NFC.datasets import build_dataset
from NFC.experiments import figures
from NFC.experiments.paper import benchmark_rows, paper_rows
from NFC.experiments.tables import ABLATION
from NFC.features.of_dataset import extract_dataset
from NFC.networks import NETWORKS, build_extractor
from NFC.scoring.protocol import Protocol
from NFC.scoring.scores import score_rows
from tests.commands import finished, here
from tests.nfc.toy import write_generated, write_market

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "reproduce.py"
TINY = ["--world", "synthetic", "datasets.market1501.test_pids=1", "datasets.market1501.shots=1", "steps=1"]


@pytest.fixture
def reproduce():
    """Calls the script in this process and returns its exit code."""
    return partial(here, "reproduce")


@pytest.fixture
def real(tmp_path, mini_weights) -> list[str]:
    """Settings of a real world that has a toy Market1501 with generated pictures and a network, and no more."""
    market = write_market(tmp_path / "market")
    write_generated(market, poses=2)
    network = [f"networks.transreid.weights={mini_weights / 'transformer_20.safetensors'}"]
    network += [f"networks.generic.{key.partition('.')[2].partition('.')[2]}" for key in network]
    presets = [f"networks.{name}.preset=mini" for name in ("transreid", "generic")]
    places = [f"datasets.market1501.root={market}", "networks.generic.extractor=transreid", "device=cpu"]
    return ["--out", str(tmp_path / "out"), *network, *presets, *places, "poses=2", "num_workers=0"]


def rows_of(folder: Path, name: str) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((folder / name / f"{name}.json").read_text())["rows"]}


def test_weights_that_do_not_fit_end_their_row_and_not_the_run(reproduce, real, tmp_path, mini_weights, capsys):
    unfit = f"networks.generic.weights={mini_weights / 'IFR.safetensors'}"
    assert reproduce("table2", "table5", *real, unfit) == 1
    assert "network generic: " in capsys.readouterr().err
    assert rows_of(tmp_path / "out" / "real", "table2") and not (tmp_path / "out/real/table5").exists()


def test_nothing_in_place_lists_what_is_missing_and_where_to_get_it(reproduce, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce("all") == 2
    output = capsys.readouterr()
    for part in (
        "Market-1501-v15.09.15;",
        "MSMT17_V1",
        "SYSU-MM01",
        "Occluded_REID",
        "transformer_20.pth",
        "kpr_",
        "generator: ",
    ):
        assert part in output.err
    lines = output.err.strip().splitlines()
    assert len(lines) == len(set(lines))
    assert all("get: " in line or "not built" in line for line in lines[1:])
    assert list(tmp_path.iterdir()) == []


def test_tables_hold_our_scores_beside_the_papers(reproduce, real, tmp_path, mini_weights):
    assert reproduce("table2", "table3", "table4", "table5", *real) == 0
    out = tmp_path / "out" / "real"
    rows = rows_of(out, "table2")
    extractor = build_extractor("transreid", mini_weights / "transformer_20.safetensors", "mini", "cpu")
    market = build_dataset("market1501", tmp_path / "market")
    features = extract_dataset(market, extractor, ("query", "gallery"), poses=2, device="cpu")
    expected = score_rows(*features, ABLATION, Protocol.of(market))
    for score in expected:
        assert rows[score.name]["values"]["mAP"] == pytest.approx(score.mAP)
        assert rows[score.name]["values"]["ID2"] == pytest.approx(score.id2, abs=1e-5)
    assert rows["+NFC+IPG"]["paper"] == pytest.approx({"mAP": 0.9039, "Rank-1": 0.9474, "ID2": 0.1357})
    assert "| 90.39 |" in (out / "table2" / "table2.md").read_text()
    for name in ("table2", "table3", "table4", "table5"):
        published, ours = paper_rows(name), rows_of(out, name)
        assert published.keys() <= ours.keys()
        assert all(ours[row]["paper"] == figures for row, figures in published.items())
    page = (out / "index.html").read_text()
    assert [page.index(f'id="table{k}"') for k in (2, 3, 4, 5)] == sorted(
        page.index(f'id="table{k}"') for k in range(2, 6)
    )


def test_figures_are_drawn_and_the_page_keeps_earlier_ones(reproduce, real, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "NEIGHBOURS", (1, 2))
    assert reproduce("fig8", *real) == 0
    assert reproduce("table6", "fig7", "fig9", *real) == 0
    out = tmp_path / "out" / "real"
    assert {path.name for path in out.glob("*/*.svg")} == {"eta.svg", "number.svg", "map.svg", "rank-1.svg"}
    assert (out / "fig7" / "same_pose.png").is_file()
    page = (out / "index.html").read_text()
    assert all(f'id="{name}"' in page for name in ("table6", "fig7", "fig8", "fig9"))
    assert list(rows_of(out, "table6")) == [
        "Base",
        *(f"{n} on {s}" for s in ("gallery", "query", "both") for n in (1, 2)),
    ]


def test_table1_scores_what_it_can_and_says_what_each_other_row_needs(reproduce, real, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(NETWORKS, "kpr")
    assert reproduce("table1", *real) == 1
    rows = rows_of(tmp_path / "out" / "real", "table1")
    assert len(rows) == 2 * len(benchmark_rows())
    assert rows["Market1501, TransReID w/o camera + ours"]["values"]["mAP"] > 0
    assert rows["Market1501, TransReID w/o camera"]["note"] == ""
    assert rows["Market1501, TransReID with camera"]["note"] == "needs weights of transreid_camera"
    assert rows["Occluded-REID, KPR"]["note"] == "needs extractor kpr, data set occluded_reid"
    assert rows["Occluded-REID, KPR"]["paper"]["mAP"] == pytest.approx(0.7905)
    assert "no weights pretrained/reid/transreid_market1501.pth; get: " in capsys.readouterr().err


def test_missing_generated_pictures_come_with_the_command_that_draws_them(reproduce, real, tmp_path, capsys):
    gone = tmp_path / "market" / "query_gen" / "pose2" / "0001_c1s1_000000_00.jpg"
    gone.unlink()
    assert reproduce("table2", *real) == 2
    error = capsys.readouterr().err
    assert f"1 of 18 generated pictures are missing, such as {gone}" in error
    assert f"pose2id generate --preset sd15 --dataset market1501 --dataset_dir {tmp_path / 'market'}" in error
    assert not (tmp_path / "out" / "real" / "index.html").exists()


def test_fig5_draws_with_and_without_the_identity_and_only_once(
    reproduce, real, tmp_path, mini_weights, pose_folder, monkeypatch
):
    monkeypatch.setattr(fig5, "FIG5_REFERENCES", 2)
    monkeypatch.setattr(fig5, "FIG5_STEPS", 1)
    generator = ["generator.preset=mini", f"generator.directory={mini_weights}", f"generator.pose_dir={pose_folder}"]
    assert reproduce("fig5", *real, *generator) == 0
    folder = tmp_path / "out" / "real" / "fig5" / "pictures"
    drawn = {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert len(drawn) == 2 * 2 * 2  # variants, poses, people
    for path in (folder / "with_IFR").rglob("*.png"):
        assert path.read_bytes() != (folder / "without_IFR" / path.relative_to(folder / "with_IFR")).read_bytes()
    assert reproduce("fig5", *real, *generator) == 0
    assert drawn == {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.png")}


def times(folder: Path) -> dict[Path, int]:
    """When every finished picture was written."""
    return {path: path.stat().st_mtime_ns for path in finished(folder, "*.jpg")}


def test_synthetic_world_killed_and_run_again_equals_one_run(reproduce, tmp_path, pose_folder, capsys):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    tiny = ["table2", *TINY, f"pose_dir={pose_folder}"]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, SCRIPT, *tiny, "--out", killed], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while not finished(killed, "*_gen/pose*/*.jpg") and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    made = times(killed)
    assert any("_gen" in str(path) for path in made), log.read_text()
    for out in (killed, whole):
        assert reproduce(*tiny, "--out", out) == 0
    assert made.items() <= times(killed).items()
    rows = [rows_of(out / "synthetic", "table2") for out in (killed, whole)]
    assert rows[0] == rows[1]
    assert reproduce(*tiny, "seed=7", "--out", whole) == 2
    assert "made with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table11"], "unknown experiment 'table11'"),
        (["seed=3"], "name an experiment"),
        (["table2", "nonsense=3"], "nonsense"),
        (["table2", "--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(reproduce, arguments, message, tmp_path, capsys):
    assert reproduce(*arguments, "--out", tmp_path) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
