"""Rasterise solids with a depth buffer and lambertian shading."""

from dataclasses import dataclass

import numpy as np

from .solids import Solid

PROFILE_STEPS = 64
_STEPS = np.linspace(0, 1, PROFILE_STEPS)


def _profile(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A half axis at `PROFILE_STEPS` even places of a solid's axis."""
    return np.interp(_STEPS, knots, values).astype(np.float32)


@dataclass(frozen=True)
class Projection:
    """Weak perspective: body heights to pixels, seen from `elevation` (radians) above."""

    scale: float
    centre_x: float
    ground_y: float
    elevation: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) body frame -> (..., 3) pixel x, pixel y (down), depth in pixels (larger is nearer)."""
        cos, sin = np.cos(self.elevation), np.sin(self.elevation)
        turn = self.scale * np.array([[1, 0, 0], [0, -cos, sin], [0, sin, cos]])
        return points @ turn.T + np.array([self.centre_x, self.ground_y, 0.0])


class Canvas:
    """A picture being painted.

    `colour` (H, W, 4) shaded albedo, `depth` (H, W), minus infinity where empty, and `parts` (H, W) uint8, that of the
    solid which is seen.
    """

    def __init__(self, height: int, width: int):
        self.colour = np.zeros((height, width, 4), np.float32)
        self.depth = np.full((height, width), -np.inf, np.float32)
        self.parts = np.zeros((height, width), np.uint8)
        self.light = np.array([0.0, 0.0, 1.0])
        self.ambient = 0.5

    def draw(self, solids: list[Solid], projection: Projection) -> None:
        """Paint solids where they are nearer than what is already there."""
        ends = projection(np.array([(solid.start, solid.end) for solid in solids]))
        for solid, (start, end) in zip(solids, ends.tolist(), strict=True):
            self._draw(solid, start, end, projection.scale)

    def _draw(self, solid: Solid, start: list[float], end: list[float], scale: float) -> None:
        (ax, ay, az), (bx, by, bz) = start, end
        width, depth = solid.width * scale, solid.depth * scale
        reach = width.max() + 1
        height, total = self.depth.shape
        x0, x1 = max(0, int(min(ax, bx) - reach)), min(total, int(max(ax, bx) + reach) + 2)
        y0, y1 = max(0, int(min(ay, by) - reach)), min(height, int(max(ay, by) + reach) + 2)
        if x0 >= x1 or y0 >= y1:
            return
        length = max(((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5, 1e-3)
        dx, dy = (bx - ax) / length, (by - ay) / length
        xs = (np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - ax))[None]
        ys = (np.arange(y0, y1, dtype=np.float32) + np.float32(0.5 - ay))[:, None]
        along = xs * np.float32(dx) + ys * np.float32(dy)
        across = xs * np.float32(dy) - ys * np.float32(dx)
        t = np.clip(along * np.float32(1 / length), 0, 1)
        over = (along - t * np.float32(length)) * np.float32(solid.cap)
        step = (t * np.float32(PROFILE_STEPS - 1)).astype(np.intp)
        half = _profile(solid.knots, width)[step]
        squared = (across * across + over * over) / (half * half)
        near = np.sqrt(np.maximum(0, 1 - squared))
        z = np.float32(az) + np.float32(bz - az) * t + _profile(solid.knots, depth)[step] * near
        window = self.depth[y0:y1, x0:x1]
        seen = (squared < 1) & (z > window)
        if not seen.any():
            return
        window[seen] = z[seen]
        self.parts[y0:y1, x0:x1][seen] = solid.part
        self.colour[y0:y1, x0:x1][seen] = self._shade(solid, t[seen], across[seen] / half[seen], near[seen], dx, dy)

    def _shade(self, solid: Solid, t: np.ndarray, u: np.ndarray, near: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """Albedo times light for visible points; `u` is the position across, -1..1, `near` the normal's depth part."""
        s = t * np.float32(np.linalg.norm(solid.end - solid.start))
        theta = (np.arcsin(np.clip(u, -1, 1)) - np.float32(solid.yaw) + np.pi) % (2 * np.pi) - np.pi
        lx, ly, lz = self.light
        lambert = np.maximum(0, u * np.float32(dy * lx - dx * ly) + near * np.float32(lz))
        shade = self.ambient + (1 - self.ambient) * lambert
        if solid.folds:
            shade = shade * (1 + solid.folds * np.sin(31 * s + 2 * theta) * np.sin(19 * s - 3 * theta + 1) * near)
        return solid.texture(t, s, theta) * shade[:, None]
