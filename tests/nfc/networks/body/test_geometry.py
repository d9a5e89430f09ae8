"""Geometry of body parts: the golden figures, and poses that are hardly there."""

import numpy as np
import pytest
import torch
from torch import Tensor

from NFC.networks.body import points as bodies
from NFC.networks.body.heat_maps import heat_maps, smooth_maps
from NFC.networks.body.masks import mask_pooling, masked_pictures, pose_mask
from NFC.networks.body.pose_box import FRAME, PLACES, pose_box, pose_quads
from NFC.networks.body.quads import applied, homographies, pixels
from NFC.networks.body.regions import glad_boxes, spindle_boxes
from NFC.networks.body.transformer import IDENTITY, transformed
from NFC.networks.body.upright_parts import part_matrices, part_picture
from tests.nfc.networks.official import golden

FOLDER = "pose_parsing_domains"
EXACT, RESAMPLED = {"rtol": 0, "atol": 1e-6}, {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def figures() -> dict[str, Tensor]:
    return golden(f"{FOLDER}/pure")


def seen(places: Tensor) -> Tensor:
    return torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)


def wavy() -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in FRAME), indexing="ij")
    return (0.5 + 0.25 * torch.sin(x / 7) + 0.25 * torch.cos(y / 11 + x / 23)).float()[None, None]


def test_heat_maps(figures):
    drawn = figures["k17"]
    torch.testing.assert_close(heat_maps(drawn, (64, 32), 4).float(), figures["heat_stride4"], **EXACT)
    torch.testing.assert_close(
        heat_maps(drawn, (128, 64), 2).float(), figures["heat_stride2"].float(), rtol=0, atol=3e-4
    )
    torch.testing.assert_close(smooth_maps(drawn, (64, 32), 4).float(), figures["smooth_stride4"], **EXACT)


def test_pose_box_quads(figures):
    quads, known = pose_quads(seen(figures["kp14"]))
    assert all(present.all() for present in known.values())
    for pose in range(3):
        for name, quad in quads.items():
            torch.testing.assert_close(quad[pose], figures[f"posebox/{pose}/quad_{name}"], **EXACT)
    _, _, height, width = PLACES["shin_l"]
    matrix = homographies(quads["shin_l"])[1] / torch.tensor([width - 1.0, height - 1.0, 1.0])
    torch.testing.assert_close(matrix, figures["posebox/1/shin_l_homography"], **EXACT)


def test_pose_box_pictures(figures):
    boxes = pose_box(wavy().expand(3, -1, -1, -1), seen(figures["kp14"]))[:, 0]
    torch.testing.assert_close(boxes[0], figures["posebox/0/full"], **RESAMPLED)
    for pose in range(3):
        torch.testing.assert_close(boxes[pose].double().mean(1), figures[f"posebox/{pose}/mean_rows"], **RESAMPLED)
        torch.testing.assert_close(boxes[pose, ::7, ::7], figures[f"posebox/{pose}/sample"], **RESAMPLED)


def test_pose_box_of_another_size_is_of_the_same_places(figures):
    points = seen(figures["kp14"])
    small = torch.nn.functional.interpolate(wavy(), (128, 64), mode="area")
    scaled = bodies.resized(points[:1], FRAME, (128, 64))
    near = pose_box(small, scaled)[:, :, 120:220, 10:100]
    assert (near - pose_box(wavy(), points[:1])[:, :, 120:220, 10:100]).abs().mean() < 0.05
    half = pose_box(wavy(), points[:1], 112)
    assert half.shape == (1, 1, 112, 112)


def test_missing_joints_leave_their_rectangles_black(figures):
    points = seen(figures["kp14"])[:1].clone()
    points[:, 9, 2] = 0  # the right knee, on the left of the picture
    box = pose_box(wavy() + 3, points, fill=torch.tensor([-2.0]))[0, 0]
    assert (box[112:, :112] == -2).all() and (box[112:, 112:] > 0).float().mean() > 0.9


