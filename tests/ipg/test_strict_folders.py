"""Folders of other libraries are read as strictly as our own files, and nothing beside the safetensors is opened."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderDC
from safetensors.torch import load_file

from IPG.poses.estimate import ViTPose
from IPG.weights.checkpoints import load_vae
from pose2id.errors import UserError
from pose2id.presets import default_directory, load_preset
from pose2id.weights import write_safetensors

MINI = default_directory("mini")
WEIGHTS = {"vae": "diffusion_pytorch_model.safetensors", "pose_estimator": "model.safetensors"}
READ = {"vae": lambda folder: load_vae(folder, load_preset("mini")), "pose_estimator": ViTPose}


@pytest.fixture(params=WEIGHTS)
def place(request, tmp_path):
    """Kind, folder and its file of weights."""
    folder = tmp_path / request.param
    shutil.copytree(MINI / request.param, folder)
    return request.param, folder, folder / WEIGHTS[request.param]


def read(place):
    return READ[place[0]](place[1])


def test_whole_folders_are_read(place):
    read(place)


def test_the_autoencoder_is_that_of_the_library():
    ours, theirs = READ["vae"](MINI / "vae").state_dict(), AutoencoderDC.from_pretrained(MINI / "vae").state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name].float()) for name in ours)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "nan", "integer", "zero axes"])
def test_every_tensor_fits(place, change):
    tensors = load_file(place[2])
    name = next(iter(tensors))
    match change:
        case "missing":
            del tensors[name]
        case "unknown":
            tensors["other"] = torch.ones(2)
        case "shape":
            tensors[name] = torch.ones(7, 7)
        case "nan":
            tensors[name] = tensors[name] * torch.nan
        case "integer":
            tensors[name] = tensors[name].long()
        case "zero axes":
            tensors[name] = torch.tensor(1.0)
    write_safetensors(tensors, place[2])
    with pytest.raises(UserError, match=r"does not fit, of .*safetensors|safetensors does not fit, of"):
        read(place)


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "null", '{"a": NaN}', "[" * 10**5, '{"latent_channels": "x", "hidden_size": "x"}', "\x00"]
)
def test_configs_that_are_none(place, text):
    (place[1] / "config.json").write_text(text)
    with pytest.raises(UserError) as error:
        read(place)
    assert str(place[1]) in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("value", [10**9, -(10**9), None, "x", [1], {}, 1.5, True, 0])
def test_settings_of_another_size_or_type(place, value):
    path = place[1] / "config.json"
    config = json.loads(path.read_text())
    config[{"vae": "latent_channels", "pose_estimator": "scale_factor"}[place[0]]] = value
    if place[0] == "pose_estimator":
        config["backbone_config"]["num_hidden_layers"] = value
    path.write_text(json.dumps(config))
    with pytest.raises(UserError) as error:
        read(place)
    assert str(place[1]) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_pickle_beside_is_not_opened(tmp_path):
    folder = tmp_path / "vae"
    shutil.copytree(MINI / "vae", folder)
    (folder / WEIGHTS["vae"]).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match=r"there is diffusion_pytorch_model\.bin, which `pose2id convert"):
        load_vae(folder, load_preset("mini"))
