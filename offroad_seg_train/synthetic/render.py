# SPDX-License-Identifier: Apache-2.0
"""The camera: one ray through the middle of each pixel gives label and depth, more at edges give a smooth picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg_train.synthetic.photo import develop
from offroad_seg_train.synthetic.raycast import Hits
from offroad_seg_train.synthetic.shading import haze, shade, surface
from offroad_seg_train.synthetic.sky import air, sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform
    from offroad_seg_train.synthetic.world import World

    F32 = NDArray[np.float32]

# Offsets in pixels of the extra rays at edges; with the middle they form a rotated grid.
_EXTRA = ((0.36, -0.20), (-0.26, 0.36))
# Step of the root of the light that counts as an edge.
_JUMP = 0.12
_MILD_D = (-0.045, 0.008, 0.0004, -0.0003, 0.0)


def default_camera(width: int, height: int, *, distorted: bool = True) -> CameraModel:
    """A camera of about 78° horizontal view with a mild plumb_bob distortion."""
    focal = 0.62 * width
    k = (focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0)
    return CameraModel.from_info(width, height, "plumb_bob", _MILD_D if distorted else (), k)


@dataclass(frozen=True)
class Picture:
    """What the camera sees.

    Attributes:
        image_HWC: RGB, uint8.
        labels_HW: Class ids, uint8, of the point at the middle of each pixel.
        depth_HW: Distance along the optical axis in metres, float32; NaN in the sky.
    """

    image_HWC: NDArray[np.uint8]
    labels_HW: NDArray[np.uint8]
    depth_HW: F32


@lru_cache(maxsize=4)
def _rays(camera: CameraModel, offset: tuple[float, float]) -> F32:
    """Directions in the optical frame with z = 1, shape (H · W, 3): distances along them are depths."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    rays = camera.rays(np.stack([u.ravel() + offset[0], v.ravel() + offset[1]], -1))
    return np.ascontiguousarray((rays / rays[:, 2:]).astype(np.float32))


def render(
    world: World,
    camera: CameraModel,
    world_T_optical: Transform,
    seed: tuple[int, ...],
    noise: float = 0.012,
    exposure: float = 1.0,
) -> Picture:
    """Look at a world.

    Args:
        world: The world.
        camera: Intrinsics.
        world_T_optical: Pose of the optical frame (z forward, x right, y down).
        seed: For soft shadows and sensor noise.
        noise: Deviation of the sensor's noise in a mid grey, as a share of full scale.
        exposure: Factor on the world's exposure.
    """
    rng = np.random.default_rng(list(seed))
    height, width = camera.height, camera.width
    rotation = world_T_optical.rotation_33.astype(np.float32)
    origin = world_T_optical.translation_3.astype(np.float32)
    directions = _rays(camera, (0.0, 0.0)) @ rotation.T
    hits = world.scene.cast(np.broadcast_to(origin, directions.shape), directions)
    seen = hits.triangle_N >= 0
    depth = np.where(seen, hits.distance_N, np.float32(np.nan)).astype(np.float32)
    radiance, labels = _look(world, origin, directions, hits, rng)
    edges = np.flatnonzero(_edges(hits, radiance, height, width))
    total = radiance[edges].copy()
    for offset in _EXTRA:
        more = _rays(camera, offset)[edges] @ rotation.T
        again = world.scene.cast(np.broadcast_to(origin, more.shape), more)
        total += _look(world, origin, more, again, rng)[0]
    radiance[edges] = total / (1 + len(_EXTRA))
    image = develop(radiance.reshape(height, width, 3), world.style.exposure * exposure, noise, rng)
    return Picture(image, labels.reshape(height, width), depth.reshape(height, width))


def _edges(hits: Hits, radiance_N3: F32, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels where one ray looks jagged: wherever the light differs from a neighbour's, (N,)."""
    # The root evens out what the tone curve does to bright and dark.
    light = np.sqrt(radiance_N3 @ np.array([0.3, 0.6, 0.1], np.float32)).reshape(height, width)
    jump = np.zeros((height, width), bool)
    across = np.abs(np.diff(light, axis=1)) > _JUMP
    down = np.abs(np.diff(light, axis=0)) > _JUMP
    jump[:, 1:] |= across
    jump[:, :-1] |= across
    jump[1:] |= down
    jump[:-1] |= down
    # The sky is smooth by itself: of its pixels only those beside a thing count.
    seen = (hits.triangle_N >= 0).reshape(height, width).astype(np.uint8)
    beside = cv2.dilate(seen, np.ones((3, 3), np.uint8)) > 0
    return np.asarray((jump & beside).ravel())


def _look(
    world: World, origin: F32, directions_N3: F32, hits: Hits, rng: np.random.Generator
) -> tuple[F32, NDArray[np.uint8]]:
    """Radiance (N, 3) and class ids (N,) along rays."""
    length = np.linalg.norm(directions_N3, axis=1)
    unit = directions_N3 / length[:, None]
    radiance = np.empty((len(unit), 3), np.float32)
    labels = np.full(len(unit), world.ontology.id_of("Sky"), np.uint8)
    seen = hits.triangle_N >= 0
    away = np.flatnonzero(~seen)
    radiance[away] = sky(world.style, world.terrain.cover_frame, unit[away])
    at = np.flatnonzero(seen)
    if len(at) == 0:
        return radiance, labels
    met = Hits(hits.triangle_N[at], hits.share_N2[at], hits.distance_N[at])
    distance = met.distance_N * length[at]
    points = (origin + directions_N3[at] * met.distance_N[:, None]).astype(np.float32)
    what = surface(world, met, points, distance)
    color = shade(world, what, unit[at], rng)
    radiance[at] = haze(color, distance, world.style.haze_m, air(world.style, unit[at]))
    labels[at] = what.class_N
    return radiance, labels


def write_png(path: str, image: NDArray[np.generic]) -> None:
    """Write an RGB or one-channel picture; level 3 is twice as fast as the default and 5 % larger."""
    if image.ndim == 3:
        image = image[..., ::-1]
    cv2.imwrite(path, image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
