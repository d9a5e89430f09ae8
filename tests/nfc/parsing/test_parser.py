"""The parser: its training, its files, its quality."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.groups import Groups, joined, shoot_group
from NFC.networks.preprocessing import Preprocessing
from NFC.parsing.network import CLASSES, Parser, ParserSizes, build_parser, class_scores, save_parser, shipped_parser
from NFC.parsing.quality import overlaps, quality_on_world
from NFC.parsing.training import ParsingSampler, dice_loss, reframe
from pose2id.errors import UserError
from pose2id.loop.randomness import row_generators

SMALL = ParserSizes(32, 16, [8, 12], [1, 1], [1, 2], 2, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("parser")
    save_parser(build_parser(SMALL), place)
    return place


@pytest.fixture(scope="module")
def groups() -> Groups:
    return joined(shoot_group(World(7), index) for index in range(3))


def test_every_pixel_has_a_score_of_its_own(folder):
    network = Parser(folder).network
    pictures = torch.rand(2, 3, 32, 16)
    with torch.no_grad():
        cells, scores = network(pictures).logits, class_scores(network, pictures)
    assert scores.shape == (2, len(CLASSES), 32, 16)
    for part, y, x in ((0, 0, 0), (3, 9, 14), (6, 31, 5)):
        assert torch.equal(scores[:, part, y, x], cells[:, part * 16 + y % 4 * 4 + x % 4, y // 4, x // 4])


def test_label_maps_have_the_size_of_their_pictures(folder):
    parser = Parser(folder)
    pictures = [Image.fromarray(World(3).shoot(View(0, 0, 0)).picture).resize(size) for size in ((64, 128), (9, 50))]
    maps = parser(pictures)
    assert [labels.shape for labels in maps] == [(128, 64), (50, 9)] and maps[0].dtype == np.uint8
    alone, turned = parser([pictures[1]])[0], parser([ImageOps.mirror(pictures[0])])[0]
    assert (alone == maps[1]).mean() > 0.99
    assert (turned[:, ::-1] == maps[0]).mean() > 0.99


def test_boxes_move_labels_with_their_pictures():
    """Labels that are colours stay so; half of the pictures are mirrored."""
    parsing = torch.from_numpy(np.stack([World(3).shoot(View(pid, 0, 0)).parsing for pid in range(16)]))
    pictures = (parsing[:, None] / 6.0).expand(-1, 3, -1, -1)
    shown, labels = reframe(pictures, parsing, np.random.default_rng(0), (128, 64))
    difference = (shown[:, 0] * 6 - labels).abs()
    assert (difference > 0.51).float().mean() < 0.1 and difference.median() < 1e-4  # but for edges, which are blended
    assert labels.dtype == torch.uint8 and not torch.equal(labels, parsing)


def test_batches_depend_on_their_generators_only(groups):
    sampler = ParsingSampler(groups, Preprocessing(64, 32), 4)
    first, again, other = (sampler(row_generators(1, step, range(4))) for step in (0, 0, 1))
    assert first["pictures"].shape == (4, 3, 64, 32) and first["parsing"].shape == (4, 64, 32)
    assert first["parsing"].dtype == torch.int64 and 0 < first["parsing"].max() <= 6
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["pictures"], other["pictures"])
    with pytest.raises(UserError, match="no body parts; write them again"):
        ParsingSampler(Groups(groups.pictures, groups.keypoints, groups.labels), Preprocessing(64, 32), 4)


def test_dice_loss():
    """A sum over pixels and parts; background and a part that nobody has do not raise it."""
    torch.manual_seed(0)
    shares, parsing = (
        torch.rand(2, 4, 3, 2).softmax(1),
        torch.tensor([[[0, 1], [1, 2], [2, 2]], [[0, 0], [0, 1], [1, 1]]]),
    )
    terms = []
    for part in (1, 2, 3):
        found, wanted = shares[:, part], (parsing == part).float()
        terms.append((2 * (found * wanted).sum() + 1) / ((found**2).sum() + wanted.sum() + 1))
    torch.testing.assert_close(dice_loss(shares, parsing), 1 - sum(terms) / 3)
    exact = torch.nn.functional.one_hot(parsing, 4).movedim(-1, 1).float()
    assert dice_loss(exact, parsing) == 0
    assert dice_loss(exact.roll(1, 1), parsing) > 0.8


def test_overlap_is_intersection_over_union():
    rng = np.random.default_rng(0)
    wanted, found = rng.integers(6, size=(2, 500))  # nobody has lower legs
    matrix = np.zeros((7, 7), np.int64)
    np.add.at(matrix, (wanted, found), 1)
    shares = overlaps(matrix)
    each = [((wanted == p) & (found == p)).sum() / ((wanted == p) | (found == p)).sum() for p in range(1, 6)]
    assert [shares[name] for name in CLASSES[1:6]] == pytest.approx(each) and np.isnan(shares["lower legs"])
    assert shares["mean"] == pytest.approx(np.mean(each))
    people = ((wanted > 0) & (found > 0)).sum() / ((wanted > 0) | (found > 0)).sum()
    assert shares["foreground"] == pytest.approx(people)


def test_the_shipped_parser_knows_people_of_a_world_it_never_saw():
    quality = quality_on_world(Parser(shipped_parser()), seed=2000, people=8)
    assert quality["visible"]["mean"] > 0.8 and quality["all"]["mean"] > 0.75
    assert quality["visible"]["foreground"] > 0.9 and quality["all"]["foreground"] > 0.88


def test_a_folder_of_something_else_is_one_line(folder, tmp_path):
    with pytest.raises(UserError, match=r"holds no parser: file .*config.json does not exist; name a folder"):
        Parser(tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    for name, value in (("hidden_sizes", "wide"), ("num_labels", 7), ("image_size", None), ("depths", [10**6, 1])):
        (tmp_path / "config.json").write_text(json.dumps(config | {name: value}))
        with pytest.raises(UserError, match="holds no parser") as error:
            Parser(tmp_path)
        assert "\n" not in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps(config | {"decoder_hidden_size": 16}))
    with pytest.raises(UserError, match="does not fit"):
        Parser(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"depths": [1]}, "a number for each"),
        ({"heads": [1, 5]}, "cannot be parted"),
        ({"height": 36}, "multiples of 8"),
        ({"dims": []}, "a number for each"),
    ],
)
def test_sizes_that_no_parser_has(wrong, told):
    with pytest.raises(UserError, match=told):
        ParserSizes(**(vars(SMALL) | wrong))
