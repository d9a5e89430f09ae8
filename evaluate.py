"""`pose2id evaluate`, as the paper's users type it: python evaluate.py [flags] [key=value]."""

import sys

from pose2id.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
