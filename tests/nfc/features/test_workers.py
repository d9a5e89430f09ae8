"""Worker processes that read pictures may be forked or spawned: they are sent what reads, never the network."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from NFC.features import extraction
from NFC.features.extraction import Pictures, extract_features
from NFC.networks import Extractor, Preprocessing
from NFC.networks.reading import PictureReader
from pose2id.errors import UserError
from tests.nfc.networks.small_kpr import small_kpr
from tests.nfc.networks.test_own_networks import OWN, write_exported
from tests.nfc.toy import MeanColour, write_market

EVALUATE = """
import multiprocessing, sys
from pose2id.cli import main
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main(sys.argv[2:])
"""


def evaluate(folder: Path, method: str, *flags: object) -> subprocess.CompletedProcess:
    script = folder / "evaluate.py"
    script.write_text(EVALUATE)
    command = [sys.executable, script, method, "evaluate", "--root", folder / "market", "--device", "cpu", *flags]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("kind", ["file", "function", "lambda"])
def test_networks_of_ones_own_are_evaluated_either_way(tmp_path, kind):
    write_market(tmp_path / "market")
    (tmp_path / "my_reid.py").write_text(f"{OWN}\nbuild_by_lambda = lambda weights: build(weights)\n")
    flags = {
        "file": ["--extractor", "file", "--weights", write_exported(tmp_path, ".pt2")[0]],
        "function": ["--extractor", f"{tmp_path}/my_reid.py:build"],
        "lambda": ["--extractor", f"{tmp_path}/my_reid.py:build_by_lambda"],
    }[kind]
    for method in ("fork", "spawn"):
        out = tmp_path / method
        done = evaluate(tmp_path, method, *flags, "--num_workers", 1, "--batch_size", 2, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    read = [(tmp_path / method / "results.md").read_text() for method in ("fork", "spawn")]
    assert read[0] == read[1]


def test_what_workers_are_sent_is_small(tmp_path):
    extractor = Extractor(nn.Linear(1000, 1000), 3, Preprocessing(16, 8))
    assert isinstance(Pictures(extractor, [], None).read, PictureReader)
    assert len(pickle.dumps(Pictures(extractor, [], [1]))) < 2000
    kpr = small_kpr().extractor()
    kpr.use_keypoints(tmp_path)
    assert len(pickle.dumps(Pictures(kpr, [], [1]))) < 2000


def test_a_sample_of_ones_own_is_used_here_where_processes_are_spawned(tmp_path, monkeypatch, caplog):
    market = write_market(tmp_path / "market")
    pictures = sorted((market / "query").iterdir())
    expected = extract_features(MeanColour(), pictures, num_workers=1, device="cpu")
    monkeypatch.setattr(extraction.multiprocessing, "get_start_method", lambda: "spawn")
    assert torch.equal(extract_features(MeanColour(), pictures, num_workers=1, device="cpu"), expected)
    assert "without workers" in caplog.text


class Dying(Preprocessing):
    def __call__(self, picture):
        os._exit(1)


def test_a_worker_that_dies_is_one_line(tmp_path):
    market = write_market(tmp_path / "market")
    extractor = Extractor(nn.Identity(), 3, Dying(16, 8))
    with pytest.raises(UserError, match="a process that reads pictures died") as told:
        extract_features(extractor, sorted((market / "query").iterdir()), num_workers=1, device="cpu")
    assert "\n" not in str(told.value)


def test_memory_that_runs_out_is_one_line(tmp_path):
    class Large(MeanColour):
        def forward(self, pictures, camids=None, keypoints=None):
            raise torch.OutOfMemoryError("tried to allocate 20 GiB\nof memory")

    market = write_market(tmp_path / "market")
    with pytest.raises(UserError, match=r"memory ran out with 3 pictures at a time; try a lower --batch_size"):
        extract_features(Large(), sorted((market / "query").iterdir()), device="cpu")


def test_the_reader_sees_what_sample_sees():
    extractor = Extractor(nn.Identity(), 3, Preprocessing(16, 8))
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8))
    assert torch.equal(extractor.reader()(picture)["pictures"], extractor.sample(picture)["pictures"])
