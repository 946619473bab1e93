# SPDX-License-Identifier: Apache-2.0
"""Bags of the world of ``tests.helpers.bags`` seen by two cameras, with depth, and the files that belong to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer

from offroad_seg.transforms import OPTICAL_QUATERNION_XYZW, Transform
from tests.helpers.bags import Options, T, _Writing, camera, render

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.camera import CameraModel
    from offroad_seg.ontology import Ontology

YAWS = {"left": 0.5, "right": -0.5}
LATE_NS = 40_000_000
"""How much later the right camera's shutter opens."""


@dataclass(frozen=True)
class TwoCameras:
    """What ``write_two_cameras`` wrote: camera → stamps, images and truths."""

    path: Path
    stamps_ns: dict[str, list[int]]
    images: dict[str, list[np.ndarray]]
    truths: dict[str, list[np.ndarray]]


def write_two_cameras(path: Path, ontology: Ontology, **options: Any) -> TwoCameras:
    """A bag folder with /left/image_raw and /right/image_raw, their calibration, truth and depth."""
    want = Options(**options)
    drive = TwoCameras(path, *({name: [] for name in YAWS} for _ in range(3)))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writing = _Writing(writer, want, ontology)
        statics(writing)
        writing.grid(want.start_ns)
        for index in range(want.frames):
            start = want.start_ns + int(index / want.rate_hz * 1e9)
            for late, name in ((0, "left"), (LATE_NS, "right")):
                stamp = start + late
                base = base_at(want, stamp)
                writing.odometry(stamp, base)
                shoot(writing, drive, name, stamp, base)
    return drive


def base_at(want: Options, stamp: int) -> Transform:
    """The vehicle drives straight along x."""
    return Transform.from_rpy(0, 0, 0, (want.speed * (stamp - want.start_ns) / 1e9, 0.0, 0.0))


def link_of(name: str) -> Transform:
    return Transform.from_rpy(0.0, 0.25, YAWS[name], (0.2, 0.3 * math.copysign(1, YAWS[name]), 1.1))


def statics(writing: _Writing) -> None:
    optical = Transform.from_quaternion(OPTICAL_QUATERNION_XYZW)
    transforms = [
        made
        for name in YAWS
        for made in (
            writing.transform(writing.want.start_ns, "base_link", f"{name}_link", link_of(name)),
            writing.transform(writing.want.start_ns, f"{name}_link", f"{name}_optical", optical),
        )
    ]
    message = T["tf2_msgs/msg/TFMessage"](transforms=transforms)
    writing.write("/tf_static", writing.want.start_ns, message, latched=True)


def shoot(writing: _Writing, drive: TwoCameras, name: str, stamp: int, base: Transform) -> None:
    want = writing.want
    # The two cameras are of different size.
    model = camera(want.height, want.width if name == "left" else want.width + 32)
    pose = base @ link_of(name) @ Transform.from_quaternion(OPTICAL_QUATERNION_XYZW)
    truth = render(writing.ontology, model, pose)
    image = writing.ontology.colorize(truth)
    for topic, message in (
        ("image_raw", writing.picture(stamp, image, "rgb8")),
        ("labels_truth", writing.picture(stamp, truth, "mono8")),
        ("depth", depth_message(writing, stamp, ground_depth(model, pose))),
    ):
        message.header.frame_id = f"{name}_optical"
        writing.write(f"/{name}/{topic}", stamp, message, stamp + 2_000_000)
    write_info(writing, name, stamp, model)
    drive.stamps_ns[name].append(stamp)
    drive.images[name].append(image)
    drive.truths[name].append(truth)


def write_info(writing: _Writing, name: str, stamp: int, model: CameraModel) -> None:
    roi = T["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    message = T["sensor_msgs/msg/CameraInfo"](
        header=writing.header(stamp, f"{name}_optical"), height=model.height, width=model.width,
        distortion_model="plumb_bob", d=np.zeros(5), k=model.K_33.ravel().copy(), r=np.eye(3).ravel(),
        p=np.hstack([model.K_33, np.zeros((3, 1))]).ravel(), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip
    writing.write(f"/{name}/camera_info", stamp, message, stamp + 1_000_000)


def ground_depth(model: CameraModel, odom_T_camera: Transform) -> np.ndarray:
    """z-depth (H, W) float32 of flat ground; NaN above the horizon. What stands on it is left out."""
    rows, columns = np.mgrid[: model.height, : model.width]
    uv_N2 = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
    rays_N3 = model.rays(uv_N2)
    down_N = rays_N3 @ odom_T_camera.rotation_33[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_N = np.where(down_N < -1e-6, -odom_T_camera.translation_3[2] / down_N * rays_N3[:, 2], np.nan)
    return depth_N.reshape(model.height, model.width).astype(np.float32)


def depth_message(writing: _Writing, stamp: int, depth_HW: np.ndarray) -> Any:
    message = writing.picture(stamp, depth_HW.view(np.uint8).reshape(depth_HW.shape[0], -1), "32FC1")
    message.width = depth_HW.shape[1]
    return message


def write_camera_file(path: Path, model: CameraModel, **changes: Any) -> Path:
    """A calibration as camera_calibration saves it; a change to None leaves the key out."""
    data = {
        "image_width": model.width,
        "image_height": model.height,
        "camera_name": "narrow",
        "camera_matrix": {"rows": 3, "cols": 3, "data": [float(v) for v in model.K_33.ravel()]},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0, 0, 0, 1, 0, 0, 0, 1]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [0.0] * 12},
        **changes,
    }
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))
    return path


def write_masks(folder: Path, stamps_ns: list[int], masks: list[np.ndarray]) -> Path:
    """``<stamp>.png`` for each mask."""
    folder.mkdir()
    for stamp, mask in zip(stamps_ns, masks, strict=True):
        assert cv2.imwrite(str(folder / f"{stamp}.png"), mask)
    return folder
