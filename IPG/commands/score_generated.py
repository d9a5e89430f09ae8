"""How well generated pictures keep the identity: do they find the right person in the real gallery?

pose2id score-generated --root DIR [--preset mini] [--poses 8] [--keypoints standard_poses/keypoints.json]

Every picture of `query_gen/` is a query of its own. Two figures: against the whole real gallery, and against the
gallery without the camera of its reference, as the Market1501 rule has it. With --keypoints also: how many joints of
the pictures, whose poses are estimated again, are where they were to be (within 0.1 of the figure's height)?
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import MISSING
from torch.nn.functional import normalize

from NFC import evaluate_ranking
from NFC.datasets import build_dataset
from NFC.features.extraction import extract_features
from NFC.features.of_dataset import require_generated, told_camids
from NFC.networks import build_extractor
from pose2id.devices import pick_device
from pose2id.files import write_text
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import POSES, check_ranges

from ..poses import read_keypoints
from ..poses.error import pose_errors, share_within
from ..poses.estimators import build_estimator, default_weights

NO_CAMERA = -1


@dataclass
class ScoreConfig:
    dataset: str = "market1501"
    root: str = MISSING  # folder of the data set
    extractor: str = "transreid"
    preset: str = "mini"
    weights: str | None = None  # of the extractor; the preset's own
    poses: int = 8
    keypoints: str | None = None  # keypoints.json: measure pose error
    out: str | None = None  # folder for generated.json

    def __post_init__(self) -> None:
        check_ranges(self, {"poses": POSES})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(ScoreConfig, __doc__, arguments)
    if config is not None:
        score(config)


def score(config: ScoreConfig) -> None:
    """Print the figures, and write them where they are wanted."""
    dataset = build_dataset(config.dataset, config.root)
    pictures = require_generated(dataset.query, config.poses)
    device = pick_device()
    extractor = build_extractor(config.extractor, config.weights, config.preset, device)
    pids = torch.tensor([record.pid for record in dataset.query]).repeat_interleave(config.poses)
    camids = torch.tensor([record.camid for record in dataset.query]).repeat_interleave(config.poses)
    generated = normalize(extract_features(extractor, pictures, device=device, description="generated"), dim=1)
    real = [record.path for record in dataset.gallery]
    g_pids = torch.tensor([record.pid for record in dataset.gallery])
    g_camids = torch.tensor([record.camid for record in dataset.gallery])
    told = told_camids(dataset, dataset.gallery)
    feats = extract_features(extractor, real, told, device=device, description="gallery")
    gallery = normalize(feats, dim=1)

    scores = {"pictures": len(pictures)}
    cameras = {"whole_gallery": torch.full_like(camids, NO_CAMERA), "other_cameras": camids}
    for name, own in cameras.items():
        result = evaluate_ranking(generated, gallery, pids, g_pids, own, g_camids)
        scores[name] = {"rank1": float(result.cmc[0]), "mAP": result.mAP}
        print(f"generated pictures, {name.replace('_', ' ')}: Rank-1 {result.cmc[0]:.1%}, mAP {result.mAP:.1%}")
    if config.keypoints:
        wanted = read_keypoints(Path(config.keypoints))
        estimator = build_estimator("vitpose", default_weights("vitpose", config.preset), device)
        keypoints = [wanted[f"pose{k}"] for k in range(1, config.poses + 1)] * len(dataset.query)
        scores["joints_within_0.1"] = share_within(pose_errors(estimator, pictures, keypoints))
        print(f"generated pictures, joints within 0.1 of the figure's height: {scores['joints_within_0.1']:.1%}")
    if config.out:
        write_text(Path(config.out) / "generated.json", json.dumps(scores, indent=1) + "\n")
