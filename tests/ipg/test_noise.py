"""Where noise comes from: names, or turns in the official order."""

import pytest
import torch

from IPG.job.noise import NamedNoise, OfficialNoise
from IPG.sampling import picture_noise

SHAPE = (4, 8, 4)
POSES = ["x.png", "y.png", "z.png"]


def test_named_noise_depends_on_seed_and_names_alone():
    noise = NamedNoise(7, POSES, SHAPE).draw("a", turn=3)
    assert noise.shape == (3, *SHAPE) and torch.equal(noise, NamedNoise(7, POSES, SHAPE).draw("a", turn=0))
    assert torch.equal(noise[1], picture_noise(7, "a", "y.png", SHAPE))
    everyone = [NamedNoise(seed, POSES, SHAPE).draw(name, 0) for seed in (7, 8) for name in ("a", "b")]
    pictures = torch.cat(everyone).flatten(1)
    assert len(torch.unique(pictures, dim=0)) == 12


@pytest.mark.parametrize("turns", [[0, 1, 2, 3], [0, 3], [2], [1, 2, 5]])
def test_every_turn_is_that_of_one_generator_for_all(turns):
    generator = torch.Generator().manual_seed(12580)
    expected = [torch.randn(3, *SHAPE, generator=generator) for _ in range(6)]
    noise = OfficialNoise(12580, POSES, SHAPE)
    for turn in turns:
        assert torch.equal(noise.draw("anybody", turn), expected[turn])


def test_a_turn_does_not_come_back():
    noise = OfficialNoise(0, POSES[:1], SHAPE)
    noise.draw("anybody", 2)
    with pytest.raises(ValueError, match="turn 2 is over"):
        noise.draw("anybody", 2)
