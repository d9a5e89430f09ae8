"""Pictures in their own proportions (DSR): as each is alone, whatever stands beside it in a batch."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from NFC.features.extraction import Pictures, Precision, collate, embed
from NFC.features.files import describe_network
from NFC.features.kinds import ColumnFeatures
from NFC.networks import Extractor
from NFC.networks.blocks.own_size import OwnSizeReader
from NFC.networks.dsr import DSR, OFFICIAL
from pose2id.errors import UserError
from pose2id.pictures import picture_tensor
from tests.nfc.networks.zoo import small_network

VARIANTS = ["dsr", "dsr, sfr"]  # 64 x 32 pictures
SIZES = [(128, 64), (50, 64), (90, 60), (25, 32), (300, 60), (64, 128), (25, 32), (7, 7)]
HEIGHTS = [64, 25, 48, 25, 64, 16, 25, 32]


def own_size(variant: str = "dsr", **sizes) -> Extractor:
    network = small_network(variant).eval()
    extractor = DSR(replace(network.sizes, **sizes)).eval().extractor() if sizes else network.extractor()
    extractor.use_own_size()
    return extractor


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]


def batch_of(extractor: Extractor) -> dict[str, Tensor]:
    return collate([extractor.reader()(picture, None) for picture in pictures()])


def alone(extractor: Extractor, picture: Tensor, height: int) -> Tensor:
    return extractor.network.in_own_size(picture[None, :, :height]).padded(extractor.layout.sizes[0]).flatten()[0]


def test_pictures_keep_their_proportions():
    extractor = own_size()
    batch, pre = batch_of(extractor), extractor.preprocessing
    assert batch["pictures"].shape == (8, 3, 64, 32) and batch["heights"].tolist() == HEIGHTS
    for picture, shown, height in zip(pictures(), batch["pictures"], HEIGHTS, strict=True):
        assert torch.equal(shown[:, :height], pre.normalise(picture_tensor(picture, height, 32, pre.resize)))
        assert not shown[:, height:].any()
    assert set(batch) == set(extractor.inputs)
    assert torch.equal(extractor.preprocess(pictures()[1]), batch["pictures"][1])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("flip", [False, True])
@torch.inference_mode()
def test_rows_of_a_batch_are_those_of_each_picture_alone(variant, flip):
    extractor = own_size(variant)
    batch = batch_of(extractor)
    expected = torch.stack([alone(extractor, *row) for row in zip(batch["pictures"], HEIGHTS, strict=True)])
    if flip:
        mirrored = batch["pictures"].flip(-1)
        other = torch.stack([alone(extractor, *row) for row in zip(mirrored, HEIGHTS, strict=True)])
        expected = (expected + other) / 2
    below = torch.arange(64)[:, None] >= batch["heights"][:, None, None, None]
    batch["pictures"] += 9 * below  # which nobody sees
    feats = embed(extractor, batch, torch.device("cpu"), Precision.float32, flip)
    torch.testing.assert_close(feats, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_layout_is_that_of_a_picture_of_full_height(variant):
    extractor = own_size(variant)
    feats = extractor(**batch_of(extractor))
    assert extractor.layout.sizes == (8 * 4 + 7 * 3, 160) and feats.shape == (8, extractor.feature_dim)
    columns = ColumnFeatures.unflatten(feats, *extractor.layout.sizes)
    for weights, own, height in zip(columns.weights, columns.columns, HEIGHTS, strict=True):
        used = -(-height // 8) * 7 - 3
        assert (weights[:used] > 0).all() and not weights[used:].any() and not own[used:].any()
    whole = extractor(batch_of(extractor)["pictures"][:1])
    torch.testing.assert_close(whole, feats[:1])
    more = own_size(variant, windows=[1, 2, 3])
    assert more.layout == extractor.layout != more.network.layout


@pytest.mark.parametrize("backbone", ["resnet50_ibn_a", "small"])
@pytest.mark.parametrize("last_stride", [1, 2])
def test_the_least_height_is_that_of_the_smallest_window(backbone, last_stride):
    sizes = replace(OFFICIAL["fastreid"], backbone=backbone, last_stride=last_stride, windows=[2, 3])
    with torch.device("meta"):
        extractor = DSR(sizes).eval().extractor()
        extractor.use_own_size()
        least = extractor.reader().least
        assert extractor.network.in_own_size(torch.zeros(1, 3, least, 128)).columns.shape[1]
        with pytest.raises(UserError, match="no window of 2, 3 fits"):
            extractor.network.in_own_size(torch.zeros(1, 3, least - 1, 128))


def test_a_picture_too_low_is_named(tmp_path):
    extractor = own_size(windows=[2, 3])
    Image.new("RGB", (64, 16)).save(tmp_path / "flat.png")
    for camids in ([0], None):
        error = Pictures(extractor, [tmp_path / "flat.png"], camids)[0]
        assert isinstance(error, UserError)
        assert f"picture {tmp_path}/flat.png is too flat: 32 pixels wide it is 8 high, and the network needs 9;" in str(
            error
        )
    with pytest.raises(UserError, match="a picture is too flat"):
        extractor.sample(Image.new("RGB", (64, 16)))


def test_windows_that_fit_no_picture_are_one_line():
    with pytest.raises(UserError, match="no window of 5, 6 fits into a map of 8 x 4"):
        own_size(windows=[5, 6, 1])


def test_other_networks_take_one_size():
    for variant in ("baseline", "kpr", "pie"):
        with pytest.raises(UserError, match="the network takes pictures of one size; leave out own_size, or use dsr"):
            small_network(variant).extractor().use_own_size()


def test_kept_features_are_told_apart_where_pictures_have_the_same_pixels():
    extractor = own_size()
    fixed, own = extractor.network.extractor(), extractor
    one, other = (describe_network("dsr", each) for each in (fixed, own))
    assert one.differences(other) == ["own_size"] and describe_network("dsr", own_size()) == other


def test_what_reads_pictures_is_small_enough_to_be_sent():
    sent = pickle.dumps(Pictures(own_size(), [], None))
    assert len(sent) < 2000 and isinstance(pickle.loads(sent).read, OwnSizeReader)
