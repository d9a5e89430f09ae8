"""Sizes of which no network can be made: one line, before anything is spent on it, whoever gives them."""

from dataclasses import asdict, make_dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from NFC.networks import NETWORKS, assemble, build_extractor, trainable
from NFC.networks.files import write_network
from NFC.networks.sizes import check_numbers
from NFC.training.network import NetworkConfig, build_network, check_sizes
from pose2id.errors import UserError
from tests.nfc.networks.zoo import VARIANTS, network_config, small_network

NONE = [
    ("transreid", {"dim": 7, "heads": 5}, "these sizes make no transreid: dim"),
    ("transreid", {"depth": 0}, "depth is 0; it must be from 1 to 1,048,576"),
    ("transreid", {"patch": 0}, "patch is 0; it must be from 1"),
    ("transreid", {"stride": 0}, "stride is 0; it must be from 1"),
    ("transreid", {"dim": 0}, "dim is 0; it must be from 1"),
    ("transreid", {"height": 8}, "these sizes make no transreid: "),
    ("transreid", {"mlp_ratio": float("nan")}, "mlp_ratio is nan; it must be from 0"),
    ("transreid", {"mlp_ratio": -1.0}, "mlp_ratio is -1.0; it must be from 0"),
    ("transreid", {"num_classes": -1}, "num_classes is -1; it must be from 0"),
    ("transreid", {"num_cameras": -3}, "num_cameras is -3; it must be from 0"),
    ("clipreid", {"heads": 5}, "these sizes make no clipreid: "),
    ("clipreid", {"encoder": "gpt"}, "unknown encoder 'gpt' of clipreid"),
    ("spreid", {"width": 1}, "these sizes make no spreid: "),
    ("pmt", {"depth": 0}, "depth is 0; it must be from 1"),
    ("kpr", {"depths": [1, 0]}, "depths is 0; it must be from 1"),
    ("dsr", {"windows": [2, -1]}, "windows is -1; it must be from 0"),
    ("pie", {"box": 3}, "box of pie must be one of"),
]


def told(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("name", "sizes", "reason"), NONE)
def test_sizes_that_make_no_network_are_one_line(name, sizes, reason):
    with pytest.raises(UserError) as error:
        check_sizes(NetworkConfig(name, sizes=sizes))
    assert reason in told(error) and told(error).startswith("network.sizes")


def test_they_are_told_of_by_whoever_builds_the_network():
    with pytest.raises(UserError, match=r"^network\.sizes dim=7, heads=5: these sizes make no transreid: "):
        build_network(NetworkConfig(sizes={"dim": 7, "heads": 5}), 3, SimpleNamespace(infrared=frozenset()), 1)


@pytest.mark.parametrize(("name", "sizes", "reason"), NONE)
def test_a_file_whose_header_holds_them_is_named(tmp_path, name, sizes, reason):
    network, path = small_network(name), tmp_path / "odd.safetensors"
    values = asdict(network.sizes) | sizes
    unchecked = make_dataclass("Sizes", values)(**values)
    shown = {side: sizes[side] for side in ("height", "width") if side in sizes}
    preprocessing = replace(network.preprocessing(), **shown)
    write_network(network.to_official(dict(network.exported())), name, unchecked, preprocessing, path)
    with pytest.raises(UserError) as error:
        build_extractor(name, path, "mini", "cpu")
    assert str(path) in told(error)


@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_of_networks_that_are_trained_here_pass(variant):
    config = network_config(variant)
    state = torch.random.get_rng_state()
    check_sizes(replace(config, sizes=config.sizes or {"num_classes": 0}))
    assert torch.equal(torch.random.get_rng_state(), state)
    if config.name in NETWORKS:
        kind = trainable(config.name)
        check_numbers(kind, kind.Sizes(), "official")


def test_reading_a_file_leaves_it_as_it_was_built(tmp_path):
    """Who reads a file of sizes that are not official is shown a picture first: that does not change its mode."""
    network = small_network("pcb")
    tensors = network.to_official(dict(network.exported()))
    write_network(tensors, "pcb", network.sizes, network.preprocessing(), tmp_path / "pcb.safetensors")
    extractor = assemble("pcb", tmp_path / "pcb.safetensors", "mini")
    assert extractor.training and all(module.training for module in extractor.modules())
    running = {name: value for name, value in extractor.network.state_dict().items() if "running" in name}
    assert all(torch.equal(value, network.state_dict()[name].half().float()) for name, value in running.items())
