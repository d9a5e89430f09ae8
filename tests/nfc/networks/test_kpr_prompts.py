"""KPR's prompts: from keypoint files to heatmaps, and to the network."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.features.files import describe_network, describe_pictures
from NFC.networks import Preprocessing, build_extractor
from NFC.networks.blocks.prompts import keypoint_file, prompt_heatmaps, read_people
from NFC.networks.kpr import KPRExtractor
from pose2id.errors import UserError
from tests.nfc.networks.official import golden
from tests.nfc.networks.small_kpr import SIZES, small_kpr


@pytest.mark.parametrize("stem", SIZES)
def test_prompts_are_the_official_ones(stem):
    expected = golden(stem)
    for i in range(4):
        people = []
        if f"pre/{i}/keypoints" in expected:
            people = [expected[f"pre/{i}/keypoints"].numpy(), *expected[f"pre/{i}/negative_keypoints"].numpy()]
        source = tuple(expected[f"pre/{i}/img_u8_rgb"].shape[:2])
        result = prompt_heatmaps(people, source, SIZES[stem])
        torch.testing.assert_close(result, expected["prompt_masks"][i], rtol=0, atol=1e-6)


@torch.no_grad()
def test_no_prompt_is_all_background(small):
    network, _ = small("kpr_in")
    images = torch.randn(1, 3, 256, 128)
    prompts = torch.zeros(1, 8, 64, 32)
    nothing = network(images, keypoints=prompts)
    prompts[:, 0] = 1
    torch.testing.assert_close(network(images).embeddings, network(images, keypoints=prompts).embeddings)
    assert not torch.allclose(network(images).embeddings, nothing.embeddings)


def write_keypoints(folder, name, skeletons):
    folder.mkdir(parents=True)
    (folder / f"{name}_keypoints.json").write_text(json.dumps(skeletons))


def test_pictures_are_prompted_by_their_keypoint_files(small, tmp_path):
    _, tensors = small("kpr_in")
    torch.save(tensors, tmp_path / "kpr.pth")
    extractor = build_extractor("kpr", tmp_path / "kpr.pth", device="cpu")
    picture = Image.new("RGB", (64, 128), (90, 20, 200))
    plain = extractor.preprocess(picture)
    target, other = np.full((17, 3), 30.0), np.full((17, 3), 50.0)
    target[:, 2] = other[:, 2] = 1
    skeletons = [{"keypoints": other.flatten().tolist()}, {"keypoints": target.tolist(), "is_target": True}]
    write_keypoints(tmp_path / "keypoints" / "occluded_body_images", "001_01.tif", skeletons)
    extractor.use_keypoints(tmp_path / "keypoints")

    data = tmp_path / "Occluded_REID"
    original = extractor.preprocess(picture, data / "occluded_body_images" / "001" / "001_01.tif")
    assert torch.equal(original[:3], plain)
    assert torch.equal(original[3:], prompt_heatmaps([target, other], (128, 64), (256, 128)))
    generated = extractor.preprocess(picture, data / "occluded_body_images_gen" / "pose1" / "001" / "001_01.tif")
    flat = extractor(torch.stack([original, generated]))
    sample = extractor.sample(picture, data / "occluded_body_images" / "001" / "001_01.tif")
    torch.testing.assert_close(extractor(**{name: tensor[None] for name, tensor in sample.items()}), flat[:1])
    torch.testing.assert_close(flat[1:], extractor(plain[None]))
    assert not torch.allclose(flat[:1], flat[1:])
    with pytest.raises(UserError, match=r"no keypoints for .*002_01.tif"):
        extractor.preprocess(picture, data / "occluded_body_images" / "002" / "002_01.tif")
    with pytest.raises(UserError, match="does not exist"):
        extractor.use_keypoints(tmp_path / "nothing")


def test_keypoint_files(tmp_path):
    write_keypoints(tmp_path / "query", "a.jpg", [{"keypoints": [[70, 5, 1], *[[3, 5, 0.9]] * 16]}])
    path = keypoint_file(tmp_path, tmp_path / "Market" / "query" / "a.jpg")
    (keypoints,) = read_people(path, (128, 64))
    assert keypoints[0].tolist() == [0, 0, 0] and keypoints[1].tolist() == [3, 5, 0.9]  # the first is outside
    path.write_text("[]")
    assert read_people(path, (128, 64)) == []
    path.write_text('[{"keypoints": [1, 2]}]')
    with pytest.raises(UserError, match="cannot read keypoints from"):
        read_people(path, (128, 64))


def test_the_mirror_exchanges_left_and_right():
    """A prompt of mirrored keypoints, with sides renamed, is the mirrored prompt."""
    left_right = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    rng = np.random.default_rng(0)
    keypoints = np.column_stack([rng.integers(0, 128, 17), rng.integers(0, 256, 17), np.ones(17)])
    mirrored = keypoints[left_right] * [-1, 1, 1] + [127, 0, 0]
    extractor = KPRExtractor(small_kpr(), Preprocessing(256, 128))
    size = (256, 128)
    colours = torch.rand(1, 3, *size)
    prompts = prompt_heatmaps([keypoints], size, size)[None]
    result = extractor.mirror({"pictures": colours, "keypoints": prompts, "camids": torch.tensor([1])})
    assert torch.equal(result["pictures"], colours.flip(-1)) and result["camids"].tolist() == [1]
    assert extractor.mirror({"pictures": colours}).keys() == {"pictures"}
    torch.testing.assert_close(result["keypoints"][0], prompt_heatmaps([mirrored], size, size))
    assert not torch.equal(prompts.flip(-1), result["keypoints"])


def test_feature_files_know_the_keypoints(tmp_path):
    extractor = small_kpr().extractor()
    plain = describe_network("kpr", extractor)
    write_keypoints(tmp_path / "keypoints" / "query", "a.jpg", [{"keypoints": [1] * 51}])
    extractor.use_keypoints(tmp_path / "keypoints")
    prompted = describe_network("kpr", extractor)
    assert prompted.differences(plain) == ["keypoints"]
    (tmp_path / "keypoints/query/a.jpg_keypoints.json").write_text("[]")
    other = describe_network("kpr", extractor)
    assert other.differences(prompted) == ["keypoints"] and other.keypoints
    (tmp_path / "a.jpg").touch()
    originals, generated = (
        describe_pictures(other, "toy", tmp_path, [tmp_path / "a.jpg"], camids) for camids in ([0], None)
    )
    assert originals.keypoints == other.keypoints and generated.keypoints == ""
