"""From identity and pose to textured solids: head, hair and bag."""

import numpy as np

from .identity import Identity
from .pose import Pose
from .solids import CARRIED, HEAD, UP, Solid, paint, plain, solid

HAIR_LINE = 0.34


def head_solids(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
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
        return paint(masks, person.skin, t.size)

    size = np.array([0.03, 0.054, 0.062, 0.06, 0.052, 0.034]) * person.head
    crown, chin, front = joints["crown"], joints["chin"], joints["face_front"]
    solids = [solid(HEAD, crown, chin, size, texture, yaw, size * 1.12, cap=1.6)]
    if person.hairstyle == "long":
        back = joints["head"] - 0.04 * front
        solids.append(
            solid(HEAD, back, joints["neck"] - 0.065 * front - 0.06 * UP, (0.06, 0.062, 0.05), plain(person.hair), yaw)
        )
    elif person.hairstyle == "bun":
        knot = joints["head"] - 0.045 * front + 0.055 * UP
        solids.append(solid(HEAD, knot, knot + 0.015 * UP, (0.032, 0.032), plain(person.hair), yaw))
    elif person.hairstyle == "cap":
        brim = joints["head"] + 0.045 * front + 0.03 * UP
        solids.append(solid(HEAD, brim, brim + 0.06 * front, (0.03, 0.022), plain(tuple(0.8 * c for c in cover)), yaw))
    elif person.hairstyle == "beanie":
        solids.append(solid(HEAD, crown + 0.02 * UP, crown - 0.01 * UP, (0.02, 0.035), plain(cover), yaw))
    return solids


def bag_solids(person: Identity, pose: Pose, joints: dict) -> list[Solid]:
    texture = plain(person.bag_colour)
    left, front = joints["left"], joints["front"]
    if person.bag == "backpack":
        centre = joints["chest"] - 0.12 * front
        width, depth = np.array([0.06, 0.085, 0.09, 0.085]), np.array([0.03, 0.05, 0.06, 0.055])
        return [solid(CARRIED, centre + 0.09 * UP, centre - 0.11 * UP, width, texture, pose.yaw, depth, cap=2.5)]
    if person.bag == "shoulder":
        centre = joints["pelvis"] + 0.14 * left * person.girth + 0.02 * front
        return [
            solid(
                CARRIED,
                centre + 0.05 * UP,
                centre - 0.06 * UP,
                (0.035, 0.035),
                texture,
                pose.yaw,
                (0.075, 0.08),
                cap=4.0,
            )
        ]
    if person.bag == "handbag":
        grip = joints["Rhand"]
        handle = solid(CARRIED, grip, grip - 0.06 * UP, (0.008, 0.012), texture, pose.yaw)
        body = solid(
            CARRIED, grip - 0.07 * UP, grip - 0.15 * UP, (0.03, 0.035), texture, pose.yaw, (0.07, 0.085), cap=4.0
        )
        return [handle, body]
    return []
