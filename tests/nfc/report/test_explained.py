"""Looks drawn over pictures, and the sheet they are put on."""

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.networks.looks import BoxLook, Look, MapLook, PartLook, PictureLook, PointLook
from NFC.networks.preprocessing import Preprocessing
from NFC.report.explained import SHADED, heat_over, look_sheet, strip
from NFC.report.sheets import ACROSS, NARROWEST, TILE, NamedTile, Strip, fitted, font, sheet, wrapped

GREY = Image.new("RGB", (64, 128), (100, 100, 100))
PREPROCESSING = Preprocessing(128, 64)


def tiles_of(look: Look) -> dict[str, np.ndarray]:
    return {tile.name: np.asarray(tile.picture) for tile in strip(look, fitted(GREY), PREPROCESSING).tiles}


def test_heat_is_where_the_map_is_large():
    maps = torch.zeros(2, 4, 2)
    maps[0, 0], maps[1, 3] = 0.5, 3.0
    drawn = strip(MapLook("Heat", maps, ["left_eye", "b"]), fitted(GREY), PREPROCESSING)
    assert [tile.name for tile in drawn.tiles] == ["left eye (to\N{NO-BREAK SPACE}0.5)", "b (to\N{NO-BREAK SPACE}3)"]
    first, second = (np.asarray(tile.picture, float).sum(2) for tile in drawn.tiles)
    assert first[:30].min() > first[-30:].max() and np.allclose(first, second[::-1])
    assert drawn.scale == ("0", "the largest of each")
    one = strip(MapLook("Mask", torch.ones(1, 4, 2), ["mask"], full=2.0), fitted(GREY), PREPROCESSING)
    assert one.scale == ("0", "2") and one.tiles[0].name == "mask"
    assert np.array_equal(one.tiles[0].picture, heat_over(fitted(GREY), torch.full((TILE, TILE // 2), 0.5)))


def test_parts_have_colours_and_say_what_is_not_seen():
    shares = torch.zeros(2, 4, 2)
    shares[0, :2], shares[1, 2:] = 1, 0.5
    drawn = tiles_of(PartLook("Parts", shares, ["head", "legs"], visible=[True, False]))
    assert list(drawn) == ["all", "head, 50\N{NO-BREAK SPACE}%", "legs, 25\N{NO-BREAK SPACE}%, not seen"]
    together, head, legs = drawn.values()
    assert np.array_equal(together[:32], head[:32]) and np.array_equal(together[-32:], legs[-32:])
    assert len(tiles_of(PartLook("Foreground", shares[:1], ["foreground"]))) == 1


def test_boxes_leave_their_inside_bright():
    _, single = tiles_of(BoxLook("Boxes", torch.tensor([[0.25, 0.5, 0.75, 1.0]]), ["box"])).values()
    assert (single[192, 64] == 100).all() and (single[20, 64] == int(SHADED * 100)).all()


def test_points_that_are_missing_are_not_drawn():
    points = torch.zeros(18, 3)
    assert list(tiles_of(PointLook("Points", points, [""] * 18))) == ["nobody known"]
    points[1] = torch.tensor([0.5, 0.25, 0.9])
    (name, tile), *_ = tiles_of(PointLook("Points", points, [""] * 18)).items()
    assert name == "1 of 18 points" and (tile[64, 64] == 255).all() and (tile[0, 0] == 100).all()


def test_pictures_of_the_network_are_shown_as_it_was_given_them():
    red = PREPROCESSING(Image.new("RGB", (64, 128), "red"))[None]
    (tile,) = tiles_of(PictureLook("Own", red, ["red"])).values()
    assert (tile == (255, 0, 0)).all() and tile.shape == (TILE, TILE // 2, 3)


def test_nothing_on_a_sheet_overlaps():
    tiles = [NamedTile(Image.new("RGB", (128, TILE), "red"), "a name of several words, longer than its tile")] * 12
    drawn = sheet(
        GREY, "an_extraordinarily_long_name_of_a_file.jpg", [Strip("Twelve", tiles), Strip("More", tiles[:2])]
    )
    assert drawn.width <= NARROWEST + ACROSS + 100
    red = (np.asarray(drawn) == (255, 0, 0)).all(2)
    assert red.sum() == 14 * 128 * TILE  # all of every tile is to be seen
    assert all(font(15).getlength(line) <= 128 for line in wrapped(tiles[0].name, 128))
    assert wrapped("wwwwwwwwwwwwwwwwwwww", 60) != ["wwwwwwwwwwwwwwwwwwww"]


def test_names_that_cannot_be_printed_are_drawn_escaped():
    assert np.array_equal(sheet(GREY, "a\nb.png", []), sheet(GREY, "a\\nb.png", []))


@pytest.mark.parametrize("size", [(8, 400), (900, 10), (1, 1)])
def test_pictures_of_any_form(size):
    look = MapLook("Heat", torch.rand(1, 4, 2), ["heat"])
    drawn = look_sheet(Image.new("RGB", size), "odd.png", [look], PREPROCESSING)
    assert np.array_equal(drawn, look_sheet(Image.new("RGB", size), "odd.png", [look], PREPROCESSING))
