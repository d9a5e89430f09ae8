"""PCB and RPP: the four dialects against their authors' outputs, pooling, heads, names."""

import json

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC.networks import pcb, pcb_rpp
from NFC.networks.blocks.part_assignment import assigned_means, assignment_of, rows_of_parts
from NFC.networks.blocks.stripe_heads import stripe_means
from NFC.networks.files import build_from_tensors
from NFC.networks.pcb import PCB, PCBSizes
from NFC.networks.pcb_rpp import PCBRPP, PCBRPPSizes
from NFC.networks.reid_network import Inputs
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import check_learns
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes

FOLDER = "stripes_grid"
DIALECTS = {"pcb": "layumi", "pcb_official": "official", "pcb_bpm": "bpm", "pcb_torchreid": "torchreid"}
UNUSED = {"pcb": 2, "pcb_official": 2, "pcb_bpm": 0, "pcb_torchreid": 0, "pcb_rpp": 2}  # ImageNet's classifier
TOLERANCE = 2e-5


def network_of(stem: str) -> type[PCB]:
    return PCBRPP if stem == "pcb_rpp" else PCB


def with_classifiers(stem: str, tensors: dict[str, torch.Tensor]) -> PCB:
    kind = network_of(stem)
    sizes = kind.recognise(tensors, "sd15", "official.pth")
    return kind(kind.Sizes(**{**vars(sizes), "num_classes": 751}))


@pytest.mark.parametrize("stem", UNUSED)
def test_names_and_shapes_are_those_of_the_official_file(stem):
    tensors = manifest(f"{FOLDER}/{stem}")
    with torch.device("meta"):
        network = with_classifiers(stem, tensors)
    assert network.sizes.dialect == DIALECTS.get(stem, "official") and network.sizes.parts == 6
    back = network.to_official(network.state_dict())
    assert shapes(back).items() <= shapes(tensors).items()
    lacking = {name for name in tensors.keys() - back.keys() if not name.endswith("num_batches_tracked")}
    assert len(lacking) == UNUSED[stem] and all(".fc." in name for name in lacking)
    ours = network.from_official(tensors)
    assert shapes(network.state_dict()).items() <= shapes(dict(ours)).items()


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["pcb", "pcb_official", "pcb_bpm", "pcb_rpp"])
@torch.inference_mode()
def test_golden(stem):
    tensors, expected = checkpoint(f"{FOLDER}/{stem}"), golden(f"{FOLDER}/{stem}")
    network = with_classifiers(stem, tensors)
    network.load_state_dict({n: t for n, t in network.from_official(tensors).items() if "backbone.fc." not in n})
    old = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}  # torch 0.3
    extractor = build_from_tensors(network_of(stem), old, "official.pth").eval()
    images = uniform(1, -1, 1, (2, 3, extractor.height, extractor.width))
    maps = network.eval().backbone(images)
    parts = network.pool(maps)
    errors = {"logits": error(torch.stack(network.local.scores(parts), dim=1), expected["logits"])}
    if stem == "pcb":
        errors["parts"] = error(parts.transpose(1, 2), expected["parts"])
        errors["feature"] = error(extractor(images), expected["feature_flip"])
    elif stem == "pcb_bpm":
        errors["parts"] = error(network.reduced_parts(images), expected["parts"])
        errors["feature"] = error(extractor(images), normalize(expected["parts"].flatten(1)))
    else:
        errors["feature"] = error(extractor(images), expected["parts"].flatten(1))
    if stem == "pcb_rpp":
        errors["assignment"] = error(network.assignment(images), expected["assignment"])
    print(stem, errors)
    assert max(errors.values()) < TOLERANCE


