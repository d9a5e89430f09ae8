import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file

from IPG.canvas import make_canvas, make_contact_sheet
from IPG.job import run as module
from IPG.job.run import generate
from IPG.job.settings import GenerationConfig, resolve
from IPG.poses import read_pose_picture
from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.pictures import list_pictures, read_picture, write_picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(mini_weights, reference_folder, pose_folder, tmp_path) -> GenerationConfig:
    folders = {
        "ckpt_dir": mini_weights,
        "pose_dir": pose_folder,
        "ref_dir": reference_folder,
        "out_dir": tmp_path / "out",
    }
    folders = {name: str(path) for name, path in folders.items()}
    return resolve(GenerationConfig("mini", **folders, steps=2, device="cpu"))


def pictures_made(monkeypatch) -> list[tuple[str, str]]:
    """From now on, the (reference name, pose name) of every picture the pipeline is asked for."""
    made = []
    call = module.IPGPipeline.__call__

    def counting(self, references, poses, **options):
        made.extend((r, p) for r in options["reference_names"] for p in options["pose_names"])
        return call(self, references, poses, **options)

    monkeypatch.setattr(module.IPGPipeline, "__call__", counting)
    return made


def read_all(folder: Path) -> dict[str, np.ndarray]:
    pictures = [path for path in folder.rglob("*.*") if path.suffix != ".json"]
    return {path.relative_to(folder).as_posix(): np.asarray(read_picture(path), int) for path in pictures}


def assert_same_pictures(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Up to the rounding of another batch size (JPEG may make more of it)."""
    assert first.keys() == second.keys()
    for name, picture in first.items():
        assert np.abs(picture - second[name]).max() <= (1 if name.endswith(".png") else 8), name


def test_batch_size_does_not_matter(config, tmp_path):
    assert generate(config) == []
    assert generate(replace(config, batch_size=1, out_dir=str(tmp_path / "one"))) == []
    assert_same_pictures(read_all(tmp_path / "out"), read_all(tmp_path / "one"))


def test_poses_matter_and_seeds_matter(config, tmp_path):
    generate(config)
    generate(replace(config, seed=1, out_dir=str(tmp_path / "other")))
    first, second, other = (
        np.asarray(read_picture(tmp_path / name))
        for name in ("out/pose1/b.png", "out/pose2/b.png", "other/pose1/b.png")
    )
    assert (first != second).any() and (first != other).any()


def test_running_again_does_only_what_is_lacking(config, tmp_path, reference_folder, monkeypatch):
    out = tmp_path / "out"
    generate(config)
    before = read_all(out)
    made = pictures_made(monkeypatch)
    assert generate(config) == []
    assert made == []

    (out / "pose2/a.jpg").unlink()
    whole = (out / "pose1/b.png").read_bytes()
    (out / "pose1/b.png").write_bytes(whole[: len(whole) // 2])
    (out / "c.jpg").unlink()
    assert generate(config) == []
    assert sorted(made) == [("a.jpg", "pose2.png"), ("b.png", "pose1.png")]
    assert_same_pictures(read_all(out), before)

    made.clear()
    newer = (reference_folder / "a.jpg").stat().st_mtime + 1000
    os.utime(reference_folder / "a.jpg", (newer, newer))
    generate(config)
    assert sorted(made) == [("a.jpg", "pose1.png"), ("a.jpg", "pose2.png")]


def test_another_pose_may_join_but_other_settings_may_not(config, pose_folder, tmp_path, monkeypatch):
    generate(config)
    made = pictures_made(monkeypatch)
    read_picture(pose_folder / "pose1.png").transpose(Image.Transpose.ROTATE_180).save(pose_folder / "pose10.png")
    generate(config)
    assert {pose for _, pose in made} == {"pose10.png"}  # the third in natural order
    assert Image.open(tmp_path / "out/b.png").size == (7 * 64, 128)
    for change in ({"seed": 5}, {"steps": 3}, {"pose_channel_order": "rgb"}, {"feature_interval": 2}):
        with pytest.raises(UserError, match=next(iter(change))):
            generate(replace(config, **change))
    (pose_folder / "pose1.png").unlink()
    with pytest.raises(UserError, match="pose1"):
        generate(config)


def test_a_bad_pose_keeps_the_numbers_of_the_others(config, pose_folder, tmp_path):
    (pose_folder / "pose1.png").write_bytes(b"")
    failures = generate(config)
    assert len(failures) == 1 and "pose1.png" in failures[0]
    assert (tmp_path / "out/pose2/a.jpg").is_file() and not (tmp_path / "out/pose1").exists()
    assert json.loads((tmp_path / "out/manifest.json").read_text())["failures"] == failures


def test_data_set_mode_fills_the_folders_beside_the_splits(config, reference_folder, tmp_path):
    root = tmp_path / "market"
    names = {
        "query": ["0002_c1s1_000451_03.jpg"],
        "bounding_box_test": ["0002_c2s1_000001_01.jpg", "0000_c1s1_000001_01.jpg", "-1_c1s1_000002_01.jpg"],
    }
    for split, files in names.items():
        (root / split).mkdir(parents=True)
        for name in files:
            (root / split / name).write_bytes((reference_folder / "a.jpg").read_bytes())
    (root / "bounding_box_train").mkdir()
    data_set = replace(config, ref_dir=None, out_dir=None, dataset_dir=str(root))
    assert generate(resolve(data_set)) == []
    for split in names:
        made = {path.relative_to(root / f"{split}_gen").as_posix() for path in (root / f"{split}_gen").rglob("*.jpg")}
        assert made == {f"pose{k}/{names[split][0]}" for k in (1, 2)}


def write_nested(root: Path, folders: dict[str, list[str]]) -> None:
    """The same picture of noise everywhere, losslessly where the format allows."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (128, 64, 3), dtype=np.uint8))
    for folder, names in folders.items():
        for name in names:
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(root / folder / name)


def made_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("*_gen/pose*/**/*.*")}


