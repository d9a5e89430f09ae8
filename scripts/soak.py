"""A long run with damaged inputs: memory must stay flat, and everything that can be drawn must be there at the end.

python scripts/soak.py [--references 1000] [--steps 2] [--damaged 0.01]

Runs inference.py with the mini preset on copies of the example references, some of them damaged, watches its
resident memory, and checks what it leaves. Exit code 1 when memory grew by more than 10 % after the first 50
references, or anything lacks.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from rich.console import Console
from rich.table import Table

from pose2id.errors import UserError, run_command
from pose2id.pictures import list_pictures, read_picture

ROOT = Path(__file__).resolve().parent.parent
SETTLED = 50  # references after which memory must not grow
GROWTH = 1.10
DAMAGE = {  # what becomes of a picture's bytes
    "truncated": lambda data: data[: len(data) // 3],
    "empty": lambda data: b"",
    "wrong": lambda data: data[:200] + bytes(byte ^ 0x5A for byte in data[200:]),
    "text": lambda data: b"This is not a picture.\n",
}


def write_references(folder: Path, count: int, damaged: int) -> set[str]:
    """`count` pictures of which `damaged`, evenly spread, cannot be read; returns the names of these."""
    examples, _ = list_pictures(ROOT / "ref")
    kinds, bad = list(DAMAGE.items()), set()
    for i in range(count):
        example = examples[i % len(examples)]
        path = folder / f"{i:05d}{example.suffix}"
        data = example.read_bytes()
        if damaged and i % (count // damaged) == 1 and len(bad) < damaged:
            kind, spoil = kinds[len(bad) % len(kinds)]
            path = path.with_name(f"{i:05d}_{kind}.jpg")
            data = spoil(data)
            bad.add(path.name)
        path.write_bytes(data)
    return bad


def watch(process: psutil.Popen, out: Path) -> Iterator[tuple[int, float]]:
    """(references finished, resident MiB) several times a second, as long as the process lives."""
    while process.poll() is None:
        try:
            resident = process.memory_info().rss / 2**20
        except psutil.Error:
            break
        yield sum(not entry.name.startswith(".") for entry in os.scandir(out) if entry.is_file()), resident
        time.sleep(0.25)


def check(out: Path, names: set[str], bad: set[str], code: int, errors: str) -> list[str]:
    """What is wrong with the result, one line each."""
    wrong = [] if code == 1 else [f"exit code {code}, expected 1"]
    listed = errors.split("files could not be used:")[-1]
    told = "\n".join(json.loads((out / "manifest.json").read_text())["failures"])
    for name in sorted(bad):
        wrong += [
            f"{name} is not in {where}"
            for where, text in (("the list", listed), ("the manifest", told))
            if name not in text
        ]
    for name in sorted(names - bad):
        for path in (out / name, *(out / f"pose{k}" / name for k in range(1, 9))):
            try:
                read_picture(path)
            except (UserError, OSError) as error:
                wrong.append(str(error))
    strangers = {path.name for path in out.rglob("*") if path.is_file()} - names - {"manifest.json"}
    return wrong + [f"{name} should not be there" for name in sorted(strangers)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--damaged", type=float, default=0.01, help="share of the references")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        references, out, log = (Path(scratch, name) for name in ("ref", "out", "log"))
        references.mkdir()
        out.mkdir()
        bad = write_references(references, args.references, round(args.references * args.damaged))
        names = {path.name for path in references.iterdir()}
        command = [sys.executable, str(ROOT / "inference.py"), "--preset", "mini", "--steps", str(args.steps)]
        command += ["--ref_dir", str(references), "--pose_dir", str(ROOT / "standard_poses"), "--out_dir", str(out)]
        started = time.perf_counter()
        with log.open("w") as errors:
            process = psutil.Popen(command, stderr=errors)
            curve = list(watch(process, out))
            code = process.wait()
        seconds = time.perf_counter() - started
        wrong = check(out, names, bad, code, log.read_text())
    return report(curve, seconds, 8 * (len(names) - len(bad)), wrong)


def report(curve: list[tuple[int, float]], seconds: float, pictures: int, wrong: list[str]) -> int:
    table = Table(title=f"{pictures} pictures in {seconds:.0f} s ({pictures / seconds:.1f} a second)")
    table.add_column("references", justify="right")
    table.add_column("resident MiB, largest so far", justify="right")
    last = curve[-1][0]
    for mark in sorted({SETTLED, *(last * tenth // 10 for tenth in range(1, 11))}):
        table.add_row(str(mark), f"{max(mib for done, mib in curve if done <= mark):.0f}")
    Console().print(table)
    first = max(mib for done, mib in curve if done <= SETTLED)
    after = max((mib for done, mib in curve if done > SETTLED), default=0.0)
    print(f"first {SETTLED}: {first:.0f} MiB; after: {after:.0f} MiB; ratio {after / first:.3f} (at most {GROWTH})")
    print("\n".join(wrong) if wrong else "every picture is there, every damaged file is listed")
    return 1 if wrong or after > GROWTH * first else 0


if __name__ == "__main__":
    run_command(main)
