"""The smallest data set of each kind: empty pictures, and files with their content."""

from tests.nfc.datasets.release_file import release_file

MSMT = "0000_000_01_0303morning_0015_0.jpg"

TREES: dict[str, dict[str, str | bytes | None]] = {
    "market1501": {
        "bounding_box_train/0005_c1s1_000001_01.jpg": None,
        "query/0002_c1s1_000451_00.jpg": None,
        "bounding_box_test/0002_c6s3_000451_03.jpg": None,
        "bounding_box_test/-1_c1s1_000401_03.jpg": None,
        "bounding_box_test/0000_c2s1_000151_01.jpg": None,
        "bounding_box_test/0002_c3s1_000451_03.jpg.jpg": None,
        "bounding_box_test/Thumbs.db": None,
        "bounding_box_test/._0002_c3s1_000451_03.jpg": None,
    },
    "dukemtmc": {
        "bounding_box_train/0001_c2_f0046182.jpg": None,
        "query/0005_c2_f0046985.jpg": None,
        "bounding_box_test/0005_c8_f0000001.jpg": None,
    },
    "msmt17": {
        f"train/0000/{MSMT}": None,
        "train/0000/0000_001_02_0303morning_0015_0.jpg": None,
        f"test/0000/{MSMT}": None,
        "test/0000/0000_001_15_0303morning_0015_0.jpg": None,
        "list_train.txt": f"0000/{MSMT} 0\n",
        "list_val.txt": "0000/0000_001_02_0303morning_0015_0.jpg 0\n",
        "list_query.txt": f"0000/{MSMT} 0\n",
        "list_gallery.txt": "0000/0000_001_15_0303morning_0015_0.jpg 0\n\n",
    },
    "sysu_mm01": {
        **{f"cam{camera}/{pid}/0001.jpg": None for camera in range(1, 7) for pid in ("0001", "0006")},
        "exp/train_id.txt": "1\n",
        "exp/val_id.txt": "\n",
        "exp/test_id.txt": "6\n",
    },
    "regdb": {
        **{f"{side}/{pid}/{pid}.bmp": None for side in ("Visible", "Thermal") for pid in (1, 2)},
        **{
            f"idx/{split}_{side.lower()}_{trial}.txt": f"{side}/{pid}/{pid}.bmp 0\n"
            for split, pid in (("train", 1), ("test", 2))
            for side in ("Visible", "Thermal")
            for trial in range(1, 11)
        },
    },
    "occluded_reid": {
        "occluded_body_images/001/001_01.tif": None,
        "whole_body_images/001/001_01.tif": None,
    },
    "p_dukemtmc": {
        f"{split}/{folder}_body_images/0003/0003_01.jpg": None
        for split in ("train", "test")
        for folder in ("occluded", "whole")
    },
    "p_ethz": {
        f"{folder}_body_images/{pid}/{pid}_1.png": None for folder in ("occluded", "whole") for pid in ("001", "002")
    },
    "partial_reid": {
        f"{folder}_body_images/{name}.jpg": None
        for folder in ("partial", "occluded", "whole")
        for name in ("001_001", "001_002", "002_001", "002_002")
    },
    "partial_ilids": {
        f"{folder}_body_images/{name}.jpg": None for folder in ("partial", "whole") for name in (1, 10, 2)
    },
    "cuhk03": {
        "detected/bounding_box_train/0001_c1_1.png": None,
        "detected/query/0002_c2_6.png": None,
        "detected/bounding_box_test/0002_c1_2.png": None,
        "labeled/query/0003_c1_1.png": None,
        "labeled/bounding_box_test/0003_c2_7.png": None,
    },
    "cuhk03_classic": {
        "cuhk03_release/cuhk-03.mat": release_file({}, [[(1, 1), (2, 3)]] * 20),
        "images_detected/1_001_1_01.png": None,
        "images_detected/1_001_2_06.png": None,
        "images_detected/1_001_2_07.png": None,
        "images_detected/2_003_1_02.png": None,
        "images_detected/2_003_2_06.png": None,
        "images_detected/5_001_2_10.png": None,
        "images_labeled/1_001_1_01.png": None,
    },
    "viper": {f"{camera}/{name}.bmp": None for camera in ("cam_a", "cam_b") for name in ("000_45", "001_90", "010_0")},
    "custom": {
        "query/ann/1.png": None,
        "gallery/ann/2.jpeg": None,
        "gallery/bob/3.tiff": None,
        "list.csv": "split,path,pid,note\nquery,query/ann/1.png,b,x\ngallery,gallery/ann/2.jpeg,b,\n",
        "list.tsv": "path\tpid\tsplit\tcamid\nquery/ann/1.png\t7\tquery\teast\ngallery/ann/2.jpeg\t07\tgallery\teast\n",
    },
}
TREES["occluded_duke"] = TREES["dukemtmc"]
