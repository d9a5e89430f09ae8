"""`pose2id bench gpu-check`, for a machine with a GPU and a checkout: python scripts/gpu_check.py [--small]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pose2id.cli import main

if __name__ == "__main__":
    main(["bench", "gpu-check", *sys.argv[1:]])
