"""Benchmarks behind `pose2id bench`: ours against a plain way, in one run."""
