"""What a network starts from, what is trained, and the file that it becomes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from NFC.networks import NETWORKS, Preprocessing, build_extractor
from NFC.networks.files import read_header
from NFC.networks.reid_network import Inputs
from NFC.networks.transreid import TransReID
from NFC.training import network as networks
from NFC.training.data import TrainingSet
from NFC.training.network import NetworkConfig, build_network, described, export, read_sizes, start_from
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes

PICTURES = TrainingSet(np.zeros((6, 128, 64, 3), np.uint8), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 3, 1, 1]))


def built(config: NetworkConfig | None = None, seed: int = 1) -> TransReID:
    return build_network(config or NetworkConfig(), 3, PICTURES, seed)


def test_a_seed_gives_its_network_and_leaves_other_random_numbers_alone():
    torch.manual_seed(3)
    first = built()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1)
    again, other = built(seed=1), built(seed=2)
    assert torch.equal(first.base.pos_embed, again.base.pos_embed)
    assert not torch.equal(first.base.pos_embed, other.base.pos_embed)
    assert first.classifier.weight.shape == (3, 128) and first.base.sie_embed is None
    assert len(built(NetworkConfig(camera_embedding=True)).base.sie_embed) == 4


def test_everything_that_is_trained_gets_a_gradient():
    network = built(NetworkConfig(camera_embedding=True))
    branches = network.branches(Inputs(torch.rand(4, 3, 128, 64), torch.tensor([0, 1, 2, 3])))
    sum(branch.scores.square().mean() for branch in branches).backward()
    trained = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name, grad in trained.items() if grad is None} == set()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert {"base.norm.weight", "base.blocks.5.attn.qkv.weight", "bottleneck.bias"} <= frozen
    assert not any(name.startswith(("b1.", "b2.", "classifier")) for name in frozen)


@pytest.mark.parametrize("cameras", [False, True])
def test_the_exported_file_is_the_network(tmp_path, cameras):
    config = NetworkConfig(camera_embedding=cameras)
    network = built(config).eval()
    path = export(network, config, tmp_path)
    assert path.name == "transformer_20.safetensors"
    extractor = build_extractor("transreid", path, "mini", "cpu")
    assert extractor.uses_camids == cameras and extractor.preprocessing == Preprocessing(128, 64)
    images, camids = torch.rand(2, 3, 128, 64), torch.tensor([3, 0])
    given = (images, camids) if cameras else (images,)
    with torch.no_grad():
        assert torch.allclose(extractor(*given), network(*given), atol=0.01)
    assert not any(name.startswith(("classifier", "bottleneck")) for name in load_file(path))  # the preset has none
    again = built(NetworkConfig(start=str(path), camera_embedding=cameras), seed=2)
    assert torch.equal(again.b2[0].attn.qkv.weight, network.b2[0].attn.qkv.weight.half().float())
    assert not torch.equal(again.classifier.weight, network.classifier.weight)


def test_a_header_is_not_needed_where_shapes_tell_all(tmp_path):
    path = export(built(), NetworkConfig(), tmp_path)
    assert read_header(path).network == "transreid"
    save_file(load_file(path), tmp_path / "bare.safetensors")
    assert read_header(tmp_path / "bare.safetensors") is None
    images = torch.rand(1, 3, 128, 64)
    with_header, bare = (
        build_extractor("transreid", file, "mini", "cpu") for file in (path, tmp_path / "bare.safetensors")
    )
    assert torch.equal(with_header(images), bare(images))
    assert with_header.preprocessing.resize == "lanczos"  # as in training; without a header as in official tests
    assert bare.preprocessing.resize == "bilinear"


def test_a_file_of_another_network_is_told_by_its_header(tmp_path):
    path = export(built(), NetworkConfig(), tmp_path)
    with pytest.raises(UserError, match="is a file of transreid, not of pmt; name that network"):
        build_extractor("pmt", path)


def test_classes_of_the_preset_keep_the_heads(tmp_path):
    config = NetworkConfig(sizes={"num_classes": 751})
    tensors = load_file(export(built(config), config, tmp_path))
    assert tensors["classifier_4.weight"].shape == (3, 128) and tensors["bottleneck.running_mean"].shape == (128,)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"sizes": {"depht": 3}}, "transreid has no 'depht'; choose among: height"),
        ({"sizes": {"depth": "deep"}}, "network.sizes: .*deep"),
        ({"name": "pmt", "camera_embedding": True}, "'pmt' has no camera embedding"),
        ({"name": "file"}, "is a program and cannot be trained"),
        ({"name": "resnet"}, "unknown extractor 'resnet'"),
        ({"name": "kpr", "sizes": {"backbone": "vit"}}, "unknown backbone 'vit' of kpr"),
        ({"name": "clipreid", "sizes": {"encoder": "gpt"}}, "unknown encoder 'gpt' of clipreid"),
    ],
)
def test_networks_that_cannot_be_are_one_line(config, told):
    with pytest.raises(UserError, match=told) as error:
        built(NetworkConfig(**config))
    assert "\n" not in str(error.value)


def test_sizes_are_the_official_ones_but_for_what_is_said():
    assert read_sizes(NetworkConfig("pmt", sizes={"depth": 2})).dim == 768
    assert read_sizes(NetworkConfig(preset="sd15")) == TransReIDSizes()
    assert read_sizes(NetworkConfig(sizes={"depth": 2})) == replace(networks.read_sizes(NetworkConfig()), depth=2)
    assert {
        name for name in NETWORKS if name != "file" and described(NetworkConfig(name)).preprocessing().height >= 128
    }


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 10}
SIZES = TransReIDSizes(32, 16, 8, 4, dim=8, depth=2, heads=2, num_classes=3, fc_classes=10)


@pytest.fixture
def imagenet_file(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    vit = timm.models.VisionTransformer(**VIT)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def test_an_imagenet_vit_is_the_start_of_all_branches(imagenet_file):
    torch.manual_seed(0)
    network, tensors = TransReID(SIZES), load_file(imagenet_file)
    start_from(network, str(imagenet_file))
    assert torch.equal(network.base.patch_embed.proj.weight, tensors["patch_embed.proj.weight"])
    assert torch.equal(network.base.fc.weight, tensors["head.weight"])
    for branch in (network.b1, network.b2):
        assert torch.equal(branch[0].mlp.fc1.weight, tensors["blocks.1.mlp.fc1.weight"])
        assert torch.equal(branch[1].weight, tensors["norm.weight"])
    assert torch.equal(network.base.pos_embed[:, 0], tensors["pos_embed"][:, 0])  # that of the class token
    assert network.base.pos_embed.shape == (1, 1 + 7 * 3, 8)


def test_positions_are_resampled_row_by_row():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    grid = torch.stack([rows, columns], dim=-1).flatten(0, 1)
    table = torch.cat([torch.zeros(1, 2), grid])[None]
    resampled = TransReID(SIZES).from_imagenet({"pos_embed": table})["base.pos_embed"][0, 1:].view(7, 3, 2)
    assert (resampled[..., 0].diff(dim=0) >= 0).all() and (resampled[..., 1].diff(dim=1) > 0).all()
    assert resampled[..., 0].std(dim=1).max() < 1e-6 and resampled[..., 1].std(dim=0).max() < 1e-6


def test_weights_that_do_not_fit_are_one_line(imagenet_file, tmp_path):
    tensors = load_file(imagenet_file)
    save_file({**tensors, "blocks.1.ls1.gamma": torch.ones(8)}, tmp_path / "scaled.safetensors")
    del tensors["blocks.0.norm1.weight"]
    save_file(tensors, tmp_path / "lacking.safetensors")
    network = TransReID(SIZES)
    for name, told in (("scaled", "ls1.gamma"), ("lacking", "norm1.weight"), ("nowhere", "does not exist")):
        with pytest.raises(UserError, match=told) as error:
            start_from(network, str(tmp_path / f"{name}.safetensors"))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no_such_vit"):
        start_from(network, "timm:no_such_vit")
