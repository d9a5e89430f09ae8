"""What readers do not read is told, whichever the layout; evaluation needs no training pictures."""

import os

import pytest
from PIL import Image

from NFC.datasets import DATASETS, build_dataset
from pose2id.errors import UserError
from tests.nfc.datasets.trees import TREES

# A folder of pictures of each layout; pictures lie in it.
FOLDERS = {
    "market1501": "bounding_box_test",
    "dukemtmc": "query",
    "occluded_duke": "bounding_box_train",
    "msmt17": "test/0000",
    "sysu_mm01": "cam2/0006",
    "regdb": "Thermal/2",
    "occluded_reid": "whole_body_images/001",
    "p_dukemtmc": "train/occluded_body_images/0003",
    "p_ethz": "whole_body_images/001",
    "partial_reid": "partial_body_images",
    "partial_ilids": "whole_body_images",
    "cuhk03": "detected/bounding_box_test",
    "cuhk03_classic": "images_detected",
    "viper": "cam_b",
    "custom": "gallery/bob",
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_tells_what_it_does_not_read(tree, name, caplog):
    root, folder = tree(name), FOLDERS[name]
    whole = build_dataset(name, root)
    assert not caplog.records
    for file in ("a.xyz", "b.xyz", "noname", "deep/0001_c1s1_000001_01.jpg", "Thumbs.db", ".c.xyz", "d.txt"):
        (root / folder / file).parent.mkdir(exist_ok=True)
        (root / folder / file).touch()
    higher = (root / folder).parent / "0001_c1s1_000001_01.jpg"
    higher.touch()
    assert build_dataset(name, root) == whole
    (record,) = caplog.records
    told = "5 files are not read (2 .xyz, 2 pictures in other folders, 1 without suffix)"
    assert record.message.startswith(f"{name} at {root}: {told}") and "\n" not in record.message


def test_an_empty_split_says_what_lies_there(tree):
    root = tree("custom")
    (root / "query/ann/1.png").rename(root / "query/ann/1.xyz")
    with pytest.raises(
        UserError, match=r"the query holds no pictures; 1 file is not read \(1 \.xyz\), the first .*1\.xyz"
    ):
        build_dataset("custom", root)


@pytest.mark.parametrize("suffix", ["webp", "jfif", "jpe", "gif", "jp2", "pnm", "avif", "heic", "TIFF"])
def test_both_halves_read_the_same_formats(tree, suffix):
    root = tree("custom")
    (root / "gallery/ann/2.jpeg").rename(root / f"gallery/ann/2.{suffix}")
    assert len(build_dataset("custom", root).gallery) == 2


@pytest.mark.parametrize(
    "name", ["market1501", "dukemtmc", "occluded_duke", "p_dukemtmc", "sysu_mm01", "msmt17", "cuhk03"]
)
def test_evaluation_needs_no_training_pictures(tree, name, caplog):
    lacking = ("bounding_box_train", "detected/bounding_box_train", "train/", "exp/train", "exp/val")
    lacking += ("list_train", "list_val")
    root = tree(name, **{path: False for path in TREES[name] if path.startswith(lacking)})
    dataset = build_dataset(name, root)
    assert not dataset.train and dataset.query and dataset.gallery and "train" not in dataset.published
    assert not caplog.records


def test_names_that_are_no_utf8_are_named(tree):
    root = tree("market1501")
    (root / "query" / os.fsdecode(b"0002_c1s1_\xff.jpg")).touch()
    with pytest.raises(
        UserError, match=r"market1501: .*0002_c1s1_.*udcff\.jpg has a name that is no UTF-8; rename it"
    ) as error:
        build_dataset("market1501", root)
    str(error.value).encode()


def test_folders_that_systems_leave_are_no_people(tree):
    root = tree("occluded_reid", **{"whole_body_images/@eaDir/001_01.tif": None})
    assert len(build_dataset("occluded_reid", root).gallery) == 1


def test_turned_pictures_of_a_data_set(tree):
    """A gallery turned with its tag is the same gallery."""
    from pose2id.pictures import read_picture

    root = tree("custom")
    upright = Image.effect_noise((8, 16), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(root / "query/ann/1.png", exif=exif)
    (record,) = build_dataset("custom", root).query
    assert list(read_picture(record.path).getdata()) == list(upright.getdata())
