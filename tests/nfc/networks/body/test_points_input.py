"""Points as an input: from keypoint files to pose-guided networks, in tests and in training."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.datasets.synthetic.groups import read_groups, write_groups
from NFC.networks import Preprocessing
from NFC.networks.body.extractor import PointsReader
from NFC.networks.body.points import mirrored, resized
from NFC.networks.pie import PIE, PIESizes
from NFC.training.augmentation import AugmentationConfig, augment, augment_with_points
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, read_training_set
from pose2id.errors import UserError
from tests.nfc.networks.zoo import pictures, small_network

NETWORKS = ("pie", "spindlenet", "pdc", "glad")
STILL = AugmentationConfig(flip=0, pad=0, erase=0)


def skeleton(seed: int) -> list[list[float]]:
    """17 keypoints in a picture of 128 x 64."""
    rng = np.random.default_rng(seed)
    return [[float(x), float(y), 1.0] for x, y in rng.uniform((1, 1), (63, 127), (17, 2))]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "keypoints/query").mkdir(parents=True)
    people = [{"keypoints": skeleton(1)}, {"keypoints": skeleton(0), "is_target": True}]
    (tmp_path / "keypoints/query/a.png_keypoints.json").write_text(json.dumps(people))
    (tmp_path / "keypoints/query/empty.png_keypoints.json").write_text("[]")
    return tmp_path / "keypoints"


def test_points_of_files(folder, tmp_path):
    read = PointsReader(Preprocessing(256, 64), folder)
    points = read(pictures(1)[0], tmp_path / "query/a.png")["points"]
    expected = torch.tensor(skeleton(0)) * torch.tensor([1, 2, 1])
    assert points.dtype == torch.float32
    torch.testing.assert_close(points[0], expected[0])
    torch.testing.assert_close(points[[2, 5]], expected[[6, 5]])
    for path in (None, "query_gen/a.png", "query/empty.png", "query/without.png"):
        assert (read(pictures(1)[0], path and tmp_path / path)["points"] == 0).all(), path


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_points_reach_the_network(name, folder, tmp_path):
    extractor = small_network(name).eval().extractor()
    picture = pictures(1)[0]
    without = extractor.sample(picture, tmp_path / "query/a.png")
    extractor.use_keypoints(folder)
    told = extractor.sample(picture, tmp_path / "query/a.png")
    plain, guided = (extractor(**{k: v[None] for k, v in sample.items()}) for sample in (without, told))
    assert torch.equal(plain, extractor(without["pictures"][None])) and guided.isfinite().all()
    assert (plain - guided).abs().max() > 1e-4
    batch = {k: v[None] for k, v in told.items()}
    other = extractor.mirror(batch)["points"]
    assert torch.equal(other, mirrored(batch["points"], extractor.width))


def test_folders_without_files_are_one_line(folder, tmp_path):
    extractor = PIE(PIESizes(**PIE.mini)).extractor()
    with pytest.raises(UserError, match="does not exist"):
        extractor.use_keypoints(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no keypoint files"):
        extractor.use_keypoints(tmp_path / "keypoints/query")


def test_augmentation_moves_the_points_with_the_picture():
    """A bright pixel under each point stays there, whichever side it is then of."""
    shown, points = torch.zeros(8, 3, 40, 20), torch.zeros(8, 18, 3)
    rows, columns = torch.arange(8) + 12, torch.arange(8) + 6
    shown[torch.arange(8), :, rows, columns] = 1
    points[:, 3] = torch.stack([columns, rows, torch.ones(8)], dim=1).float()
    config = AugmentationConfig(flip=0.5, pad=4, erase=0)
    changed, moved = augment_with_points(shown, points, config, torch.Generator().manual_seed(1))
    assert torch.equal(changed, augment(shown, config, torch.Generator().manual_seed(1)))
    seen = moved[..., 2] > 0
    assert (seen.sum(1) == 1).all() and seen[:, 3].any() and seen[:, 6].any() and (moved[~seen] == 0).all()
    for picture, (x, y, _) in zip(changed, moved[seen].tolist(), strict=True):
        assert picture[0, int(y), int(x)] == 1


def test_groups_bring_their_points(tmp_path):
    write_groups(tmp_path / "groups", seed=0, num_groups=6, workers=1)
    config = DataConfig(groups=str(tmp_path / "groups"), cache=str(tmp_path / "cache"), pictures_per_person=2)
    preprocessing = Preprocessing(64, 64)
    training = read_training_set(config, preprocessing)
    expected = torch.from_numpy(np.array(read_groups(tmp_path / "groups").keypoints)).flatten(0, 1)
    expected = resized(expected, (128, 64), (64, 64))
    torch.testing.assert_close(torch.from_numpy(training.points), expected)
    batch = Batches(training, config, STILL, 4, preprocessing)([torch.Generator().manual_seed(0)])
    assert torch.equal(batch["points"], expected[batch["rows"]])


def test_keypoints_of_a_data_set_or_of_groups():
    with pytest.raises(UserError, match="groups bring their own keypoints"):
        read_training_set(DataConfig(groups="groups", keypoints="keypoints"), Preprocessing(64, 32))


def test_a_network_sees_the_picture_it_is_told_of():
    """A torso in one colour fills the PoseBox's torso, for a picture of the network's own size."""
    network = PIE(PIESizes(**PIE.mini))
    picture = Image.new("RGB", (32, 64), (200, 10, 10))
    shown = network.preprocessing()(picture)[None]
    points = torch.zeros(1, 18, 3)
    points[0, [2, 5, 8, 11]] = torch.tensor([[10.0, 15, 1], [22, 15, 1], [12, 30, 1], [20, 30, 1]])
    box = network.boxes(shown, points)[0]
    torch.testing.assert_close(box[:, :28, 10:46], shown[0, :, :1, :1].expand(3, 28, 36))
