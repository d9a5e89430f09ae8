"""Pictures whose numbers stop being finite are named, not written, and drawn again by the next run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from IPG import IPGPipeline
from IPG.job.run import generate
from IPG.sampling import Sampling, finite, not_finite
from pose2id.errors import UserError
from tests.ipg.job.folders import read_all


@pytest.mark.parametrize("network", ["denoising_unet", "vae/diffusion_pytorch_model", "IFR", "pose_guider"])
def test_weights_of_nan(config, mini_weights, tmp_path, network):
    weights = tmp_path / "weights"
    shutil.copytree(mini_weights, weights)
    file = weights / f"{network}.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("weight"))
    save_file(tensors | {name: tensors[name] * float("nan")}, file)
    try:
        failures = generate(replace(config, ckpt_dir=str(weights)))
    except UserError as error:  # a reader may refuse such a file before anything is drawn
        assert network.split("/")[0] in str(error)
        return
    assert len(failures) == 3 and all("in pose1, pose2: numbers stopped being finite" in line for line in failures)
    assert not read_all(Path(config.out_dir))


def test_one_picture_of_many(config, monkeypatch):
    expected = len(generate(config)) or len(read_all(Path(config.out_dir)))
    shutil.rmtree(config.out_dir)
    draw = IPGPipeline.draw

    def one_fails(self, references, *inputs, **options):
        drawn = draw(self, references, *inputs, **options)
        drawn[0][1] = None
        return drawn

    with monkeypatch.context() as patch:
        patch.setattr(IPGPipeline, "draw", one_fails)
        (failure,) = generate(config)
    assert "a.jpg in pose2: numbers stopped being finite" in failure
    assert len(read_all(Path(config.out_dir))) == expected - 2  # it and its canvas
    assert generate(config) == [] and len(read_all(Path(config.out_dir))) == expected


def test_rows_and_remedies():
    rows = torch.zeros(3, 2, 2)
    rows[1, 0, 0], rows[2, 1, 1] = torch.inf, torch.nan
    assert finite(rows) == [True, False, False] and finite(torch.zeros(3, 1), rows) == [True, False, False]
    assert "bfloat16" in not_finite(torch.float16) and "weights" in not_finite(torch.float32)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_guidance_that_is_no_number_is_refused(value):
    with pytest.raises(UserError, match="guidance_scale"):
        Sampling(guidance_scale=value)
    with pytest.raises(UserError, match="guidance_interval"):
        Sampling(guidance_interval=(0, value))
