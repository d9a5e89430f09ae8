"""Weight files: written, found, read, and loaded so that nothing is missed in silence."""

import pickle

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import nn

from IPG.models import build_pose_guider, build_vae, decode_latents, encode_pictures
from IPG.weights.checkpoints import load_vae
from IPG.weights.files import find_generator, find_vae
from pose2id.errors import UserError
from pose2id.presets import load_preset
from pose2id.weights import find_weights, load_module, load_tensors, read_tensors, write_safetensors
from tests.ipg.tiny import kl_preset, original_names, random_network, tiny_preset


@pytest.fixture(scope="module")
def guider():
    return random_network("pose_guider", tiny_preset())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_round_trip(guider, tmp_path, suffix):
    path = tmp_path / f"pose_guider{suffix}"
    if suffix == ".pth":
        torch.save(guider.state_dict(), path)
    else:
        write_safetensors(guider.state_dict(), path)
    loaded = load_module(lambda: build_pose_guider(tiny_preset()), find_weights(tmp_path, "pose_guider"))
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in guider.state_dict().items())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_half_precision_files_take_the_modules_dtype(guider, tmp_path):
    path = tmp_path / "half.safetensors"
    write_safetensors(guider.state_dict(), path, torch.float16)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    loaded = build_pose_guider(tiny_preset())
    load_tensors(loaded, read_tensors(path), path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.conv_in.weight, guider.conv_in.weight, rtol=1e-3, atol=1e-4)


def test_integer_tensors_stay_integers(tmp_path):
    norm = nn.BatchNorm1d(3)
    write_safetensors(norm.state_dict(), tmp_path / "norm.safetensors", torch.float16)
    assert load_file(tmp_path / "norm.safetensors")["num_batches_tracked"].dtype == torch.int64


def test_a_failed_write_keeps_the_old_file(guider, tmp_path, monkeypatch):
    path = tmp_path / "pose_guider.safetensors"
    write_safetensors(guider.state_dict(), path)
    before = path.read_bytes()

    def fail(tensor):
        raise OSError("disk full")

    monkeypatch.setattr("pose2id.reading.safetensors_files.raw_bytes", fail)
    with pytest.raises(UserError, match="disk full"):
        write_safetensors(guider.state_dict(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_every_misfit_is_told_in_one_line(guider, tmp_path):
    tensors = guider.state_dict()
    tensors = {f"block{i}": torch.zeros(1) for i in range(12)} | tensors
    del tensors["conv_out.bias"]
    tensors["conv_in.bias"] = torch.zeros(99)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "other.safetensors")
    with pytest.raises(UserError) as caught:
        load_module(lambda: build_pose_guider(tiny_preset()), tmp_path / "other.safetensors")
    message = str(caught.value)
    assert "\n" not in message and "other.safetensors" in message
    assert "tensors of PoseGuider: 1 missing (conv_out.bias)" in message
    assert "1 of another shape (conv_in.bias is (99,), not (8,))" in message
    assert "12 unknown (block0, block1, block10, block11" in message and ", ...)" in message


@pytest.mark.parametrize("name", ["damaged.pth", "damaged.safetensors", "empty.pth", "empty.safetensors"])
def test_damaged_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"PK\x03\x04 not weights")
    with pytest.raises(UserError, match="cannot read weights from"):
        read_tensors(tmp_path / name)


