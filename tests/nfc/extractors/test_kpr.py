import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from NFC.features.files import describe_network, describe_pictures
from NFC.features.kinds.parts import PartFeatures, part_distances
from NFC.networks import Preprocessing, build_extractor
from NFC.networks.blocks.prompts import keypoint_file, prompt_heatmaps, read_people
from NFC.networks.blocks.swin import SoliderSwin, SwinV2
from NFC.networks.kpr import KPR, KPRExtractor, translate
from pose2id.errors import UserError
from tests.golden.recipe import normal
from tests.nfc.extractors.official import checkpoint, cosine_distance, error, golden, manifest, shapes
from tests.nfc.extractors.small_training import before_and_after, without_gradient

TOLERANCE = 2e-5
SIZES = {"kpr": (384, 128), "kpr_in": (256, 128)}
CAMIDS = torch.tensor([0, 0, 1, 1])
BACKBONE = "backbone_appearance_feature_extractor."

SMALL = {"dim": 16, "depths": (1, 2, 1, 1), "heads": (1, 2, 2, 2)}
small_v2 = partial(SwinV2, **SMALL, window=8)
small_solider = partial(SoliderSwin, **SMALL)


def build_network(stem, semantic=True):
    if stem == "kpr_in":
        return KPR(SwinV2(*SIZES[stem]), num_cameras=6)
    return KPR(SoliderSwin(*SIZES[stem], semantic=semantic))


def official(stem, semantic=True):
    network = build_network(stem, semantic)
    wanted = (lambda name: True) if semantic else (lambda name: "semantic_embed" not in name)
    network.load_state_dict(translate(checkpoint(stem, wanted)))
    return network.eval()


@pytest.mark.parametrize("stem", SIZES)
def test_names_and_shapes_are_the_official_ones(stem):
    with torch.device("meta"):
        network = build_network(stem)
    official = manifest(stem)
    assert shapes(network.state_dict()) == shapes(translate(official))
    inner = {name for name in official if name.startswith(f"{BACKBONE}patch_embed.")}
    assert len(inner) == 4 and all(name.replace(BACKBONE, f"{BACKBONE}model.") in official for name in inner)
    for prefix in network.unused_at_test():
        known = any(name.startswith(prefix) for name in network.state_dict())
        assert known or "semantic" in prefix or "norm." in prefix, prefix


@pytest.mark.parametrize("stem", [pytest.param("kpr", marks=pytest.mark.slow), "kpr_in"])
@torch.no_grad()
def test_features_of_one_picture(stem):
    """With keypoints: the prompt is another input of the same network."""
    expected = golden(stem)
    result = official(stem)(normal(1, (4, 3, *SIZES[stem]))[:1], prompts=expected["prompt_masks"][:1])
    assert error(result.embeddings, expected["fill/kp/emb"][:1]) < TOLERANCE
    assert torch.equal(result.visibility, expected["fill/kp/vis"][:1])


def check_case(network, images, expected, case, tolerance, **inputs):
    result = network(images, **inputs)
    assert error(result.embeddings, expected[f"{case}/emb"]) < tolerance, case
    assert torch.equal(result.visibility, expected[f"{case}/vis"]), case
    distances = part_distances(result.normalized(), result.normalized())
    off_diagonal = ~torch.eye(4, dtype=torch.bool)
    assert (distances - expected[f"{case}/dist_f64"])[off_diagonal].abs().max() < 2e-5, case


