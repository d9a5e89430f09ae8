"""`pose2id generate`, as the paper's users type it: python inference.py [flags] [key=value]."""

import sys

from pose2id.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
