"""SAP: proxies of parts taught by stripes or label maps, and a test feature that knows of no teacher."""

from dataclasses import replace

import pytest
import torch

from NFC.networks.blocks.limbs import limb_map
from NFC.networks.reid_network import Inputs
from NFC.networks.sap import SAP, SAPSizes
from NFC.training.losses import read_losses
from NFC.training.network import start_from
from NFC.training.objective import ReIDObjective
from pose2id.errors import UserError
from pose2id.presets import default_directory
from pose2id.weights import read_tensors
from tests.nfc.networks.learning import check_learns

SMALL = SAPSizes(64, 32, 16, dim=32, depth=2, heads=2, num_classes=3, temperature=0.1)


def small(**changes) -> SAP:
    torch.manual_seed(0)
    network = SAP(replace(SMALL, **changes))
    torch.nn.init.normal_(network.base.pos_embed, std=0.2)
    return network


def shown(**given) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    return Inputs(torch.randn(4, 3, 64, 32, generator=generator), **given)


def maps() -> torch.Tensor:
    return (
        torch.randint(7, (4, 4, 2), generator=torch.Generator().manual_seed(2))
        .repeat_interleave(16, 1)
        .repeat_interleave(16, 2)
    )


def test_sizes_are_those_of_the_base():
    with torch.device("meta"):
        network = SAP(replace(SAPSizes(), num_classes=0))
    assert network.feature_dim == 7 * 768 and network.base.patch_embed.grid == (16, 8)
    assert network.proxies.queries.shape == (7, 768)


@pytest.mark.parametrize("teacher", ["stripes", "parsing"])
def test_the_teacher_changes_nothing_at_test(teacher):
    given = {"parsing": maps()} if teacher == "parsing" else {}
    network = small(teacher=teacher, parts=4 if teacher == "stripes" else 6)
    before = network.eval()(shown().pictures)
    _, own = network.outputs(shown(**given), torch.arange(4) % 3)
    assert set(own) == {"patch_teacher", "proxy_teacher"} and all(loss > 0 for loss in own.values())
    assert torch.equal(network(shown(**given).pictures), before)
    features = [branch.features for branch in network.branches(shown())]
    parts = torch.cat([torch.nn.functional.normalize(feature) for feature in features], 1)
    torch.testing.assert_close(before, parts)
    assert len(features) == 1 + network.sizes.parts


@torch.no_grad()
def test_permuting_patches_permutes_everything():
    network = small(teacher="parsing").eval()
    pictures, order = shown().pictures, torch.randperm(8, generator=torch.Generator().manual_seed(3))

    def permuted(images: torch.Tensor) -> torch.Tensor:
        patches = images.unflatten(-2, (4, 16)).unflatten(-1, (2, 16)).movedim(-2, -3).flatten(-4, -3)
        return patches[..., order, :, :].unflatten(-3, (4, 2)).movedim(-2, -3).flatten(-2).flatten(-3, -2)

    feature, seen = network(pictures), network.see(pictures)
    labels = network.teacher(shown(parsing=maps())).labels
    network.base.pos_embed[:, 1:] = network.base.pos_embed[:, 1:][:, order]
    turned = network.see(permuted(pictures))
    torch.testing.assert_close(network(permuted(pictures)), feature, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned.patches, seen.patches[:, order], rtol=1e-4, atol=1e-5)
    for look, other in zip(seen.proxy_logits, turned.proxy_logits, strict=True):
        torch.testing.assert_close(other, look[..., order], rtol=1e-4, atol=1e-4)
    rows = torch.cat([torch.tensor([0]), 1 + order])
    torch.testing.assert_close(turned.patch_logits, seen.patch_logits[:, rows][:, :, rows], rtol=1e-4, atol=1e-4)
    assert torch.equal(network.teacher(shown(parsing=permuted(maps()))).labels, labels[:, order])