@pytest.mark.slow
@pytest.mark.parametrize("stem", SIZES)
@torch.no_grad()
def test_features_of_all_cases_and_bfloat16(stem):
    expected, images, network = golden(stem), normal(1, (4, 3, *SIZES[stem])), official(stem)
    prompts = {"prompts": expected["prompt_masks"]}
    cases = {"fill/none": {}, "fill/kp": prompts}
    if stem == "kpr_in":
        cases |= {"fill/none_cam": {"camids": CAMIDS}, "fill/kp_cam": {"camids": CAMIDS} | prompts}
    for case, inputs in cases.items():
        check_case(network, images, expected, case, TOLERANCE, **inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images)
    assert cosine_distance(half.embeddings, expected["fill/none/emb"]) < 0.02
    if stem == "kpr":  # stored for this one: parts hidden here and there
        network = official(stem)
        weights = network.state_dict()
        for name in expected:
            if name.startswith("override/"):
                weights[name.removeprefix("override/")].copy_(expected[name])
        check_case(network, images, expected, "cal/none", 1e-4)
        check_case(network, images, expected, "cal/kp", 1e-4, **prompts)


@pytest.mark.slow
@torch.no_grad()
def test_features_without_semantic_control():
    expected = golden("kpr")
    result = official("kpr", semantic=False)(normal(1, (4, 3, 384, 128)))
    assert error(result.embeddings, expected["nosem_fill/none/emb"]) < TOLERANCE
    assert torch.equal(result.visibility, expected["nosem_fill/none/vis"])


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


@pytest.fixture
def small(monkeypatch):
    """The builder makes small networks; gives the official kind of file of one, by variant."""
    monkeypatch.setattr("NFC.networks.kpr.SwinV2", small_v2)
    monkeypatch.setattr("NFC.networks.kpr.SoliderSwin", small_solider)
    torch.manual_seed(0)

    def tensors(stem, semantic=True, cameras=0):
        swin = small_v2(256, 128) if stem == "kpr_in" else small_solider(384, 128, semantic=semantic)
        network = KPR(swin, 3, dim=512, num_classes=5, num_cameras=cameras).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return network, to_official(network.state_dict(), stem)

    return tensors


