"""How well generated pictures keep the identity: do they find the right person in the real gallery?

python scripts/score_generated.py --root DIR [--preset mini] [--poses 8] [--keypoints standard_poses/keypoints.json]

Every picture of `query_gen/` is a query of its own. Two figures: against the whole real gallery, and against the
gallery without the camera of its reference, as the Market1501 rule has it. With --keypoints also: how many joints of
the pictures, whose poses are estimated again, are where they were to be (within 0.1 of the figure's height)?
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.nn.functional import normalize

from IPG.poses import read_keypoints
from IPG.poses.error import pose_errors, share_within
from IPG.poses.estimators import build_estimator, default_weights
from NFC import evaluate_ranking
from NFC.datasets import build_dataset, generated_paths
from NFC.features.extraction import extract_features
from NFC.networks import build_extractor
from pose2id.devices import pick_device
from pose2id.errors import run_command
from pose2id.files import write_text

NO_CAMERA = -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="market1501")
    parser.add_argument("--root", required=True)
    parser.add_argument("--extractor", default="transreid")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--poses", type=int, default=8)
    parser.add_argument("--keypoints", type=Path, default=None, help="keypoints.json: measure pose error")
    parser.add_argument("--out", type=Path, default=None, help="folder for generated.json")
    args = parser.parse_args()
    dataset = build_dataset(args.dataset, args.root)
    device = pick_device()
    extractor = build_extractor(args.extractor, args.weights, args.preset, device)
    pictures = [path for record in dataset.query for path in generated_paths(record, args.poses)]
    pids = torch.tensor([record.pid for record in dataset.query]).repeat_interleave(args.poses)
    camids = torch.tensor([record.camid for record in dataset.query]).repeat_interleave(args.poses)
    generated = normalize(extract_features(extractor, pictures, device=device, description="generated"), dim=1)
    real = [record.path for record in dataset.gallery]
    g_pids = torch.tensor([record.pid for record in dataset.gallery])
    g_camids = torch.tensor([record.camid for record in dataset.gallery])
    feats = extract_features(extractor, real, g_camids.tolist(), device=device, description="gallery")
    gallery = normalize(feats, dim=1)

    scores = {"pictures": len(pictures)}
    cameras = {"whole_gallery": torch.full_like(camids, NO_CAMERA), "other_cameras": camids}
    for name, own in cameras.items():
        result = evaluate_ranking(generated, gallery, pids, g_pids, own, g_camids)
        scores[name] = {"rank1": float(result.cmc[0]), "mAP": result.mAP}
        print(f"generated pictures, {name.replace('_', ' ')}: Rank-1 {result.cmc[0]:.1%}, mAP {result.mAP:.1%}")
    if args.keypoints:
        wanted = read_keypoints(args.keypoints)
        estimator = build_estimator("vitpose", default_weights("vitpose", args.preset), device)
        keypoints = [wanted[f"pose{k}"] for k in range(1, args.poses + 1)] * len(dataset.query)
        scores["joints_within_0.1"] = share_within(pose_errors(estimator, pictures, keypoints))
        print(f"generated pictures, joints within 0.1 of the figure's height: {scores['joints_within_0.1']:.1%}")
    if args.out:
        write_text(args.out / "generated.json", json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
