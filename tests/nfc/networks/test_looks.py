"""What every network says that it looks at: finite maps of the promised shapes; and known cases."""

import json
from dataclasses import fields

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from NFC.explain import explain, explain_pair, look_numbers
from NFC.features.kinds.alignment import dmli_distances
from NFC.networks import build_extractor
from NFC.networks.blocks.columns import pooled_columns, spread, window_counts
from NFC.networks.blocks.stripe_heads import stripe_means, stripe_shares
from NFC.networks.blocks.vit import class_look
from NFC.networks.looks import BoxLook, MapLook, PartLook, PathLook, PointLook, grid_place
from NFC.networks.preprocessing import Preprocessing
from NFC.networks.reid_network import Inputs, ReIDNetwork
from NFC.report.explained import look_sheet, pair_figure, spread_over
from NFC.report.sheets import TILE
from NFC.training.network import export
from pose2id.errors import UserError
from tests.nfc.networks.zoo import VARIANTS, network_config, pictures, small_network


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


def shown(network, count: int = 1) -> Tensor:
    return torch.stack([network.preprocessing()(picture) for picture in pictures(count)])


@pytest.mark.parametrize(("rows", "parts"), [(8, 4), (7, 3), (3, 5)])
def test_shares_of_stripes_are_their_means(rows, parts):
    shares, maps = stripe_shares(rows, 2, parts), torch.rand(1, 3, rows, 2)
    assert shares.shape == (parts, rows, 2)
    torch.testing.assert_close(shares.sum(0), torch.ones(rows, 2))
    weights = (shares > 0).float()
    means = torch.einsum("phw,bchw->bpc", weights, maps) / weights.sum((1, 2))[:, None]
    torch.testing.assert_close(means, stripe_means(maps, parts))


@torch.no_grad()
def test_parts_of_pcb_and_rpp():
    network = small_network("pcb").eval()
    parts, energy = network.explain(Inputs(shown(network)))
    rows = parts.maps.shape[1] // network.sizes.parts
    for part, own in enumerate(parts.maps):
        assert own[part * rows : (part + 1) * rows].eq(1).all() and own.sum() == rows * own.shape[1]
    torch.testing.assert_close(energy.maps[0], network.backbone(shown(network))[0].norm(dim=0))
    network = small_network("pcb_rpp").eval()
    assert torch.equal(network.explain(Inputs(shown(network)))[0].maps, network.assignment(shown(network))[0])
    network.enter(network.STRIPES)
    assert network.explain(Inputs(shown(network)))[0].maps.unique().tolist() == [0, 1]


def test_uniform_masks_have_equal_shares_and_the_middle():
    numbers = PartLook("Masks", torch.full((4, 6, 3), 0.25), tuple("abcd"), visible=[True, True, False, True])
    numbers = numbers.numbers((64, 128))
    assert numbers["shape"] == [6, 3] and numbers["visible"] == [True, True, False, True]
    for part in numbers["maps"]:
        assert part["share"] == part["mean"] == part["largest"] == 0.25
        assert part["centre"] == pytest.approx([32, 64])
    empty = MapLook("Nothing", torch.zeros(1, 2, 2), ["nothing"]).numbers((8, 16))["maps"][0]
    assert empty == {"name": "nothing", "share": 0.0, "mean": 0.0, "largest": 0.0, "centre": None}


def test_places_are_told_in_pixels_of_the_picture():
    boxes = BoxLook("Regions", torch.tensor([[0.0, 0.25, 0.5, 1.0]]), ["region"])
    assert boxes.numbers((200, 400))["boxes"] == [{"name": "region", "box": [0.0, 100.0, 100.0, 400.0]}]
    points = PointLook("Points", torch.tensor([[0.5, 0.25, 0.75]]), ["nose"])
    assert points.numbers((200, 400))["points"] == [{"name": "nose", "point": [100.0, 100.0, 0.75]}]
    corner = torch.zeros(1, 4, 2)
    corner[0, 3, 0] = 2.0
    place = grid_place(7.5, 12, (4, 2), (64, 32))  # cells of 12 pixels from 2 on
    centre = MapLook("Corner", corner, ["corner"], place=place).numbers((32, 64))["maps"][0]["centre"]
    assert centre == pytest.approx([8, 44])
    drawn = spread_over(corner, place, Image.new("RGB", (32, 64)))[0]
    top, left = divmod(int(drawn.argmax()), 32)
    assert 43 <= top <= 63 and left <= 8 and drawn[:20].max() == 0
    assert grid_place(7.5, 16, (8, 4), (128, 64)) == (0, 0, 1, 1)


@torch.no_grad()
def test_attention_of_the_class_token_is_that_of_the_block():
    network = small_network("pmt").eval()
    block, weights = network.base.blocks[-1], []
    block.attn.fused_attn = False
    hook = block.attn.attn_drop.register_forward_hook(lambda *given: weights.append(given[-1]))
    look = class_look(block, network.base.patch_embed, shown(network), network)
    hook.remove()
    expected = weights[0][0, :, 0, 1:].mean(0)  # (heads, 1 + N, 1 + N) -> (N,)
    torch.testing.assert_close(look.maps.flatten(), expected)
    assert not block._forward_pre_hooks


