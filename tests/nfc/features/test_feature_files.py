"""Feature files: used again where they fit, refused where they do not, and resumed after a stop."""

import multiprocessing
import os
import threading
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from NFC.datasets import build_dataset
from NFC.features import extraction as features
from NFC.features.extraction import Precision
from NFC.features.files import describe_network, describe_pictures, read_feature_file, read_origin
from NFC.features.of_dataset import FeatureFolder, MissingGenerated, extract_dataset
from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.processes.locks import LOCK_FILE, locked
from tests.nfc.toy import GALLERY, QUERY, MeanColour, write_generated, write_market

LOADING = {"device": "cpu", "batch_size": 2}
PICTURES = len(QUERY + GALLERY)


class Counting(MeanColour):
    """Stops, as if killed, after `limit` pictures."""

    def __init__(self, limit=10**9, scale=1.0):
        super().__init__()
        self.limit = limit
        self.weight = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, pictures, camids=None, keypoints=None):
        if self.seen >= self.limit:
            raise KeyboardInterrupt
        return super().forward(pictures) * self.weight


@pytest.fixture
def market(tmp_path):
    return build_dataset("market1501", write_market(tmp_path / "market"))


def extract(market, tmp_path, extractor, fused=(), name="counting", **origin):
    files = FeatureFolder(tmp_path / "features", replace(describe_network(name, extractor), **origin))
    with torch.no_grad():
        return extract_dataset(market, extractor, fused, poses=2, files=files, **LOADING)


def test_a_second_run_extracts_nothing(market, tmp_path):
    write_generated(market.root, poses=2)
    first, second = Counting(), Counting()
    expected = extract(market, tmp_path, first, ["query", "gallery"])
    found = extract(market, tmp_path, second, ["query", "gallery"])
    assert first.seen > 0 and second.seen == 0
    for a, b in zip(expected, found, strict=True):
        assert (
            torch.equal(a.feats.values, b.feats.values)
            and torch.equal(a.generated.values, b.generated.values)
            and torch.equal(a.pids, b.pids)
        )
    query = read_feature_file(tmp_path / "features/query.safetensors")
    assert query["pids"].tolist() == [pid for pid, _ in QUERY]
    assert query["camids"].tolist() == [camera - 1 for _, camera in QUERY]
    origin = read_origin(tmp_path / "features/query_pose2.safetensors")
    assert (origin.extractor, origin.dataset, origin.precision) == ("counting", "market1501", "float32")


def test_a_stopped_run_loses_at_most_one_shard(market, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHARD_PICTURES", 2)
    expected = extract(market, tmp_path / "whole", Counting())
    stopped = Counting(limit=8)  # 3 pictures of the query in 2 shards, 4 of 7 of the gallery, the fifth batch starts
    with pytest.raises(KeyboardInterrupt):
        extract(market, tmp_path, stopped)
    assert stopped.seen >= 8
    resumed = Counting()
    found = extract(market, tmp_path, resumed)
    assert PICTURES - stopped.seen <= resumed.seen <= PICTURES - stopped.seen + 2
    assert all(torch.equal(a.feats.values, b.feats.values) for a, b in zip(expected, found, strict=True))
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == [
        "gallery.safetensors",
        "query.safetensors",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "other"}, "extractor counting, not other"),
        ({"flip": "true"}, "flip false, not true"),
        ({"precision": "float16"}, "precision float32, not float16"),
        ({"dataset": "duke"}, "dataset market1501, not"),
    ],
)
def test_other_features_are_refused_and_kept(market, tmp_path, change, told):
    extract(market, tmp_path, Counting())
    before = (tmp_path / "features/query.safetensors").read_bytes()
    wrong = replace(market, name="x") if "dataset" in change else market
    with pytest.raises(UserError, match=told):
        extract(wrong, tmp_path, Counting(), **change)
    assert (tmp_path / "features/query.safetensors").read_bytes() == before


def test_other_weights_are_refused(market, tmp_path):
    extract(market, tmp_path, Counting())
    with pytest.raises(UserError, match="weights"):
        extract(market, tmp_path, Counting(scale=2.0))


def test_changed_pictures_are_extracted_anew(market, tmp_path, caplog):
    extract(market, tmp_path, Counting())
    os.utime(market.query[0].path, (1, 1))
    extractor = Counting()
    extract(market, tmp_path, extractor)
    assert extractor.seen == len(QUERY)
    assert [record.getMessage() for record in caplog.records if "pictures have changed" in record.getMessage()]


