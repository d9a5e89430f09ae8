"""Label maps as an input: from PNG files, or drawn from points, to what a network is shown at test."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from IPG.poses import read_keypoints, to_pixels
from NFC.features.extraction import Pictures
from NFC.networks.blocks.parsing import PARSINGS, mirrored, part_of, sides_of
from NFC.networks.body.inputs import BodyInputs, every_class
from NFC.networks.body.label_maps import Missing, drawn_labels, label_folder, signed
from NFC.networks.body.points import mirrored as mirrored_points
from NFC.networks.body.points import resized
from NFC.networks.body.sources import pose_keypoints
from NFC.networks.spreid import SPReID
from pose2id.errors import UserError
from tests.commands import ROOT
from tests.nfc.networks.zoo import pictures, small_network

SIZE = (128, 64)
RNG = np.random.default_rng(0)


def known(labels: np.ndarray) -> torch.Tensor:
    """As networks are shown them."""
    return signed(labels).long()


def write_map(path: Path, classes: int, size: tuple[int, int] = SIZE, palette: bool = False) -> np.ndarray:
    """Random blocks of classes; returns (h, w)."""
    blocks = RNG.integers(0, classes, (size[0] // 4, size[1] // 4), dtype=np.uint8)
    labels = blocks.repeat(4, 0).repeat(4, 1)
    picture = Image.fromarray(labels)
    if palette:
        picture.putpalette(RNG.permutation(768).astype(np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return labels


def test_files_by_split_or_by_name_alone(tmp_path):
    own = write_map(tmp_path / "maps/query/a.b.png", 7, palette=True)
    flat = write_map(tmp_path / "maps/a.b.png", 7)
    nested = write_map(tmp_path / "maps/cam1/0001/0001.png", 7)
    folder = label_folder(tmp_path / "maps", "pascal")
    found = {
        name: folder(tmp_path / "data" / name, SIZE, every_class(PARSINGS["pascal"]))
        for name in ("query/a.b.jpg", "gallery/a.b.jpg", "cam1/0001/0001.jpg", "cam2/0001/0001.jpg", "b.jpg")
    }
    assert np.array_equal(found["query/a.b.jpg"], own) and np.array_equal(found["gallery/a.b.jpg"], flat)
    assert np.array_equal(found["cam1/0001/0001.jpg"], nested) and found["cam2/0001/0001.jpg"] is found["b.jpg"] is None
    generated = tmp_path / "data/query_gen/pose1/a.b.jpg"
    assert folder.find(generated) is None  # the original's map is of another pose
    drawn = write_map(tmp_path / "maps/query_gen/pose1/a.b.png", 7)
    assert np.array_equal(folder(generated, SIZE, tuple(range(7))), drawn)


def test_other_sizes_by_the_nearest_pixel(tmp_path):
    labels = write_map(tmp_path / "a.png", 20, (64, 32))
    folder, table = label_folder(tmp_path, "lip"), PARSINGS["lip"].parts
    expected = part_of(torch.from_numpy(labels).long(), table)
    assert torch.equal(known(folder(Path("a.jpg"), (64, 32), table)), expected)
    assert torch.equal(
        known(folder(Path("a.jpg"), SIZE, table)), expected.repeat_interleave(2, 0).repeat_interleave(2, 1)
    )
    assert torch.equal(known(folder(Path("a.jpg"), (16, 8), table)), expected[2::4, 2::4])


@pytest.mark.parametrize("last", [False, True], ids=["classes first", "as SCHP's --logits"])
def test_soft_maps(last, tmp_path):
    """The class of the highest score, of the enlarged scores; a PNG file goes before them."""
    scores = RNG.normal(size=(20, 16, 8)).astype(np.float16)
    np.save(tmp_path / "a.npy", np.moveaxis(scores, 0, 2) if last else scores)
    folder, every = label_folder(tmp_path, "lip"), tuple(range(20))
    found = folder(Path("query/a.jpg"), (16, 8), every)
    assert found.dtype == np.uint8 and np.array_equal(found, scores.argmax(0))
    parts = PARSINGS["lip"].parts
    assert np.array_equal(folder(Path("query/a.jpg"), (16, 8), parts), np.array(parts)[found])
    larger = torch.nn.functional.interpolate(torch.from_numpy(scores).float()[None], (64, 32), mode="bilinear")[0]
    agreed = folder(Path("query/a.jpg"), (64, 32), every) == larger.argmax(0).numpy()
    assert agreed.mean() > 0.99  # rounding decides near-ties
    labels = write_map(tmp_path / "query/a.png", 20, (16, 8))
    assert np.array_equal(folder(Path("query/a.jpg"), (16, 8), every), labels)


def test_damaged_soft_maps_are_one_line(tmp_path):
    scores = np.zeros((7, 4, 2), np.float32)
    np.save(tmp_path / "other.npy", scores[:6])
    np.save(tmp_path / "flat.npy", scores[0])
    np.save(tmp_path / "nan.npy", np.where(np.arange(2) == 1, np.nan, scores))
    np.save(tmp_path / "words.npy", scores.astype(str))
    np.save(tmp_path / "objects.npy", scores.astype(object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:150])
    folder = label_folder(tmp_path, "pascal")
    said = {"other": r"shape \(6, 4, 2\)", "flat": "shape", "nan": "not finite", "words": "no scores"}
    for name, text in {**said, "objects": "objects.npy", "cut": "cut.npy"}.items():
        with pytest.raises(UserError, match=text) as error:
            folder(Path(f"{name}.jpg"), SIZE, tuple(range(7)))
        assert f"{name}.npy" in str(error.value) and "\n" not in str(error.value)


def test_mistakes_are_one_line_that_names_the_file(tmp_path):
    write_map(tmp_path / "many.png", 20)
    Image.new("RGB", (4, 8)).save(tmp_path / "rgb.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "many.png").read_bytes()[:100])
    (tmp_path / "empty.png").touch()
    folder = label_folder(tmp_path, "pascal")
    said = {"many": "but pascal has 7", "rgb": "one channel of 8 bits", "cut": "cannot read", "empty": "is empty"}
    for name, text in said.items():
        with pytest.raises(UserError, match=text) as error:
            folder(Path(f"query/{name}.jpg"), SIZE, tuple(range(7)))
        assert f"{name}.png" in str(error.value) and "\n" not in str(error.value)
    for place, classes, text in (
        (tmp_path / "nowhere", "lip", "does not exist"),
        (tmp_path, "coco", "parsing_classes 'coco' is not one of: lip, atr, pascal"),
    ):
        with pytest.raises(UserError, match=text):
            label_folder(place, classes)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no label maps"):
        label_folder(tmp_path / "none", "lip")


def test_mirror_images_of_tables():
    """Twice is the identity; left and right change sides where a network keeps them apart."""
    for name, parsing in PARSINGS.items():
        for table in (every_class(parsing), parsing.parts):
            classes = torch.from_numpy(RNG.integers(0, len(parsing.classes), (2, 8, 6)))
            labels, sides = part_of(classes, table), sides_of(parsing, table)
            turned = mirrored(labels, sides)
            assert torch.equal(mirrored(turned, sides), labels)
            assert torch.equal(turned, part_of(mirrored(classes, parsing.sides), table))
            assert (sides == ()) == (table == parsing.parts or name == "pascal")


def test_maps_drawn_from_points_mirror_with_them(standing):
    points = torch.from_numpy(to_pixels(standing, SIZE)).float()
    labels = drawn_labels(points, SIZE, tuple(range(7)))
    assert set(np.unique(labels)) == set(range(7))
    assert np.array_equal(drawn_labels(mirrored_points(points, SIZE[1]), SIZE, tuple(range(7))), labels[:, ::-1])
    assert (known(drawn_labels(torch.zeros(18, 3), SIZE, tuple(range(7)))) == -1).all()


def test_points_of_generated_pictures():
    """Those of the pose of their folder, in pixels of the picture; every reference has the same."""
    source = pose_keypoints(ROOT / "standard_poses")
    poses = read_keypoints(ROOT / "standard_poses/keypoints.json")
    for k in (1, 8):
        expected = to_pixels(poses[f"pose{k}"], SIZE)
        expected[poses[f"pose{k}"][:, 2] == 0] = 0
        for name in ("a.jpg", "b.jpg"):
            np.testing.assert_allclose(source(Path(f"x/query_gen/pose{k}/{name}"), SIZE), expected, atol=1e-4)
    np.testing.assert_allclose(source(Path("cam1_gen/pose1/0001/a.jpg"), SIZE)[0, 2], poses["pose1"][0, 2])
    for name in ("query_gen/pose9/a.jpg", "query_gen/a.jpg"):
        with pytest.raises(UserError, match="is of no pose 1 to 8"):
            source(Path(name), SIZE)


def test_names_of_poses_count_in_natural_order(tmp_path):
    rows = {f"pose{k}": [[k / 20, 0.5, 1]] * 18 for k in (10, 2, 1)}
    (tmp_path / "keypoints.json").write_text(json.dumps(rows))
    assert pose_keypoints(tmp_path / "keypoints.json").poses[:, 0, 0].tolist() == [1 / 20, 2 / 20, 10 / 20]
    for text in ("{}", '{"a": [[1, 2, 3]]}', "[]"):
        (tmp_path / "keypoints.json").write_text(text)
        with pytest.raises(UserError, match="no file of poses"):
            pose_keypoints(tmp_path)


@pytest.fixture
def spreid() -> SPReID:
    return small_network("spreid").eval()


@torch.no_grad()
def test_label_maps_reach_spreid(spreid, tmp_path):
    labels = write_map(tmp_path / "maps/query/a.png", 20)
    extractor, picture = spreid.extractor(), pictures(1)[0]
    plain = extractor.sample(picture, tmp_path / "query/a.png")
    assert plain.keys() == {"pictures"}
    extractor.use_parsing(tmp_path / "maps", "lip")
    told = extractor.sample(picture, tmp_path / "query/a.png")
    shown = known(label_folder(tmp_path / "maps", "lip")(Path("query/a.jpg"), (128, 128), PARSINGS["lip"].parts))
    assert torch.equal(told["parsing"], shown) and labels.max() > shown.max()
    batch = {name: values[None] for name, values in told.items()}
    assert torch.equal(extractor(**batch), spreid(batch["pictures"], batch["parsing"]))
    assert not torch.allclose(extractor(**batch), extractor(plain["pictures"][None]), rtol=1e-3, atol=0)
    assert pickle.loads(pickle.dumps(extractor.reader()))(picture, tmp_path / "query/a.png").keys() == told.keys()
    with pytest.raises(
        UserError, match=r"no label map of .*query/b\.png in .*maps: expected query/b\.png there; write it"
    ):
        extractor.sample(picture, tmp_path / "query/b.png")


@torch.no_grad()
def test_a_picture_without_a_map_is_parsed_by_the_network(spreid, tmp_path):
    write_map(tmp_path / "maps/query/a.png", 7)
    extractor, picture = spreid.extractor(), pictures(1)[0]
    extractor.use_parsing(tmp_path / "maps", missing=Missing.skip)
    samples = [extractor.sample(picture, tmp_path / f"query/{name}.png") for name in "ab"]
    assert (samples[1]["parsing"] == -1).all()
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    feats = extractor(**batch)
    torch.testing.assert_close(feats[1:], spreid(batch["pictures"][1:]))
    torch.testing.assert_close(feats[:1], spreid(batch["pictures"][:1], batch["parsing"][:1]))


def test_generated_pictures_get_the_map_of_their_pose(spreid, tmp_path):
    write_map(tmp_path / "maps/query/a.png", 7)
    path = tmp_path / "query_gen/pose1/a.png"
    path.parent.mkdir(parents=True)
    pictures(1)[0].save(path)
    extractor = spreid.extractor()
    extractor.use_parsing(tmp_path / "maps")
    with pytest.raises(UserError, match=r"expected query_gen/pose1/a\.png there; write it, give generated_keypoints"):
        raise Pictures(extractor, [path], None)[0]
    extractor.use_generated_keypoints(ROOT / "standard_poses")
    points = resized(extractor.bodies.generated(path, SIZE), SIZE, (128, 128))
    expected = known(drawn_labels(points, (128, 128), PARSINGS["pascal"].parts))
    assert torch.equal(Pictures(extractor, [path], None)[0]["parsing"], expected) and expected.unique().numel() == 4
    own = write_map(tmp_path / "maps/query_gen/pose1/a.png", 7, (128, 128))
    table = torch.tensor(PARSINGS["pascal"].parts)
    assert torch.equal(Pictures(extractor, [path], None)[0]["parsing"], table[torch.from_numpy(own).long()])


def test_points_of_generated_pictures_reach_the_network(tmp_path):
    extractor = small_network("pie").eval().extractor()
    pictures(1)[0].save(tmp_path / "a.png")
    path = tmp_path / "query_gen/pose2/a.png"
    path.parent.mkdir(parents=True)
    pictures(1)[0].save(path)
    assert (Pictures(extractor, [path], None)[0]["points"] == 0).all()
    extractor.use_generated_keypoints(ROOT / "standard_poses/keypoints.json")
    assert (Pictures(extractor, [path], None)[0]["points"][:, 2] > 0).sum() > 10
    assert (Pictures(extractor, [tmp_path / "a.png"], None)[0]["points"] == 0).all()


def test_heat_maps_of_inputs():
    points = torch.rand(2, 18, 3) * torch.tensor([64, 128, 1]) + torch.tensor([0, 0, 0.1])
    points[1, [1, 4]] = 0  # the neck, which COCO does not have, and the right wrist
    made = BodyInputs(("heat_maps",), stride=4, deviation=2.0).of(points, None, (130, 64))
    assert made.keys() == {"heat_maps"} and made["heat_maps"].shape == (2, 17, 33, 16)
    peaks = made["heat_maps"].flatten(2).amax(2)
    assert (peaks[0] > 0.9).sum() >= 16 and peaks[1].eq(0).nonzero().flatten().tolist() == [10]
