"""What networks declare to be told of bodies arrives in batches, moved with the pictures, or one line says why not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.datasets import build_dataset, generated_paths
from NFC.datasets.synthetic.groups import read_groups, write_groups
from NFC.datasets.synthetic.layouts import write_layout
from NFC.networks.base import Preprocessing
from NFC.networks.blocks.limbs import limb_map
from NFC.networks.blocks.parsing import PARSINGS, mirrored
from NFC.networks.body.heat_maps import heat_maps
from NFC.networks.body.inputs import BodyInputs
from NFC.networks.body.label_maps import UNKNOWN, Missing
from NFC.networks.body.points import SWAPPED, to_coco
from NFC.networks.body.points import mirrored as mirrored_points
from NFC.networks.reid_network import Inputs
from NFC.training.augmentation import AugmentationConfig, Shown, augment, augment_shown
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, read_training_set
from NFC.training.network import described
from pose2id.errors import UserError
from tests.commands import ROOT
from tests.nfc.networks.zoo import VARIANTS, network_config, small_network

STILL = AugmentationConfig(flip=0, pad=0, erase=0)
NOTHING = {"flip": 0.0, "pad": 0, "erase": 0.0}
SIZE = Preprocessing(64, 32)
PARSED = BodyInputs(("parsing",))
DECLARING = [variant for variant in VARIANTS if described(network_config(variant)).training_inputs().names]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies") / "groups"
    write_groups(folder, seed=0, num_groups=6, workers=1)
    return folder


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Market1501 whose training pictures have label maps of random blocks, and two generated pictures."""
    root = tmp_path_factory.mktemp("bodies") / "market"
    write_layout("market1501", root, seed=5, train_pids=2, test_pids=1, workers=1, shots=1)
    rng = np.random.default_rng(0)
    for record in build_dataset("market1501", root).train:
        for path in generated_paths(record, 2):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (128, 256), (10, 20, 30)).save(path)
        blocks = rng.integers(0, 7, (16, 8), dtype=np.uint8)
        file = root.parent / "maps" / record.path.parent.name / f"{record.path.stem}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(file)
    return root


def data_of(market: Path, **settings) -> DataConfig:
    place = {"dataset": "market1501", "dataset_dir": str(market), "cache": str(market.parent / "cache"), "poses": 2}
    return DataConfig(**place, pictures_per_person=2, **settings)


def batch_of(config: DataConfig, told: BodyInputs, augmentation=STILL, preprocessing=SIZE) -> dict[str, torch.Tensor]:
    pictures = read_training_set(config, preprocessing, told)
    return Batches(pictures, config, augmentation, 4, preprocessing)([torch.Generator().manual_seed(0)])


@pytest.mark.parametrize("variant", DECLARING)
def test_what_is_declared_arrives(groups, tmp_path, variant):
    """And nothing else, in the shapes that the network learns from."""
    network = described(network_config(variant))
    told, parsing = network.training_inputs(), "own" if "parsing" in network.training_inputs().names else None
    config = DataConfig(groups=str(groups), cache=str(tmp_path), pictures_per_person=2, parsing=parsing)
    batch = batch_of(config, told, AugmentationConfig(pad=2), network.preprocessing())
    fields = set(batch) & set(Inputs.__dataclass_fields__) - {"pictures", "camids"}
    assert fields == set(told.names)
    inputs = Inputs(batch["pictures"], batch["camids"], **{name: batch[name] for name in fields})
    branches, own = small_network(variant).outputs(inputs, batch["labels"] % 3)
    outputs = [branch.features if branch.scores is None else branch.scores for branch in branches]
    assert outputs and all(output.isfinite().all() for output in outputs)
    assert all(value > 0 for value in own.values()) and bool(own) == variant.startswith(("sap", "rbnet"))


@pytest.mark.parametrize("variant", DECLARING)
def test_what_is_lacking_is_one_line(market, variant):
    told = described(network_config(variant)).training_inputs()
    if told.optional:
        assert batch_of(data_of(market), told).keys().isdisjoint(told.names)
    else:
        with pytest.raises(UserError, match=r"the network learns from .*data\.") as error:
            read_training_set(data_of(market), SIZE, told)
        assert "\n" not in str(error.value)


