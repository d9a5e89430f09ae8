"""Keypoints of a comparison's pictures, as the small pose estimator that is shipped sees them."""

from pathlib import Path

from NFC.experiments.comparison.bodies import Pictures

from ..poses.prepare import KEYPOINTS, prepare
from ..poses.settings import PrepareConfig, resolve


def estimated_keypoints(pictures: Pictures, out: Path) -> Path:
    """The file of keypoints in `out`, of all pictures that are shown; those that are there are not estimated again."""
    config = PrepareConfig(
        preset="mini",
        dataset=pictures.dataset.name,
        dataset_dir=str(pictures.dataset.root),
        dataset_options={name: str(value) for name, value in pictures.options.items()},
        splits=pictures.splits,
        out_dir=str(out),
        draw=False,
    )
    prepare(resolve(config))
    return out / KEYPOINTS
