"""Things between camera and person: a pole, a car, a plant. (Another person is drawn by the world itself.)"""

import cv2
import numpy as np

KINDS = ("pole", "car", "plant", "person")


def draw_occluder(kind: str, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 4) shaded albedo and (H, W) coverage in [0, 1] of an occluder of `kind` (not "person")."""
    painter = {"pole": _pole, "car": _car, "plant": _plant}[kind]
    colour, cover = np.zeros((height, width, 4), np.float32), np.zeros((height, width), np.float32)
    painter(rng, colour, cover)
    return colour, cv2.GaussianBlur(cover, (0, 0), 0.6)


def _albedo(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.1, 0.85, 4).astype(np.float32)


def _pole(rng: np.random.Generator, colour: np.ndarray, cover: np.ndarray) -> None:
    width = colour.shape[1]
    thick = int(rng.integers(width // 8, width // 4))
    x = int(rng.integers(width // 4, 3 * width // 4 - thick // 2))
    round_shade = np.sqrt(1 - np.linspace(-0.95, 0.95, thick, dtype=np.float32) ** 2)
    x1 = min(width, x + thick)
    colour[:, x:x1] = _albedo(rng) * (0.35 + 0.65 * round_shade[: x1 - x, None])
    cover[:, x:x1] = 1


def _car(rng: np.random.Generator, colour: np.ndarray, cover: np.ndarray) -> None:
    height, width = cover.shape
    roof = int(height * rng.uniform(0.58, 0.74))
    paint = _albedo(rng)
    colour[roof:] = paint * np.linspace(1.1, 0.7, height - roof, dtype=np.float32)[:, None, None]
    glass = slice(roof + 3, roof + 3 + max(4, (height - roof) // 4))
    colour[glass] = np.array([0.18, 0.22, 0.26, 0.2], np.float32)
    colour[glass, int(rng.integers(10, width - 10)) :][:, :3] = paint
    colour[height - 4 :] = 0.05
    cover[roof:] = 1
    slope = int(rng.integers(0, width // 3))
    corner = np.arange(width)[None] + np.arange(height)[:, None] - roof < slope
    cover[corner & (np.arange(height)[:, None] >= roof)] = 0


def _plant(rng: np.random.Generator, colour: np.ndarray, cover: np.ndarray) -> None:
    height, width = cover.shape
    top = height * rng.uniform(0.5, 0.72)
    green = np.array([rng.uniform(0.1, 0.3), rng.uniform(0.35, 0.55), rng.uniform(0.08, 0.2), rng.uniform(0.65, 0.9)])
    for _ in range(70):
        x, y = rng.uniform(0, width), height - (height - top) * rng.random() ** 0.8
        axes, angle = (int(rng.integers(3, 8)), int(rng.integers(2, 4))), float(rng.uniform(0, 180))
        shade = (green * rng.uniform(0.5, 1.25)).tolist()
        cv2.ellipse(colour, (int(x), int(y)), axes, angle, 0, 360, shade, -1)
        cv2.ellipse(cover, (int(x), int(y)), axes, angle, 0, 360, 1.0, -1)