@torch.no_grad()
def test_proxies_of_sap():
    network = small_network("sap").eval()
    proxies, token = network.explain(Inputs(shown(network)))
    torch.testing.assert_close(proxies.maps.sum((1, 2)), torch.ones(len(proxies.maps)))
    assert len(proxies.names) == 1 + network.sizes.parts and proxies.maps.shape[1:] == token.maps.shape[1:]
    assert proxies.names[0] == "background"
    stripes = small_network("sap, stripes").eval()
    assert len(stripes.explain(Inputs(shown(stripes)))[0].names) == stripes.sizes.parts


@torch.no_grad()
def test_parts_count_as_seen_where_the_feature_has_them():
    network = small_network("bpbreid").eval()
    features = network(shown(network))
    parts, foreground, _ = network.explain(Inputs(shown(network)))
    assert list(parts.visible) == features.visibility[0, 1:].tolist()
    assert torch.equal(foreground.maps[0], parts.maps.amax(0))


@torch.no_grad()
def test_label_maps_take_the_place_of_the_parser():
    network = small_network("spreid").eval()
    parsing = torch.zeros(1, *shown(network).shape[2:], dtype=torch.int64)
    parsing[:, : parsing.shape[1] // 2] = 3
    parts, foreground, _ = network.explain(Inputs(shown(network), parsing=parsing))
    assert parts.names[2] == "legs" and foreground.maps[0, 0].eq(1).all() and foreground.maps[0, -1].eq(0).all()
    assert torch.equal(parts.maps[2], foreground.maps[0]) and parts.maps[[0, 1, 3]].eq(0).all()


def test_weights_of_windows_over_places_against_loops():
    windows, stride, size = [2, 3, 0], 2, (5, 4)
    weights = torch.rand(sum(window_counts(*size, windows, stride)))
    total, hits, number = torch.zeros(size), torch.zeros(size), 0
    for window in windows:
        high, wide = (window, window) if window else size
        for top in range(0, size[0] - high + 1, stride):
            for left in range(0, size[1] - wide + 1, stride):
                total[top : top + high, left : left + wide] += weights[number]
                hits[top : top + high, left : left + wide] += 1
                number += 1
    assert number == pooled_columns(torch.rand(1, 2, *size), windows, stride, "max").shape[1]
    torch.testing.assert_close(spread(weights, size, windows, stride), total / hits.clamp(min=1))


def test_the_path_is_that_of_the_matcher():
    stripes = normalize(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)), dim=2)
    numbers = PathLook("Stripes", (stripes[0], stripes[1])).numbers((8, 16))
    assert numbers["path"][0] == [0, 0] and numbers["path"][-1] == [4, 4] and len(numbers["path"]) == 9
    assert numbers["distance"] == pytest.approx(float(dmli_distances(stripes[:1], stripes[1:])), abs=1e-5)


@torch.no_grad()
def test_gates_are_those_of_the_comparison(monkeypatch):
    network = small_network("gated_siamese").eval()
    first, second = network.maps(shown(network, 2))[:, None]
    seen = []
    for gate in network.gates:
        monkeypatch.setattr(gate, "gate", lambda a, b, own=gate.gate: seen.append(own(a, b)) or seen[-1])
    network.embeddings(first, second)
    expected = [gate.mean((1, 3)) for gate in seen]
    monkeypatch.undo()
    for own, other in zip(network.opened(first, second), expected, strict=True):
        torch.testing.assert_close(own, other)
    (look,) = network.explain_pair(Inputs(shown(network, 2)))
    assert look.score == pytest.approx(float(network.pair_scores(first, second)))


def test_heat_maps_only_where_the_file_has_them(tmp_path):
    network, config = small_network("rbnet").eval(), network_config("rbnet")
    path = export(network, config, tmp_path)
    titles = [look.title for look in explain(build_extractor("rbnet", path, device="cpu"), pictures(1)[0])]
    assert "Heat maps of the joints" in titles
    network.heads = network.unused_at_test
    path = export(network, config, tmp_path / "without")
    lacking = [look.title for look in explain(build_extractor("rbnet", path, device="cpu"), pictures(1)[0])]
    assert lacking == [title for title in titles if title != "Heat maps of the joints"]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_preprocessed_pictures_are_shown_as_they_were(order):
    preprocessing = Preprocessing(16, 8, "bilinear", (0.4, 0.5, 0.6), (0.1, 0.2, 0.3), order)
    pixels = torch.rand(2, 3, 16, 8)
    torch.testing.assert_close(preprocessing.shown(preprocessing.normalise(pixels)), pixels)
    standardised = Preprocessing(16, 8, standardise=True)
    assert standardised.shown(standardised.normalise(pixels)).aminmax() == (0, 1)


def test_a_network_of_the_body_asks_for_its_points():
    pie = small_network("pie").eval().extractor()
    with pytest.raises(UserError, match="--keypoints"):
        explain(pie, pictures(1)[0])


def test_a_network_without_maps_has_nothing_to_show():
    class Silent(ReIDNetwork):
        name = "silent"

    with pytest.raises(UserError, match="network 'silent' has nothing to show"):
        Silent(None).explain(Inputs(torch.zeros(1, 3, 4, 2)))
