"""Rounded solids with textures: what people are built from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .identity import Albedo, Fabric

# A texture maps (t, s, theta) of surface points to albedo (N, 4): t runs 0..1 along the axis, s is the
# same in body heights, theta is the angle around the axis, 0 in front and positive to the person's left.
Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# Pascal-Person-Part's classes in the order of `PARSINGS`; 0 is the background and, as there, what somebody carries.
CARRIED, HEAD, TORSO, UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG = range(7)
UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Solid:
    """A rounded body around the axis from `start` to `end`, with elliptic cross-sections.

    `width` and `depth` are the half axes across and along the viewing direction at evenly spaced
    or given `knots` of the axis; `cap` flattens the two ends (1 is a half sphere). `part` is the class of its pixels.
    """

    start: np.ndarray
    end: np.ndarray
    width: np.ndarray
    depth: np.ndarray
    knots: np.ndarray
    texture: Texture
    yaw: float
    part: int
    cap: float = 1.0
    folds: float = 0.0


def paint(colours: list[tuple[np.ndarray, Albedo]], base: Albedo, size: int) -> np.ndarray:
    """`base` everywhere, then each colour where its mask holds, later ones on top."""
    out = np.empty((size, 4), np.float32)
    out[:] = base
    for mask, colour in colours:
        out[mask] = colour
    return out


def plain(colour: Albedo) -> Texture:
    return lambda t, s, theta: paint([], colour, t.size)


def pattern_mask(fabric: Fabric, s: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Where the second colour of a fabric shows."""
    along, around = s / fabric.period, theta * 0.1 / fabric.period
    match fabric.pattern:
        case "hstripes":
            return along % 1 < 0.45
        case "vstripes":
            return around % 1 < 0.4
        case "checks":
            return (along % 1 < 0.5) ^ (around % 1 < 0.5)
        case "dots":
            return (along % 1 - 0.5) ** 2 + (around % 1 - 0.5) ** 2 < 0.09
        case "halves":
            return s > 0.15
        case "logo":
            return (np.abs(theta) < 0.62) & (np.abs(s - 0.125) < 0.05)
        case "band":
            return np.abs(s - 0.13) < 0.035
        case _:
            return np.zeros(s.shape, bool)


def wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def solid(part, start, end, width, texture, yaw, depth=None, knots=None, **options) -> Solid:
    width = np.asarray(width, np.float32)
    depth = width if depth is None else np.asarray(depth, np.float32)
    knots = np.linspace(0, 1, len(width)) if knots is None else knots
    cos, sin = np.cos(yaw), np.sin(yaw)
    across, along = np.hypot(width * cos, depth * sin), np.hypot(width * sin, depth * cos)
    return Solid(np.asarray(start), np.asarray(end), across, along, knots, texture, yaw, part, **options)
