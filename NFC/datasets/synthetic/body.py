"""From identity and pose to textured solids: limbs, clothes, head, hair and bag."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .identity import Albedo, Fabric, Identity
from .pose import Pose, joints_3d

# A texture maps (t, s, theta) of surface points to albedo (N, 4): t runs 0..1 along the axis, s is the
# same in body heights, theta is the angle around the axis, 0 in front and positive to the person's left.
Texture = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

TORSO_KNOTS = np.array([0.0, 0.06, 0.2, 0.42, 0.68, 0.88, 1.0])
TORSO_WIDTH = np.array([0.042, 0.086, 0.112, 0.106, 0.09, 0.1, 0.1])
TORSO_DEPTH = np.array([0.04, 0.052, 0.068, 0.075, 0.068, 0.08, 0.08])
SLEEVES = {"tank": 0.0, "tshirt": 0.115, "shirt": 0.3, "jacket": 0.305, "coat": 0.305, "hoodie": 0.305}
BULK = {"tank": 0.97, "tshirt": 1.0, "shirt": 1.02, "jacket": 1.12, "coat": 1.15, "hoodie": 1.14}
HAIR_LINE = 0.34
UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Solid:
    """A rounded body around the axis from `start` to `end`, with elliptic cross-sections.

    `width` and `depth` are the half axes across and along the viewing direction at evenly spaced
    or given `knots` of the axis; `cap` flattens the two ends (1 is a half sphere).
    """

    start: np.ndarray
    end: np.ndarray
    width: np.ndarray
    depth: np.ndarray
    knots: np.ndarray
    texture: Texture
    yaw: float
    cap: float = 1.0
    folds: float = 0.0


def _paint(colours: list[tuple[np.ndarray, Albedo]], base: Albedo, size: int) -> np.ndarray:
    """`base` everywhere, then each colour where its mask holds, later ones on top."""
    out = np.empty((size, 4), np.float32)
    out[:] = base
    for mask, colour in colours:
        out[mask] = colour
    return out


def plain(colour: Albedo) -> Texture:
    return lambda t, s, theta: _paint([], colour, t.size)


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


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _solid(start, end, width, texture, yaw, depth=None, knots=None, **options) -> Solid:
    width = np.asarray(width, np.float32)
    depth = width if depth is None else np.asarray(depth, np.float32)
    knots = np.linspace(0, 1, len(width)) if knots is None else knots
    cos, sin = np.cos(yaw), np.sin(yaw)
    across, along = np.hypot(width * cos, depth * sin), np.hypot(width * sin, depth * cos)
    return Solid(np.asarray(start), np.asarray(end), across, along, knots, texture, yaw, **options)


def build_solids(person: Identity, pose: Pose) -> tuple[list[Solid], dict[str, np.ndarray]]:
    """All solids of a person in a pose, and the joints they hang on (see `pose.joints_3d`)."""
    joints = joints_3d(person, pose)
    solids = [*_legs(person, pose, joints), *_torso(person, pose, joints), *_arms(person, pose, joints)]
    solids += [*_head(person, pose, joints), *_bag(person, pose, joints)]
    return solids, joints


def _legs(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    tight = {"trousers": 1.08, "shorts": 1.12, "skirt": 0.9, "leggings": 0.88}[person.lower] * person.girth**0.7
    loose = {"trousers": 1.2, "leggings": 0.95}.get(person.lower, 0.85) * person.girth**0.5
    fabric = person.lower_fabric
    solids = []
    for side, outside in (("R", -np.pi / 2), ("L", np.pi / 2)):

        def cloth(t, s, theta, outside=outside):
            masks = [(pattern_mask(fabric, s, theta), fabric.second)]
            if person.side_stripe:
                masks.append((np.abs(_wrap(theta - outside)) < 0.45, fabric.second))
            return _paint(masks, fabric.base, t.size)

        def thigh(t, s, theta, cloth=cloth):
            colours = cloth(t, s, theta)
            if person.lower == "skirt":
                colours[:] = person.skin
            return colours

        def shin(t, s, theta, cloth=cloth):
            colours = (
                cloth(t, s, theta) if person.lower in ("trousers", "leggings") else _paint([], person.skin, t.size)
            )
            if person.lower == "shorts":
                colours[t < 0.08] = fabric.base
            if person.boots:
                colours[t > 0.45] = person.shoes
            return colours

        hip, knee, ankle, toe = (joints[side + part] for part in ("hip", "kne", "ank", "toe"))
        folds = 0.1 if person.lower == "trousers" else 0.03
        solids += [
            _solid(hip, knee, np.array([0.054, 0.057, 0.045]) * tight, thigh, pose.yaw, cap=2.0, folds=folds),
            _solid(knee, ankle, np.array([0.042, 0.041, 0.028]) * loose, shin, pose.yaw, folds=folds),
            _solid(ankle - 0.012 * UP, toe, (0.027, 0.026, 0.018), plain(person.shoes), pose.yaw),
        ]
    if person.lower == "skirt":
        knees = (joints["Rkne"] + joints["Lkne"]) / 2
        reach = 0.5 * np.linalg.norm((joints["Rkne"] - joints["Lkne"])[[0, 2]])
        width = np.array([0.088, 0.105, 0.115 + 0.55 * reach]) * person.girth**0.6
        solids.append(
            _solid(
                joints["pelvis"] + 0.04 * UP,
                knees + 0.05 * UP,
                width,
                cloth,
                pose.yaw,
                width * 0.85,
                cap=6.0,
                folds=0.12,
            )
        )
    return solids


def _torso(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    bulk = BULK[person.upper] * person.girth
    width = TORSO_WIDTH * bulk
    width[:3] *= person.shoulders / person.girth**0.3
    top, bottom = joints["neck"], joints["pelvis"] - 0.035 * UP
    hem = {"tank": 0.92, "tshirt": 0.95, "hoodie": 0.97}.get(person.upper, 1.1)
    fabric = person.upper_fabric
    opened = person.upper in ("jacket", "coat")

    def cloth(t, s, theta):
        masks = [(pattern_mask(fabric, s, theta), fabric.second)]
        if opened:
            masks.append((np.abs(theta) < 0.34, person.inner))
        if person.upper == "hoodie":
            masks.append(((np.abs(theta) < 0.55) & (np.abs(s - 0.25) < 0.03), tuple(0.6 * c for c in fabric.base)))
        if person.upper in ("tshirt", "tank"):
            masks.append((s < (0.022 if person.upper == "tshirt" else 0.04), person.skin))
        masks.append((t > hem, person.lower_fabric.base))
        if person.bag == "backpack":
            masks.append(((np.abs(np.abs(theta) - 0.66) < 0.17) & (s < 0.2), person.bag_colour))
        elif person.bag == "shoulder":
            front = np.where(np.abs(theta) < np.pi / 2, theta, np.sign(theta) * np.pi - theta)
            masks.append((np.abs(front - (-1.0 + 7.5 * s)) < 0.2, person.bag_colour))
        return _paint(masks, fabric.base, t.size)

    solids = [_solid(top, bottom, width, cloth, pose.yaw, TORSO_DEPTH * bulk, TORSO_KNOTS, cap=3.0, folds=0.1)]
    if person.upper == "coat":
        knees = (joints["Rkne"] + joints["Lkne"]) / 2
        width = np.array([0.1, 0.118, 0.135]) * person.girth**0.8

        def tails(t, s, theta):
            return _paint([(np.abs(theta) < 0.2, person.lower_fabric.base)], fabric.base, t.size)

        solids.append(
            _solid(
                joints["pelvis"] + 0.06 * UP,
                knees + 0.07 * UP,
                width,
                tails,
                pose.yaw,
                width * 0.8,
                cap=6.0,
                folds=0.12,
            )
        )
    solids.append(_solid(joints["chin"], joints["neck"] - 0.01 * UP, (0.03, 0.033), plain(person.skin), pose.yaw))
    if person.upper == "hoodie":
        hood = joints["neck"] - 0.06 * joints["front"]
        solids.append(_solid(hood + 0.03 * UP, hood - 0.03 * UP, (0.05, 0.06), plain(fabric.base), pose.yaw))
    return solids


def _arms(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    thick = BULK[person.upper] * person.girth**0.6
    sleeve, fabric = SLEEVES[person.upper], person.upper_fabric
    raglan = fabric.pattern == "halves"
    solids = []
    for side in ("R", "L"):

        def skin_below(offset):
            def texture(t, s, theta):
                masks = [
                    (
                        pattern_mask(fabric, s + offset, theta)
                        & (fabric.pattern in ("hstripes", "checks", "dots", "band")),
                        fabric.second,
                    )
                ]
                if raglan:
                    masks.append((np.ones(t.shape, bool), fabric.second))
                masks.append((s + offset > sleeve, person.skin))
                return _paint(masks, fabric.base, t.size)

            return texture

        shoulder, elbow, wrist, hand = (joints[side + part] for part in ("sho", "elb", "wri", "hand"))
        bare = 0.85 if sleeve < 0.2 else 1.0
        solids += [
            _solid(shoulder, elbow, np.array([0.034, 0.035, 0.03]) * thick, skin_below(0.0), pose.yaw, folds=0.08),
            _solid(elbow, wrist, np.array([0.031, 0.022]) * thick * bare, skin_below(0.165), pose.yaw, folds=0.06),
            _solid(wrist, hand, (0.019, 0.02), plain(person.skin), pose.yaw),
        ]
    return solids


def _head(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    yaw = float(np.arctan2(joints["face_front"][0], joints["face_front"][2]))
    dark_skin = tuple(0.55 * c for c in person.skin)
    cover = person.inner if person.hairstyle in ("cap", "beanie") else person.hair
    line = HAIR_LINE + (0.08 if person.hairstyle == "beanie" else 0.0)
    bald = person.hairstyle == "bald"

    def texture(t, s, theta):
        side = np.abs(theta)
        masks = [
            ((np.abs(side - 0.42) < 0.17) & (np.abs(t - 0.52) < 0.06), (0.08, 0.06, 0.06, 0.15)),
            ((side < 0.12) & (np.abs(t - 0.65) < 0.07), tuple(0.85 * c for c in person.skin)),
            ((side < 0.3) & (np.abs(t - 0.8) < 0.035), dark_skin),
        ]
        if not bald:
            nape = 0.95 if person.hairstyle == "long" else 0.7
            masks += [((side > 1.2) & (t < nape), person.hair), (t < line, cover)]
        return _paint(masks, person.skin, t.size)

    size = np.array([0.03, 0.054, 0.062, 0.06, 0.052, 0.034]) * person.head
    crown, chin, front = joints["crown"], joints["chin"], joints["face_front"]
    solids = [_solid(crown, chin, size, texture, yaw, size * 1.12, cap=1.6)]
    if person.hairstyle == "long":
        back = joints["head"] - 0.04 * front
        solids.append(
            _solid(back, joints["neck"] - 0.065 * front - 0.06 * UP, (0.06, 0.062, 0.05), plain(person.hair), yaw)
        )
    elif person.hairstyle == "bun":
        knot = joints["head"] - 0.045 * front + 0.055 * UP
        solids.append(_solid(knot, knot + 0.015 * UP, (0.032, 0.032), plain(person.hair), yaw))
    elif person.hairstyle == "cap":
        brim = joints["head"] + 0.045 * front + 0.03 * UP
        solids.append(_solid(brim, brim + 0.06 * front, (0.03, 0.022), plain(tuple(0.8 * c for c in cover)), yaw))
    elif person.hairstyle == "beanie":
        solids.append(_solid(crown + 0.02 * UP, crown - 0.01 * UP, (0.02, 0.035), plain(cover), yaw))
    return solids


def _bag(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    texture = plain(person.bag_colour)
    left, front = joints["left"], joints["front"]
    if person.bag == "backpack":
        centre = joints["chest"] - 0.12 * front
        width, depth = np.array([0.06, 0.085, 0.09, 0.085]), np.array([0.03, 0.05, 0.06, 0.055])
        return [_solid(centre + 0.09 * UP, centre - 0.11 * UP, width, texture, pose.yaw, depth, cap=2.5)]
    if person.bag == "shoulder":
        centre = joints["pelvis"] + 0.14 * left * person.girth + 0.02 * front
        return [
            _solid(centre + 0.05 * UP, centre - 0.06 * UP, (0.035, 0.035), texture, pose.yaw, (0.075, 0.08), cap=4.0)
        ]
    if person.bag == "handbag":
        grip = joints["Rhand"]
        handle = _solid(grip, grip - 0.06 * UP, (0.008, 0.012), texture, pose.yaw)
        body = _solid(grip - 0.07 * UP, grip - 0.15 * UP, (0.03, 0.035), texture, pose.yaw, (0.07, 0.085), cap=4.0)
        return [handle, body]
    return []
