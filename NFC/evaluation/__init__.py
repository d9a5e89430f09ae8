"""The job behind `pose2id evaluate`: features from a data set or from files, scores of every row, centralized features."""

from .config import EvaluateConfig
from .job import evaluate
from .saved import save_centralized

__all__ = ["EvaluateConfig", "evaluate", "save_centralized"]
