"""PABP: two streams, compact bilinear pooling and the loss of all triplets, against the authors' figures."""

import json

import pytest
import torch
from torch import Tensor

from NFC.networks import build_extractor
from NFC.networks.blocks.bilinear import CompactBilinear, bilinear, signed_root
from NFC.networks.blocks.googlenet import CrossMapNorm
from NFC.networks.pabp import PABP, PABPSizes, from_tensors
from NFC.training.losses.all_triplets import all_triplets_loss
from pose2id.errors import UserError
from tests.golden.recipe import recipe, uniform
from tests.nfc.networks.official import checkpoint, error, golden, manifest, place, shapes

GOLDEN = golden("pabp")
STEMS = {"app_state_dict": "pabp_app", "part_state_dict": "pabp_part"}
TOLERANCE, NEAR = 2e-5, {"rtol": 1e-6, "atol": 1e-6}


def streams(filled: bool) -> dict[str, dict[str, Tensor]]:
    """The authors' two dictionaries, with recipe values or without values."""
    content = json.loads(place("pabp_manifest.json").read_text(encoding="utf-8"))

    def tensor(stem: str, name: str, shape: list[int]) -> Tensor:
        if not filled:
            return torch.empty(shape, device="meta")
        return torch.tensor(0) if name.endswith("num_batches_tracked") else recipe(STEMS[stem], name, shape)

    return {stem: {name: tensor(stem, name, shape) for name, shape in names} for stem, names in content.items()}


def flat(given: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{stem}.{name}": tensor for stem, tensors in given.items() for name, tensor in tensors.items()}


def test_names_and_shapes_are_those_of_the_official_files():
    for official in (flat(streams(filled=False)), manifest("pabp_inception_v1")):
        with torch.device("meta"):
            network = from_tensors(official, "official.pth").network
        assert shapes(network.to_official(network.state_dict())) == shapes(official)
    size = PABPSizes()
    assert (size.height, size.width, size.appearance, size.part, size.features) == (160, 80, 512, 128, 512)


@pytest.mark.slow
@torch.inference_mode()
def test_golden(tmp_path):
    path = tmp_path / "epoch_750.pth.tar"
    torch.save(streams(filled=True) | {"epoch": 750}, path)
    extractor = build_extractor("pabp", path, device="cpu")
    pictures = 128 * uniform(1, -1, 1, (2, 3, 160, 80))
    torch.testing.assert_close(pictures.flatten()[:8], GOLDEN["input_first"])
    maps = {"app": extractor.network.backbone(pictures), "part": extractor.network.parts(pictures)}
    for name, found in maps.items():
        assert found.shape[2:] == (20, 10)
        assert error(found.mean((2, 3)), GOLDEN[f"{name}_mean"]) < TOLERANCE
        assert error(found[:, :, 0, 0], GOLDEN[f"{name}_00"]) < TOLERANCE
    assert error(extractor(pictures), GOLDEN["feature"]) < TOLERANCE
    mean = from_tensors(checkpoint("pabp_inception_v1"), "official.pth").eval()
    assert error(mean(pictures), GOLDEN["inception_v1_feature"]) < TOLERANCE


def test_tables_of_the_sketch():
    bins = (GOLDEN["h1"][:, None] + GOLDEN["h2"]) % 512
    compact = CompactBilinear(512, 128, 512)
    assert torch.equal(compact.bins, bins.flatten())
    assert torch.equal(compact.signs, (GOLDEN["s1"][:, None] * GOLDEN["s2"]).flatten().float())


def test_pooling():
    a, p = GOLDEN["bp_a"], GOLDEN["bp_p"]
    products, unit = bilinear(a, p), torch.nn.functional.normalize
    whole = products.transpose(1, 2).flatten(1)  # a row of appearance for each channel of parts
    torch.testing.assert_close(whole, GOLDEN["bp_mean"], **NEAR)
    torch.testing.assert_close(unit(whole), GOLDEN["bp_l2"], **NEAR)
    torch.testing.assert_close(unit(signed_root(whole)), GOLDEN["bp_signed_sqrt_l2"], **NEAR)
    compact = CompactBilinear(6, 4, 8)
    compact.tell(*(GOLDEN[f"bp_compact_{name}"] for name in ("h1", "s1", "h2", "s2")))
    # The authors' code sums over the 20 places and multiplies by the 8 bins; both go with the unit length.
    torch.testing.assert_close(compact(products) * 8 * 20, GOLDEN["bp_compact_8_sum"], rtol=1e-6, atol=1e-5)


def test_compact_pooling_is_a_circular_convolution_of_two_sketches():
    torch.manual_seed(0)
    a, p = torch.randn(2, 6, 3, 2, dtype=torch.float64), torch.randn(2, 4, 3, 2, dtype=torch.float64)
    compact = CompactBilinear(6, 4, 8)
    h1, s1, h2, s2 = (GOLDEN[f"bp_compact_{name}"] for name in ("h1", "s1", "h2", "s2"))
    compact.tell(h1, s1, h2, s2)

    def sketch(x: Tensor, bins: Tensor, signs: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], 8, 3, 2).index_add(1, bins, x * signs[:, None, None])

    spectra = [torch.fft.fft(s, dim=1) for s in (sketch(a, h1, s1), sketch(p, h2, s2))]
    expected = torch.fft.ifft(spectra[0] * spectra[1], dim=1).real.mean((2, 3))
    torch.testing.assert_close(compact(bilinear(a, p)), expected)


