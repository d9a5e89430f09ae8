"""The wheel works where the checkout is not: build it, install it into an empty environment, run its commands.

python scripts/check_wheel.py [--python python3.12]

The versions are those of requirements.txt. Takes minutes and some gigabytes in the temporary folder; leaves nothing.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
HELP_SECONDS = 0.5
PEOPLE = ["--train_pids", "0", "--test_pids", "3"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the new environment (this one)")
    python = parser.parse_args().python
    with TemporaryDirectory(prefix="pose2id-wheel-") as folder:
        place = Path(folder)
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, ROOT], place)
        (wheel,) = place.glob("pose2id-*.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB")
        run([python, "-m", "venv", "--without-pip", place / "venv"], place)
        install = ["install", "--quiet", "--constraint", ROOT / "requirements.txt", wheel]
        run([sys.executable, "-m", "pip", "--python", place / "venv/bin/python", *install], place)
        check(place / "venv/bin/pose2id", place)
    print("the wheel works outside the checkout")


def check(pose2id: Path, place: Path) -> None:
    """Help, features, label maps, one generation and one evaluation, all in a folder without a checkout."""
    run([pose2id, "--help"], place)  # compiles
    started = time.perf_counter()
    run([pose2id, "--help"], place)
    seconds = time.perf_counter() - started
    print(f"pose2id --help: {seconds:.2f} s (at most {HELP_SECONDS})")
    run([pose2id, "synthetic", "--layout", "market1501", "--out", "market", *PEOPLE], place)
    query, few = "market/query", ["--steps", "2", "--preset", "mini"]
    run([pose2id, "generate", "--ref_dir", query, "--out_dir", "pictures", *few], place)
    run([pose2id, "embed", query, "--out", "features.npz"], place)
    run([pose2id, "parse", "--pictures", query, "--out", "masks"], place)
    run([pose2id, "evaluate", "--dataset", "market1501", "--root", "market", "--preset", "mini"], place)
    drawn = len(list((place / "pictures" / "pose1").iterdir()))
    if drawn != len(list((place / query).glob("*.jpg"))) or not (place / "features.npz").is_file():
        sys.exit(f"{drawn} pictures in pose1, or no features")


def run(words: list[object], place: Path) -> None:
    """Run a command in `place`, without what would lead it to the checkout."""
    command = [str(word) for word in words]
    print(f"$ {shlex.join(command)}", flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=place, env=environment, check=True)


if __name__ == "__main__":
    main()
