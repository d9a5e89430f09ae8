"""The job behind `pose2id evaluate`: features of a data set or of files, scores of every row, centralized features."""

from .config import EvaluateConfig
from .job import evaluate
from .saved import save_centralized

__all__ = ["EvaluateConfig", "evaluate", "save_centralized"]
