"""Where networks start from, which parts learn, LoRA, and the files that are written."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from IPG.models import NETWORKS
from IPG.training.networks import (
    NetworksConfig,
    build_networks,
    export_frozen,
    export_networks,
    frozen_files,
    merged_tensors,
)
from IPG.weights.files import find_generator
from pose2id.errors import UserError
from pose2id.weights import write_safetensors
from tests.ipg.tiny import random_network, tiny_preset

PRESET = tiny_preset()


def inputs(batch: int = 2) -> tuple[torch.Tensor, ...]:
    """Latents, tokens and pose features."""
    generator = torch.Generator().manual_seed(0)
    shapes = (PRESET.latent_shape, (8, PRESET.unet.cross_attention_dim), (32, *PRESET.latent_shape[1:]))
    return tuple(torch.randn(batch, *shape, generator=generator) for shape in shapes)


def predict(networks: dict[str, torch.nn.Module]) -> torch.Tensor:
    """One prediction by both UNets."""
    latents, tokens, pose = inputs()
    kept = networks["reference_unet"](latents, tokens)
    return networks["denoising_unet"](latents, 500, tokens, pose, kept)


def learning(network: torch.nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder of the four networks."""
    for stem in NETWORKS:
        write_safetensors(random_network(stem, PRESET).state_dict(), tmp_path / f"ours/{stem}.safetensors")
    return tmp_path / "ours"


@pytest.fixture
def stable_diffusion(tmp_path: Path) -> Path:
    """A stock UNet as a Stable Diffusion repository holds it."""
    torch.manual_seed(1)
    sizes = vars(PRESET.unet)
    UNet2DConditionModel(**sizes).save_pretrained(tmp_path / "sd/unet")
    return tmp_path / "sd"


# Start


def test_random_networks_have_a_pose_guider_without_effect():
    torch.manual_seed(0)
    networks = build_networks(PRESET, NetworksConfig())
    assert not networks["pose_guider"](torch.rand(1, 3, 128, 64)).any()
    torch.manual_seed(0)
    again = build_networks(PRESET, NetworksConfig())
    for stem, network in networks.items():
        assert all(torch.equal(tensor, again[stem].state_dict()[name]) for name, tensor in network.state_dict().items())


def test_start_from_our_files(ours):
    networks = build_networks(PRESET, NetworksConfig(start_from=str(ours)))
    for stem, network in networks.items():
        stored = load_file(ours / f"{stem}.safetensors")
        assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items()), stem


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"])
def test_start_from_stable_diffusion(stable_diffusion, name):
    stored = load_file(stable_diffusion / "unet/diffusion_pytorch_model.safetensors")
    if name.endswith(".bin"):
        torch.save(stored, stable_diffusion / "unet" / name)
        (stable_diffusion / "unet/diffusion_pytorch_model.safetensors").unlink()
    networks = build_networks(PRESET, NetworksConfig(start_from=str(stable_diffusion)))
    for stem in ("denoising_unet", "reference_unet"):
        tensors = networks[stem].state_dict()
        assert all(torch.equal(tensor, stored[key]) for key, tensor in tensors.items()), stem
        left_out = {key for key in stored if key not in tensors}
        assert {key.split(".")[0] for key in left_out} == (
            {"conv_norm_out", "conv_out"} if stem == "reference_unet" else set()
        )
    assert not networks["pose_guider"].conv_out.weight.any()


def test_what_cannot_be_started_from_is_one_line(tmp_path, ours, stable_diffusion):
    with pytest.raises(UserError, match="nowhere does not exist"):
        build_networks(PRESET, NetworksConfig(start_from="nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds neither denoising_unet, .* nor unet/diffusion_pytorch_model"):
        build_networks(PRESET, NetworksConfig(start_from=str(tmp_path / "empty")))
    (ours / "IFR.safetensors").unlink()
    with pytest.raises(UserError, match=r"no IFR\.safetensors"):
        build_networks(PRESET, NetworksConfig(start_from=str(ours)))
    file = stable_diffusion / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors.pop("conv_in.weight")
    save_file(tensors, file)
    with pytest.raises(UserError, match=r"1 missing \(conv_in.weight\)") as error:
        build_networks(PRESET, NetworksConfig(start_from=str(stable_diffusion)))
    assert "\n" not in str(error.value)


# Parts


def test_only_the_parts_named_learn():
    everything = build_networks(PRESET, NetworksConfig())
    networks = build_networks(PRESET, NetworksConfig(trainable=["ifr", "pose_guider"]))
    for stem in ("IFR", "pose_guider"):
        assert learning(networks[stem]) == set(networks[stem].state_dict())
    for stem in ("reference_unet", "denoising_unet"):
        assert not learning(networks[stem])
        assert learning(everything[stem])
    assert len(networks["reference_unet"].state_dict()) > len(
        learning(everything["reference_unet"])
    )  # some never matter


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trainable": ["vae"]}, "networks.trainable 'vae' is not one of: ifr, pose_guider"),
        ({"trainable": []}, "trainable is empty"),
        ({"export_dtype": "int8"}, "networks.export_dtype 'int8' is not one of: float32"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"lora_rank": 4, "trainable": ["ifr"]}, "lora_rank needs reference_unet or denoising_unet"),
    ],
)
def test_configs_that_cannot_work(options, told):
    with pytest.raises(UserError, match=told):
        NetworksConfig(**options)


