"""The world: identities, cameras and shots, all functions of one seed."""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from .body import build_solids
from .camera import Camera, crop_background, draw_camera, expose
from .identity import Identity, draw_identity, draw_look_alike
from .occluders import KINDS, draw_occluder
from .pose import KEYPOINTS, Pose, draw_pose, joints_3d, visible_face_points
from .render import Canvas, Projection

HEIGHT, WIDTH = 128, 64
SUPERSAMPLE = 2
NOTHING = 7  # beside the parts of solids
IDENTITY, CAMERA, VIEW, OCCLUDER = range(4)  # streams of random numbers


@dataclass(frozen=True)
class View:
    """Which picture: person, camera, running number, light and occluder ("" for none, or one of `occluders.KINDS`)."""

    pid: int
    camid: int
    index: int
    infrared: bool = False
    occluder: str = ""


@dataclass(frozen=True)
class Box:
    """Where the person stands in the picture: pixels per body height, centre column, row of the ground."""

    scale: float
    centre_x: float
    ground_y: float


@dataclass(frozen=True)
class Shot:
    """A picture with its ground truth.

    picture: (128, 64, 3) uint8 RGB.
    keypoints: (18, 3) float32, OpenPose order: x, y in pixels from the picture's upper left corner and 1, or 0 0 0
    for a face point turned away.
    person_mask: (128, 64) bool, the person with nothing in front.
    occlusion_mask: (128, 64) bool, where something stands in front of the person.
    parsing: (128, 64) uint8, the body part that is seen at every pixel, numbered as `PARSINGS["pascal"]`; the
    background, what stands in front of the person and what he or she carries are 0.
    """

    view: View
    pose: Pose
    picture: np.ndarray
    keypoints: np.ndarray
    person_mask: np.ndarray
    occlusion_mask: np.ndarray
    parsing: np.ndarray


