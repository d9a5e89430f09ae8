"""How a synthetic pedestrian stands or walks: joint angles, forward kinematics, projection to 18 keypoints.

Body frame, in units of average body height: x to the person's left, y up, z forward.
"""

from dataclasses import dataclass

import numpy as np

from .identity import Identity

# OpenPose order of the 18 keypoints.
KEYPOINTS = [
    "nose",
    "neck",
    "Rsho",
    "Relb",
    "Rwri",
    "Lsho",
    "Lelb",
    "Lwri",
    "Rhip",
    "Rkne",
    "Rank",
    "Lhip",
    "Lkne",
    "Lank",
    "Reye",
    "Leye",
    "Rear",
    "Lear",
]
FACE_NORMALS = {
    "nose": (0, 0, 1),
    "Reye": (-0.45, 0, 0.9),
    "Leye": (0.45, 0, 0.9),
    "Rear": (-1, 0, 0.1),
    "Lear": (1, 0, 0.1),
}


@dataclass(frozen=True)
class Pose:
    """Angles in radians. `yaw` 0 faces the camera, pi shows the back, pi/2 looks to the picture's right."""

    yaw: float
    thighs: tuple[float, float]  # flexion right, left: positive is forward
    knees: tuple[float, float]  # bend right, left: positive brings the heel back
    arms: tuple[float, float]  # shoulder flexion right, left
    elbows: tuple[float, float]
    spread: tuple[float, float]  # arms away from the body, right, left
    stance: float  # legs apart
    lean: float  # upper body forward
    head_yaw: float
    head_pitch: float


def draw_pose(rng: np.random.Generator, yaw: float | None = None) -> Pose:
    """A random walking (two of three) or standing pose; `yaw` fixes the direction."""
    yaw = float(rng.uniform(-np.pi, np.pi)) if yaw is None else yaw
    phase, walking = rng.uniform(0, 2 * np.pi), rng.random() < 0.67
    swing = rng.uniform(0.3, 0.58) if walking else rng.uniform(0.0, 0.1)
    right, left = swing * np.sin(phase), -swing * np.sin(phase)
    # A leg that moves forward is the one that bends its knee.
    lift = 1.5 * swing
    knees = [0.06 + lift * max(0.0, np.cos(phase)), 0.06 + lift * max(0.0, -np.cos(phase))]
    arm_swing = rng.uniform(0.6, 1.1)
    arms = [-right * arm_swing, -left * arm_swing]
    elbows = list(rng.uniform(0.1, 0.5, 2))
    spread = list(rng.uniform(0.07, 0.2, 2))
    gesture = rng.choice(["none", "phone", "front", "pockets", "hold"], p=[0.6, 0.1, 0.1, 0.1, 0.1])
    side = int(rng.integers(2))
    if gesture == "phone":
        arms[side], elbows[side], spread[side] = 0.5, 2.3, 0.25
    elif gesture == "front":
        arms, elbows = list(rng.uniform(0.1, 0.4, 2)), list(rng.uniform(1.2, 1.8, 2))
    elif gesture == "pockets":
        arms, elbows, spread = [-0.2, -0.2], [0.6, 0.6], [0.3, 0.3]
    elif gesture == "hold":
        arms[side], elbows[side] = 0.15, float(rng.uniform(1.3, 1.8))
    return Pose(
        yaw=yaw,
        thighs=(float(right), float(left)),
        knees=(float(knees[0]), float(knees[1])),
        arms=(float(arms[0]), float(arms[1])),
        elbows=(float(elbows[0]), float(elbows[1])),
        spread=(float(spread[0]), float(spread[1])),
        stance=float(rng.uniform(0.0, 0.03) if walking else rng.uniform(0.0, 0.09)),
        lean=float(rng.normal(0.04, 0.03)),
        head_yaw=float(rng.normal(0, 0.25)),
        head_pitch=float(rng.normal(0.05, 0.1)),
    )


def _swing(length: float, flexion: float, spread: float = 0.0) -> np.ndarray:
    """A bone hanging down, turned forward by `flexion` and outward (+x) by `spread`."""
    return length * np.array([np.sin(spread), -np.cos(spread) * np.cos(flexion), np.cos(spread) * np.sin(flexion)])


