"""What every network says that it looks at: finite maps of the promised shapes; and known cases."""

import json
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from NFC.explain import explain, explain_pair, look_numbers
from NFC.networks.looks import MapLook, PartLook, PathLook, grid_place
from NFC.networks.reid_network import Inputs, ReIDNetwork
from NFC.report.explained import look_sheet, pair_figure
from NFC.report.sheets import TILE
from pose2id.errors import UserError
from tests.nfc.networks.zoo import VARIANTS, pictures, small_network


@pytest.fixture(scope="module", params=VARIANTS)
def extractor(request):
    built = small_network(request.param).eval().extractor()
    if "points" in built.inputs:
        built.keypoints = "somewhere"  # told, though it knows nobody of these pictures
    return built


def finite(look) -> bool:
    values = [getattr(look, field.name) for field in fields(look)]
    tensors = [own for value in values for own in (value if isinstance(value, tuple) else [value])]
    return all(own.isfinite().all() for own in tensors if isinstance(own, Tensor))


def test_one_picture(extractor):
    picture = pictures(1)[0]
    before = extractor(extractor.preprocess(picture)[None])
    if not isinstance(extractor.network, ReIDNetwork):
        with pytest.raises(UserError, match="nothing to show"):
            explain(extractor, picture)
        return
    looks = explain(extractor, picture)
    assert looks
    for look in looks:
        assert finite(look) and look.title
        numbers = look_numbers(look, picture.size)
        assert json.loads(json.dumps(numbers, allow_nan=False))["kind"] == look.kind
        if isinstance(look, MapLook):
            assert look.maps.ndim == 3 and len(look.maps) == len(look.names) and look.maps.min() >= 0
        if isinstance(look, PartLook):
            assert look.maps.sum(0).max() <= 1 + 1e-4
    drawn = look_sheet(picture, "a.jpg", looks, extractor.preprocessing)
    assert drawn.mode == "RGB" and drawn.height >= TILE
    assert torch.equal(before, extractor(extractor.preprocess(picture)[None]))


def test_two_pictures(extractor):
    if not isinstance(extractor.network, ReIDNetwork):
        return
    shown = pictures(2)
    looks = explain_pair(extractor, *shown)
    assert looks or not extractor.network.judges_pairs
    for look in looks:
        assert finite(look) and pair_figure(look, shown).axes
        json.dumps(look_numbers(look, shown[0].size), allow_nan=False)