def test_transformer(figures):
    u, theta = figures["ptn_u"], figures["ptn_theta"]
    torch.testing.assert_close(transformed(u, theta), figures["ptn_v"], **RESAMPLED)
    assert (transformed(u, theta) - figures["ptn_v_torch_affine_grid"]).abs().max() > 0.1
    whole = torch.randn(2, 3, 256, 64)
    assert torch.equal(transformed(whole, torch.tensor(IDENTITY).expand(2, 6)), whole)
    theta.requires_grad_(True)
    transformed(u, theta).sum().backward()
    assert theta.grad.isfinite().all()


def test_part_matrices(figures):
    points = bodies.resized(seen(figures["kp14"]), FRAME, (256, 128))
    matrices, known = part_matrices(points)
    assert all(present.all() for present in known.values()) and len(matrices) == 6
    for pose in range(3):
        for name, matrix in matrices.items():
            torch.testing.assert_close(matrix[pose], figures[f"pdc_affine/{pose}/{name}"], **EXACT)


def test_part_picture_is_the_sampled_picture(figures):
    """Against a loop over the pixels of one part."""
    picture = torch.rand(1, 2, 256, 128)
    points = bodies.resized(seen(figures["kp14"])[1:2], FRAME, (256, 128))
    result = part_picture(picture, points, torch.tensor([-1.0, -2.0]))
    assert (
        result.shape == picture.shape and (result[:, :, 192:, 32:96] == torch.tensor([-1.0, -2.0])[:, None, None]).all()
    )
    matrix = part_matrices(points)[0]["body"][0]
    for row in range(0, 128, 31):
        for column in range(0, 64, 13):
            x, y = (matrix @ torch.tensor([column, row, 1.0], dtype=torch.float64)).tolist()
            x, left, top = x - 64, int(np.floor(x - 64)), int(np.floor(y))
            value = sum(
                picture[0, 0, top + j, left + i] * (1 - abs(x - left - i)) * (1 - abs(y - top - j))
                for i in (0, 1)
                for j in (0, 1)
            )
            assert abs(float(result[0, 0, 64 + row, 32 + column] - value)) < 1e-4