def joints_3d(person: Identity, pose: Pose) -> dict[str, np.ndarray]:
    """All joints of the body frame turned by the yaw; the lower foot stands on y = 0.

    Besides the 18 keypoints: `pelvis`, `chest`, `crown`, `chin`, `head`, `Rtoe`, `Ltoe`, `Rhand`, `Lhand`
    and the unit axes `left`, `front` of the torso and `face_left`, `face_front` of the head.
    """
    joints: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    spine = np.array([0.0, np.cos(pose.lean), np.sin(pose.lean)])
    joints["chest"] = 0.2 * spine
    joints["neck"] = 0.305 * spine
    for index, (side, sign) in enumerate((("R", -1.0), ("L", 1.0))):
        hip = np.array([sign * 0.052, -0.01, 0.0])
        knee = hip + _swing(0.245 * person.legs, pose.thighs[index], sign * pose.stance)
        shin_angle = pose.thighs[index] - pose.knees[index]
        ankle = knee + _swing(0.235 * person.legs, shin_angle, sign * pose.stance)
        toe_angle = 0.5 * min(shin_angle, 0.0)
        toe = ankle + 0.085 * np.array([sign * 0.15, -0.25 + np.sin(toe_angle), np.cos(toe_angle)])
        shoulder = joints["neck"] + np.array([sign * 0.104 * person.shoulders, -0.036, 0.0])
        elbow = shoulder + _swing(0.165, pose.arms[index], sign * pose.spread[index])
        # A strongly bent elbow brings the hand in front of the body or to the ear.
        inward = sign * (pose.spread[index] - 0.35 * pose.elbows[index] * (pose.elbows[index] > 0.3))
        fore = pose.arms[index] + pose.elbows[index]
        wrist = elbow + _swing(0.14, fore, inward)
        hand = wrist + _swing(0.045, fore, inward)
        limbs = {"hip": hip, "kne": knee, "ank": ankle, "toe": toe, "sho": shoulder, "elb": elbow, "wri": wrist}
        joints |= {side + name: point for name, point in (limbs | {"hand": hand}).items()}
    joints |= _head(joints["neck"], spine, person.head, pose)
    cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    axes = {"left": np.array([1.0, 0, 0]), "front": np.array([0, 0, 1.0])}
    joints = {name: turn @ value for name, value in (joints | axes).items()}
    ground = min(joints["Rank"][1], joints["Lank"][1]) - 0.04
    directions = ("left", "front", "face_left", "face_front")
    return {
        name: value * person.height if name not in directions else value
        for name, value in ((n, v - [0, ground, 0] if n not in directions else v) for n, v in joints.items())
    }


def _head(neck: np.ndarray, spine: np.ndarray, size: float, pose: Pose) -> dict[str, np.ndarray]:
    cy, sy, cp, sp = np.cos(pose.head_yaw), np.sin(pose.head_yaw), np.cos(pose.head_pitch), np.sin(pose.head_pitch)
    left = np.array([cy, 0.0, -sy])
    front = np.array([sy * cp, -sp, cy * cp])
    up = np.cross(front, left)
    centre = neck + 0.1 * spine + 0.012 * front
    place = {"head": centre, "chin": centre - 0.055 * size * up, "crown": centre + 0.07 * size * up}
    place["nose"] = centre + size * (0.058 * front - 0.005 * up)
    for side, sign in (("R", -1.0), ("L", 1.0)):
        place[side + "eye"] = centre + size * (0.05 * front + sign * 0.02 * left + 0.012 * up)
        place[side + "ear"] = centre + size * (sign * 0.05 * left + 0.003 * up)
    return place | {"face_left": left, "face_front": front}


def visible_face_points(joints: dict[str, np.ndarray]) -> dict[str, bool]:
    """Which of nose, eyes and ears face the camera (+z of the camera frame)."""
    left, front = joints["face_left"], joints["face_front"]
    return {name: float(n[0] * left[2] + n[2] * front[2]) > -0.12 for name, n in FACE_NORMALS.items()}