# LoRA


def with_lora(**options: object) -> dict[str, torch.nn.Module]:
    """Networks whose low-rank changes are not zero."""
    torch.manual_seed(0)
    networks = build_networks(PRESET, NetworksConfig(lora_rank=2, **options))
    for network in networks.values():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return networks


def test_lora_starts_without_effect():
    torch.manual_seed(0)
    plain = build_networks(PRESET, NetworksConfig())
    torch.manual_seed(0)
    networks = build_networks(PRESET, NetworksConfig(lora_rank=2))
    assert torch.allclose(predict(networks), predict(plain), atol=1e-6)


def test_every_low_rank_change_learns_and_nothing_else_of_the_unets():
    networks = with_lora()
    predict(networks).square().mean().backward()
    for stem in ("reference_unet", "denoising_unet"):
        names = learning(networks[stem])
        assert names and all(".lora_A." in name or ".lora_B." in name for name in names)
        assert all(
            p.grad is not None and p.grad.any() for name, p in networks[stem].named_parameters() if name in names
        )
    assert learning(networks["IFR"]) and learning(networks["pose_guider"])
    assert not learning(with_lora(trainable=["denoising_unet"])["reference_unet"])


@torch.no_grad()
def test_merged_networks_compute_the_same(tmp_path):
    networks = with_lora()
    before = {stem: {k: v.clone() for k, v in network.state_dict().items()} for stem, network in networks.items()}
    expected = predict(networks)
    export_networks(networks, PRESET, tmp_path, torch.float32)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(NETWORKS)
    merged = build_networks(PRESET, NetworksConfig(start_from=str(tmp_path)))
    assert torch.allclose(predict(merged), expected, atol=1e-5)
    assert not torch.allclose(predict(build_networks(PRESET, NetworksConfig())), expected, atol=1e-2)
    for stem, network in networks.items():  # and are left as they were
        assert all(torch.equal(tensor, before[stem][name]) for name, tensor in network.state_dict().items())


def test_networks_without_lora_are_written_as_they_are(tmp_path):
    networks = build_networks(PRESET, NetworksConfig())
    export_networks(networks, PRESET, tmp_path, torch.float16)
    for stem, network in networks.items():
        stored = load_file(tmp_path / f"{stem}.safetensors")
        assert {name: tensor.half() for name, tensor in network.state_dict().items()}.keys() == stored.keys()
        assert all(torch.equal(tensor.half(), stored[name]) for name, tensor in merged_tensors(network).items())


# Gradient checkpointing


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_gradient_checkpointing_gives_the_same_gradients(lora_rank):
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        networks = build_networks(PRESET, NetworksConfig(lora_rank=lora_rank, gradient_checkpointing=checkpointing))
        for network in networks.values():
            network.train()
        calls = []
        block = networks["denoising_unet"].mid_block.attentions[0].transformer_blocks[0]
        block.norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        predict(networks).square().mean().backward()
        assert len(calls) == (2 if checkpointing else 1)  # computed again on the way back
        named = ((f"{stem}.{name}", p) for stem, net in networks.items() for name, p in net.named_parameters())
        found.append({name: parameter.grad for name, parameter in named if parameter.grad is not None})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 50
    assert all(torch.allclose(found[0][key], found[1][key], atol=1e-6) for key in found[0])


# Frozen networks


def test_frozen_networks_are_found(tmp_path, ours, monkeypatch):
    (ours / "transformer_20.pth").write_bytes(b"ours")
    (ours / "vae").mkdir()
    (ours / "vae/config.json").write_text("{}")
    assert frozen_files("sd15", NetworksConfig(start_from=str(ours))) == (ours / "vae", ours / "transformer_20.pth")
    vae, reid = frozen_files("mini", NetworksConfig(reid="own.pth"))
    assert (vae.name, vae.parent.name, reid) == ("vae", "mini", Path("own.pth"))
    monkeypatch.setattr("pose2id.presets.SHIPPED", tmp_path / "empty")
    with pytest.raises(UserError, match=r"no picture autoencoder in .*; name it: networks.vae"):
        frozen_files("sd15", NetworksConfig(start_from=str(tmp_path)))


def test_an_exported_folder_is_complete_and_renewed(tmp_path, ours):
    reid, vae, out = tmp_path / "my.reid.pth", tmp_path / "kl/vae", tmp_path / "out"
    vae.mkdir(parents=True)
    (vae / "config.json").write_text("{}")
    (vae / "diffusion_pytorch_model.safetensors").write_bytes(b"vae")
    reid.write_bytes(b"reid")
    ours.rename(out)
    export_frozen(vae, reid, out)
    files = find_generator(out, "mini").by_role()
    assert files["transformer_20"] == out / "transformer_20.pth" and len(files) == 7
    reid.write_bytes(b"READ")
    export_frozen(vae, reid, out)
    assert (out / "transformer_20.pth").read_bytes() == b"READ"
