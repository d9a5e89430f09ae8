import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from IPG.poses import KEYPOINT_NAMES, to_pixels
from IPG.poses.coco import COCO_NAMES, coco_from_openpose, openpose_from_coco
from IPG.poses.estimate import OpenPose, ViTPose, save_estimator
from IPG.poses.keypoint_files import KeypointFiles
from IPG.training.pose_estimator import (
    EstimatorSizes,
    HeatmapLoss,
    PoseSampler,
    build_vitpose,
    crop,
    heatmaps,
    mirror,
)
from NFC.datasets.synthetic import World
from NFC.datasets.synthetic.groups import joined, shoot_group
from pose2id.errors import UserError

SIZES = EstimatorSizes(height=80, width=40, patch=10, dim=16, depth=1, heads=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    network, processor = build_vitpose(SIZES)
    with torch.no_grad():
        network.head.conv.weight *= 20  # or it would be sure of nothing
    folder = tmp_path_factory.mktemp("vitpose")
    save_estimator(network.eval(), processor, folder)
    return network, processor, folder


@pytest.fixture(scope="module")
def groups():
    return joined(shoot_group(World(7), index) for index in range(6))


def test_coco_to_openpose_by_names_with_a_neck_between_the_shoulders():
    points = np.random.default_rng(0).uniform(0, 1, (2, 17, 3))
    ours = openpose_from_coco(points)
    for row, name in enumerate(KEYPOINT_NAMES):
        if name != "neck":
            np.testing.assert_array_equal(ours[:, row], points[:, COCO_NAMES.index(name)])
    left, right = points[:, COCO_NAMES.index("left_shoulder")], points[:, COCO_NAMES.index("right_shoulder")]
    neck = ours[:, KEYPOINT_NAMES.index("neck")]
    np.testing.assert_allclose(neck[:, :2], (left[:, :2] + right[:, :2]) / 2)
    np.testing.assert_array_equal(neck[:, 2], np.minimum(left[:, 2], right[:, 2]))
    np.testing.assert_array_equal(coco_from_openpose(ours), points)


def test_crops_are_those_of_the_processor(groups):
    processor = build_vitpose(EstimatorSizes())[1]
    pictures = groups.pictures[:2, 1]
    ours, _ = crop(
        torch.from_numpy(pictures).movedim(-1, 1) / 255, torch.tensor([[32.0, 64.0]] * 2), torch.ones(2), (160, 80)
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))
    boxes = [[[0.0, 0.0, 64.0, 128.0]]] * 2
    theirs = processor([Image.fromarray(p) for p in pictures], boxes=boxes, return_tensors="pt")["pixel_values"]
    inside = slice(18, -18), slice(10, -10)  # theirs rounds the border
    np.testing.assert_allclose(((ours - mean) / std)[..., *inside], theirs[..., *inside], atol=0.02)


def test_targets_are_decoded_to_the_keypoints_they_were_made_of(groups):
    processor = build_vitpose(EstimatorSizes())[1]
    points = torch.from_numpy(coco_from_openpose(groups.keypoints[:, 1])).float()
    centre, zoom = torch.tensor([[32.0, 64.0]]).expand(6, 2), torch.ones(6)
    _, shown = crop(torch.zeros(6, 3, 128, 64), centre, zoom, (160, 80))
    outputs = SimpleNamespace(heatmaps=heatmaps(points, shown, (64, 32)))
    found = processor.post_process_pose_estimation(outputs, [[[0.0, 0.0, 64.0, 128.0]]] * 6)
    for (person,), wanted in zip(found, points, strict=True):
        there = wanted[:, 2] > 0
        np.testing.assert_allclose(person["keypoints"][there], wanted[there, :2], atol=0.05)
        assert person["scores"][there].min() > 0.9 and not person["scores"][~there].any()


def test_mirrored_people_have_their_sides_exchanged():
    points = torch.rand(2, 17, 3) * 60
    pictures = torch.rand(2, 3, 128, 64)
    flipped, moved = mirror(pictures, points, torch.tensor([True, False]))
    assert torch.equal(flipped[1], pictures[1]) and torch.equal(moved[1], points[1])
    assert torch.equal(flipped[0, :, :, 5], pictures[0, :, :, 58])
    left, right = COCO_NAMES.index("left_knee"), COCO_NAMES.index("right_knee")
    assert moved[0, left, 0] == 63 - points[0, right, 0] and moved[0, left, 1] == points[0, right, 1]


