"""A job as a whole: its manifest, files that cannot be used, too little memory, a full disk."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from IPG import IPGPipeline
from IPG.job.run import generate
from pose2id.errors import UserError
from tests.ipg.job.folders import assert_same_pictures, read_all


def test_a_bad_pose_keeps_the_numbers_of_the_others(config, pose_folder, tmp_path):
    (pose_folder / "pose1.png").write_bytes(b"")
    failures = generate(config)
    assert len(failures) == 1 and "pose1.png" in failures[0]
    assert (tmp_path / "out/pose2/a.jpg").is_file() and not (tmp_path / "out/pose1").exists()
    assert json.loads((tmp_path / "out/manifest.json").read_text())["failures"] == failures


def test_the_manifest_tells_how_the_pictures_were_made(config, mini_weights, tmp_path, reference_folder):
    (reference_folder / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    failures = generate(config)
    told = json.loads((tmp_path / "out/manifest.json").read_text())
    assert told["failures"] == failures and len(failures) == 1 and "bad.jpg" in failures[0]
    assert told["settings"]["steps"] == "2" and told["options"]["batch_size"] == "16"
    assert told["versions"].keys() >= {"python", "torch", "diffusers", "pillow"}
    digest = hashlib.sha256((mini_weights / "denoising_unet.safetensors").read_bytes()).hexdigest()
    assert told["weights"]["denoising_unet"] == f"denoising_unet.safetensors {digest}"
    assert len(told["weights"]) == 5 + 2  # and the autoencoder's config and weights


def test_pictures_without_a_manifest_are_nobodys(config, tmp_path):
    generate(config)
    manifest = tmp_path / "out/manifest.json"
    for content, told in (
        (None, "but no manifest.json to say how it was made"),
        ("{", "is not JSON"),
        ("[]", "not a man"),
    ):
        manifest.unlink(missing_ok=True)
        if content is not None:
            manifest.write_text(content)
        with pytest.raises(UserError, match=f"{told}.*; remove the folder or name another"):
            generate(replace(config, seed=3))


def test_a_vae_of_another_place(config, mini_weights, tmp_path):
    weights = tmp_path / "weights"
    shutil.copytree(mini_weights, weights, ignore=shutil.ignore_patterns("vae"))
    with pytest.raises(UserError, match="the VAE"):
        generate(replace(config, ckpt_dir=str(weights)))
    assert generate(replace(config, ckpt_dir=str(weights), vae=str(mini_weights / "vae"))) == []


def test_folders_that_make_no_sense(config, tmp_path, reference_folder):
    (tmp_path / "empty").mkdir()
    for change, told in (
        ({"ref_dir": str(tmp_path / "empty")}, "no pictures"),
        ({"pose_dir": str(tmp_path / "empty")}, "no pictures"),
        ({"out_dir": str(reference_folder)}, "references"),
        ({"out_dir": str(reference_folder / "a.jpg")}, "cannot write"),
    ):
        with pytest.raises(UserError, match=told):
            generate(replace(config, **change))


def test_smaller_batches_when_memory_runs_out(config, tmp_path, monkeypatch, capsys):
    generate(config)
    expected, sizes = read_all(tmp_path / "out"), []
    draw = IPGPipeline.draw

    def small_device(self, *inputs, batch_size):
        sizes.append(batch_size)
        if batch_size > 2:
            raise torch.OutOfMemoryError("out of memory")
        return draw(self, *inputs, batch_size=batch_size)

    monkeypatch.setattr(IPGPipeline, "draw", small_device)
    assert generate(replace(config, out_dir=str(tmp_path / "small"))) == []
    assert_same_pictures(read_all(tmp_path / "small"), expected)
    assert sizes[-1] == 2 and "going on with 2 pictures at a time" in capsys.readouterr().err


def test_no_memory_at_all_is_one_line(config, monkeypatch):
    def no_device(self, *_: object, **__: object):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(IPGPipeline, "draw", no_device)
    with pytest.raises(UserError, match="memory ran out even for one picture"):
        generate(config)


def test_a_full_disk_stops_the_job_and_leaves_nothing_half_written(config, tmp_path, monkeypatch):
    def full(self, path, *_: object, **__: object):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="No space left on device"):
        generate(config)
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["manifest.json"]


def test_threads_of_pytorch_are_left_as_they_were(config, monkeypatch):
    before, during = torch.get_num_threads(), []
    draw = IPGPipeline.draw

    def noting(self, *inputs, **options):
        during.append(torch.get_num_threads())
        return draw(self, *inputs, **options)

    monkeypatch.setattr(IPGPipeline, "draw", noting)
    torch.set_num_threads(3)
    try:
        generate(config)
        assert torch.get_num_threads() == 3 and set(during) == {1}
    finally:
        torch.set_num_threads(before)
