"""Identity-guided pedestrian generation (Pose2ID, arXiv 2503.00938)."""

from .pipeline import IPGPipeline

__all__ = ["IPGPipeline"]