def test_networks_that_declare_nothing_are_told_nothing(groups, market):
    config = DataConfig(groups=str(groups), pictures_per_person=2, cache=str(market.parent / "cache"))
    assert not set(batch_of(config, BodyInputs())) & {"points", "parsing", "heat_maps"}
    with pytest.raises(UserError, match=r"learns nothing from label maps; leave out data\.parsing"):
        read_training_set(data_of(market, parsing="keypoints"), SIZE)


def test_label_maps_of_files(market):
    config = data_of(market, parsing=str(market.parent / "maps"))
    batch = batch_of(config, PARSED)
    records = build_dataset("market1501", market).train
    for row, labels in zip(batch["rows"].tolist(), batch["parsing"], strict=True):
        file = market.parent / "maps/bounding_box_train" / f"{records[row].path.stem}.png"
        assert torch.equal(labels, torch.from_numpy(np.array(Image.open(file).resize((32, 64), 0))).long())
    again = read_training_set(config, SIZE, PARSED).bodies.labels
    file = next((market.parent / "maps/bounding_box_train").iterdir())
    whole = file.read_bytes()
    Image.new("L", (8, 16), 5).save(file)
    changed = read_training_set(config, SIZE, PARSED).bodies.labels  # other files are another cache
    assert (changed != again).any((1, 2)).sum() == 1
    file.unlink()
    with pytest.raises(UserError, match=rf"no label map of .*{file.stem}.*missing_parsing=skip"):
        read_training_set(config, SIZE, PARSED)
    skipped = data_of(market, parsing=str(market.parent / "maps"), missing_parsing=Missing.skip)
    assert (read_training_set(skipped, SIZE, PARSED).bodies.labels == UNKNOWN).all((1, 2)).sum() == 1
    file.write_bytes(whole)


def test_generated_pictures_have_the_points_and_the_map_of_their_pose(market):
    told = BodyInputs(("points", "parsing", "heat_maps"))
    records = build_dataset("market1501", market).train
    lines = [f'{{"path": "{r.path.name}", "keypoints": {[[1.0, 2.0, 1.0]] * 18}}}' for r in records]
    (market.parent / "keypoints.jsonl").write_text("\n".join(lines))
    settings = {"generated_ratio": 1.0, "keypoints": str(market.parent / "keypoints.jsonl")}
    maps = str(market.parent / "maps")
    with pytest.raises(UserError, match=r"expected bounding_box_train_gen/pose1/.*give generated_keypoints"):
        read_training_set(data_of(market, parsing=maps, **settings), SIZE, told)
    config = data_of(market, parsing=maps, generated_keypoints=str(ROOT / "standard_poses"), **settings)
    batch = batch_of(config, told)
    assert batch["generated"].all()
    sources, path = read_training_set(config, SIZE, told).bodies.sources, Path("x_gen/pose{}/a.png")
    poses = [sources.points(Path(str(path).format(k)), (256, 128), (64, 32)) for k in (1, 2)]
    for points, labels, maps in zip(batch["points"], batch["parsing"], batch["heat_maps"], strict=True):
        (k,) = [k for k, pose in enumerate(poses) if torch.equal(pose, points)]
        assert torch.equal(labels, limb_map(poses[k] + torch.tensor([0.5, 0.5, 0]), 64, 32))
        assert torch.equal(maps, heat_maps(to_coco(poses[k]), (16, 8), 4))
    without = batch_of(data_of(market, **settings), BodyInputs(("points",)))
    assert (without["points"] == 0).all()


@pytest.mark.parametrize("parsing", [None, "own", "keypoints"])
def test_label_maps_of_groups(groups, tmp_path, parsing):
    config = DataConfig(groups=str(groups), cache=str(tmp_path), pictures_per_person=2, parsing=parsing)
    labels = read_training_set(config, SIZE, PARSED).bodies.labels
    kept = read_groups(groups)
    if parsing == "keypoints":
        points = torch.from_numpy(np.array(kept.keypoints[0, 1])) * torch.tensor([0.5, 0.5, 1])
        assert np.array_equal(labels[1], limb_map(points + torch.tensor([0.5, 0.5, 0]), 64, 32))
    else:
        assert np.array_equal(labels, kept.parsing.reshape(-1, 128, 64)[:, 1::2, 1::2])
    with pytest.raises(UserError, match="own or keypoints, not maps"):
        read_training_set(DataConfig(groups=str(groups), parsing="maps"), SIZE, PARSED)


