"""Running commands of this project one after the other, each printed first."""

import shlex
import subprocess
import sys

from pose2id.errors import UserError

QUICK = ["--steps", "8", "scheduler=unipc"]  # for thousands of pictures that only a network looks at


def say(line: str) -> None:
    print(f"\n== {line}", flush=True)


def run(*command: object) -> None:
    """Print and run a command of `pose2id`; `UserError` when it fails (it has told why)."""
    words = [str(word) for word in command]
    print(f"$ pose2id {shlex.join(words)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "pose2id", *words], check=False).returncode
    if code:
        raise UserError(f"pose2id {words[0]} ended with exit code {code}; see its message above")