def test_data_sets_of_nested_folders_and_other_formats(config, tmp_path):
    root = tmp_path / "Occluded_REID"
    folders = {"occluded_body_images": ["001/001_01.tif", "002/002_01.tif"], "whole_body_images": ["001/001_01.tif"]}
    write_nested(root, folders)
    data_set = {"ref_dir": None, "out_dir": None, "dataset": "occluded_reid", "dataset_dir": str(root)}
    generate(resolve(replace(config, **data_set, splits=["query"])))
    expected = {f"occluded_body_images_gen/pose{k}/{name}" for k in (1, 2) for name in folders["occluded_body_images"]}
    assert made_in(root) == expected
    generate(resolve(replace(config, **data_set)))
    assert made_in(root) == expected | {f"whole_body_images_gen/pose{k}/001/001_01.tif" for k in (1, 2)}
    one, other = (root / f"{folder}_gen/pose1/001/001_01.tif" for folder in folders)
    with Image.open(one) as picture:
        assert picture.format == "TIFF" and picture.size == (64, 128)
    assert (np.asarray(read_picture(one)) != np.asarray(read_picture(other))).any()  # equal references, own noise
    assert (root / "whole_body_images_gen/manifest.json").is_file()


def test_a_data_set_whose_file_names_repeat(config, tmp_path, monkeypatch):
    root = tmp_path / "SYSU-MM01"
    write_nested(root, {f"cam{camera}": ["0001/0001.jpg", "0002/0001.jpg"] for camera in range(1, 7)})
    (root / "exp").mkdir()
    for split, pids in (("train", "1"), ("val", ""), ("test", "2")):
        (root / f"exp/{split}_id.txt").write_text(pids)
    made = pictures_made(monkeypatch)
    data_set = {"ref_dir": None, "out_dir": None, "dataset": "sysu_mm01", "dataset_dir": str(root)}
    assert generate(resolve(replace(config, **data_set, dataset_options={"mode": "indoor"}))) == []
    assert made_in(root) == {f"cam{c}_gen/pose{k}/0002/0001.jpg" for c in (1, 2, 3, 6) for k in (1, 2)}
    assert len(set(made)) == len(made) == 8  # every picture has a noise of its own


@pytest.mark.parametrize("suffix", ["bmp", "tif", "png", "webp"])
def test_formats_that_lose_nothing(tmp_path, suffix):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8))
    write_picture(tmp_path / f"a.{suffix}", picture)
    assert np.array_equal(np.asarray(read_picture(tmp_path / f"a.{suffix}")), np.asarray(picture))


@pytest.fixture
def three_people(config, tmp_path) -> GenerationConfig:
    """References whose order by name is not the natural one, the middle one unreadable."""
    folder = tmp_path / "people"
    write_nested(folder, {"": ["person10.png", "person2.png"]})
    (folder / "person12.png").write_bytes(b"")
    return replace(config, ref_dir=str(folder), official_noise=True)


def test_official_noise_is_that_of_the_official_order(three_people, tmp_path):
    config = three_people
    assert len(generate(config)) == 1
    generator = torch.Generator().manual_seed(config.seed)
    pipe = module.IPGPipeline.from_pretrained(config.ckpt_dir, "mini", device="cpu")
    poses = [read_pose_picture(path) for path in sorted(Path(config.pose_dir).iterdir())]
    for name in ("person10.png", "person12.png", "person2.png"):
        noise = torch.randn(2, *pipe.preset.latent_shape, generator=generator)
        if name == "person12.png":
            continue
        reference = read_picture(Path(config.ref_dir, name))
        images = pipe([reference], poses, num_inference_steps=2, noise=noise[None])[0]
        for k, image in enumerate(images, start=1):
            assert np.array_equal(np.asarray(image), np.asarray(read_picture(tmp_path / f"out/pose{k}/{name}")))