@torch.no_grad()
def test_patch_logits_are_those_of_the_last_block():
    network = small(teacher="stripes").eval()
    last, seen = network.base.blocks[-1], {}
    last.attn.fused_attn = False
    last.attn.attn_drop.register_forward_hook(lambda _, __, weights: seen.update(weights=weights))
    last.attn.num_heads, last.attn.head_dim, last.attn.scale = 1, 32, 32**-0.5  # one head: logits tell the weights
    logits = network.see(shown().pictures).patch_logits
    torch.testing.assert_close(logits.softmax(-1), seen["weights"][:, 0])


def test_pictures_without_labels_do_not_count():
    network, labels = small(teacher="parsing", drop=0.0), torch.arange(4) % 3
    some, half = maps(), maps()
    half[2:] = -1
    _, of_half = network.outputs(shown(parsing=half), labels)
    few = Inputs(shown().pictures[:2], parsing=some[:2])
    _, of_two = network.outputs(few, labels[:2])
    torch.testing.assert_close(of_half, of_two)
    _, of_none = network.outputs(shown(parsing=torch.full_like(some, -1)), labels)
    assert all(loss == 0 for loss in of_none.values())
    empty = small(teacher="parsing", skip_empty=True)
    _, of_empty = empty.outputs(shown(parsing=torch.zeros_like(some)), labels)
    assert all(loss == 0 for loss in of_empty.values())


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="there are no label maps"):
        small(teacher="parsing").outputs(shown(), torch.arange(4))
    for changes in ({"teacher": "pose"}, {"repetition": "raw"}, {"drop": 1.0}, {"temperature": 0.0}, {"parts": 0}):
        with pytest.raises(UserError, match="sap") as error:
            replace(SMALL, **changes)
        assert "\n" not in str(error.value)


def test_switches():
    labels = torch.arange(4) % 3
    plain = small(teacher="stripes", patch_weight=0.0, proxy_weight=0.0)
    assert plain.outputs(shown(), labels)[1] == {}
    assert set(small(teacher="stripes", patch_weight=0.0).outputs(shown(), labels)[1]) == {"proxy_teacher"}
    without = small(teacher="stripes", mutual_absorption=False)
    assert len(without.see(shown().pictures).proxy_logits) == 1
    assert not any("absorb" in name or "refine" in name for name in without.state_dict())
    same = small(teacher="stripes", drop=0.0)
    assert same.outputs(shown(), labels)[1] == same.outputs(shown(), labels)[1]


def test_attention_learns_the_teacher():
    network, labels = small(teacher="parsing", drop=0.1, patch_weight=1.0, proxy_weight=1.0), torch.arange(4) % 3
    objective = ReIDObjective(network.train(), read_losses([{"name": "identity"}]))
    points = torch.rand(4, 18, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([32, 64, 1])
    poses = torch.stack([limb_map(person, 64, 32) for person in points])
    batch = {"pictures": shown().pictures, "labels": labels, "camids": labels, "generated": labels < 0}
    optimizer, history = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(30):
        loss, parts = objective(batch | {"parsing": poses}, [])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(parts)
    assert set(parts) == {"identity", "patch_teacher", "proxy_teacher"}
    for name in parts:
        assert history[-1][name] < history[0][name] - 0.1, name


def test_learns():
    check_learns(small(teacher="stripes", num_classes=0))


def test_training_can_start_from_the_small_transreid():
    """Whose ViT has the same size; the class token then says what TransReID's says."""
    network = SAP(SAPSizes(128, 64, 12, 128, 6, 4)).eval()
    place = default_directory("mini") / "transformer_20.safetensors"
    start_from(network, str(place))
    tensors = read_tensors(place)
    assert torch.equal(network.base.pos_embed, tensors["base.pos_embed"].float())
    assert torch.equal(network.base.blocks[5].mlp.fc2.weight, tensors["base.blocks.5.mlp.fc2.weight"].float())
