"""The extraction loop."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from NFC.features import extraction as features
from NFC.features.extraction import Precision, extract_features, extract_shards
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import Layout
from NFC.networks import Extractor, Preprocessing
from pose2id.devices import pick_device
from pose2id.errors import UserError
from tests.nfc.toy import COLOURS, MeanColour, write_picture


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{pid}.png" for pid in COLOURS]
    for path, colour in zip(paths, COLOURS.values(), strict=True):
        write_picture(path, colour)
    return paths


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (3, 0), (64, 0), (2, 2)])
def test_order_and_values(pictures, batch_size, num_workers):
    feats = extract_features(MeanColour(), pictures, batch_size=batch_size, device="cpu", num_workers=num_workers)
    assert feats.dtype == torch.float32
    torch.testing.assert_close(feats, torch.tensor(list(COLOURS.values())) / 255)


def test_grey_pictures_become_rgb(tmp_path):
    Image.new("L", (8, 16), 51).save(tmp_path / "grey.png")
    feats = extract_features(MeanColour(), [tmp_path / "grey.png"], device="cpu")
    torch.testing.assert_close(feats, torch.full((1, 3), 0.2))


@pytest.mark.parametrize(("content", "num_workers"), [(b"", 0), (b"not a picture", 0), (None, 0), (b"", 1)], ids=str)
def test_unreadable_picture_is_named_in_one_line(pictures, tmp_path, content, num_workers):
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.jpg") as caught:
        extract_features(MeanColour(), [*pictures, bad], batch_size=2, device="cpu", num_workers=num_workers)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 1), (64, 0)])
def test_all_unreadable_pictures_are_named(pictures, tmp_path, capsys, monkeypatch, batch_size, num_workers):
    bad = [tmp_path / f"bad{number}.jpg" for number in range(5)]
    for path in bad:
        path.touch()
    paths = [*pictures, *bad[:2], *pictures, *bad[2:]]
    loading = {"batch_size": batch_size, "num_workers": num_workers, "device": "cpu"}
    with pytest.raises(UserError, match=r"^5 pictures cannot be used, each named above; the first: .*bad0\.jpg"):
        extract_features(MeanColour(), paths, **loading)
    error = capsys.readouterr().err
    assert all(f"cannot read picture {path}" in error for path in bad)
    monkeypatch.setattr(features, "MOST_TOLD", 3)
    with pytest.raises(UserError, match=r"^3 or more pictures cannot be used"):
        extract_features(MeanColour(), paths, **loading)


def test_refuses(pictures):
    with pytest.raises(UserError, match="no pictures"):
        extract_features(MeanColour(), [])
    with pytest.raises(UserError, match="batch_size"):
        extract_features(MeanColour(), pictures, batch_size=0)
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(UserError, match=device):
            pick_device(device)


class LeftHalf(Extractor):
    """Mean colour of the left half through a matrix product: knows left from right, and autocast acts on it."""

    def __init__(self):
        super().__init__(nn.Linear(3, 3, bias=False), 3, Preprocessing(16, 8), uses_camids=True)
        self.cameras, self.paths = [], []

    def preprocess(self, picture, path=None):
        return torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1) / 255

    def sample(self, picture, path=None):
        self.paths.append(path)
        return super().sample(picture, path)

    def forward(self, pictures, camids=None, keypoints=None):
        self.cameras.append(None if camids is None else camids.tolist())
        return self.network(pictures[..., : pictures.shape[-1] // 2].mean((2, 3)))


@pytest.fixture
def halves(tmp_path):
    """One picture, red on the left and blue on the right."""
    picture = Image.new("RGB", (8, 16), (255, 0, 0))
    picture.paste((0, 0, 255), (4, 0, 8, 16))
    picture.save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


def test_flip_is_the_mean_of_both_pictures(halves):
    extractor = LeftHalf()
    nn.init.eye_(extractor.network.weight)
    assert extract_features(extractor, [halves], device="cpu").tolist() == [[1, 0, 0]]
    assert extract_features(extractor, [halves], device="cpu", flip=True).tolist() == [[0.5, 0, 0.5]]


@pytest.mark.parametrize("precision", [Precision.bfloat16, Precision.float16])
def test_reduced_precision_is_close_but_not_equal(halves, precision):
    extractor = LeftHalf()
    exact = extract_features(extractor, [halves], device="cpu")
    reduced = extract_features(extractor, [halves], device="cpu", precision=precision)
    assert reduced.dtype == torch.float32 and not torch.equal(exact, reduced)
    torch.testing.assert_close(reduced, exact, rtol=0.01, atol=0.01)


def test_cameras_and_paths_go_with_originals_only(pictures):
    extractor = LeftHalf()
    extract_features(extractor, pictures, [3, 1, 4, 1], batch_size=3, device="cpu")
    assert extractor.cameras == [[3, 1, 4], [1]] and extractor.paths == pictures
    extractor = LeftHalf()
    extract_features(extractor, pictures, batch_size=3, device="cpu")
    assert extractor.cameras == [None, None] and extractor.paths == [None] * 4
    torch.testing.assert_close(
        extract_features(MeanColour(), pictures, [3, 1, 4, 1], device="cpu"),  # a network that asks for no cameras
        torch.tensor(list(COLOURS.values())) / 255,
    )


def test_shards_follow_each_other_from_any_picture(pictures, monkeypatch):
    monkeypatch.setattr(features, "SHARD_PICTURES", 2)
    whole = extract_features(MeanColour(), pictures * 3, batch_size=1, device="cpu")
    for first in (0, 3, 11, 12):
        shards = list(extract_shards(MeanColour(), pictures * 3, first=first, batch_size=1, device="cpu"))
        assert [len(shard) for shard in shards] == [2] * ((12 - first) // 2) + [1] * (first % 2)
        assert torch.equal(torch.cat([whole[:first], *shards]), whole)


def feature_set(**change):
    values = {"feats": torch.rand(5, 3), "pids": torch.arange(5), "camids": torch.zeros(5, dtype=torch.int64)}
    return FeatureSet.of(**({"generated": None, "layout": Layout(), "name": "q"} | values | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feats": torch.empty(0, 3)}, r"not empty, got \(0, 3\)"),
        ({"feats": torch.rand(5)}, r"got \(5,\)"),
        ({"pids": torch.arange(4)}, "5 features but 4 pids"),
        ({"camids": torch.arange(6)}, "5 features but 6 camids"),
        ({"generated": torch.rand(5, 2, 4)}, r"generated must be \(5, M, 3\)"),
        ({"generated": torch.rand(4, 2, 3)}, r"generated must be \(5, M, 3\)"),
        ({"feats": torch.tensor([[1.0], [torch.nan], [1], [torch.inf], [1]])}, "2 of 5 rows .* the first is row 1"),
        ({"generated": torch.full((5, 2, 3), torch.nan)}, "generated: 5 of 5 rows .* row 0"),
    ],
)
def test_check_says_what_is_wrong(change, message):
    assert len(feature_set(generated=torch.rand(5, 2, 3))) == len(feature_set()) == 5
    with pytest.raises(UserError, match=f"^q.*{message}"):
        feature_set(**change)
