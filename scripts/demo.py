"""The whole path in minutes, on a laptop: pictures in new poses, then what they do for re-identification.

python scripts/demo.py [--out outputs/demo]

Runs the same commands that a user would type, each printed first. People and pictures are synthetic and none of
them was seen in training. The folder it writes to is emptied first, so every figure belongs to this run.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from IPG.benchmarks.steps import QUICK, run, say
from IPG.job.canvas import make_contact_sheet
from IPG.poses import read_pose_picture
from pose2id.errors import run_command
from pose2id.pictures import list_pictures, read_picture, write_picture

WORLD = ["--seed", "1000", "--train_pids", "2", "--test_pids", "40"]  # a world that training never drew from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="folder to write to (outputs/demo)")
    out = parser.parse_args().out.resolve()
    started = time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    os.chdir(ROOT)
    out = shown(out)  # so that the commands printed are short
    pictures, market, table, sheet = out / "pictures", out / "market1501", out / "table", out / "contact_sheet.png"

    say("1/4 Every person of ref/ in every pose of standard_poses/")
    run("generate", "--preset", "mini", "--out_dir", pictures)
    write_contact_sheet(pictures, sheet)

    say("2/4 A small Market1501 of people nobody has seen")
    run("synthetic", "--layout", "market1501", "--out", market, *WORLD)

    say("3/4 Generated pictures for its query and gallery")
    run("generate", "--preset", "mini", "--dataset_dir", market, *QUICK)

    say("4/4 Retrieval without and with feature centralization")
    run("score-generated", "--root", market, "--preset", "mini", "--out", table)
    run("evaluate", "--dataset", "market1501", "--root", market, "--preset", "mini", "--ablation", "--out", table)

    minutes = (time.monotonic() - started) / 60
    say(f"Done in {minutes:.1f} minutes")
    places = {
        "pictures": f"{pictures}/ (canvases) and {pictures}/pose*/",
        "table": f"{table / 'results.md'} and {table / 'results.json'}",
        "contact sheet": sheet,
    }
    for what, where in places.items():
        print(f"  {what:14} {where}")


def shown(path: Path) -> Path:
    """A path as a user would type it from the repository's folder."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def write_contact_sheet(pictures: Path, sheet: Path) -> None:
    """All references in all poses as one picture, in 256 colours so that it stays small."""
    references, _ = list_pictures(ROOT / "ref")
    poses, _ = list_pictures(ROOT / "standard_poses")
    rows = [
        [read_picture(pictures / f"pose{k}" / reference.name) for k in range(1, len(poses) + 1)]
        for reference in references
    ]
    canonical = [read_pose_picture(path) for path in poses]
    whole = make_contact_sheet([read_picture(path) for path in references], canonical, rows)
    write_picture(sheet, whole.quantize(256, kmeans=3))


if __name__ == "__main__":
    run_command(main)
