"""What a network starts from, what is trained, and the file that it becomes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from NFC.networks import build_extractor
from NFC.networks.transreid import TransReID
from NFC.training import network as networks
from NFC.training.data import TrainingSet
from NFC.training.network import NetworkConfig, build_network, export, from_imagenet, start_from
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes

PICTURES = TrainingSet(np.zeros((6, 128, 64, 3), np.uint8), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 3, 1, 1]))


def test_a_seed_gives_its_network_and_leaves_other_random_numbers_alone():
    torch.manual_seed(3)
    first = build_network(NetworkConfig(), PICTURES, seed=1)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1)
    again, other = (build_network(NetworkConfig(), PICTURES, seed=seed) for seed in (1, 2))
    assert torch.equal(first.base.pos_embed, again.base.pos_embed)
    assert not torch.equal(first.base.pos_embed, other.base.pos_embed)
    assert first.classifier.weight.shape == (3, 128) and first.base.sie_embed is None
    assert len(build_network(NetworkConfig(camera_embedding=True), PICTURES, seed=1).base.sie_embed) == 4


def test_everything_that_is_trained_gets_a_gradient():
    network = build_network(NetworkConfig(camera_embedding=True), PICTURES, seed=1)
    scores, _ = network.heads(torch.rand(4, 3, 128, 64), camids=torch.tensor([0, 1, 2, 3]))
    sum(score.square().mean() for score in scores).backward()
    trained = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name, grad in trained.items() if grad is None} == set()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert {"base.norm.weight", "base.blocks.5.attn.qkv.weight", "bottleneck.bias"} <= frozen
    assert not any(name.startswith(("b1.", "b2.", "classifier")) for name in frozen)


@pytest.mark.parametrize("cameras", [False, True])
def test_the_exported_file_is_the_network(tmp_path, cameras):
    network = build_network(NetworkConfig(camera_embedding=cameras), PICTURES, seed=1).eval()
    path = export(network, "mini", tmp_path)
    extractor = build_extractor("transreid", path, "mini", "cpu")
    assert extractor.uses_camids == cameras and extractor.preprocessing.resize in ("lanczos", "bilinear")
    images, camids = torch.rand(2, 3, 128, 64), torch.tensor([3, 0])
    given = (images, camids) if cameras else (images,)
    with torch.no_grad():
        assert torch.allclose(extractor(*given), network(*given), atol=0.01)
    assert not any(name.startswith(("classifier", "bottleneck")) for name in load_file(path))  # the preset has none
    again = build_network(NetworkConfig(start=str(path), camera_embedding=cameras), PICTURES, seed=2)
    assert torch.equal(again.b2[0].attn.qkv.weight, network.b2[0].attn.qkv.weight.half().float())
    assert not torch.equal(again.classifier.weight, network.classifier.weight)


def test_classes_of_the_preset_keep_the_heads(tmp_path, monkeypatch):
    network = build_network(NetworkConfig(), PICTURES, seed=1)
    sizes = replace(networks.network_sizes("mini"), num_classes=751)
    monkeypatch.setattr(networks, "network_sizes", lambda preset: sizes)
    tensors = load_file(export(network, "mini", tmp_path))
    assert tensors["classifier_4.weight"].shape == (3, 128) and tensors["bottleneck.running_mean"].shape == (128,)


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
    network, tensors = TransReID.from_sizes(SIZES), load_file(imagenet_file)
    start_from(network, str(imagenet_file), SIZES)
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
    resampled = from_imagenet({"pos_embed": table}, SIZES)["base.pos_embed"][0, 1:].view(7, 3, 2)
    assert (resampled[..., 0].diff(dim=0) >= 0).all() and (resampled[..., 1].diff(dim=1) > 0).all()
    assert resampled[..., 0].std(dim=1).max() < 1e-6 and resampled[..., 1].std(dim=0).max() < 1e-6


def test_weights_that_do_not_fit_are_one_line(imagenet_file, tmp_path):
    tensors = load_file(imagenet_file)
    save_file({**tensors, "blocks.1.ls1.gamma": torch.ones(8)}, tmp_path / "scaled.safetensors")
    del tensors["blocks.0.norm1.weight"]
    save_file(tensors, tmp_path / "lacking.safetensors")
    network = TransReID.from_sizes(SIZES)
    for name, told in (("scaled", "ls1.gamma"), ("lacking", "norm1.weight"), ("nowhere", "does not exist")):
        with pytest.raises(UserError, match=told) as error:
            start_from(network, str(tmp_path / f"{name}.safetensors"), SIZES)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no_such_vit"):
        start_from(network, "timm:no_such_vit", SIZES)
