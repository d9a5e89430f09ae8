"""Label maps: tables class -> part, mirror images, and limbs drawn from keypoints."""

import numpy as np
import pytest
import torch

from NFC.networks.blocks.limbs import CONFIDENCE, WIDTH, limb_map
from NFC.networks.blocks.parsing import PARSINGS, PARTS, mirrored, part_of, part_sums
from pose2id.errors import UserError

HEIGHT, WIDTH_PIXELS = 128, 64
# nose, neck, right arm, left arm, right leg, left leg, eyes, ears
PERSON = [
    *((32, 12), (32, 24), (22, 26), (18, 44), (16, 60), (42, 26), (46, 44), (48, 60)),
    *((26, 62), (25, 90), (24, 116), (38, 62), (39, 90), (40, 116), (30, 10), (34, 10), (28, 12), (36, 12)),
]


def keypoints() -> torch.Tensor:
    return torch.tensor([(x, y, 1.0) for x, y in PERSON])


@pytest.mark.parametrize("name", PARSINGS)
def test_tables(name):
    parsing = PARSINGS[name]
    assert len(parsing.parts) == len(parsing.classes) == {"lip": 20, "atr": 18, "pascal": 7}[name]
    assert parsing.classes[0] == PARTS[parsing.parts[0]] == "background" and max(parsing.parts) < len(PARTS)
    for left, right in parsing.sides:
        assert parsing.classes[left] == parsing.classes[right].replace("right", "left")
        assert parsing.parts[left] == parsing.parts[right]


def test_parts_of_labels_and_of_probabilities_agree():
    table = PARSINGS["lip"].parts
    labels = torch.arange(20).view(1, 4, 5)
    parts = part_of(labels, table)
    sums = part_sums(torch.nn.functional.one_hot(labels, 20).permute(0, 3, 1, 2).float(), table)
    assert torch.equal(sums.argmax(1), parts) and sums.sum(1).eq(1).all()
    assert part_of(torch.tensor([-1, 13]), table).tolist() == [-1, 1]
    with pytest.raises(UserError, match="label 20 is of none of 20 classes"):
        part_of(torch.tensor([20]), table)


def test_mirrored_twice_is_the_same():
    labels = torch.from_numpy(np.random.default_rng(0).integers(-1, 20, (2, 6, 5)))
    sides = PARSINGS["lip"].sides
    turned = mirrored(labels, sides)
    assert torch.equal(mirrored(turned, sides), labels)
    assert torch.equal(turned == 15, labels.flip(-1) == 14) and torch.equal(turned == 5, labels.flip(-1) == 5)
    assert torch.equal(mirrored(labels, ()), labels.flip(-1))


def test_limbs_of_a_person():
    drawn = limb_map(keypoints(), HEIGHT, WIDTH_PIXELS)
    assert drawn.shape == (HEIGHT, WIDTH_PIXELS) and drawn.dtype == torch.int64
    for row, column, limb in [(12, 32, 1), (45, 32, 2), (35, 17, 3), (55, 15, 4), (78, 25, 5), (105, 40, 6), (2, 2, 0)]:
        assert drawn[row, column] == limb, (row, column)
    swap = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
    turned = keypoints()[swap] * torch.tensor([-1, 1, 1]) + torch.tensor([WIDTH_PIXELS, 0, 0])
    assert torch.equal(limb_map(turned, HEIGHT, WIDTH_PIXELS), drawn.flip(1))


def naive_distance(x: float, y: float, a: np.ndarray, b: np.ndarray) -> float:
    steps = a + np.linspace(0, 1, 2001)[:, None] * (b - a)
    return float(np.hypot(steps[:, 0] - x, steps[:, 1] - y).min())


def test_a_lonely_limb_is_its_bone_widened():
    points = torch.zeros(18, 3)
    points[[9, 10]] = keypoints()[[9, 10]]
    drawn = limb_map(points, HEIGHT, WIDTH_PIXELS)
    a, b = np.array(PERSON[9]), np.array(PERSON[10])
    for row, column in np.random.default_rng(0).integers(0, [HEIGHT, WIDTH_PIXELS], (300, 2)):
        near = naive_distance(column + 0.5, row + 0.5, a, b) < WIDTH * HEIGHT
        assert drawn[row, column] == 6 * near


@pytest.mark.parametrize("case", ["nobody", "one point", "all at one point", "not a number", "outside"])
def test_odd_keypoints_are_defined(case):
    points = keypoints()
    if case == "nobody":
        points[:, 2] = CONFIDENCE / 2
    elif case == "one point":
        points[1:, 2] = 0
    elif case == "all at one point":
        points[:, :2] = 30.0
    elif case == "not a number":
        points[:, 0] = float("nan")
    else:
        points[:, 0] += 1000
    drawn = limb_map(points, HEIGHT, WIDTH_PIXELS)
    assert drawn.min() >= 0 and drawn.max() <= 6
    assert drawn.any() == (case == "all at one point")
