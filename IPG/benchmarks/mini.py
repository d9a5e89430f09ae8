"""What the small networks are worth on people of worlds that training never drew from: means over several worlds.

pose2id bench mini [--seeds 1000 1001 1002] [--out outputs/bench_mini]

For each world: pictures of references that are visible, infrared and partly hidden, in poses whose true picture the
world renders, compared with that truth (PSNR, SSIM) and with its pose, estimated again; then Market1501, SYSU-MM01 and
Occluded-REID of the world, generated and scored by the commands that a user would type. A world that is done is not
done again; its figures are in OUT/<seed>/scores.json.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.occluders import KINDS
from NFC.datasets.synthetic.pose import draw_pose
from pose2id.devices import pick_device
from pose2id.files import write_text
from pose2id.pictures import write_picture
from pose2id.resources import here_or_shipped
from pose2id.settings.flags import parse_command

from .. import IPGPipeline
from ..job.canvas import make_grid
from ..poses import draw_skeleton
from ..poses.error import joint_errors, share_within
from ..poses.estimators import build_estimator, default_weights
from ..sampling import DEFAULTS
from ..training.validation import psnr
from .steps import QUICK, run, say

PEOPLE, POSES, CAMERAS = 30, 2, 20
LIGHTS = ("visible", "infrared", "occluded")
SETS = {  # layout: people and options
    "market1501": ["--train_pids", "2", "--test_pids", "30"],
    "sysu_mm01": ["--train_pids", "2", "--test_pids", "12", "--shots", "2"],
    "occluded_reid": ["--train_pids", "0", "--test_pids", "12"],
}
KEYPOINTS = here_or_shipped("standard_poses") / "keypoints.json"

Scores = dict[str, float]


@dataclass
class BenchConfig:
    seeds: list[int] = field(default_factory=lambda: [1000, 1001, 1002])  # worlds; training used 0
    out: str = "outputs/bench_mini"


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    worlds = [score_world(seed, Path(args.out) / str(seed)) for seed in args.seeds]
    table = Table("", *map(str, args.seeds), "mean", "deviation", box=MARKDOWN)
    for name in worlds[0]:
        values = np.array([scores[name] for scores in worlds])
        table.add_row(name, *(f"{value:.4g}" for value in (*values, values.mean(), values.std())))
    Console(width=140).print(table)


def score_world(seed: int, folder: Path) -> Scores:
    """Everything measured in one world, by name; kept in `folder`/scores.json."""
    file = folder / "scores.json"
    if not file.is_file():
        scores = compare_with_truth(World(seed), folder / "truth")
        for layout, people in SETS.items():
            scores |= score_dataset(layout, seed, people, folder / layout)
        write_text(file, json.dumps(scores, indent=1) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def compare_with_truth(world: World, sheets: Path) -> Scores:
    """Pictures against those that the world renders of the same person, camera and place in the same pose."""
    say(f"world {world.seed}: pictures against their truth")
    pipe = IPGPipeline.from_pretrained(preset="mini").optimise()
    estimator = build_estimator("vitpose", default_weights("vitpose", "mini"), pick_device())
    scores = {}
    for light in LIGHTS:
        rows, errors, own_errors = [], [], []
        names = [str(number) for number in range(POSES)]
        for pid in range(PEOPLE):
            rng = np.random.default_rng([world.seed, pid])
            clear = View(pid, pid % CAMERAS, 0, light == "infrared")
            hidden = View(pid, pid % CAMERAS, 0, occluder=KINDS[pid % len(KINDS)])
            reference = Image.fromarray(world.shoot(hidden if light == "occluded" else clear).picture)
            truths = [world.shoot(clear, draw_pose(rng), centred=True) for _ in range(POSES)]
            wanted = [truth.keypoints - np.float32([0.5, 0.5, 0]) for truth in truths]
            poses = [Image.fromarray(draw_skeleton(points)) for points in wanted]
            noise = pipe.named_noise(DEFAULTS.seed, [f"{light}{pid}"], names)
            pictures = pipe.generate([reference], poses, noise=noise)[0]
            true = [Image.fromarray(truth.picture) for truth in truths]
            rows += [[reference, *row] for row in zip(poses, true, pictures, strict=True)]
            errors += list(joint_errors(estimator(names, pictures), wanted))
            own_errors += list(joint_errors(estimator(names, true), wanted))
        write_picture(sheets / f"{light}.png", make_grid(rows[: 6 * POSES], rows[0][0].size, gap=2))
        for metric, compare in (("PSNR", psnr), ("SSIM", ssim)):
            for name, column in (("generated", 3), ("reference copied", 0)):
                values = [compare(row[2], row[column]) for row in rows]
                scores[f"{light}: {metric}, {name}"] = float(np.mean(values))
        scores[f"{light}: joints within 0.1, generated"] = share_within(errors)
        scores[f"{light}: joints within 0.1, true pictures"] = share_within(own_errors)
    return scores


def ssim(a: Image.Image, b: Image.Image) -> float:
    return float(structural_similarity(np.asarray(a), np.asarray(b), channel_axis=2))


def score_dataset(layout: str, seed: int, people: list[str], folder: Path) -> Scores:
    """The rows of Table 2 on a data set, and whom its generated pictures find."""
    say(f"world {seed}: {layout}")
    root, table = folder / "data", folder / "table"
    if not root.is_dir():
        partial = folder / "unfinished"
        shutil.rmtree(partial, ignore_errors=True)
        run("synthetic", "--layout", layout, "--seed", seed, "--out", partial, *people)
        partial.rename(root)
    run("generate", "--preset", "mini", "--dataset", layout, "--dataset_dir", root, *QUICK)
    run("evaluate", "--dataset", layout, "--root", root, "--preset", "mini", "--ablation", "--out", table)
    scores = {}
    if layout == "market1501":
        judge = ["--dataset", layout, "--root", root, "--preset", "mini", "--keypoints", KEYPOINTS, "--out", table]
        run("score-generated", *judge)
        judged = json.loads((table / "generated.json").read_text(encoding="utf-8"))
        scores["generated pictures: right person first"] = judged["whole_gallery"]["rank1"]
        scores["generated pictures: right person first, other cameras"] = judged["other_cameras"]["rank1"]
        scores["standard poses: joints within 0.1"] = judged["joints_within_0.1"]
    for row in json.loads((table / "results.json").read_text(encoding="utf-8"))["rows"]:
        metrics = {"mAP": 100 * row["mAP"], "Rank-1": 100 * row["cmc"][0], "ID2": row["ID2"]}
        scores |= {f"{layout} {row['name']}: {metric}": value for metric, value in metrics.items()}
    return scores