def test_a_uniform_part_map_is_mean_pooling():
    a = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    products = bilinear(a, torch.ones(2, 3, 5, 4, dtype=torch.float64))
    torch.testing.assert_close(products, a.mean((2, 3))[..., None].expand(-1, -1, 3))


def small(dialect: str) -> PABP:
    torch.manual_seed(0)
    return PABP(PABPSizes(**{**PABP.mini, "dialect": dialect})).eval()


@torch.inference_mode()
def test_the_uniform_dialect_is_mean_pooling_of_the_same_appearance():
    network, pictures = small("uniform"), torch.randn(2, 3, 64, 32)
    means = network.backbone(pictures).mean((2, 3))
    compact = network.compact(means[..., None])
    torch.testing.assert_close(network(pictures), torch.nn.functional.normalize(compact))
    assert not network.training_inputs().names and not network.test_inputs().names


@torch.inference_mode()
def test_drawn_part_maps_peak_at_their_points():
    network, pictures = small("drawn"), torch.randn(2, 3, 64, 32)
    points = torch.zeros(2, 18, 3)
    points[0, 4] = torch.tensor([8 * 2 + 3.5, 8 * 5 + 3.5, 1.0])  # the middle of place (5, 2)
    maps = network.parts(pictures, points)
    assert maps.shape == (2, 18, 8, 4) and maps[0, 4].flatten().argmax() == 5 * 4 + 2
    assert float(maps[0, 4, 5, 2]) == pytest.approx(1) and not maps[0, 3].any()
    assert (maps[1] == 1).all()  # nobody is known there: mean pooling
    a = network.backbone(pictures)
    naive = torch.stack([(a[0] * each).mean((1, 2)) for each in maps[0]], 1)[None]
    torch.testing.assert_close(
        network(pictures, points)[:1], torch.nn.functional.normalize(network.compact(naive)), **NEAR
    )
    assert network.training_inputs().names == network.test_inputs().names == ("points",)


def test_local_response_normalisation():
    x = 100 * torch.randn(2, 16, 3, 2)
    torch.testing.assert_close(CrossMapNorm()(x), torch.nn.CrossMapLRN2d(5, 1e-4, 0.75, 1)(x))
    torch.testing.assert_close(CrossMapNorm(exact=True)(x), torch.nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)(x))


def test_loss_of_all_triplets():
    features = GOLDEN["tri_e"].clone().requires_grad_()
    loss = all_triplets_loss(features, GOLDEN["tri_y"])
    loss.backward()
    torch.testing.assert_close(loss.double(), GOLDEN["tri_loss"], **NEAR)
    torch.testing.assert_close(features.grad, GOLDEN["tri_grad"], **NEAR)


def naive_loss(features: Tensor, labels: Tensor, margin: float) -> tuple[float, int]:
    terms = []
    for i, anchor in enumerate(labels):
        for j, positive in enumerate(labels):
            for k, negative in enumerate(labels):
                if i != j and anchor == positive != negative:
                    near = (features[i] - features[j]).square().sum() - (features[i] - features[k]).square().sum()
                    terms.append(max(0.0, float(near + margin)))
    active = sum(term > 0 for term in terms)
    return sum(terms) / max(1, active), active


def test_loss_is_the_mean_of_active_triplets():
    torch.manual_seed(0)
    features, labels = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 2, 3])
    expected, active = naive_loss(features, labels, 0.2)
    assert active and float(all_triplets_loss(features, labels)) == pytest.approx(expected)
    assert naive_loss(GOLDEN["tri_e"], GOLDEN["tri_y"], 0.2)[1] == GOLDEN["tri_active"]


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="unknown dialect 'max'"):
        PABP(PABPSizes(dialect="max"))
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks app_state_dict\.input_feat\.weight or "):
        from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")