def test_official_noise_survives_resuming_and_sharing(three_people, tmp_path, monkeypatch):
    config = three_people
    generate(config)
    expected = read_all(tmp_path / "out")
    for name in ("pose1/person2.png", "pose2/person10.png"):
        (tmp_path / "out" / name).unlink()
    generate(replace(config, batch_size=1))
    assert read_all(tmp_path / "out").keys() == expected.keys()
    assert all(np.array_equal(picture, expected[name]) for name, picture in read_all(tmp_path / "out").items())

    plan = module.plan_jobs
    for share in (0, 1):
        monkeypatch.setattr(
            module,
            "plan_jobs",
            lambda *args, share=share: [replace(job, tasks=job.tasks[share::2]) for job in plan(*args)],
        )
        monkeypatch.setattr(module.manifest, "check", lambda *_: None)
        generate(replace(config, out_dir=str(tmp_path / "shared")))
    shared = read_all(tmp_path / "shared")
    assert shared.keys() == expected.keys()
    assert all(np.array_equal(picture, expected[name]) for name, picture in shared.items())


def test_with_official_noise_nobody_may_join(three_people, tmp_path):
    generate(three_people)
    write_nested(tmp_path / "people", {"": ["person1.png"]})
    with pytest.raises(UserError, match="official_noise"):
        generate(three_people)


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


def test_other_weights_are_refused(config, mini_weights, tmp_path):
    generate(config)
    other = tmp_path / "other"
    shutil.copytree(mini_weights, other)
    tensors = load_file(other / "IFR.safetensors")
    tensors["norm_motion.bias"][0] += 1
    save_file(tensors, other / "IFR.safetensors")
    with pytest.raises(UserError, match="IFR was"):
        generate(replace(config, ckpt_dir=str(other)))


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


def test_default_file_holds_the_defaults():
    path = ROOT / "configs/inference/default.yaml"
    assert load_config(GenerationConfig, path) == GenerationConfig()
    assert set(OmegaConf.load(path)) == set(vars(GenerationConfig()))


def test_natural_order_and_what_counts_as_a_picture(tmp_path):
    for name in [
        "pose10.png",
        "pose2.PNG",
        "pose1.webp",
        ".hidden.png",
        "notes.md",
        "keypoints.json",
        "x.zip",
        "folder",
    ]:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    pictures, strangers = list_pictures(tmp_path)
    assert [path.name for path in pictures] == ["pose1.webp", "pose2.PNG", "pose10.png"]
    assert [path.name for path in strangers] == ["folder", "x.zip"]


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, Image.new("RGB", (4, 4), "red"))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        write_picture(path, Image.new("RGB", (4, 4), "blue"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert read_picture(path).getpixel((0, 0)) == (255, 0, 0)


def test_canvas_and_contact_sheet_are_laid_out_in_rows():
    colours = {name: Image.new("RGB", (4, 8), name) for name in ("red", "green", "blue", "yellow", "black")}
    canvas = make_canvas(colours["red"].resize((9, 9)), [colours["green"]], [colours["blue"]])
    assert [canvas.getpixel((x, 3)) for x in (1, 5, 9)] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    sheet = make_contact_sheet(
        [colours["red"], colours["green"]], [colours["blue"]], [[colours["yellow"]], [colours["black"]]]
    )
    assert sheet.size == (2 * 4 + 2, 3 * 8 + 2 * 2)
    assert [sheet.getpixel((x, y)) for y in (12, 22) for x in (1, 8)] == [
        *((255, 0, 0), (255, 255, 0)),
        *((0, 128, 0), (0, 0, 0)),
    ]


def test_smaller_batches_when_memory_runs_out(config, tmp_path, monkeypatch, capsys):
    generate(config)
    expected, sizes = read_all(tmp_path / "out"), []
    call = module.IPGPipeline.__call__

    def small_device(self, references, poses, **options):
        sizes.append(options["batch_size"])
        if options["batch_size"] > 2:
            raise torch.OutOfMemoryError("out of memory")
        return call(self, references, poses, **options)

    monkeypatch.setattr(module.IPGPipeline, "__call__", small_device)
    assert generate(replace(config, out_dir=str(tmp_path / "small"))) == []
    assert_same_pictures(read_all(tmp_path / "small"), expected)
    assert sizes[-1] == 2 and "going on with 2 pictures at a time" in capsys.readouterr().err


def test_no_memory_at_all_is_one_line(config, monkeypatch):
    def no_device(self, *_: object, **__: object):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(module.IPGPipeline, "__call__", no_device)
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