@pytest.mark.parametrize("height", [384, 256])
def test_torchreid_orders_normalised_stripes_by_channel(height):
    torch.manual_seed(0)
    sizes = PCBSizes(height=height // 4, width=32, backbone="small", dialect="torchreid", num_classes=3)
    network, images = PCB(sizes).eval(), torch.rand(2, 3, height // 4, 32)
    with torch.inference_mode():
        parts, feats = network.parts(images), network(images)
    for picture in range(2):
        for part in range(6):
            unit = parts[picture, part] / parts[picture, part].norm()
            torch.testing.assert_close(feats[picture].view(160, 6)[:, part], unit)
    torch.testing.assert_close(feats.norm(dim=1), torch.full((2,), 6**0.5))


@pytest.mark.parametrize("rows", [24, 16, 8, 5])
def test_stripes_overlap_where_rows_do_not_divide(rows):
    maps = torch.rand(2, 3, rows, 4)
    for part, stripe in enumerate(stripe_means(maps, 6).unbind(1)):
        first, end = rows * part // 6, -(-rows * (part + 1) // 6)
        torch.testing.assert_close(stripe, maps[:, :, first:end].mean((2, 3)))


def test_preprocessing_is_that_of_each_dialect():
    stored = golden(f"{FOLDER}/preprocess_lecture1")
    for stem in DIALECTS:
        with torch.device("meta"):
            extractor = pcb.from_tensors(manifest(f"{FOLDER}/{stem}"), "official.pth")
        for source in ("a", "b"):
            shown = extractor.preprocess(Image.fromarray(stored[f"source_{source}"].numpy()))
            assert shown.shape == (3, 384, 192 if stem == "pcb" else 128)
            torch.testing.assert_close(shown[:, 3::8, 2::8], stored[f"{stem}/{source}"], rtol=0, atol=1e-5)
            torch.testing.assert_close(shown.mean((1, 2)), stored[f"{stem}/{source}_mean"], rtol=0, atol=1e-4)


def small(kind=PCB, **sizes):
    torch.manual_seed(0)
    return kind(kind.Sizes(**{**kind.mini, "num_classes": 3, **sizes}))


@pytest.mark.parametrize("own", [True, False])
def test_branches_are_the_stripes_classifiers(own):
    network, images = small(own_reductions=own, mean_loss=not own).eval(), torch.rand(2, 3, 64, 32)
    branches, parts = network.branches(Inputs(images)), network.parts(images)
    assert len(branches) == 4 and all(branch.features is None for branch in branches)
    assert {branch.weight for branch in branches} == {1.0 if own else 0.25}
    for i, branch in enumerate(branches):
        reduction = network.local.reductions[i if own else 0]
        hidden = parts[:, i] @ reduction.linear.weight.T
        hidden = (hidden / (1 + 1e-5) ** 0.5).relu()
        torch.testing.assert_close(branch.scores, network.local.classifiers[i](hidden))


def test_the_papers_variants():
    images = torch.rand(2, 3, 64, 32)
    first, second = small(classifiers="mean").eval(), small(classifiers="shared").eval()
    (branch,) = first.branches(Inputs(images))
    (classifier,) = first.local.classifiers
    torch.testing.assert_close(branch.scores, classifier(first.reduced_parts(images).mean(1)))
    assert len(second.branches(Inputs(images))) == 4 and len(second.local.classifiers) == 1


def test_the_reduced_feature():
    network, images = small(feature="H").eval(), torch.rand(2, 3, 64, 32)
    assert network.feature_dim == 4 * 64 and network(images).shape == (2, 256)
    expected = normalize(network.reduced_parts(images), dim=2)
    torch.testing.assert_close(network(images).view(2, 64, 4).transpose(1, 2), expected)


def test_only_layumis_feature_knows_the_mirror_image():
    images = torch.rand(2, 3, 64, 32)
    for dialect in DIALECTS.values():
        network = small(dialect=dialect).eval()
        same = torch.allclose(network(images), network(images.flip(-1)), atol=1e-6)
        assert same == (dialect == "layumi")


@pytest.mark.parametrize("kind", [PCB, PCBRPP])
def test_learns(kind):
    network = small(kind, num_classes=0)
    unused = ("local.",)
    check_learns(network, unused=unused)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"dialect": "french"}, "unknown dialect 'french'; choose one of: official"),
        ({"feature": "I"}, "choose one of: G, H"),
        ({"classifiers": "two"}, "choose one of: own, shared, mean"),
        ({"parts": 0}, "parts must be at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(sizes, told):
    with pytest.raises(UserError, match=told):
        small(**sizes)
    with pytest.raises(UserError, match="choose one of: full, grouped"):
        small(PCBRPP, assignment="half")


def test_files_of_others_are_one_line():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it has none of local_conv\.weight \(official\), "):
        pcb.from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")
    official = manifest(f"{FOLDER}/pcb_official")
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks local_mask\.weight; .* or the network pcb"):
        pcb_rpp.from_tensors(official, "x.pth")


def test_assignment_and_pooling_are_the_formula():
    stored = golden(f"{FOLDER}/rpp")
    x = stored["x"].double()[None]
    logits = torch.einsum("pc,bchw->bphw", stored["weight"].double(), x) + stored["bias"].double()[:, None, None]
    for temperature, key, parts in ((1.0, "assignment", "parts_weighted_mean"), (5.0, "assignment_T5", "parts_T5")):
        assignment = assignment_of(logits, temperature)
        assert error(assignment[0], stored[key]) < 1e-6
        assert error(assigned_means(x, assignment, divided=True)[0], stored[parts]) < 1e-6
        torch.testing.assert_close(assignment.sum(1), torch.ones(1, 24, 8))
    plain = assigned_means(x, assignment_of(logits), divided=False)[0]
    assert error(plain, stored["parts_code"]) < 1e-6
    assert error(normalize(plain, dim=1), stored["parts_unit"]) < 1e-6
    assert error(stripe_means(x.float(), 6)[0], stored["stripes"]) < 1e-6


def test_rows_of_parts_are_centres_of_mass():
    assignment = torch.zeros(2, 3, 6, 4)
    for part in range(3):
        assignment[:, part, 2 * part : 2 * part + 2] = 1
    torch.testing.assert_close(rows_of_parts(assignment), torch.tensor([[0.5, 2.5, 4.5]]).expand(2, 3))


def test_rpp_starts_from_a_file_of_pcb():
    trained, network = small(PCB), small(PCBRPP)
    with torch.no_grad():
        trained.backbone[1].shortcut[0].weight.fill_(0.5)
        trained.local.reductions[0].linear.weight.fill_(0.25)
    network.start_from(network.from_official(trained.to_official(trained.state_dict())), "pcb.safetensors")
    assert network.backbone[1].shortcut[0].weight.unique().item() == 0.5
    assert network.local.reductions[0].linear.weight.unique().item() == 0.25


def test_the_default_sizes_are_plain():
    for sizes in (PCBSizes(), PCBRPPSizes()):
        assert json.loads(json.dumps(vars(sizes))) == vars(sizes)