class World:
    """A seeded world. The same seed gives the same people, cameras and pictures.

    Every third person is a look-alike of the one before.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.identity = lru_cache(maxsize=256)(self._identity)
        self.camera = lru_cache(maxsize=256)(self._camera)

    def _rng(self, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, *key])

    def _identity(self, pid: int) -> Identity:
        rng = self._rng(IDENTITY, pid)
        return draw_look_alike(self.identity(pid - 1), rng) if pid % 3 == 2 else draw_identity(rng)

    def _camera(self, camid: int) -> Camera:
        return draw_camera(self._rng(CAMERA, camid), HEIGHT, WIDTH)

    def pose(self, view: View) -> Pose:
        """The pose in which a view shows its person."""
        return draw_pose(self._rng(VIEW, view.pid, view.camid, view.index, 0))

    def keypoints(self, view: View) -> np.ndarray:
        """Those of `shoot`, (18, 3), for a fraction of its time."""
        person, camera = self.identity(view.pid), self.camera(view.camid)
        box = self._box(person, self._rng(VIEW, view.pid, view.camid, view.index, 1))
        return _keypoints(joints_3d(person, self.pose(view)), _projection(box, camera))

    def shoot(self, view: View, pose: Pose | None = None, centred: bool = False) -> Shot:
        """Take the picture of a view.

        With `pose` the same person is taken at the same place by the same camera in that pose;
        `centred` takes away the jitter of the bounding box.
        """
        person, camera = self.identity(view.pid), self.camera(view.camid)
        rng = self._rng(VIEW, view.pid, view.camid, view.index, 1)
        box = self._box(person, rng)
        pose = pose or self.pose(view)
        if centred:
            box = self._box(person, None)
        scene = crop_background(camera, rng, HEIGHT, WIDTH)
        colour, cover, keypoints, parts = self._draw_person(person, pose, camera, box)
        _shadow(scene, box)
        scene = scene * (1 - cover[..., None]) + colour
        hidden = np.zeros_like(cover)
        if view.occluder:
            front, hidden = self._occluder(view, camera, box)
            scene = scene * (1 - hidden[..., None]) + front
        picture = expose(scene, camera, view.infrared, rng)
        person_mask = cover > 0.5
        occlusion_mask = person_mask & (hidden > 0.5)
        parsing = np.where(person_mask & ~occlusion_mask, parts, 0).astype(np.uint8)
        return Shot(view, pose, picture, keypoints, person_mask, occlusion_mask, parsing)

    @staticmethod
    def _box(person: Identity, rng: np.random.Generator | None) -> Box:
        jitter = rng.normal(0, 1, 3) if rng is not None else np.zeros(3)
        scale = HEIGHT * 0.9 / (person.height * 0.98) * float(np.exp(0.03 * np.clip(jitter[0], -2, 2)))
        return Box(scale, WIDTH / 2 + 1.6 * float(jitter[1]), HEIGHT * 0.965 + 1.6 * float(np.clip(jitter[2], -2, 2)))

    def _draw_person(self, person: Identity, pose: Pose, camera: Camera, box: Box):
        """Premultiplied colour (H, W, 4), coverage (H, W), keypoints (18, 3) and parts (H, W) of what is covered."""
        canvas = Canvas(HEIGHT * SUPERSAMPLE, WIDTH * SUPERSAMPLE)
        canvas.light, canvas.ambient = camera.light, camera.ambient
        fine = _projection(box, camera)
        solids, joints = build_solids(person, pose)
        canvas.draw(solids, fine)
        cover = np.isfinite(canvas.depth).astype(np.float32)
        cover = cv2.resize(cover, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        colour = cv2.resize(canvas.colour, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return colour, cover, _keypoints(joints, fine), commonest(canvas.parts, canvas.depth)

    def _occluder(self, view: View, camera: Camera, box: Box) -> tuple[np.ndarray, np.ndarray]:
        rng = self._rng(OCCLUDER, view.pid, view.camid, view.index, KINDS.index(view.occluder))
        if view.occluder == "person":
            side = rng.choice([-1, 1]) * rng.uniform(0.28, 0.42) * WIDTH
            nearer = replace(box, scale=box.scale * 1.1, centre_x=box.centre_x + side, ground_y=box.ground_y + 6)
            colour, cover, *_ = self._draw_person(draw_identity(rng), draw_pose(rng), camera, nearer)
            return colour, cover
        colour, cover = draw_occluder(view.occluder, rng, HEIGHT, WIDTH)
        return colour * cover[..., None], cover


def _projection(box: Box, camera: Camera) -> Projection:
    """To the samples of a picture, of which each pixel has `SUPERSAMPLE` a side."""
    place = (SUPERSAMPLE * value for value in (box.scale, box.centre_x, box.ground_y))
    return Projection(*place, camera.elevation)


def _keypoints(joints: dict[str, np.ndarray], fine: Projection) -> np.ndarray:
    """(18, 3) float32, see `Shot`."""
    facing = visible_face_points(joints)
    keypoints = np.zeros((len(KEYPOINTS), 3), np.float32)
    for row, name in enumerate(KEYPOINTS):
        if facing.get(name, True):
            keypoints[row] = *(fine(joints[name])[:2] / SUPERSAMPLE), 1
    return keypoints


def _shadow(scene: np.ndarray, box: Box) -> None:
    """Darken the ground under the feet, in place."""
    y0 = int(max(0, box.ground_y - 9))
    ys = (np.arange(y0, HEIGHT, dtype=np.float32)[:, None] - box.ground_y) / 5
    xs = (np.arange(WIDTH, dtype=np.float32)[None] - box.centre_x) / 17
    scene[y0:] *= (1 - 0.5 * np.exp(-(ys * ys + xs * xs)))[..., None]


def commonest(parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The part that most of a pixel's drawn samples show, (H, W), of two of them the first; 0 where nothing is drawn.

    parts, depth: (H * SUPERSAMPLE, W * SUPERSAMPLE), as a `Canvas` has them.
    """
    drawn = np.where(np.isfinite(depth), parts, NOTHING)
    samples = [drawn[row::SUPERSAMPLE, column::SUPERSAMPLE] for row, column in np.ndindex(SUPERSAMPLE, SUPERSAMPLE)]
    return np.stack([sum((sample == part).view(np.uint8) for sample in samples) for part in range(NOTHING)]).argmax(0)
