import pytest
import torch
from PIL import Image

from NFC.networks import Extractor, Preprocessing
from NFC.report.pair_differences import write_difference_figure
from pose2id.errors import UserError
from tests.nfc.networks.pair_networks import tiny_idla


def test_strengths_against_loops_over_places():
    network = tiny_idla()
    f, g = torch.rand(2, 2, 3, 3).unbind()
    for own, other, strength in zip((f, g), (g, f), network.strengths(f, g), strict=True):
        for y in range(3):
            for x in range(3):
                around = torch.zeros(2, 5, 5)
                for v in range(-2, 3):
                    for u in range(-2, 3):
                        if 0 <= y + v < 3 and 0 <= x + u < 3:
                            around[:, v + 2, u + 2] = other[:, y + v, x + u]
                expected = (own[:, y, x, None, None] - around).relu().norm()
                torch.testing.assert_close(strength[y, x], expected)


def test_the_picture_is_written(tmp_path):
    pictures = [Image.new("RGB", (12, 24), colour) for colour in ("red", "blue")]
    path = write_difference_figure(tiny_idla().extractor(), *pictures, tmp_path / "pair.png")
    assert Image.open(path).size == (864, 528)
    other = Extractor(torch.nn.Flatten(), 12, Preprocessing(2, 2))
    with pytest.raises(UserError, match="no neighbourhood differences"):
        write_difference_figure(other, *pictures, tmp_path / "none.png")
