"""Generated pictures beside the folders of a data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from IPG.job.run import generate
from IPG.job.settings import resolve
from pose2id.pictures import read_picture
from tests.ipg.job.folders import write_nested


def made_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("*_gen/pose*/**/*.*")}


def test_data_set_mode_fills_the_folders_beside_the_splits(config, reference_folder, tmp_path):
    root = tmp_path / "market"
    names = {
        "query": ["0002_c1s1_000451_03.jpg"],
        "bounding_box_test": ["0002_c2s1_000001_01.jpg", "0000_c1s1_000001_01.jpg", "-1_c1s1_000002_01.jpg"],
    }
    for split, files in names.items():
        (root / split).mkdir(parents=True)
        for name in files:
            (root / split / name).write_bytes((reference_folder / "a.jpg").read_bytes())
    (root / "bounding_box_train").mkdir()
    data_set = replace(config, ref_dir=None, out_dir=None, dataset_dir=str(root))
    assert generate(resolve(data_set)) == []
    for split in names:
        made = {path.relative_to(root / f"{split}_gen").as_posix() for path in (root / f"{split}_gen").rglob("*.jpg")}
        assert made == {f"pose{k}/{names[split][0]}" for k in (1, 2)}


def test_data_sets_of_nested_folders_and_other_formats(config, tmp_path):
    root = tmp_path / "Occluded_REID"
    folders = {"occluded_body_images": ["001/001_01.tif", "002/002_01.tif"], "whole_body_images": ["001/001_01.tif"]}
    write_nested(root, folders)
    data_set = {"ref_dir": None, "out_dir": None, "dataset": "occluded_reid", "dataset_dir": str(root)}
    generate(resolve(replace(config, **data_set, splits=["query"])))
    expected = {f"occluded_body_images_gen/pose{k}/{name}" for k in (1, 2) for name in folders["occluded_body_images"]}
    assert made_in(root) == expected
    generate(resolve(replace(config, **data_set)))
    assert made_in(root) == expected | {f"whole_body_images_gen/pose{k}/001/001_01.tif" for k in (1, 2)}
    one, other = (root / f"{folder}_gen/pose1/001/001_01.tif" for folder in folders)
    with Image.open(one) as picture:
        assert picture.format == "TIFF" and picture.size == (64, 128)
    assert (np.asarray(read_picture(one)) != np.asarray(read_picture(other))).any()  # equal references, own noise
    assert (root / "whole_body_images_gen/manifest.json").is_file()


def test_a_data_set_whose_file_names_repeat(config, tmp_path):
    root = tmp_path / "SYSU-MM01"
    write_nested(root, {f"cam{camera}": ["0001/0001.jpg", "0002/0001.jpg"] for camera in range(1, 7)})
    (root / "exp").mkdir()
    for split, pids in (("train", "1"), ("val", ""), ("test", "2")):
        (root / f"exp/{split}_id.txt").write_text(pids)
    data_set = {"ref_dir": None, "out_dir": None, "dataset": "sysu_mm01", "dataset_dir": str(root)}
    assert generate(resolve(replace(config, **data_set, dataset_options={"mode": "indoor"}))) == []
    assert made_in(root) == {f"cam{c}_gen/pose{k}/0002/0001.jpg" for c in (1, 2, 3, 6) for k in (1, 2)}
    contents = {path.read_bytes() for path in root.glob("cam*_gen/pose*/0002/0001.jpg")}
    assert len(contents) == 8  # equal references, but every picture has a noise of its own