def test_spindle_regions(figures):
    points = seen(figures["kp14"])
    torch.testing.assert_close(spindle_boxes(points, FRAME), figures["spindle_boxes"], **EXACT)
    degenerate = points[:1].clone()
    degenerate[:, 2:5, :2] = torch.tensor([40.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(spindle_boxes(degenerate, FRAME)[0], figures["spindle_boxes_degenerate"], **EXACT)


def test_glad_regions(figures):
    points = seen(figures["kp14"])
    torch.testing.assert_close(glad_boxes(points, FRAME), figures["glad_boxes"], **EXACT)
    overlapping = glad_boxes(points, FRAME, overlap=30 / 512 * FRAME[0])
    torch.testing.assert_close(overlapping, figures["glad_boxes_overlap"], **EXACT)


def test_mask_pooling(figures):
    torch.testing.assert_close(mask_pooling(figures["mask_map"], figures["mask"]), figures["mask_pooled"], **EXACT)
    maps = torch.randn(2, 5, 6, 3)
    uniform = mask_pooling(maps, torch.full((2, 1, 6, 3), 0.25))[:, 0]
    torch.testing.assert_close(uniform, maps.mean((2, 3)), **EXACT)
    assert (mask_pooling(maps, torch.zeros(2, 1, 6, 3)) == 0).all()


def test_masked_pictures(figures):
    torch.testing.assert_close(masked_pictures(figures["rb_x"], figures["rb_m"]), figures["rb_masked"], **RESAMPLED)
    whole = torch.randn(2, 3, 8, 4)
    torch.testing.assert_close(masked_pictures(whole, torch.full((2, 4, 2, 1), 0.25)), whole, **EXACT)


def test_pose_mask():
    expected = golden(f"{FOLDER}/pose_mask")
    for stem in ("0", "1", "missing"):
        assert torch.equal(pose_mask(expected[f"kp18/{stem}"]), expected[f"pose_mask/{stem}"]), stem
    both = pose_mask(torch.stack([expected["kp18/0"], torch.zeros(18, 3)]))
    assert torch.equal(both[0], expected["pose_mask/0"]) and torch.equal(both[1], expected["pose_mask/none"])


def one_joint() -> Tensor:
    points = torch.zeros(18, 3)
    points[4] = torch.tensor([10.0, 20.0, 1.0])
    return points


def at_the_border() -> Tensor:
    points = torch.rand(18, 3) * torch.tensor([64.0, 128.0, 1.0]) + torch.tensor([50.0, 100.0, 0.5])
    return points


POSES = {
    "nobody": torch.zeros(18, 3),
    "one joint": one_joint(),
    "all at one point": torch.tensor([30.0, 60.0, 1.0]).expand(18, 3),
    "at the corner": torch.tensor([0.0, 0.0, 1.0]).expand(18, 3),
    "outside": torch.tensor([-400.0, 900.0, 1.0]).expand(18, 3),
    "at the border": at_the_border(),
}


@pytest.mark.parametrize("pose", POSES)
def test_poses_that_are_hardly_there(pose):
    points, picture, size = POSES[pose][None], torch.rand(1, 3, 128, 64), (128, 64)
    known = bodies.fourteen(points)
    assert known.shape == (1, 14, 3) and known.isfinite().all()
    assert heat_maps(points, (32, 16), 4).isfinite().all() and smooth_maps(points, (32, 16), 4).isfinite().all()
    assert pose_mask(points).shape == (1, *size)
    assert pose_box(picture, known, 112).isfinite().all() and part_picture(picture, known).isfinite().all()
    for boxes in (spindle_boxes(known, size), glad_boxes(known, size)):
        assert boxes.isfinite().all()
        inside = boxes.clamp(min=0).minimum(torch.tensor([64.0, 128.0, 64.0, 128.0]))
        assert torch.equal(boxes, inside) and (boxes[..., 2:] > boxes[..., :2]).all()


def test_nobody_is_black_and_the_whole_picture():
    picture, known = torch.rand(1, 3, 128, 64), torch.zeros(1, 14, 3)
    assert (pose_box(picture, known, 112) == 0).all() and (part_picture(picture, known) == 0).all()
    assert (spindle_boxes(known, (128, 64)) == torch.tensor([0.0, 0, 64, 128])).all()


def test_mirror_images_exchange_sides():
    points = torch.rand(2, 18, 3) * 40 + 1
    points[0, 3] = 0
    mirror = bodies.mirrored(points, 64)
    torch.testing.assert_close(bodies.mirrored(mirror, 64), points)
    assert mirror[1, 2, 0] == 63 - points[1, 5, 0] and (mirror[0, 6] == 0).all()
    assert [bodies.NAMES[row].replace("left", "right") for row in bodies.SWAPPED] == [
        name.replace("left", "right") for name in bodies.NAMES
    ]


def test_points_of_coco():
    coco = torch.rand(17, 3) + 1
    points = bodies.from_coco(coco)
    torch.testing.assert_close(points[1, :2], (coco[5, :2] + coco[6, :2]) / 2)
    assert torch.equal(points[5], coco[5]) and torch.equal(points[2], coco[6]) and torch.equal(points[17], coco[3])
    coco[5, 2] = 0
    assert (bodies.from_coco(coco)[1] == 0).all()
    assert (bodies.fourteen(bodies.from_coco(coco))[0] == 0).all()


def test_homographies_meet_the_corners():
    quads = torch.rand(5, 4, 2, dtype=torch.float64) + torch.tensor([[0, 0], [2, 0], [2, 2], [0, 2]])
    corners = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    torch.testing.assert_close(applied(homographies(quads), corners), quads)
    assert torch.equal(pixels(2, 3), torch.tensor([[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]))
