"""The extraction loop."""

import pytest
import torch
from PIL import Image

from NFC.errors import UserError
from NFC.features import extract_features, pick_device
from tests.nfc.toy import COLOURS, MeanColour, write_picture


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{pid}.png" for pid in COLOURS]
    for path, colour in zip(paths, COLOURS.values(), strict=True):
        write_picture(path, colour)
    return paths


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (3, 0), (64, 0), (2, 2)])
def test_order_and_values(pictures, batch_size, num_workers):
    feats = extract_features(MeanColour(), pictures, batch_size, "cpu", num_workers)
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


def test_refuses(pictures):
    with pytest.raises(UserError, match="no pictures"):
        extract_features(MeanColour(), [])
    with pytest.raises(UserError, match="batch_size"):
        extract_features(MeanColour(), pictures, batch_size=0)
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(UserError, match=device):
            pick_device(device)
