"""Points as an input: from keypoint files to pose-guided networks, in tests and in training."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.datasets import build_dataset
from NFC.datasets.synthetic.groups import read_groups, write_groups
from NFC.datasets.synthetic.layouts import write_layout
from NFC.networks import Preprocessing
from NFC.networks.body.bodies import Bodies
from NFC.networks.body.extractor import BodyReader
from NFC.networks.body.inputs import BodyInputs
from NFC.networks.body.points import mirrored, resized
from NFC.networks.body.sources import keypoint_source
from NFC.networks.pie import PIE, PIESizes
from NFC.training.augmentation import AugmentationConfig, Shown, augment, augment_shown
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, read_training_set
from pose2id.errors import UserError
from tests.nfc.networks.zoo import pictures, small_network

NETWORKS = ("pie", "spindlenet", "pdc", "glad", "foreground")
POINTS = BodyInputs(("points",))
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
    read = BodyReader(Preprocessing(256, 64), POINTS, Bodies(keypoint_source(folder)))
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


def test_points_of_lines(tmp_path):
    """As `pose2id poses prepare` writes them."""
    points, coco = np.random.default_rng(0).uniform(1, 60, (2, 18, 3)).round(1), skeleton(3)
    rows = [("query/a.png", points[0]), ("a.png", points[1]), ("./gallery/b.png", np.array(coco))]
    lines = [json.dumps({"path": name, "size": [64, 128], "keypoints": row.tolist()}) for name, row in rows]
    (tmp_path / "keypoints.jsonl").write_text("\n".join(lines) + "\n")
    read = BodyReader(Preprocessing(128, 32), POINTS, Bodies(keypoint_source(tmp_path / "keypoints.jsonl")))
    found = {name: read(pictures(1)[0], tmp_path / name)["points"] for name in ("query/a.png", "other/a.png")}
    factors = torch.tensor([0.5, 1, 1])
    torch.testing.assert_close(found["query/a.png"], torch.from_numpy(points[0]).float() * factors)
    torch.testing.assert_close(found["other/a.png"], torch.from_numpy(points[1]).float() * factors)
    own = read(pictures(1)[0], tmp_path / "gallery/b.png")["points"]
    torch.testing.assert_close(own[0], torch.tensor(coco[0]) * factors)
    for name in ("query_gen/a.png", "query/c.png"):
        assert (read(pictures(1)[0], tmp_path / name)["points"] == 0).all()
    (tmp_path / "keypoints.jsonl").write_text('{"path": "a.png", "keypoints": [[1, 2, 3]]}\n')
    with pytest.raises(UserError, match="1 keypoints, expected 18"):
        keypoint_source(tmp_path / "keypoints.jsonl")


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
    changed, moved, _ = augment_shown(Shown(shown, points), config, torch.Generator().manual_seed(1))
    assert torch.equal(changed, augment(shown, config, torch.Generator().manual_seed(1)))
    seen = moved[..., 2] > 0
    assert (seen.sum(1) == 1).all() and seen[:, 3].any() and seen[:, 6].any() and (moved[~seen] == 0).all()
    for picture, (x, y, _) in zip(changed, moved[seen].tolist(), strict=True):
        assert picture[0, int(y), int(x)] == 1


def test_groups_bring_their_points(tmp_path):
    write_groups(tmp_path / "groups", seed=0, num_groups=6, workers=1)
    config = DataConfig(groups=str(tmp_path / "groups"), cache=str(tmp_path / "cache"), pictures_per_person=2)
    preprocessing = Preprocessing(64, 64)
    training = read_training_set(config, preprocessing, POINTS)
    expected = torch.from_numpy(np.array(read_groups(tmp_path / "groups").keypoints)).flatten(0, 1)
    expected = resized(expected, (128, 64), (64, 64))
    torch.testing.assert_close(torch.from_numpy(training.bodies.points), expected)
    batch = Batches(training, config, STILL, 4, preprocessing)([torch.Generator().manual_seed(0)])
    assert torch.equal(batch["points"], expected[batch["rows"]])


def test_keypoints_of_a_data_set(tmp_path):
    write_layout("market1501", tmp_path / "market", seed=5, train_pids=2, test_pids=1, workers=1, shots=1)
    dataset = build_dataset("market1501", tmp_path / "market")
    names = [record.path.relative_to(dataset.root).as_posix() for record in dataset.train]
    rows = {name: np.full((18, 3), 1.0 + number).tolist() for number, name in enumerate(names[:-1])}
    lines = [json.dumps({"path": name, "keypoints": row}) for name, row in rows.items()]
    (tmp_path / "keypoints.jsonl").write_text("\n".join(lines))
    place = {"dataset": "market1501", "dataset_dir": str(tmp_path / "market"), "cache": str(tmp_path / "cache")}
    training = read_training_set(
        DataConfig(**place, keypoints=str(tmp_path / "keypoints.jsonl")), Preprocessing(128, 64), POINTS
    )
    points = training.bodies.points
    assert points.shape == (len(names), 18, 3) and points.dtype == np.float32
    assert points[:, 0, 2].tolist() == [*range(1, len(names)), 0]
    assert read_training_set(DataConfig(**place), Preprocessing(128, 64)).bodies.points is None
    with pytest.raises(UserError, match=r"learns from the points of bodies: name their keypoints, data\.keypoints"):
        read_training_set(DataConfig(**place), Preprocessing(128, 64), POINTS)


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
