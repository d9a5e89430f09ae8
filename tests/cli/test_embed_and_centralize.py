"""Features without labels: pictures to features, features to centralized ones, in the everyday case of a gallery."""

import numpy as np
import pytest
from torch.nn.functional import normalize

from NFC import NFC, fuse_generated
from NFC.features import extraction
from pose2id.arrays import as_tensor
from tests.commands import here
from tests.nfc.toy import write_market


@pytest.fixture
def gallery(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"feats": rng.normal(size=(20, 6)), "generated": rng.normal(size=(20, 3, 6))}
    np.savez(tmp_path / "gallery.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    return tmp_path / "gallery.npz"


def unit(array) -> np.ndarray:
    return normalize(as_tensor(array, "array"), dim=-1).numpy()


def test_pictures_become_features(tmp_path, mini_weights, capsys):
    market = write_market(tmp_path / "market")
    out, weights = tmp_path / "features.npz", mini_weights / "transformer_20.safetensors"
    code = here("embed", market / "query", "--out", out, "--weights", weights, "--preset", "mini", "--device", "cpu")
    assert code == 0 and "wrote 3 features of 640 numbers" in capsys.readouterr().out
    with np.load(out) as held:
        assert held["feats"].shape == (3, 640) and held["feats"].dtype == np.float32
        assert [name.rpartition("/")[2] for name in held["paths"]] == sorted(
            p.name for p in (market / "query").iterdir()
        )
    single = tmp_path / "one.npz"
    picture = next((market / "query").iterdir())
    assert here("embed", picture, "--out", single, "--weights", weights, "--preset", "mini", "--device", "cpu") == 0
    with np.load(single) as held, np.load(out) as whole:
        row = list(whole["paths"]).index(held["paths"][0])
        np.testing.assert_allclose(held["feats"][0], whole["feats"][row], rtol=1e-4, atol=1e-5)


def test_a_stopped_run_goes_on_after_the_last_shard(tmp_path, mini_weights, monkeypatch):
    query = write_market(tmp_path / "market") / "query"
    weights = mini_weights / "transformer_20.safetensors"
    words = [query, "--weights", weights, "--preset", "mini", "--device", "cpu", "--batch_size", "1"]
    monkeypatch.setattr(extraction, "SHARD_PICTURES", 1)
    assert here("embed", *words, "--out", tmp_path / "whole.npz") == 0
    embed, seen = extraction.embed, []

    def stopping(*arguments):
        seen.append(arguments)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return embed(*arguments)

    monkeypatch.setattr(extraction, "embed", stopping)
    assert here("embed", *words, "--out", tmp_path / "stopped.npz") == 130
    assert here("embed", *words, "--out", tmp_path / "stopped.npz") == 0
    assert len(seen) == 4  # three pictures, and the one that was stopped
    assert (tmp_path / "stopped.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "f.npz"], "no pictures to embed"),
        (["nowhere.jpg", "--out", "f.txt"], "must end in .npz"),
        (["nowhere.jpg"], "out must be given: --out"),
    ],
)
def test_what_cannot_be_embedded_is_one_line(words, told, capsys):
    assert here("embed", *words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_all_pictures_that_are_not_there_are_named(tmp_path, mini_weights, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / "p" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "p" / name).symlink_to("nowhere")
    words = ["--weights", mini_weights / "transformer_20.safetensors", "--preset", "mini", "--device", "cpu"]
    assert here("embed", tmp_path / "p", *words, "--out", tmp_path / "f.npz") == 2
    error = capsys.readouterr().err
    assert "error: 2 pictures cannot be used, each named above" in error
    assert all(f"cannot read picture {tmp_path / 'p' / name}" in error for name in ("a.png", "b.png"))


def test_generated_pictures_that_are_missing_are_told_in_the_same_words(tmp_path, capsys):
    market = write_market(tmp_path / "market")
    told = f"generated picture {market / 'query_gen/pose1'}"
    for words in (["evaluate", "--ipg", "query"], ["score-generated"]):
        assert here(*words, "--root", market, "--preset", "mini") == 2
        error = capsys.readouterr().err
        assert f"error: {told}" in error and "is missing (and 23 more); generate it first" in error


def test_a_gallery_is_centralized_without_labels(gallery, tmp_path):
    out = tmp_path / "centralized.npz"
    assert here("centralize", gallery, "--out", out, "--device", "cpu") == 0
    with np.load(gallery) as raw, np.load(out) as held:
        assert held.files == ["feats"]
        np.testing.assert_array_equal(held["feats"], unit(NFC(unit(raw["feats"]))))
    assert here("centralize", gallery, "--steps", "generated:eta=0.5", "nfc:k1=3", "--out", out, "--device", "cpu") == 0
    with np.load(gallery) as raw, np.load(out) as held:
        fused = unit(fuse_generated(unit(raw["feats"]), unit(raw["generated"]), 0.5))
        np.testing.assert_allclose(held["feats"], unit(NFC(fused, k1=3)), atol=1e-6)


def test_two_sets_are_centralized_each_by_itself(gallery, tmp_path):
    assert here("centralize", gallery, gallery, "--out", tmp_path / "both", "--device", "cpu") == 0
    with np.load(tmp_path / "both/query.npz") as query, np.load(tmp_path / "both/gallery.npz") as held:
        np.testing.assert_array_equal(query["feats"], held["feats"])


def test_evaluate_saves_what_it_cannot_score(gallery, tmp_path, capsys):
    words = ["--features", gallery, gallery, "--nfc", "both", "--device", "cpu"]
    assert here("evaluate", *words, "--save_features", tmp_path / "a") == 0
    assert "wrote" in capsys.readouterr().out and (tmp_path / "a/gallery.npz").is_file()
    assert here("evaluate", *words) == 2 and "has no pids" in capsys.readouterr().err
    for name, pids in (("q", 0), ("g", 100)):
        with np.load(gallery) as raw:
            np.savez(tmp_path / f"{name}.npz", feats=raw["feats"], pids=pids + np.arange(20), camids=np.zeros(20, int))
    words[1:3] = [tmp_path / "q.npz", tmp_path / "g.npz"]
    assert here("evaluate", *words, "--save_features", tmp_path / "b") == 0 and (tmp_path / "b/query.npz").is_file()
    assert here("evaluate", *words) == 2 and "no query has a true match" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "got 0"),
        (["gallery", "--out", "x.txt"], "must end in .npz"),
        (["gallery", "--steps", "k_reciprocal"], "compares two sets"),
        (["gallery", "--steps", "query_expansion"], "compares two sets"),
        (["gallery", "--steps", "nfc:k1=0"], "at least 1"),
        (
            ["gallery", "--steps", "nfc", "nfc:on=query"],
            "nfc:on=query does nothing to one file, which counts as a gall",
        ),
        (["gallery", "gallery", "--steps", "nfc:on=none"], "nfc:on=none does nothing to query and gallery; leave out"),
        (["gallery", "--steps", "ncf", "--dry_run"], "steps: 'ncf' is unknown"),
        (["missing.npz"], "does not exist"),
    ],
)
def test_what_cannot_be_centralized_is_one_line(words, told, gallery, tmp_path, capsys):
    words = [gallery if word == "gallery" else word for word in words]
    out = [] if "--out" in words else ["--out", tmp_path / "out.npz"]
    assert here("centralize", *words, *out, "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not (tmp_path / "out.npz").exists()


def test_queries_that_are_left_out_are_counted(tmp_path, capsys, caplog):
    labels = {"q": [1, 2, 3, 4], "g": [1, 2, 9, 9]}
    for name, pids in labels.items():
        feats = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", feats=feats, pids=pids, camids=[0 if name == "q" else 1] * 4)
    assert here("evaluate", "--features", tmp_path / "q.npz", tmp_path / "g.npz", "--device", "cpu") == 0
    assert "2 of 4 queries have no true match in the gallery and are left out of the means" in caplog.text
