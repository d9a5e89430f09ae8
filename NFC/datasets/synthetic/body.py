"""From identity and pose to textured solids: legs, torso and arms with their clothes."""

import numpy as np

from .head import bag_solids, head_solids
from .identity import Identity
from .pose import Pose, joints_3d
from .solids import (
    LOWER_ARM,
    LOWER_LEG,
    TORSO,
    UP,
    UPPER_ARM,
    UPPER_LEG,
    Solid,
    paint,
    pattern_mask,
    plain,
    solid,
    wrap,
)

TORSO_KNOTS = np.array([0.0, 0.06, 0.2, 0.42, 0.68, 0.88, 1.0])
TORSO_WIDTH = np.array([0.042, 0.086, 0.112, 0.106, 0.09, 0.1, 0.1])
TORSO_DEPTH = np.array([0.04, 0.052, 0.068, 0.075, 0.068, 0.08, 0.08])
SLEEVES = {"tank": 0.0, "tshirt": 0.115, "shirt": 0.3, "jacket": 0.305, "coat": 0.305, "hoodie": 0.305}
BULK = {"tank": 0.97, "tshirt": 1.0, "shirt": 1.02, "jacket": 1.12, "coat": 1.15, "hoodie": 1.14}


def build_solids(person: Identity, pose: Pose) -> tuple[list[Solid], dict[str, np.ndarray]]:
    """All solids of a person in a pose, and the joints they hang on (see `pose.joints_3d`)."""
    joints = joints_3d(person, pose)
    solids = [*_legs(person, pose, joints), *_torso(person, pose, joints), *_arms(person, pose, joints)]
    solids += [*head_solids(person, pose, joints), *bag_solids(person, pose, joints)]
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
                masks.append((np.abs(wrap(theta - outside)) < 0.45, fabric.second))
            return paint(masks, fabric.base, t.size)

        def thigh(t, s, theta, cloth=cloth):
            colours = cloth(t, s, theta)
            if person.lower == "skirt":
                colours[:] = person.skin
            return colours

        def shin(t, s, theta, cloth=cloth):
            colours = cloth(t, s, theta) if person.lower in ("trousers", "leggings") else paint([], person.skin, t.size)
            if person.lower == "shorts":
                colours[t < 0.08] = fabric.base
            if person.boots:
                colours[t > 0.45] = person.shoes
            return colours

        hip, knee, ankle, toe = (joints[side + part] for part in ("hip", "kne", "ank", "toe"))
        folds = 0.1 if person.lower == "trousers" else 0.03
        solids += [
            solid(UPPER_LEG, hip, knee, np.array([0.054, 0.057, 0.045]) * tight, thigh, pose.yaw, cap=2.0, folds=folds),
            solid(LOWER_LEG, knee, ankle, np.array([0.042, 0.041, 0.028]) * loose, shin, pose.yaw, folds=folds),
            solid(LOWER_LEG, ankle - 0.012 * UP, toe, (0.027, 0.026, 0.018), plain(person.shoes), pose.yaw),
        ]
    if person.lower == "skirt":
        knees = (joints["Rkne"] + joints["Lkne"]) / 2
        reach = 0.5 * np.linalg.norm((joints["Rkne"] - joints["Lkne"])[[0, 2]])
        width = np.array([0.088, 0.105, 0.115 + 0.55 * reach]) * person.girth**0.6
        solids.append(
            solid(
                UPPER_LEG,
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
        return paint(masks, fabric.base, t.size)

    solids = [solid(TORSO, top, bottom, width, cloth, pose.yaw, TORSO_DEPTH * bulk, TORSO_KNOTS, cap=3.0, folds=0.1)]
    if person.upper == "coat":
        knees = (joints["Rkne"] + joints["Lkne"]) / 2
        width = np.array([0.1, 0.118, 0.135]) * person.girth**0.8

        def tails(t, s, theta):
            return paint([(np.abs(theta) < 0.2, person.lower_fabric.base)], fabric.base, t.size)

        solids.append(
            solid(
                UPPER_LEG,
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
    neck = joints["neck"] - 0.01 * UP
    solids.append(solid(TORSO, joints["chin"], neck, (0.03, 0.033), plain(person.skin), pose.yaw))
    if person.upper == "hoodie":
        hood = joints["neck"] - 0.06 * joints["front"]
        solids.append(solid(TORSO, hood + 0.03 * UP, hood - 0.03 * UP, (0.05, 0.06), plain(fabric.base), pose.yaw))
    return solids


def _arms(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    thick = BULK[person.upper] * person.girth**0.6
    upper, lower = np.array([0.034, 0.035, 0.03]) * thick, np.array([0.031, 0.022]) * thick
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
                return paint(masks, fabric.base, t.size)

            return texture

        shoulder, elbow, wrist, hand = (joints[side + part] for part in ("sho", "elb", "wri", "hand"))
        bare = 0.85 if sleeve < 0.2 else 1.0
        solids += [
            solid(UPPER_ARM, shoulder, elbow, upper, skin_below(0.0), pose.yaw, folds=0.08),
            solid(LOWER_ARM, elbow, wrist, lower * bare, skin_below(0.165), pose.yaw, folds=0.06),
            solid(LOWER_ARM, wrist, hand, (0.019, 0.02), plain(person.skin), pose.yaw),
        ]
    return solids
