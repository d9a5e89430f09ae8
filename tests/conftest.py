"""Fixtures that several folders of tests share."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from IPG.models import build_denoising_unet, build_ifr, build_pose_guider, build_reference_unet, build_vae
from IPG.poses import draw_skeleton, to_pixels, write_pose_picture
from NFC.networks.transreid import TransReID
from pose2id.presets import load_preset
from pose2id.weights import write_safetensors

STANDING = [
    *((0.5, 0.13), (0.5, 0.23), (0.38, 0.23), (0.3, 0.36), (0.27, 0.48), (0.62, 0.23), (0.7, 0.36), (0.74, 0.47)),
    *((0.43, 0.5), (0.4, 0.7), (0.36, 0.9), (0.57, 0.5), (0.6, 0.7), (0.66, 0.88)),
    *((0.48, 0.11), (0.53, 0.11), (0.45, 0.12), (0.56, 0.12)),
]


@pytest.fixture
def standing() -> np.ndarray:
    """(18, 3) keypoints of somebody who stands: x, y in 0..1 and confidence 1."""
    return np.column_stack([np.array(STANDING), np.ones(18)])


@pytest.fixture(scope="session")
def mini_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of mini weights, random but always the same, as `IPGPipeline.from_pretrained` reads them."""
    folder = tmp_path_factory.mktemp("mini_weights")
    preset = load_preset("mini")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {
            "denoising_unet": build_denoising_unet(preset),
            "reference_unet": build_reference_unet(preset),
            "pose_guider": build_pose_guider(preset),
            "IFR": build_ifr(preset),
            "transformer_20": TransReID.from_sizes(preset.reid),
        }
        torch.nn.init.normal_(networks["pose_guider"].conv_out.weight)  # zero at first: poses would not matter
        for stem, network in networks.items():
            write_safetensors(network.state_dict(), folder / f"{stem}.safetensors")
        build_vae(preset.vae).save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def reference_folder(tmp_path: Path) -> Path:
    """Three pictures of noise: a.jpg, b.png and c.jpg (grey)."""
    folder = tmp_path / "ref"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a.jpg", (128, 64, 3)), ("b.png", (100, 40, 3)), ("c.jpg", (128, 64))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def pose_folder(tmp_path: Path, standing: np.ndarray) -> Path:
    """Two poses, pose1.png and pose2.png, the second the mirror image of the first."""
    folder = tmp_path / "poses"
    folder.mkdir()
    for number, flip in ((1, False), (2, True)):
        picture = draw_skeleton(to_pixels(standing, (128, 64)), (128, 64))
        write_pose_picture(folder / f"pose{number}.png", picture[:, ::-1].copy() if flip else picture)
    return folder
