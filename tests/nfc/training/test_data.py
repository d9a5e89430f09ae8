"""From pictures on disk to batches."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.datasets.synthetic.groups import read_groups, write_groups
from NFC.networks import Preprocessing
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, read_training_set
from pose2id.errors import UserError
from tests.nfc.toy import write_picture

PEOPLE = {4: (200, 30, 30), 7: (30, 200, 30), 9: (30, 30, 200)}
DRAWN = {4: (180, 180, 20), 7: (20, 180, 180), 9: (180, 20, 180)}
SMALL = Preprocessing(16, 8)
UNCHANGED = AugmentationConfig(flip=0, pad=0, erase=0)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Three people of one colour each, cameras 1 and 3, two pictures a camera; generated ones are of other colours."""
    root = tmp_path / "market"
    for pid, colour in PEOPLE.items():
        for camera in (1, 3):
            for frame in range(2):
                name = f"{pid:04d}_c{camera}s1_{frame:06d}_00.jpg"
                write_picture(root / "bounding_box_train" / name, colour)
                for k in (1, 2):
                    write_picture(root / "bounding_box_train_gen" / f"pose{k}" / name, DRAWN[pid])
    write_picture(root / "query" / "0001_c1s1_000000_00.jpg", (0, 0, 0))
    write_picture(root / "bounding_box_test" / "0001_c2s1_000000_00.jpg", (0, 0, 0))
    return root


def config(root: Path, **settings: object) -> DataConfig:
    settings = {"poses": 2, "pictures_per_person": 2, "cache": str(root.parent / "cache"), **settings}
    return DataConfig(dataset="market1501", dataset_dir=str(root), **settings)


def test_a_data_set_is_decoded_once(market):
    pictures = read_training_set(config(market), SMALL)
    assert pictures.pictures.shape == (12, 16, 8, 3) and pictures.pictures.dtype == np.uint8
    assert pictures.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and pictures.num_labels == 3
    assert sorted(set(pictures.camids.tolist())) == [0, 2]
    for row, colour in zip(pictures.pictures, np.repeat(list(PEOPLE.values()), 4, axis=0), strict=True):
        assert np.abs(row.astype(int) - colour).max() < 6

    (cached,) = (market.parent / "cache").iterdir()
    written = cached.stat().st_mtime_ns
    assert np.array_equal(read_training_set(config(market), SMALL).pictures, pictures.pictures)
    assert cached.stat().st_mtime_ns == written
    read_training_set(config(market), Preprocessing(32, 16))
    write_picture(market / "bounding_box_train" / "0004_c1s1_000000_00.jpg", (0, 0, 0))
    assert read_training_set(config(market), SMALL).pictures[0].max() < 10  # another picture is another cache
    assert len(list((market.parent / "cache").iterdir())) == 3


@pytest.mark.parametrize("ratio", [0.0, 0.4, 1.0])
def test_generated_pictures_of_the_same_person_are_mixed_in(market, ratio):
    settings = config(market, generated_ratio=ratio)
    batches = Batches(read_training_set(settings, SMALL), settings, UNCHANGED, batch_size=6, preprocessing=SMALL)
    share = []
    for seed in range(30):
        batch = batches([torch.Generator().manual_seed(seed), torch.Generator()])
        assert batch["pictures"].shape == (6, 3, 16, 8) and batch["pictures"].dtype == torch.float32
        assert sorted(Counter(batch["labels"].tolist()).values()) == [2, 2, 2]
        assert set(batch["camids"].tolist()) <= {0, 2}
        colours = [list((DRAWN if drawn else PEOPLE).values()) for drawn in batch["generated"]]
        expected = torch.tensor([c[label] for c, label in zip(colours, batch["labels"], strict=True)]) / 127.5 - 1
        assert (batch["pictures"] - expected[:, :, None, None]).abs().max() < 0.05
        share.append(batch["generated"].float().mean().item())
    assert abs(np.mean(share) - ratio) < 0.15


def test_a_step_has_its_own_batch(market):
    settings = config(market, generated_ratio=0.5)
    batches = Batches(
        read_training_set(settings, SMALL), settings, AugmentationConfig(pad=1), batch_size=4, preprocessing=SMALL
    )
    first, again, other = (batches([torch.Generator().manual_seed(seed)]) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["pictures"], other["pictures"])


def test_groups_tell_infrared_from_visible_and_know_their_cameras(tmp_path):
    write_groups(tmp_path / "groups", seed=0, num_groups=12, workers=1)
    groups = read_groups(tmp_path / "groups")
    pictures = read_training_set(DataConfig(groups=str(tmp_path / "groups")), Preprocessing(128, 64))
    assert pictures.pictures.shape == (48, 128, 64, 3)
    for row in (0, 17, 47):
        assert np.array_equal(pictures.pictures[row], groups.pictures[row // 4, row % 4])
        _, camera, infrared, _ = groups.labels[row // 4]
        assert pictures.camids[row] == camera + 60 * infrared
        assert (pictures.camids[row] in pictures.infrared) == infrared
    people = [(pid, infrared) for pid, _, infrared, _ in groups.labels.repeat(4, axis=0).tolist()]
    assert pictures.num_labels == len(set(people)) == len(set(zip(people, pictures.labels, strict=True)))


def test_groups_are_resized_once(tmp_path):
    write_groups(tmp_path / "groups", seed=0, num_groups=3, workers=1)
    config = DataConfig(groups=str(tmp_path / "groups"), cache=str(tmp_path / "cache"))
    small = Preprocessing(64, 32, "bilinear")
    pictures = read_training_set(config, small).pictures
    first = Image.fromarray(read_groups(tmp_path / "groups").pictures[0, 0])
    expected = np.array(first.resize((32, 64), Image.Resampling.BILINEAR))
    assert pictures.shape == (12, 64, 32, 3) and np.abs(pictures[0].astype(int) - expected).max() <= 1
    (kept,) = (tmp_path / "cache").glob("pictures-*.npy")
    time = kept.stat().st_mtime_ns
    read_training_set(config, small)
    assert kept.stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "data.groups or data.dataset"),
        ({"groups": "g", "dataset": "market1501", "dataset_dir": "d"}, "data.groups or data.dataset"),
        ({"dataset": "market1501"}, "data.dataset_dir"),
        ({"groups": "g", "generated_ratio": 0.5}, "no generated"),
        ({"dataset": "market1501", "dataset_dir": "d", "generated_ratio": 1.5}, "1.5"),
    ],
)
def test_data_that_cannot_be_named_are_one_line(settings, told):
    with pytest.raises(UserError, match=told):
        read_training_set(DataConfig(**settings), SMALL)


def test_missing_generated_and_broken_pictures_are_named(market):
    (market / "bounding_box_train_gen/pose2/0007_c3s1_000001_00.jpg").unlink()
    with pytest.raises(UserError, match=r"pose2/0007_c3s1_000001_00.jpg.*pose2id generate.*--splits train"):
        read_training_set(config(market, generated_ratio=0.1), SMALL)
    (market / "bounding_box_train/0007_c3s1_000001_00.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0007_c3s1_000001_00.jpg"):
        read_training_set(config(market), SMALL)
    assert not list((market.parent / "cache").glob("*"))  # nothing half written stays


def test_a_data_set_without_training_pictures_says_so(market):
    for path in (market / "bounding_box_train").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no training pictures"):
        read_training_set(config(market), SMALL)
