"""What a surveillance camera adds: its background, light, colour cast, exposure, blur, noise and JPEG."""

from dataclasses import dataclass

import cv2
import numpy as np

BACKGROUND_MARGIN = 48  # pixels by which a camera's background is larger than a picture, each way


@dataclass(frozen=True)
class Camera:
    """One camera. `background` is (H, W, 4) albedo: red, green, blue, infrared."""

    background: np.ndarray
    elevation: float  # radians above the horizontal
    light: np.ndarray  # unit vector: picture x, picture y, towards the camera
    ambient: float
    gain: np.ndarray  # colour cast, red green blue
    exposure: float
    gamma: float
    blur: float  # sigma in pixels of a 128 x 64 picture
    noise: float
    quality: int  # JPEG


def _colour(rng: np.random.Generator, low: float, high: float, tint: float = 0.08) -> np.ndarray:
    grey = rng.uniform(low, high)
    visible = np.clip(grey + rng.normal(0, tint, 3), 0.03, 0.95)
    return np.append(visible, np.clip(grey + rng.normal(0, 0.12), 0.05, 0.9)).astype(np.float32)


def _wall(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Paint the upright part of a scene in place: plain, bricks, windows, shutters or leaves."""
    height, width = canvas.shape[:2]
    canvas[:] = _colour(rng, 0.25, 0.8)
    ys, xs = np.mgrid[0:height, 0:width]
    other = _colour(rng, 0.15, 0.75)
    match rng.integers(5):
        case 0:
            canvas *= np.linspace(1.1, 0.8, height, dtype=np.float32)[:, None, None]
        case 1:
            step = int(rng.integers(8, 16))
            joint = (ys % step < 1) | ((xs + (ys // step % 2) * step) % (2 * step) < 1)
            canvas[joint] *= 0.7
        case 2:
            step = int(rng.integers(18, 32))
            canvas[(ys % step > step * 0.35) & (xs % step > step * 0.45)] = other
        case 3:
            canvas[xs % int(rng.integers(6, 14)) < 3] *= 0.82
        case 4:
            leaves = cv2.resize(
                rng.random((height // 5, width // 5), np.float32), (width, height), interpolation=cv2.INTER_CUBIC
            )
            canvas[:] = np.array([0.2, 0.36, 0.16, 0.75], np.float32) * (0.5 + 0.9 * leaves[..., None])
    for _ in range(int(rng.integers(0, 4))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = int(rng.integers(6, 30)), int(rng.integers(10, 60))
        canvas[y : y + h, x : x + w] = _colour(rng, 0.1, 0.85, 0.15)


def _ground(rng: np.random.Generator, canvas: np.ndarray) -> None:
    height, width = canvas.shape[:2]
    grass = rng.random() < 0.2
    canvas[:] = np.array([0.3, 0.42, 0.2, 0.8], np.float32) if grass else _colour(rng, 0.3, 0.65, 0.03)
    if not grass and rng.random() < 0.6:
        canvas[(np.arange(height) ** 1.3 % int(rng.integers(9, 22))) < 1.2] *= 0.8
    canvas *= np.linspace(0.85, 1.1, height, dtype=np.float32)[:, None, None]
    canvas *= 1 + rng.normal(0, 0.03, (height, width, 1)).astype(np.float32)


def draw_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """A random camera for pictures of `height` x `width`."""
    full_h, full_w = height + BACKGROUND_MARGIN, width + BACKGROUND_MARGIN
    background = np.empty((full_h, full_w, 4), np.float32)
    horizon = int(full_h * rng.uniform(0.45, 0.72))
    _wall(rng, background[:horizon])
    _ground(rng, background[horizon:])
    background = cv2.GaussianBlur(background, (0, 0), 0.8)
    side = rng.uniform(-0.7, 0.7)
    light = np.array([side, -0.25, 0.9])
    cast = rng.normal(0, 0.07, 3)
    return Camera(
        background=background,
        elevation=float(rng.uniform(0.02, 0.24)),
        light=light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.35, 0.6)),
        gain=np.exp(cast - cast.mean()).astype(np.float32),
        exposure=float(rng.uniform(0.85, 1.25)),
        gamma=float(rng.uniform(0.75, 1.0)),
        blur=float(rng.uniform(0.2, 0.65)),
        noise=float(rng.uniform(0.004, 0.018)),
        quality=int(rng.integers(70, 95)),
    )


def crop_background(camera: Camera, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A (height, width, 4) window of the camera's scene."""
    y = int(rng.integers(BACKGROUND_MARGIN // 3, 2 * BACKGROUND_MARGIN // 3))
    x = int(rng.integers(0, BACKGROUND_MARGIN))
    return camera.background[y : y + height, x : x + width].copy()


def expose(scene: np.ndarray, camera: Camera, infrared: bool, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) light of a scene -> (H, W, 3) uint8 RGB; infrared pictures hold one channel three times."""
    height, width = scene.shape[:2]
    if infrared:
        ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        lamp = 1.15 - 0.25 * (xs * xs + ys * ys)
        light = scene[..., 3] * lamp * np.float32(camera.exposure)
    else:
        light = scene[..., :3] * (camera.gain * np.float32(camera.exposure))
    picture = np.clip(light, 0, 1) ** np.float32(camera.gamma)
    picture = cv2.GaussianBlur(picture, (0, 0), camera.blur)
    picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(camera.noise)
    picture = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])[1]
    picture = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    return np.repeat(picture[..., None], 3, axis=2) if infrared else picture
