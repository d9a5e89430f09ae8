"""Small material and small frozen networks for tests of training."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from IPG.models import build_vae
from IPG.poses.records import PoseRecord, write_records
from IPG.training.data import Material, Person
from NFC.networks import Extractor, Preprocessing
from pose2id.presets import VAESizes
from tests.ipg.tiny import random_network, tiny_preset


def frozen_networks() -> dict[str, torch.nn.Module]:
    """A random picture autoencoder and ReID network, always the same."""
    channels = tiny_preset().vae.latent_channels
    sizes = VAESizes(
        "kl", channels, block_out_channels=[8] * 4, layers_per_block=[1], norm_num_groups=4, scaling_factor=0.5
    )
    torch.manual_seed(0)
    reid = tiny_preset().reid
    network = random_network("transformer_20", tiny_preset())
    extractor = Extractor(network, reid.feature_dim, Preprocessing(reid.height, reid.width))
    return {"vae": build_vae(sizes).eval(), "extractor": extractor.eval()}


def noise_material(standing: np.ndarray, people: list[list[int]], digest: str = "noise") -> Material:
    """Pictures of noise; `people` holds the picture numbers of pids 0, 1, ...; poses shift with the number."""
    count = 1 + max(number for own in people for number in own)
    keypoints = np.repeat(standing[None], count, axis=0)
    keypoints[:, :, 0] += np.linspace(-0.2, 0.2, count)[:, None]

    def read(number: int) -> Image.Image:
        return Image.fromarray(np.random.default_rng(number).integers(0, 256, (128, 64, 3), dtype=np.uint8))

    sets = [Person(pid, np.array(own), np.array(own)) for pid, own in enumerate(people)]
    return Material(read, keypoints, sets, digest, "noise")


def write_poses(
    folder: Path, root: Path, paths: list[Path], keypoints: np.ndarray, dropped: tuple[Path, ...] = ()
) -> None:
    """What prepare_poses.py would write: the same (18, 3) keypoints in 0..1 for every picture."""
    records = []
    for path in paths:
        width, height = Image.open(path).size
        points = np.column_stack([keypoints[:, :2] * [width, height] - 0.5, keypoints[:, 2]])
        records.append(PoseRecord(path.relative_to(root).as_posix(), width, height, 0.3, points))
    write_records(folder / "keypoints.jsonl", records)
    names = [path.relative_to(root).as_posix() for path in dropped]
    lines = [{"path": record.path, "kept": record.path not in names, "reasons": []} for record in records]
    (folder / "kept.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
