"""Random changes of pictures: what they may and may not do."""

import pytest
import torch
from torch import Tensor

from NFC.training.augmentation import AugmentationConfig, augment
from pose2id.errors import UserError

NOTHING = {"flip": 0.0, "pad": 0, "erase": 0.0, "brightness": 0.0, "cast": 0.0}


def changed(pictures: Tensor, seed: int = 0, **settings: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augment(pictures.clone(), AugmentationConfig(**{**NOTHING, **settings}), generator)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(200, 3, 32, 16, generator=torch.Generator().manual_seed(1))


def test_all_off_changes_nothing_and_a_seed_repeats_itself(pictures):
    assert torch.equal(changed(pictures), pictures)
    everything = {"flip": 0.5, "pad": 4, "erase": 0.5, "brightness": 0.1, "cast": 0.1}
    first, second, other = (changed(pictures, seed, **everything) for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert first.shape == pictures.shape and first.min() >= 0 and first.max() <= 1


def test_flip(pictures):
    assert torch.equal(changed(pictures, flip=1.0), pictures.flip(3))
    flipped = (changed(pictures, flip=0.5) == pictures.flip(3)).flatten(1).all(1)
    assert 60 < flipped.sum() < 140


def test_shift_moves_the_picture_and_repeats_its_edge(pictures):
    padded = torch.nn.functional.pad(pictures, (2, 2, 2, 2), mode="replicate")
    windows = {(y, x): padded[:, :, y : y + 32, x : x + 16] for y in range(5) for x in range(5)}
    seen = set()
    for row, picture in enumerate(changed(pictures, pad=2)):
        found = [place for place, window in windows.items() if torch.equal(window[row], picture)]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == set(windows)


def test_erasing_paints_one_rectangle_of_one_colour(pictures):
    erased = changed(pictures, erase=0.5)
    hit = 0
    for before, after in zip(pictures, erased, strict=True):
        different = (before != after).all(0)
        if different.any():
            hit += 1
            rows, columns = different.nonzero().aminmax(dim=0)
            (top, left), (bottom, right) = rows.tolist(), columns.tolist()
            assert different[top : bottom + 1, left : right + 1].all()
            assert different.sum() == (bottom + 1 - top) * (right + 1 - left)
            assert (after[:, different] == after[:, different][:, :1]).all()
            assert 0.01 < different.float().mean() < 0.5
    assert 60 < hit < 140


def test_gains_keep_grey_pictures_grey(pictures):
    pictures = pictures * 0.3  # far from white, which would cut gains off
    pictures[::2] = pictures[::2, :1]
    gains = changed(pictures, brightness=0.2, cast=0.2) / pictures
    assert (gains - gains[:, :, :1, :1]).abs().max() < 1e-5
    gains = gains[:, :, 0, 0]
    assert (gains[::2] == gains[::2, :1]).all() and (gains[1::2].std(dim=1) > 0).all()
    assert 0.1 < gains[::2, 0].log().std() < 0.3


@pytest.mark.parametrize("wrong", [{"flip": 1.5}, {"erase": -0.1}, {"pad": -1}, {"cast": -0.1}])
def test_settings_that_cannot_be_are_one_line(wrong):
    with pytest.raises(UserError):
        AugmentationConfig(**wrong)