def test_nothing_in_a_file_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "old_bomb.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pth", "old_bomb.pth"):
        with pytest.raises(UserError):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_files_of_other_content(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(UserError, match="not a file of named tensors"):
        read_tensors(tmp_path / "list.pth")


def test_nested_and_old_style_torch_files(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "nested.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("nested.pth", "old.pth"):
        assert read_tensors(tmp_path / name)["a"].tolist() == [1, 1]


def test_missing_files_say_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"no IFR.safetensors, .pth or .pth.tar in"):
        find_weights(tmp_path, "IFR")
    with pytest.raises(UserError, match="does not exist"):
        read_tensors(tmp_path / "nothing.pth")


def test_vae_from_a_folder_a_file_and_old_names(tmp_path):
    preset = kl_preset()
    vae = build_vae(preset.vae).eval()
    latents = torch.randn(1, preset.vae.latent_channels, 4, 2)
    expected = vae.decode(latents).sample
    assert find_vae(tmp_path) is None
    write_safetensors(vae.state_dict(), tmp_path / "vae.safetensors")
    assert find_vae(tmp_path) == tmp_path / "vae.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = vae.state_dict()
    for today, before in old.items():
        tensors = {name.replace(f".{today}.", f".{before}."): tensor for name, tensor in tensors.items()}
    torch.save(tensors, tmp_path / "old.pth")
    vae.save_pretrained(tmp_path / "vae")
    assert find_vae(tmp_path) == tmp_path / "vae"
    for path in (tmp_path / "vae", tmp_path / "vae.safetensors", tmp_path / "old.pth"):
        loaded = load_vae(path, preset).eval()
        assert isinstance(loaded, AutoencoderKL)
        torch.testing.assert_close(loaded.decode(latents).sample, expected)


@pytest.mark.parametrize("name", ["vae-ft-mse-840000-ema-pruned.ckpt", "vae-ft-mse-840000-ema-pruned.safetensors"])
def test_vae_files_with_the_original_names(tmp_path, name):
    preset = kl_preset()
    vae = build_vae(preset.vae).eval()
    tensors = original_names(vae.state_dict(), blocks=4)
    assert not tensors.keys() & vae.state_dict().keys() - {n for n in tensors if "conv" in n}
    if name.endswith(".ckpt"):
        torch.save({"state_dict": tensors | {"loss.logvar": torch.zeros(())}, "global_step": 840000}, tmp_path / name)
    else:
        save_file({f"first_stage_model.{n}": t.contiguous() for n, t in tensors.items()}, tmp_path / name)
    assert find_vae(tmp_path) == tmp_path / name
    loaded = load_vae(tmp_path / name, preset)
    assert all(torch.equal(tensor, loaded.state_dict()[n]) for n, tensor in vae.state_dict().items())


def test_a_vae_of_another_size_is_told(tmp_path):
    write_safetensors(build_vae(kl_preset().vae).state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(UserError, match=r"vae\.safetensors does not fit, .* of AutoencoderKL: .* of another shape"):
        load_vae(tmp_path / "vae.safetensors", load_preset("sd15"))


def test_all_files_of_a_generator_are_found_and_what_lacks_is_told(tmp_path):
    (tmp_path / "pretrained").mkdir()
    for name in ("denoising_unet.pth", "reference_unet.safetensors", "pose_guider.pth", "IFR.pth"):
        (tmp_path / "pretrained" / name).touch()
    with pytest.raises(UserError) as caught:
        find_generator(tmp_path / "pretrained", "sd15")
    first, *fetch = str(caught.value).splitlines()
    assert "lacks transformer_20, the VAE" in first
    assert [line.split("/")[-1] for line in fetch if "huggingface.co" in line] == [
        "transformer_20.pth",
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    (tmp_path / "pretrained/transformer_20.pth").touch()
    (tmp_path / "autoencoder.ckpt").touch()
    files = find_generator(tmp_path / "pretrained", "sd15", tmp_path / "autoencoder.ckpt")
    assert files.networks["reference_unet"].suffix == ".safetensors" and files.vae == tmp_path / "autoencoder.ckpt"
    assert files.by_role().keys() == {*files.networks, "vae"} and len(files.by_role()) == 6


@pytest.mark.parametrize("preset", [kl_preset(), tiny_preset()], ids=["kl", "dc"])
def test_both_kinds_of_vae_survive_a_round_trip(tmp_path, preset):
    vae = build_vae(preset.vae).eval()
    pictures = torch.rand(2, 3, 64, 32) * 2 - 1
    latents = encode_pictures(vae, pictures)
    assert latents.shape == (2, preset.vae.latent_channels, 8, 4)
    assert decode_latents(vae, latents).shape == pictures.shape
    vae.save_pretrained(tmp_path / "vae")
    torch.testing.assert_close(encode_pictures(load_vae(tmp_path / "vae", preset).eval(), pictures), latents)


@pytest.mark.parametrize("preset", [kl_preset(), tiny_preset()], ids=["AutoencoderKL", "AutoencoderDC"])
def test_a_folder_without_a_vae(tmp_path, preset, request):
    with pytest.raises(UserError, match=f"not a diffusers {request.node.callspec.id} folder"):
        load_vae(tmp_path, preset)


def small_tiny(channels: int) -> AutoencoderTiny:
    sizes = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    blocks = {"num_encoder_blocks": (1,) * 4, "num_decoder_blocks": (1,) * 4}
    return AutoencoderTiny(latent_channels=channels, **sizes, **blocks)


def test_the_tiny_autoencoder_stands_in_for_the_large_one(tmp_path):
    preset = kl_preset()
    tiny = small_tiny(preset.vae.latent_channels).eval()
    tiny.save_pretrained(tmp_path / "taesd")
    ours = load_vae(tmp_path / "taesd", preset)
    pictures = torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = encode_pictures(ours, pictures)
        assert latents.shape == (2, preset.vae.latent_channels, 4, 2)
        assert torch.equal(latents, tiny.encode(pictures).latents)
        assert torch.equal(decode_latents(ours, latents), tiny.decode(latents).sample)


def test_a_vae_with_latents_of_other_channels_is_told(tmp_path):
    small_tiny(5).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=r"its latents have 5 channels, the preset's networks 16"):
        load_vae(tmp_path / "other", kl_preset())
    with pytest.raises(UserError, match="is of a 'AutoencoderTiny'; the preset has an AutoencoderDC"):
        load_vae(tmp_path / "other", tiny_preset())