def test_older_groups_have_no_label_maps(tmp_path):
    write_groups(tmp_path, seed=0, num_groups=1, workers=1)
    (tmp_path / "parsing.npy").unlink()
    with pytest.raises(UserError, match=r"groups without label maps; write them again .*data\.parsing=keypoints"):
        read_training_set(DataConfig(groups=str(tmp_path)), SIZE, PARSED)


def test_keypoints_of_other_pictures_are_one_line(market, tmp_path):
    (tmp_path / "keypoints.jsonl").write_text(f'{{"path": "other.jpg", "keypoints": {[[1, 2, 1]] * 18}}}')
    config = data_of(market, keypoints=str(tmp_path / "keypoints.jsonl"))
    with pytest.raises(UserError, match=r"none of \d+ pictures has keypoints in .*keypoints\.jsonl; check the path"):
        read_training_set(config, SIZE, BodyInputs(("points",)))


def changed(seed: int, sides=(), **settings) -> tuple[Shown, Shown]:
    """Pictures whose red channel is their label map, before and after."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(1, 6, (50, 24, 12), generator=generator)
    pictures = torch.rand(50, 3, 24, 12, generator=generator)
    pictures[:, 0] = labels / 10
    before = Shown(pictures, None, labels)
    config = AugmentationConfig(**{**NOTHING, **settings})
    return before, augment_shown(before, config, torch.Generator().manual_seed(seed), sides)


def test_label_maps_move_with_the_picture():
    """Where the picture still shows what it showed, the label is the same; all else is background."""
    before, after = changed(0, flip=0.5, pad=3, erase=0.5)
    own = (after.pictures[:, 0] * 10).round().long()
    inside = after.labels > 0
    assert torch.equal(after.labels[inside], own[inside]) and 0.5 < inside.float().mean() < 0.95
    plain = augment(before.pictures, AugmentationConfig(flip=0.5, pad=3, erase=0.5), torch.Generator().manual_seed(0))
    assert torch.equal(plain, after.pictures)  # no random number is drawn for the maps


def test_what_is_erased_or_comes_in_is_background():
    before, after = changed(1, erase=1.0)
    erased = (before.pictures != after.pictures).any(1)
    assert torch.equal(after.labels == 0, erased) and torch.equal(after.labels[~erased], before.labels[~erased])
    _, after = changed(2, pad=4)
    outside = (after.labels == 0).flatten(1).sum(1)
    assert (outside > 0).sum() > 40 and (outside <= 24 * 12 - 20 * 8).all()


def test_unknown_maps_stay_unknown():
    labels = torch.full((4, 8, 4), -1)
    shown = Shown(torch.rand(4, 3, 8, 4), None, labels)
    config = AugmentationConfig(flip=0.5, pad=2, erase=1.0)
    assert torch.equal(augment_shown(shown, config, torch.Generator(), ((1, 2),)).labels, labels)


@pytest.mark.parametrize("name", PARSINGS)
def test_flip_then_maps_is_maps_then_flip(name):
    sides = PARSINGS[name].sides
    before, after = changed(3, sides, flip=1.0)
    assert torch.equal(after.labels, mirrored(before.labels, sides))
    naive = before.labels.flip(2)
    swapped = {left: right for pair in sides for left, right in (pair, pair[::-1])}
    naive = torch.tensor([swapped.get(label, label) for label in naive.flatten().tolist()]).view_as(naive)
    assert torch.equal(after.labels, naive)


def test_heat_maps_of_mirrored_points():
    """A joint's map is the mirror image of the other side's, for points that lie on pixels of the map."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randint(2, size - 2, (3, 18), generator=generator).float() for size in (30, 62))
    points = torch.stack([x, y, torch.ones(3, 18)], 2)
    told = BodyInputs(("heat_maps",), stride=1, deviation=1.0)
    plain, turned = (told.of(p, None, (64, 32))["heat_maps"] for p in (points, mirrored_points(points, 32)))
    coco = to_coco(torch.arange(18.0)[:, None]).flatten().long().tolist()
    order = [coco.index(SWAPPED[row]) for row in coco]
    assert torch.equal(turned, plain[:, order].flip(3))
