import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from NFC.networks import Preprocessing, clipreid, pmt
from pose2id.errors import UserError
from pose2id.pictures import OPENCV_BILINEAR, picture_tensor
from tests.nfc.networks.official import golden, manifest


def meta_extractor(stem):
    with torch.device("meta"):
        if stem == "pmt":
            return pmt.from_tensors(manifest(stem), "official.pth")
        return clipreid.from_tensors(manifest(stem), "official.pth")


@pytest.mark.parametrize(
    ("stem", "source"), [("clipreid_vit", "src_market"), ("clipreid_rn50", "src_market"), ("pmt", "src_sysu")]
)
def test_equals_the_official_pipeline(stem, source):
    stored = golden("preprocess")
    tensor = meta_extractor(stem).preprocess(Image.fromarray(stored[source].numpy()))
    assert tensor.shape == (3, 256, 128) and tensor.dtype == torch.float32
    assert torch.equal(tensor[:, ::4, ::4], stored[stem])


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_opencv_filter_and_channel_order():
    pixels = noise(50, 33)
    record = Preprocessing(20, 10, OPENCV_BILINEAR, (0.1, 0.2, 0.3), (1, 2, 4), channel_order="bgr")
    resized = cv2.resize(pixels, (10, 20)).astype(np.float32) / 255
    expected = (resized[..., ::-1] - np.float32([0.1, 0.2, 0.3])) / np.float32([1, 2, 4])
    np.testing.assert_allclose(record(Image.fromarray(pixels)).movedim(0, -1), expected, atol=1e-6)


def test_default_is_the_convention_of_the_generator():
    picture = Image.fromarray(noise(40, 30))
    assert torch.equal(Preprocessing(16, 8)(picture), picture_tensor(picture, 16, 8) * 2 - 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_any_kind_of_picture(mode):
    assert Preprocessing(16, 8)(Image.fromarray(noise(40, 30)).convert(mode)).shape == (3, 16, 8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, r"preprocessing\.height is 0; it must be from 1"),
        ({"resize": "area"}, "unknown resize 'area'; choose one of: nearest, bilinear"),
        ({"channel_order": "hsv"}, "channel_order must be rgb or bgr"),
        ({"mean": (0.5,)}, "mean and std need three numbers"),
        ({"std": (1, 0, 1)}, r"preprocessing\.std is 0; it must be above 0"),
        ({"height": 10**9}, r"preprocessing\.height is 1000000000; it must be"),
    ],
)
def test_mistakes(fields, message):
    with pytest.raises(UserError, match=message):
        Preprocessing(**({"height": 8, "width": 8} | fields))
