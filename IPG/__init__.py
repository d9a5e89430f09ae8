"""Identity-guided pedestrian generation (Pose2ID, arXiv 2503.00938)."""

from importlib import import_module

__all__ = ["IPGPipeline", "Sampling"]

# Imported when asked for: the pipeline needs diffusers, which takes seconds, and other rooms do without.
MODULES = {"IPGPipeline": "IPG.pipeline", "Sampling": "IPG.sampling"}


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)
