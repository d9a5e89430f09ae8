"""Bodies that are hardly there, through every network that is told of them: all stays finite, in tests and training."""

import pytest
import torch
from torch import Tensor

from NFC.networks import NETWORKS, trainable
from NFC.networks.body.points import fourteen
from NFC.networks.body.regions import ALL_ROWS
from NFC.networks.reid_network import Inputs, ReIDNetwork
from NFC.training.losses import read_losses
from NFC.training.objective import ReIDObjective
from tests.nfc.networks.zoo import CLASSES, PROGRAMS, config_of, small_network
from tests.nfc.networks.zoo import VARIANTS as ZOO

# A variant of the zoo, and what it is told of the body.
TOLD = [(name, "points") for name in ("pie", "spindlenet", "pdc", "glad", "foreground", "foreground, two regions")]
TOLD += [(name, "parsing") for name in ("foreground", "foreground, two regions", "sap", "spreid")]
TOLD += [("rbnet", "heat_maps")]
AT_TEST = [(name, kind) for name, kind in TOLD if name not in ("sap", "rbnet")]
NAN = float("nan")


def points_of(height: int, width: int) -> dict[str, Tensor]:
    """(18, 3) by name of the case."""
    middle = torch.tensor([width / 2, height / 2, 1.0])
    one = torch.zeros(18, 3)
    one[4] = middle
    size = torch.tensor([width, height, 1.0])
    spread = torch.rand(18, 3, generator=torch.Generator().manual_seed(0))
    spread[:, 2] = 1
    return {
        "nobody": torch.zeros(18, 3),
        "one joint": one,
        "all at one point": middle.expand(18, 3),
        "over the border": spread * size - torch.tensor([width / 2, height / 2, 0]),
        "outside": spread * size - torch.tensor([3 * width, 2 * height, 0]),
        "far outside": spread * torch.tensor([1e6, -1e6, 1]),
        "no numbers": torch.tensor([NAN, NAN, 0.0]).expand(18, 3),
        "no numbers, but sure": torch.tensor([NAN, float("inf"), 1.0]).expand(18, 3),
        "inside": spread * size,
    }


def label_maps_of(height: int, width: int) -> dict[str, Tensor]:
    """(H, W) int64 by name of the case."""
    background = torch.zeros(height, width, dtype=torch.int64)
    pixel, stripes = background.clone(), background.clone()
    pixel[height // 2, width - 1] = 1
    stripes[height // 4 : height // 2], stripes[height // 2 :] = 1, 2
    return {"background": background, "unknown": background - 1, "one pixel": pixel, "two parts": stripes}


def heat_maps_of(height: int, width: int) -> dict[str, Tensor]:
    """(17, h, w) by name of the case."""
    nobody = torch.zeros(17, height // 2, width // 2)
    one, corner = nobody.clone(), nobody.clone()
    one[3, 5, 5], corner[:, 0, 0] = 1, 1
    return {"nobody": nobody, "one joint": one, "all in a corner": corner}


CASES = {"points": points_of, "parsing": label_maps_of, "heat_maps": heat_maps_of}


def cases(network: ReIDNetwork, kind: str) -> dict[str, Tensor]:
    return CASES[kind](network.sizes.height, network.sizes.width)


def shown(network: ReIDNetwork, count: int) -> Tensor:
    size = network.sizes.height, network.sizes.width
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "kind"), TOLD)
def test_training_stays_finite(name, kind):
    """Batches of one case alone, by the losses of the network's config: values and all gradients."""
    network = small_network(name).train()
    losses = read_losses(config_of(ZOO[name][0]).losses)
    labels = torch.arange(2 * CLASSES) % CLASSES
    batch = {"pictures": shown(network, len(labels)), "labels": labels, "camids": labels, "generated": labels < 0}
    for case, one in cases(network, kind).items():
        network.zero_grad()
        loss, parts = ReIDObjective(network, losses)(batch | {kind: one.expand(len(labels), *one.shape)}, [])
        loss.backward()
        assert loss.isfinite() and all(value.isfinite() for value in parts.values()), case
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients), case


@torch.no_grad()
@pytest.mark.parametrize(("name", "kind"), TOLD)
def test_other_pictures_of_a_batch_do_not_matter(name, kind):
    """All cases in one batch, with the statistics of normalisation at rest, and each by itself."""
    network = small_network(name).eval()
    told = torch.stack(list(cases(network, kind).values()))
    pictures, labels = shown(network, len(told)), torch.arange(len(told)) % CLASSES
    together, _ = network.outputs(Inputs(pictures, **{kind: told}), labels)
    at_test = network(pictures, **{kind: told}) if (name, kind) in AT_TEST else network(pictures)
    assert at_test.isfinite().all()
    for row, case in enumerate(cases(network, kind)):
        own = slice(row, row + 1)
        alone, _ = network.outputs(Inputs(pictures[own], **{kind: told[own]}), labels[own])
        feature = network(pictures[own], **{kind: told[own]}) if (name, kind) in AT_TEST else network(pictures[own])
        torch.testing.assert_close(feature, at_test[own], rtol=1e-3, atol=1e-4, msg=lambda m, case=case: f"{case}: {m}")
        for one, every in zip(alone, together, strict=True):
            for field in ("features", "scores"):
                if (value := getattr(one, field)) is not None:
                    torch.testing.assert_close(value, getattr(every, field)[own], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("name", "kind"), [told for told in AT_TEST if told[1] == "points"])
