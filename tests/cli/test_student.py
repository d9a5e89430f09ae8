"""A student by the commands: trained, gone on with, and drawn with as it was made for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from IPG import IPGPipeline
from IPG.training.networks import PARTS
from NFC.datasets.synthetic.groups import write_groups
from pose2id.pictures import read_picture
from tests.commands import ROOT, here

CONFIG = ROOT / "configs/train/student.yaml"


@pytest.fixture(scope="module")
def settings(mini_weights: Path, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("people")
    write_groups(folder / "groups", seed=0, num_groups=4, workers=1)
    words = [
        f"networks.start_from={mini_weights}",
        f"data.groups={folder / 'groups'}",
        f"data.cache={folder / 'cache'}",
    ]
    return [*words, "distillation.steps=2", "distillation.teacher_steps=4", "loop.batch_size=1", "data.targets=1"]


@pytest.fixture(scope="module")
def student(settings, tmp_path_factory) -> Path:
    """Three steps, of which the third is of a run that goes on."""
    out = tmp_path_factory.mktemp("trained") / "student"
    for steps in (2, 3):
        assert train(settings, out, steps) == 0
    return out


def train(settings: list[str], out: Path, steps: int, *more: str) -> int:
    loop = [f"loop.output_dir={out}", f"loop.max_train_steps={steps}", "loop.lr_schedule=constant", "loop.log_every=1"]
    return here("train", "--config", CONFIG, *settings, *loop, "loop.checkpoint_every=1", "loop.warmup_steps=1", *more)


def generate(out: Path, references: Path, poses: Path, *words: object) -> int:
    places = ["--ref_dir", references, "--pose_dir", poses, "--out_dir", out, "--device", "cpu"]
    return here("generate", "--preset", "mini", *places, *words)


def test_a_run_gone_on_with_is_the_straight_one(settings, student, tmp_path, capsys):
    assert train(settings, tmp_path / "straight", 3) == 0
    first, second = (load_file(folder / "denoising_unet.safetensors") for folder in (student, tmp_path / "straight"))
    assert all((first[name] == second[name]).all() for name in first)
    assert train(settings, student, 4, "distillation.guidance_scale=2") == 2
    assert "distillation.guidance_scale" in capsys.readouterr().err


def test_only_the_denoising_unet_is_another(student, mini_weights):
    for stem in ("IFR", "pose_guider", "reference_unet", "denoising_unet"):
        ours, teacher = (load_file(folder / f"{stem}.safetensors") for folder in (student, mini_weights))
        same = all((ours[name] == teacher[name].half()).all() for name in ours)
        assert same is (stem != "denoising_unet"), stem
    assert (student / "vae/config.json").is_file() and (student / "transformer_20.safetensors").is_file()


def test_a_students_folder_draws_as_it_was_made_for(student, reference_folder, pose_folder, tmp_path, capsys):
    assert generate(tmp_path / "own", reference_folder, pose_folder, "--ckpt_dir", student) == 0
    told = json.loads((tmp_path / "own/manifest.json").read_text())["settings"]
    assert (told["steps"], told["guidance_scale"], told["scheduler"]) == ("2", "1.0", "ddim")
    named = ["--ckpt_dir", student, "--steps", "2", "--guidance_scale", "1", "scheduler=ddim"]
    assert generate(tmp_path / "named", reference_folder, pose_folder, *named) == 0
    pipe = IPGPipeline.from_pretrained(student, preset="mini", device="cpu")
    pose = read_picture(pose_folder / "pose1.png")
    noise = pipe.named_noise(pipe.sampling.seed, ["b.png"], ["pose1.png"])
    drawn = pipe.generate([read_picture(reference_folder / "b.png")], [pose], noise=noise)[0][0]
    for out in ("own", "named"):
        made = np.asarray(read_picture(tmp_path / out / "pose1/b.png"), int)
        assert np.abs(made - np.asarray(drawn, int)).max() <= 1
    capsys.readouterr()
    assert generate(tmp_path / "own", reference_folder, pose_folder, "--ckpt_dir", student, "--steps", "3") == 2
    assert "steps was 2, now 3" in capsys.readouterr().err


def test_what_a_student_lacks_is_its_teachers(student, mini_weights, reference_folder, pose_folder, tmp_path, capsys):
    teacher = tmp_path / "teacher"
    shutil.copytree(mini_weights, teacher)
    words = ["--ckpt_dir", teacher, "--student"]
    assert generate(tmp_path / "out", reference_folder, pose_folder, *words) == 2
    assert f"no student in {teacher / 'student'}" in capsys.readouterr().err
    (teacher / "student").mkdir()
    for name in ("denoising_unet.safetensors", "sampling.yaml"):
        shutil.copy(student / name, teacher / "student" / name)
    assert generate(tmp_path / "out", reference_folder, pose_folder, *words) == 0
    assert generate(tmp_path / "whole", reference_folder, pose_folder, "--ckpt_dir", student) == 0
    made = [(tmp_path / out / "pose1/b.png").read_bytes() for out in ("out", "whole")]
    told = json.loads((tmp_path / "out/manifest.json").read_text())
    assert told["settings"]["steps"] == "2" and len(set(made)) <= 2
    assert generate(tmp_path / "out", reference_folder, pose_folder, "--ckpt_dir", teacher) == 2
    assert "steps was 2, now 20" in capsys.readouterr().err
    (teacher / "student/sampling.yaml").write_text("steps: many\n")
    assert generate(tmp_path / "out", reference_folder, pose_folder, *words) == 2
    assert "sampling.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (f"networks.trainable={PARTS}".replace("'", ""), "networks.trainable=[denoising_unet]"),
        ("networks.start_from=null", "distillation needs a teacher"),
        ("distillation.teacher_steps=5", "no multiple of distillation.steps"),
    ],
)
def test_settings_that_cannot_work_are_one_line(settings, mini_weights, tmp_path, capsys, change, told):
    frozen = [f"networks.vae={mini_weights / 'vae'}", f"networks.reid={mini_weights / 'transformer_20.safetensors'}"]
    assert train([*settings, *frozen], tmp_path / "out", 1, change) == 2
    error = capsys.readouterr().err
    assert told in error and len([line for line in error.splitlines() if line.startswith("error")]) == 1
