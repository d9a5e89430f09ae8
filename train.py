"""`pose2id train`, as the paper's users type it: python train.py [flags] [key=value]."""

import sys

from pose2id.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
