"""`pose2id score-generated`, as a script of a checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pose2id.cli import main

if __name__ == "__main__":
    main(["score-generated", *sys.argv[1:]])