def test_training_lowers_the_loss(groups):
    torch.manual_seed(0)
    network, processor = build_vitpose(SIZES)
    loss = HeatmapLoss(network)
    sampler = PoseSampler(groups, processor, (16, 8), batch_size=4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    generators = [torch.Generator().manual_seed(0)]
    losses = []
    for _ in range(16):
        value, _ = loss(sampler(generators), generators)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    assert np.mean(losses[-4:]) < 0.8 * losses[0]


def test_saved_weights_give_keypoints_in_pixels_of_any_picture(tiny):
    network, processor, folder = tiny
    estimate = ViTPose(folder)
    assert sum(p.numel() for p in estimate.network.parameters()) == sum(p.numel() for p in network.parameters())
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8))
    large = small.resize((128, 256), Image.Resampling.BICUBIC)
    ours = estimate(["small", "large"], [small, large])
    assert all(points.shape == (18, 3) and np.isfinite(points).all() for points in ours)
    assert all(points[:, 2].min() >= 0 and points[:, 2].max() <= 1 for points in ours)
    np.testing.assert_allclose(estimate(["small"], [small])[0], ours[0], atol=1e-3)  # whatever is in the batch
    boxes = [[[0.0, 0.0, 32.0, 64.0]]]
    with torch.inference_mode():
        outputs = network(**processor([small], boxes=boxes, return_tensors="pt"))
    person = processor.post_process_pose_estimation(outputs, boxes)[0][0]
    sure = coco_from_openpose(ours[0])[:, 2] > 0.2
    assert sure.any()
    np.testing.assert_allclose(coco_from_openpose(ours[0])[sure, 2], person["scores"].clip(0, 1)[sure], atol=0.02)


def test_weights_that_lack_tensors_are_refused(tiny, tmp_path):
    network, processor, _ = tiny
    save_estimator(network, processor, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("head.conv.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"head\.conv\.weight"):
        ViTPose(tmp_path)


def test_openpose_answers_in_pixels_of_the_picture(tmp_path, monkeypatch):
    """`controlnet_aux`'s network replaced by one that finds two people; its own types and conversion."""
    from controlnet_aux.open_pose import body

    class FakeBody:
        format_body_result = staticmethod(body.Body.format_body_result)

        def __init__(self, path):
            self.path = path

        def to(self, device):
            return self

        def __call__(self, picture):
            assert picture.shape == (368, 184, 3) and picture[0, 0].tolist() == [30, 20, 10]  # blue first
            candidate = np.array([[91.5, 183.5, 0.75, 0], [10, 20, 0.5, 1]])
            few, many = -np.ones(20), -np.ones(20)
            few[[4, 18, 19]] = 1, 9, 1
            many[[0, 3, 18, 19]] = 0, 1, 5, 2
            return candidate, np.array([few, many])

    monkeypatch.setattr(body, "Body", FakeBody)
    (tmp_path / "body_pose_model.pth").touch()
    (points,) = OpenPose(tmp_path)(["a"], [Image.new("RGB", (64, 128), (10, 20, 30))])
    assert np.flatnonzero(points[:, 2]).tolist() == [0, 3]
    np.testing.assert_allclose(points[0], [31.5, 63.5, 0.75])  # the middle of the picture
    assert not points[[1, 2, 4], :].any()


def test_openpose_files_of_both_its_models(tmp_path, standing):
    points = to_pixels(standing, (128, 64))
    body_25 = np.zeros((25, 3))
    body_25[[*range(8), *range(9, 19)]] = points
    body_25[8] = 99  # middle of the hips
    for name, bodies in (("eighteen", [points * [1, 1, 0.1], points]), ("twentyfive", [body_25]), ("nobody", [])):
        people = [{"pose_keypoints_2d": body.ravel().tolist()} for body in bodies]
        (tmp_path / f"{name}_keypoints.json").write_text(json.dumps({"people": people}))
    found = KeypointFiles(tmp_path)(["eighteen.jpg", "twentyfive.jpg", "nobody.jpg", "unknown.jpg"], [])
    np.testing.assert_allclose(found[0], points)
    np.testing.assert_allclose(found[1], points)
    assert not found[2].any() and not found[3].any()


def test_lines_of_seventeen_and_of_eighteen(tmp_path, standing):
    points = to_pixels(standing, (128, 64))
    rows = {"a/1.jpg": points.tolist(), "a/2.jpg": coco_from_openpose(points).tolist()}
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"path": name, "keypoints": row}) + "\n" for name, row in rows.items()))
    first, second = KeypointFiles(path)(list(rows), [])
    np.testing.assert_allclose(first, points)
    np.testing.assert_allclose(np.delete(second, 1, axis=0), np.delete(points, 1, axis=0))


@pytest.mark.parametrize("line", ["nonsense", '{"path": "a"}', '{"path": "a", "keypoints": [[1, 2, 3]]}'])
def test_wrong_lines_are_told(tmp_path, line):
    path = tmp_path / "lines.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=r"lines\.jsonl, line 1"):
        KeypointFiles(path)