def test_points_that_are_no_numbers_are_missing(name, kind):
    network = small_network(name).eval()
    told = cases(network, kind)
    pictures = shown(network, 1)
    nobody = network(pictures, told["nobody"][None])
    assert torch.equal(network(pictures), nobody)
    for case in ("no numbers", "no numbers, but sure"):
        assert torch.equal(network(pictures, told[case][None]), nobody), case
    assert not torch.allclose(network(pictures, told["inside"][None]), nobody, rtol=1e-3)


def black_box(network: ReIDNetwork, pictures: Tensor, points: Tensor) -> None:
    box = network.boxes(pictures, points)
    torch.testing.assert_close(box, network.black(pictures)[:, None, None].expand_as(box))
    assert network.confidences(pictures, points).sum() <= 1


def black_parts(network: ReIDNetwork, pictures: Tensor, points: Tensor) -> None:
    parts = network.parts(pictures, points)
    torch.testing.assert_close(parts, network.black(pictures)[:, None, None].expand_as(parts))


def whole_pictures(network: ReIDNetwork, pictures: Tensor, points: Tensor) -> None:
    """Of all regions but those that the joint, the right wrist, is of."""
    whole = torch.tensor([0.0, 0, network.sizes.width, network.sizes.height])
    boxes, seen = network.boxes(pictures, points)[0], bool((points[..., 2] > 0).any())
    others = [0, 2, 4, 5, 6] if seen else range(7)
    assert all(torch.equal(boxes[row], whole) for row in others)
    assert not seen or not any(torch.equal(boxes[row], whole) for row in (1, 3))


def mean_pose(network: ReIDNetwork, pictures: Tensor, points: Tensor) -> None:
    rows = torch.arange(float(pictures.shape[2]))[:, None].expand(1, *pictures.shape[1:])
    head, upper, lower, whole = network.regions(rows, points)
    neck, hip = (share * pictures.shape[2] for share in ALL_ROWS)
    assert head.max() <= neck <= upper.min() + 1 and upper.max() <= hip <= lower.min() + 1
    assert lower.max() > pictures.shape[2] - 2 and whole.shape == pictures.shape


def mean_over_the_map(network: ReIDNetwork, pictures: Tensor, points: Tensor) -> None:
    expected = network.backbone(pictures).mean((2, 3))
    for region in network.pooled(pictures, points).unbind(1):
        torch.testing.assert_close(region, expected)


PROMISES = {
    "pie": black_box,
    "pdc": black_parts,
    "spindlenet": whole_pictures,
    "glad": mean_pose,
    "foreground": mean_over_the_map,
    "foreground, two regions": mean_over_the_map,
}


@torch.no_grad()
@pytest.mark.parametrize("case", ["nobody", "one joint", "no numbers"])
@pytest.mark.parametrize("name", PROMISES)
def test_what_the_docs_promise(name, case):
    network = small_network(name).eval()
    points = cases(network, "points")[case][None]
    PROMISES[name](network, shown(network, 1), points)


@torch.no_grad()
def test_all_joints_at_one_point_have_no_size():
    network = small_network("foreground").eval()
    one = network.shares(shown(network, 1), (128, 64), cases(network, "points")["all at one point"][None])
    assert 0 < one.sum() < 100
    assert fourteen(cases(network, "points")["far outside"]).isfinite().all()


@torch.no_grad()
def test_label_maps_without_a_person():
    spreid, foreground = small_network("spreid").eval(), small_network("foreground").eval()
    nothing = spreid(shown(spreid, 1), cases(spreid, "parsing")["background"][None])
    assert nothing[:, : 2 * spreid.backbone.channels].eq(0).all()
    for case in ("background", "unknown"):
        mean = foreground.backbone(shown(foreground, 1)).mean((2, 3))
        pooled = foreground.pooled(shown(foreground, 1), parsing=cases(foreground, "parsing")[case][None])
        torch.testing.assert_close(pooled[:, 0], mean)
    sap = small_network("sap")
    _, own = sap.outputs(
        Inputs(shown(sap, 2), parsing=cases(sap, "parsing")["unknown"].expand(2, -1, -1)), torch.arange(2)
    )
    assert own and all(loss == 0 for loss in own.values())


def test_no_network_is_left_out():
    with torch.device("meta"):
        networks = [
            trainable(name)(trainable(name).preset_sizes("mini")) for name in sorted(NETWORKS.keys() - PROGRAMS)
        ]
    asked = {network.name for network in networks if "points" in network.extractor().inputs}
    assert asked == {ZOO[name][0] for name, kind in TOLD if kind == "points"} and len(asked) >= 5
