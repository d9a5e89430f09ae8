"""PDC: the golden figures of the authors' network."""

import pytest
import torch
from torch import Tensor

from NFC.networks.body.transformer import IDENTITY
from NFC.networks.files import build_from_tensors
from NFC.networks.pdc import PDC, PDCSizes
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes


def test_names_and_shapes_are_the_authors():
    with torch.device("meta"):
        network = PDC(PDCSizes(num_classes=1467))
    ours = {n: t for n, t in network.to_official(network.state_dict()).items() if not n.endswith("num_batches_tracked")}
    assert shapes(ours) == shapes(manifest("pose_parsing_domains/pdc"))


def released() -> dict[str, Tensor]:
    tensors = checkpoint("pose_parsing_domains/pdc")
    thetas = {name for name in tensors if name.endswith("_theta.bias")}
    return tensors | {name: tensors[name] + torch.tensor(IDENTITY) for name in thetas}


@torch.no_grad()
def test_parts_stay_where_they_are_before_training():
    """PTN's identity is exact: no bit of the picture of parts changes."""
    network = PDC(PDCSizes(**PDC.mini)).eval()
    parts = torch.randn(2, 3, 128, 64)
    moved, thetas = network.moved_parts(parts)
    assert torch.equal(moved, parts) and all((theta == torch.tensor(IDENTITY)).all() for theta in thetas.values())
    network.transformers["body"].theta.bias[2] = 0.1
    assert not torch.equal(network.moved_parts(parts)[0], parts)


@pytest.mark.slow
@torch.no_grad()
def test_figures():
    """In float64, for processors round differently: up to 2.6e-5 between the official float32 figures and ours."""
    expected = golden("pose_parsing_domains/pdc")
    network = build_from_tensors(PDC, released(), "pdc").eval().network.double()
    pictures, parts = (120 * uniform(1, -1, 1, (2, 3, 512, 512))).double().split(256, dim=3)
    moved, thetas = network.moved_parts(parts)
    for name, (top, left, height, width) in network.places.items():
        assert error(thetas[name], expected[f"pdc/theta_{name}"]) < TOLERANCE
        part = moved[:, :, top : top + height, left : left + width].mean((2, 3)).float()
        torch.testing.assert_close(part, expected[f"pdc/st_{name}_output/mean"], rtol=0, atol=1e-4)
    torch.testing.assert_close(moved.mean((2, 3)).float(), expected["pdc/concatall/mean"], rtol=0, atol=1e-4)
    maps = network.maps(pictures, parts)
    feature = network.joined(*maps)
    found = {"pool0": maps[0].mean((2, 3)), "pool1": maps[1].mean((2, 3)), "tanhout": feature[:, 1024:]}
    errors = {name: error(value, expected[f"pdc/{name}"]) for name, value in (found | {"data2048": feature}).items()}
    assert max(errors.values()) < TOLERANCE, errors
