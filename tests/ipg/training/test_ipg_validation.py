"""What validation draws, writes and says."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from IPG.training.networks import NetworksConfig, build_networks
from IPG.training.validation import Validation, ValidationConfig, psnr, score
from pose2id.errors import UserError
from tests.ipg.tiny import tiny_preset
from tests.ipg.training.small import frozen_networks, noise_material


def build(standing: np.ndarray, **options: object) -> Validation:
    torch.manual_seed(0)
    preset = tiny_preset()
    networks = build_networks(preset, NetworksConfig())
    material = noise_material(standing, [[0, 1], [2, 3, 4], [5, 6]])
    return Validation(material, networks, **frozen_networks(), preset=preset, config=ValidationConfig(**options))


def test_a_sheet_is_written_and_the_networks_are_left_as_they_were(standing, tmp_path):
    validation = build(standing, pairs=2, steps=1)
    network = validation.networks["denoising_unet"].train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = validation(tmp_path, 30)
    with Image.open(tmp_path / "validation/000030.png") as sheet:
        assert sheet.size == (4 * 64 + 3 * 2, 2 * 128 + 2)  # reference, pose, target, generated; gaps of 2
        cells = np.asarray(sheet.convert("RGB"))
    assert np.array_equal(cells[:128, :64], np.asarray(validation.references[0]))
    assert np.array_equal(cells[130:, 132:196], np.asarray(validation.targets[1]))
    assert set(found) == {"identity", "rank1", "psnr"} and all(math.isfinite(value) for value in found.values())
    assert network.training and all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert validation(tmp_path, 30) == found


def test_pairs_are_of_one_person_and_always_the_same(standing):
    first, second = build(standing), build(standing)
    read = noise_material(standing, [[0, 1, 2, 3, 4, 5, 6]]).read
    for validation in (first, second):
        numbers = [
            [next(n for n in range(7) if np.array_equal(np.asarray(read(n)), np.asarray(shown))) for shown in pair]
            for pair in zip(validation.references, validation.targets, strict=True)
        ]
        assert all(reference != target for reference, target in numbers)
        assert [sorted({reference // 5, target // 5}) for reference, target in numbers] == [[0], [0], [1]]
    assert all(np.array_equal(*map(np.asarray, pair)) for pair in zip(first.targets, second.targets, strict=True))


def test_scores_are_those_of_a_naive_reference():
    rng = np.random.default_rng(0)
    references, targets, generated = (
        [Image.fromarray(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)) for _ in range(5)] for _ in range(3)
    )
    generated[1] = targets[1].copy()
    generated[1].putpixel((0, 0), (1, 2, 3))

    class Flat(torch.nn.Module):
        """Pictures as their centred pixels."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def preprocess(self, picture: Image.Image) -> torch.Tensor:
            return torch.from_numpy(np.asarray(picture, dtype=np.float32)) - 128

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.flatten(1)

    def vector(picture: Image.Image) -> np.ndarray:
        flat = np.asarray(picture, float).ravel() - 128
        return flat / np.linalg.norm(flat)

    found = score(Flat(), references, targets, generated)
    assert found["identity"] == pytest.approx(
        np.mean([vector(a) @ vector(b) for a, b in zip(references, generated, strict=True)]), abs=1e-5
    )
    hits = [max(range(5), key=lambda k: vector(targets[k]) @ vector(g)) == i for i, g in enumerate(generated)]
    assert found["rank1"] == pytest.approx(np.mean(hits)) and hits[1]
    assert found["psnr"] == pytest.approx(np.mean([psnr(a, b) for a, b in zip(targets, generated, strict=True)]))


def test_psnr():
    black, grey = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (51, 51, 51))
    assert psnr(black, grey) == pytest.approx(20 * math.log10(5))
    assert psnr(black, black) == math.inf


@pytest.mark.parametrize(("options", "told"), [({"held_out": 1.0}, "held_out is 1.0"), ({"pairs": 0}, "pairs is 0")])
def test_configs_that_cannot_work(options, told):
    with pytest.raises(UserError, match=told):
        ValidationConfig(**options)


def test_nothing_is_written_elsewhere(standing, tmp_path):
    build(standing, pairs=1, steps=1)(tmp_path, 7)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("validation/000007.png")
    ]
