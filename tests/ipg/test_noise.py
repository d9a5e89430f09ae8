import pytest
import torch

from IPG.job.noise import OfficialNoise

SHAPE = (4, 8, 4)


@pytest.mark.parametrize("turns", [[0, 1, 2, 3], [0, 3], [2], [1, 2, 5]])
def test_every_turn_is_that_of_one_generator_for_all(turns):
    generator = torch.Generator().manual_seed(12580)
    expected = [torch.randn(3, *SHAPE, generator=generator) for _ in range(6)]
    noise = OfficialNoise(12580, 3, SHAPE)
    for turn in turns:
        assert torch.equal(noise.draw(turn), expected[turn])


def test_a_turn_does_not_come_back():
    noise = OfficialNoise(0, 1, SHAPE)
    noise.draw(2)
    with pytest.raises(ValueError, match="turn 2 is over"):
        noise.draw(2)
