# SPDX-License-Identifier: Apache-2.0
"""Camera models of sensor_msgs/CameraInfo: projection, its inverse, ROI and binning.

Formulas as in OpenCV's calib3d documentation, which ROS uses: ``plumb_bob`` (k1 k2 p1 p2 k3),
``rational_polynomial`` (… k4 k5 k6) and ``equidistant`` (the fisheye model of Kannala and Brandt, k1 … k4).
Written with numpy because OpenCV's ``projectPoints`` maps points behind the camera, and beyond the range where the
polynomial is monotonic, onto valid-looking pixels: a sky pixel would then speak for the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

# ROS name → numbers of coefficients that it may have. Empty means no distortion.
MODELS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8),
    "equidistant": (0, 4),
}
_ALIASES = {"": "plumb_bob", "none": "plumb_bob", "fisheye": "equidistant", "radtan": "plumb_bob"}
_MIN_DEPTH = 1e-6


@dataclass(frozen=True)
class CameraModel:
    """A calibrated camera. Build it with ``from_info`` or ``pinhole``, which check the numbers.

    Attributes:
        width: Image width in pixels, as delivered (after ROI and binning).
        height: Image height in pixels.
        model: ``plumb_bob``, ``rational_polynomial`` or ``equidistant``.
        fx: Focal length in pixels, as delivered; likewise fy.
        cx: Principal point in pixels, as delivered; likewise cy. Pixel centres are whole numbers.
        D: Distortion coefficients, of the raw camera (they do not scale).
    """

    width: int
    height: int
    model: str
    fx: float
    fy: float
    cx: float
    cy: float
    D: tuple[float, ...] = ()

    @classmethod
    def pinhole(
        cls,
        width: int,
        height: int,
        fx: float,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
    ) -> CameraModel:
        """A camera without distortion; the principal point is the image's middle where it is not given."""
        fy = fx if fy is None else fy
        cx = (width - 1) / 2 if cx is None else cx
        cy = (height - 1) / 2 if cy is None else cy
        return cls.from_info(width, height, "plumb_bob", (), (fx, 0, cx, 0, fy, cy, 0, 0, 1))

    @classmethod
    def from_info(
        cls,
        width: int,
        height: int,
        distortion_model: str,
        d: Sequence[float],
        k: Sequence[float],
        *,
        binning: tuple[int, int] = (0, 0),
        roi: tuple[int, int, int, int] = (0, 0, 0, 0),
        image_size: tuple[int, int] | None = None,
    ) -> CameraModel:
        """From the fields of sensor_msgs/CameraInfo.

        Args:
            width: Full sensor width that K belongs to, pixels.
            height: Full sensor height.
            distortion_model: ROS name of the model; empty means plumb_bob.
            d: Distortion coefficients.
            k: Intrinsic matrix, nine numbers by rows.
            binning: binning_x, binning_y; 0 and 1 both mean none.
            roi: x_offset, y_offset, width, height in full-resolution pixels; all 0 means the whole image.
            image_size: (height, width) of the image that it is to fit, where known.

        Raises:
            CameraError: Not finite, focal length not positive, model unknown, ROI outside, or another size.
        """
        name = _ALIASES.get(distortion_model, distortion_model)
        if name not in MODELS:
            raise CameraError(
                f"distortion model '{distortion_model}' is not known", mend=f"use one of: {', '.join(MODELS)}"
            )
        if len(k) != 9:
            raise CameraError(f"K has {len(k)} numbers", mend="K is a 3×3 matrix given by rows")
        coefficients = tuple(float(v) for v in d)
        if len(coefficients) not in MODELS[name]:
            raise CameraError(
                f"{name} with {len(coefficients)} coefficients",
                mend=f"give {' or '.join(map(str, MODELS[name]))}",
            )
        if not all(math.isfinite(v) for v in (*k, *coefficients)):
            raise CameraError("K or D holds a number that is not finite", mend="calibrate the camera")
        fx, fy = float(k[0]), float(k[4])
        if fx <= 0 or fy <= 0:
            raise CameraError(
                f"focal length fx={fx:g}, fy={fy:g}",
                mend="calibrate the camera: an uncalibrated driver sends zeros",
            )
        if width <= 0 or height <= 0:
            raise CameraError(f"camera size {width}×{height}")
        left, top, roi_w, roi_h = roi
        if roi_w == 0 or roi_h == 0:
            left, top, roi_w, roi_h = 0, 0, width, height
        if left + roi_w > width or top + roi_h > height:
            raise CameraError(f"ROI {roi} lies outside the {width}×{height} image")
        bin_x, bin_y = max(1, binning[0]), max(1, binning[1])
        if name == "equidistant":
            # With all coefficients zero it still bends rays (r = f θ): it is not a pinhole.
            coefficients = coefficients or (0.0,) * 4
        elif not any(coefficients):
            coefficients = ()
        camera = cls(
            width=roi_w // bin_x,
            height=roi_h // bin_y,
            model=name,
            fx=fx / bin_x,
            fy=fy / bin_y,
            # Pixel centres are whole numbers, so a scale acts on (c + ½).
            cx=(float(k[2]) - left + 0.5) / bin_x - 0.5,
            cy=(float(k[5]) - top + 0.5) / bin_y - 0.5,
            D=coefficients,
        )
        if image_size is not None and image_size != (camera.height, camera.width):
            raise CameraError(
                f"CameraInfo is for {camera.width}×{camera.height}, the image is {image_size[1]}×{image_size[0]}",
                mend="calibrate at the size that the camera streams, or publish CameraInfo scaled to it",
            )
        return camera

    def scaled(self, height: int, width: int) -> CameraModel:
        """The same camera with the image resized to (height, width)."""
        return _scaled(self, height, width)

    @property
    def K_33(self) -> F64:
        """Intrinsic matrix, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def project(self, points_N3: F64) -> tuple[F64, NDArray[np.bool_]]:
        """Points in the optical frame → pixels.

        Returns:
            Pixels (N, 2) float64 as (u, v), and whether each is in front of the camera, within the range where the
            distortion is monotonic, and inside the image (N,). Pixels of invalid points are NaN.
        """
        x, y, z = points_N3[:, 0], points_N3[:, 1], points_N3[:, 2]
        valid = z > _MIN_DEPTH
        safe_z = np.where(valid, z, 1.0)
        a, b = x / safe_z, y / safe_z
        if self.D:
            a, b, in_range = self._distort(a, b)
            valid &= in_range
        u = self.fx * a + self.cx
        v = self.fy * b + self.cy
        with np.errstate(invalid="ignore"):
            valid &= (u >= -0.5) & (u <= self.width - 0.5) & (v >= -0.5) & (v <= self.height - 0.5)
        uv = np.stack([u, v], axis=1)
        uv[~valid] = np.nan
        return uv, valid

    def rays(self, uv_N2: F64) -> F64:
        """Pixels → unit directions in the optical frame, (N, 3); NaN where the inverse does not exist."""
        if not self.D:
            a = (uv_N2[:, 0] - self.cx) / self.fx
            b = (uv_N2[:, 1] - self.cy) / self.fy
            rays = np.stack([a, b, np.ones_like(a)], axis=1)
        else:
            rays = self._undistorted(uv_N2)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return rays

    def _distort(self, a: F64, b: F64) -> tuple[F64, F64, NDArray[np.bool_]]:
        r2 = a * a + b * b
        in_range = r2 <= self.max_radius**2
        if self.model == "equidistant":
            k1, k2, k3, k4 = self.D
            r = np.sqrt(r2)
            theta = np.arctan(r)
            t2 = theta * theta
            theta_d = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
            scale = np.where(r > 1e-9, theta_d / np.maximum(r, 1e-9), 1.0)
            return a * scale, b * scale, in_range
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.D, *([0.0] * (8 - len(self.D))))
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        if k4 or k5 or k6:
            radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        ab2 = 2 * a * b
        return (
            a * radial + p1 * ab2 + p2 * (r2 + 2 * a * a),
            b * radial + p1 * (r2 + 2 * b * b) + p2 * ab2,
            in_range,
        )

    def _undistorted(self, uv_N2: F64) -> F64:
        pixels = np.ascontiguousarray(uv_N2, dtype=np.float64).reshape(-1, 1, 2)
        coefficients = np.array(self.D, dtype=np.float64)
        if self.model == "equidistant":
            ab = cv2.fisheye.undistortPoints(pixels, self.K_33, coefficients).reshape(-1, 2)
        else:
            # More steps than OpenCV's five: at the image's edge those leave errors of several pixels.
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
            ab = cv2.undistortPointsIter(
                pixels, self.K_33, coefficients, np.eye(3), np.eye(3), criteria
            ).reshape(-1, 2)
        # The inverse is an iteration: keep it only where it maps back onto the pixel.
        with np.errstate(all="ignore"):
            a2, b2, in_range = self._distort(ab[:, 0], ab[:, 1])
            error = np.hypot(self.fx * a2 + self.cx - uv_N2[:, 0], self.fy * b2 + self.cy - uv_N2[:, 1])
            ab = np.where((in_range & (error < 0.05))[:, None], ab, np.nan)
        return np.concatenate([ab, np.ones((len(ab), 1))], axis=1)

    @cached_property
    def max_radius(self) -> float:
        """Largest undistorted radius x²+y² = r² up to which the radial distortion grows with r."""
        if self.model == "equidistant":
            theta = np.linspace(0.0, math.pi / 2 - 1e-3, 2048)
            k1, k2, k3, k4 = self.D
            t2 = theta * theta
            distorted = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
            radius = np.tan(theta)
        else:
            k1, k2, _, _, k3, k4, k5, k6 = (*self.D, *([0.0] * (8 - len(self.D))))
            radius = np.tan(np.linspace(0.0, math.radians(85), 2048))
            r2 = radius * radius
            distorted = radius * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        falling = np.flatnonzero(~(np.diff(distorted) > 0))
        return float(radius[falling[0]] if falling.size else radius[-1])


@lru_cache(maxsize=64)
def _scaled(camera: CameraModel, height: int, width: int) -> CameraModel:
    """Kept: each frame asks for the same few."""
    sx, sy = width / camera.width, height / camera.height
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * sx,
        fy=camera.fy * sy,
        cx=(camera.cx + 0.5) * sx - 0.5,
        cy=(camera.cy + 0.5) * sy - 0.5,
    )