def test_files_of_others_are_not_overwritten(market, tmp_path):
    path = tmp_path / "features/query.safetensors"
    path.parent.mkdir()
    save_file({"feats": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="no feature file of this program"):
        extract(market, tmp_path, Counting())
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(UserError, match="cannot read features"):
        extract(market, tmp_path, Counting())


def test_what_decides_a_description(market):
    network = describe_network("a", Counting())
    assert network == describe_network("a", Counting())
    assert network.differences(describe_network("a", Counting(scale=2.0))) == ["weights"]
    assert network.differences(describe_network("a", Counting(), Precision.bfloat16, True)) == ["precision", "flip"]

    class Darker(Counting):
        def preprocess(self, picture):
            return super().preprocess(picture) / 2

    assert network.differences(describe_network("a", Darker())) == ["preprocessing"]
    paths = [record.path for record in market.query]
    whole = describe_pictures(network, "m", market.root, paths, [0, 1, 2])
    assert whole.pictures != describe_pictures(network, "m", market.root, paths, [0, 1, 1]).pictures
    assert whole.pictures != describe_pictures(network, "m", market.root, paths[::-1], [0, 1, 2]).pictures
    paths[1].unlink()
    with pytest.raises(UserError, match=paths[1].name):
        describe_pictures(network, "m", market.root, paths, None)


def test_only_the_side_that_is_fused_needs_generated_pictures(market):
    write_generated(market.root, poses=1, splits=["query"])
    query, gallery = extract_dataset(market, MeanColour(), ["query"], poses=1, **LOADING)
    assert query.generated.values.shape == (3, 1, 3) and gallery.generated is None
    message = r"bounding_box_test_gen.pose1.0001_c2s1_000000_00\.jpg is missing \(and 5 more\)"
    with pytest.raises(UserError, match=message):
        extract_dataset(market, MeanColour(), ["query", "gallery"], poses=1, **LOADING)
    _, gallery = extract_dataset(
        market, MeanColour(), ["gallery"], poses=1, missing=MissingGenerated.original, **LOADING
    )
    assert torch.equal(gallery.generated[:, 0].values, gallery.feats.values)


def test_distractors_stand_in_for_themselves(market):
    write_generated(market.root, poses=2)
    _, gallery = extract_dataset(market, MeanColour(), ["gallery"], poses=2, **LOADING)
    distractor = (gallery.pids == 0).nonzero().item()
    assert torch.equal(gallery.generated[distractor].values, gallery.feats[[distractor, distractor]].values)


def test_features_that_are_not_finite_are_refused(market):
    with pytest.raises(UserError, match=r"query of market1501.*3 of 3 rows"):
        extract_dataset(market, Counting(scale=torch.inf), **LOADING)


def test_files_are_the_same_from_run_to_run_and_as_readable_as_others(market, tmp_path):
    extract(market, tmp_path, Counting())
    first = (tmp_path / "features/query.safetensors").read_bytes()
    for number in range(3):  # the library orders metadata anew for every file
        extract(market, tmp_path / str(number), Counting())
        assert (tmp_path / f"{number}/features/query.safetensors").read_bytes() == first
    (tmp_path / "plain").touch()
    assert (tmp_path / "features/query.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert not [path for path in (tmp_path / "features").iterdir() if path.name.startswith(".")]


def test_what_a_killed_run_left_goes_and_another_run_is_waited_for(market, tmp_path):
    folder = tmp_path / "features"
    with replacing(folder / "query.safetensors") as partial:
        left = folder / partial.parent.name.replace(str(os.getpid()), "999999999")
    left.mkdir(parents=True)
    ready = multiprocessing.get_context("fork").Event()
    other = multiprocessing.get_context("fork").Process(target=hold, args=(folder, ready))
    other.start()
    assert ready.wait(30)
    killer = threading.Timer(0.3, other.kill)
    killer.start()
    extract(market, tmp_path, Counting())
    other.join()
    assert not left.exists() and not (folder / LOCK_FILE).exists()


def hold(folder, ready):
    with locked(folder):
        ready.set()
        time.sleep(600)


def test_finished_files_are_read_from_a_folder_that_is_in_use(market, tmp_path):
    extract(market, tmp_path, Counting())
    ready = multiprocessing.get_context("fork").Event()
    other = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "features", ready))
    other.start()
    assert ready.wait(30)
    try:
        again = Counting()
        extract(market, tmp_path, again)
        assert again.seen == 0
    finally:
        other.kill()
        other.join()