def to_official(ours, stem):
    """What `translate` must undo, written the other way round: thirds joined, merged columns in the file's order."""
    tensors = {}
    for name, tensor in ours.items():
        if name.startswith(f"{BACKBONE}model.patch_embed."):
            name = name.replace(".proj.", ".projection.") if stem == "kpr" else name
            tensors[name.replace("model.", "")] = tensors[name] = tensor
            continue
        if stem == "kpr":
            if ".q_proj." in name:
                joined = [ours[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
                tensors[name.replace(".attention.q_proj.", ".attn.w_msa.qkv.")] = torch.cat(joined)
                continue
            if ".k_proj." in name or ".v_proj." in name:
                continue
            if ".downsample." in name:  # ours: pixels (0,0) (1,0) (0,1) (1,1); theirs: (0,0) (0,1) (1,0) (1,1), inside
                first, below, right, last = tensor.chunk(4, dim=-1)
                tensor = torch.stack([first, right, below, last], dim=-1).flatten(-2)
            for our, their in (
                ("masks_patch_embed.proj.", "masks_patch_embed.projection."),
                (".layernorm_before.", ".norm1."),
                (".layernorm_after.", ".norm2."),
                (".mlp.fc1.", ".ffn.layers.0.0."),
                (".mlp.fc2.", ".ffn.layers.1."),
                (".attention.o_proj.", ".attn.w_msa.proj."),
                (".attention.relative_position_bias.", ".attn.w_msa."),
            ):
                name = name.replace(our, their)
        tensors[name] = tensor
    return tensors


@pytest.mark.parametrize(
    ("stem", "options", "uses_camids"),
    [
        ("kpr", {}, False),
        ("kpr", {"semantic": False}, False),
        ("kpr_in", {"cameras": 4}, True),
        ("kpr_in", {}, False),
    ],
)
def test_the_variant_is_recognised(small, tmp_path, stem, options, uses_camids):
    network, tensors = small(stem, **options)
    torch.save({"state_dict": {f"module.{n}": t for n, t in tensors.items()}}, tmp_path / "kpr.pth.tar")
    extractor = build_extractor("kpr", tmp_path / "kpr.pth.tar", device="cpu")
    assert (extractor.height, extractor.width) == SIZES[stem] and extractor.uses_camids == uses_camids
    assert extractor.feature_dim == 4 * 513 and extractor.parts == 4
    expected = golden(stem)
    picture = Image.fromarray(expected["pre/2/img_u8_rgb"].numpy())
    tensor = extractor.preprocess(picture)
    torch.testing.assert_close(tensor[:, ::4, ::4], expected["pre/2/image_sub"], rtol=0, atol=1e-6)
    camids = torch.tensor([1]) if uses_camids else None
    with torch.no_grad():
        result = network(tensor[None], camids)
    torch.testing.assert_close(extractor(tensor[None], camids), result.flatten())
    if uses_camids:
        assert not torch.allclose(extractor(tensor[None]), result.flatten()), "the camera matters"
        with pytest.raises(UserError, match="the weights know 4 cameras"):
            extractor(tensor[None], torch.tensor([4]))


def test_a_file_that_does_not_fit(small, tmp_path):
    _, tensors = small("kpr")
    torch.save(
        {n: t for n, t in tensors.items() if ".stages.1.blocks.0.attn.w_msa.qkv.weight" not in n}, tmp_path / "a.pth"
    )
    with pytest.raises(UserError, match=r"3 missing \(.*stages.1.blocks.0.attention.k_proj.weight"):
        build_extractor("kpr", tmp_path / "a.pth")


@torch.no_grad()
def test_no_prompt_is_all_background(small):
    network, _ = small("kpr_in")
    images = torch.randn(1, 3, 256, 128)
    prompts = torch.zeros(1, 8, 64, 32)
    nothing = network(images, prompts=prompts)
    prompts[:, 0] = 1
    torch.testing.assert_close(network(images).embeddings, network(images, prompts=prompts).embeddings)
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


@pytest.mark.parametrize("swin", [small_v2, small_solider])
def test_a_small_one_learns(swin):
    torch.manual_seed(0)
    network = KPR(swin(64, 32), 2, dim=32, num_classes=0, num_cameras=4)

    def distances(images, camids):
        feats = network(images, camids).normalized()
        return part_distances(feats, feats)

    before, after = before_and_after(
        network, lambda x, camids: network(x, camids).embeddings.unbind(1), distances, (64, 32), steps=8, lr=2e-3
    )
    assert after > before + 0.08
    assert without_gradient(network, network.unused_at_test()) == []


def test_extracted_features_come_apart(small, tmp_path):
    _, tensors = small("kpr_in")
    torch.save(tensors, tmp_path / "kpr.pth")
    extractor = build_extractor("kpr", tmp_path / "kpr.pth", device="cpu")
    parts = PartFeatures.unflatten(extractor(torch.randn(2, 3, 256, 128)), extractor.parts)
    assert parts.embeddings.shape == (2, 4, 512) and set(parts.visibility.unique().tolist()) <= {0.0, 1.0}


def test_the_mirror_exchanges_left_and_right():
    """A prompt of mirrored keypoints, with sides renamed, is the mirrored prompt."""
    left_right = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    rng = np.random.default_rng(0)
    keypoints = np.column_stack([rng.integers(0, 128, 17), rng.integers(0, 256, 17), np.ones(17)])
    mirrored = keypoints[left_right] * [-1, 1, 1] + [127, 0, 0]
    extractor = KPRExtractor(KPR(small_v2(64, 32), 2, dim=8, num_classes=0), Preprocessing(256, 128))
    size = (256, 128)
    colours = torch.rand(1, 3, *size)
    images = torch.cat([colours, prompt_heatmaps([keypoints], size, size)[None]], dim=1)
    result = extractor.mirror(images)
    assert torch.equal(result[:, :3], colours.flip(-1)) and torch.equal(extractor.mirror(colours), colours.flip(-1))
    torch.testing.assert_close(result[0, 3:], prompt_heatmaps([mirrored], size, size))
    assert not torch.equal(images.flip(-1), result)


def test_feature_files_know_the_keypoints(tmp_path):
    extractor = KPRExtractor(KPR(small_v2(64, 32), 2, dim=8, num_classes=0), Preprocessing(64, 32))
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
