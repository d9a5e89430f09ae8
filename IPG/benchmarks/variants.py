"""Ways of drawing side by side: the same people of unseen worlds by each, judged by the commands a user would type.

pose2id bench variants [--variants teacher student] [--seeds 1000 1001 1002] [--people 15] [--out DIR] [--ckpt_dir DIR]

teacher: 20 steps with guidance. student: the shipped student's two without. quick, two, four: 8 steps, from one, two
and four references of a person. What is done is not done again; figures are in OUT/<seed>/<variant>/scores.json.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from NFC.datasets.synthetic.layouts import write_layout
from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import COUNT, check_ranges

from .mini import KEYPOINTS
from .steps import QUICK, run, say

VARIANTS = {
    "teacher": [],
    "student": ["--student"],
    "quick": QUICK,
    "two": ["--references_per_person", "2", *QUICK],
    "four": ["--references_per_person", "4", *QUICK],
}

Scores = dict[str, float]


@dataclass
class VariantsConfig:
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))
    seeds: list[int] = field(default_factory=lambda: [1000, 1001, 1002])  # worlds; training used 0
    people: int = 15  # of each world, in the layout of Market1501
    out: str = "outputs/bench_variants"
    ckpt_dir: str = ""  # of the generator; by default the shipped one

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.variants) - set(VARIANTS)):
            raise UserError(f"variants {' '.join(unknown)} are unknown; choose of: {', '.join(VARIANTS)}")
        check_ranges(self, {"people": COUNT})


def main(arguments: Sequence[str]) -> None:
    args = parse_command(VariantsConfig, __doc__, arguments)
    if args is None:
        return
    columns = {
        name: [score_variant(name, seed, args, Path(args.out) / str(seed) / name) for seed in args.seeds]
        for name in args.variants
    }
    table = Table("", *columns, box=MARKDOWN)
    for measure in next(iter(columns.values()))[0]:
        values = [np.array([scores[measure] for scores in worlds]) for worlds in columns.values()]
        table.add_row(measure, *(f"{value.mean():.4g} ± {value.std():.2g}" for value in values))
    Console(width=160).print(table)


def score_variant(name: str, seed: int, config: VariantsConfig, folder: Path) -> Scores:
    """Pictures of a world's people by one variant, and what they are worth; kept in `folder`/scores.json."""
    file = folder / "scores.json"
    if not file.is_file():
        say(f"world {seed}: {name}")
        weights = ["--ckpt_dir", config.ckpt_dir] if config.ckpt_dir else []
        scores = _score([*VARIANTS[name], *weights], seed, config.people, folder)
        write_text(file, json.dumps(scores, indent=1) + "\n")
    return json.loads(file.read_text(encoding="utf-8"))


def _score(drawing: Sequence[str], seed: int, people: int, folder: Path) -> Scores:
    root, table = folder / "data", folder / "table"
    write_layout("market1501", root, seed, train_pids=1, test_pids=people)
    data = ["--preset", "mini", "--dataset", "market1501"]
    if "--references_per_person" in drawing:  # poses say which sides the references show
        run("poses", "prepare", *data, "--dataset_dir", root, "splits=[query,gallery]")
    started = time.monotonic()
    run("generate", *data, "--dataset_dir", root, *drawing)
    seconds = time.monotonic() - started
    run("evaluate", *data, "--root", root, "--ablation", "--out", table)
    run("score-generated", *data, "--root", root, "--keypoints", KEYPOINTS, "--out", table)
    judged = json.loads((table / "generated.json").read_text(encoding="utf-8"))
    scores = {
        "seconds to draw all": seconds,
        "right person first": 100 * judged["whole_gallery"]["rank1"],
        "right person first, other cameras": 100 * judged["other_cameras"]["rank1"],
        "joints within 0.1": 100 * judged["joints_within_0.1"],
    }
    rows = json.loads((table / "results.json").read_text(encoding="utf-8"))["rows"]
    return scores | {f"{row['name']}: mAP": 100 * row["mAP"] for row in rows}
