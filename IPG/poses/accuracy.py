"""How well an estimator does on synthetic people, whose keypoints are known."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from NFC.datasets.synthetic import Shot, View, World
from NFC.datasets.synthetic.occluders import KINDS

from .error import joint_errors, share_within
from .estimate import Estimator

CAMERAS = 20
BATCH = 50
TOLERANCES = (0.05, 0.1)


def accuracy_on_world(
    estimator: Estimator, seed: int, people: int, confidence: float = 0.3
) -> dict[str, dict[str, float]]:
    """One picture of each of `people` of world `seed`, taken in visible light, in infrared, and partly hidden.

    Returns for "visible", "infrared", "occluded", and "hidden" (the occluded pictures' joints that something stands in
    front of): "pck0.05" and "pck0.1", the share of joints within these parts of the figure's height, and "present",
    the share of joints that are there and found with at least `confidence`, or neither.
    """
    world, scores = World(seed), {}
    for name in ("visible", "infrared", "occluded"):
        views = [
            View(pid, pid % CAMERAS, 0, name == "infrared", KINDS[pid % len(KINDS)] if name == "occluded" else "")
            for pid in range(people)
        ]
        shots = [world.shoot(view) for view in views]
        wanted = np.array([shot.keypoints for shot in shots], dtype=np.float64)
        wanted[..., :2] -= 0.5  # pixel centres at whole numbers
        found = np.concatenate([_estimate(estimator, shots[i : i + BATCH]) for i in range(0, people, BATCH)])
        errors = joint_errors(found, wanted)
        there = (found[..., 2] >= confidence) == (wanted[..., 2] > 0)
        scores[name] = _shares_within(errors) | {"present": float(there.mean())}
        if name == "occluded":
            hidden = _hidden(wanted, np.array([shot.occlusion_mask for shot in shots]))
            scores["hidden"] = _shares_within(np.where(hidden, errors, np.nan))
    return scores


def _estimate(estimator: Estimator, shots: Sequence[Shot]) -> np.ndarray:
    """(n, 18, 3)."""
    pictures = [Image.fromarray(shot.picture) for shot in shots]
    return np.array(estimator([str(shot.view.pid) for shot in shots], pictures))


def _shares_within(errors: np.ndarray) -> dict[str, float]:
    return {f"pck{tolerance}": share_within(errors, tolerance) for tolerance in TOLERANCES}


def _hidden(keypoints: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N, 18, 3) and bool (N, H, W) -> (N, 18): whether a joint lies where the mask holds."""
    height, width = masks.shape[1:]
    columns = keypoints[..., 0].round().astype(int).clip(0, width - 1)
    rows = keypoints[..., 1].round().astype(int).clip(0, height - 1)
    return masks[np.arange(len(masks))[:, None], rows, columns]
