# SPDX-License-Identifier: Apache-2.0
"""Small bags of a drive over flat ground whose every pixel and cell is known.

The picture is painted in the colours of the ontology, so that the bundle of ``tests.helpers.bundles`` labels it
without error. World (odom frame, metres): Landscape everywhere, a stripe of Dry Grass to the left, a Rocks block that
stands at x 7–8, y −1–0.5, and Sky above.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from offroad_seg.camera import CameraModel
from offroad_seg.transforms import Transform, camera_mount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offroad_seg.ontology import Ontology

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
START_NS = 1_700_000_000_000_000_000
MOUNT = (0.3, 0.05, 1.1, 0.0, 0.2, 0.0)
ROCK = (7.0, 8.0, -1.0, 0.5, 0.8)  # x from, x to, y from, y to, height
GRASS = (0.0, 30.0, 2.0, 4.0)
GRID_RESOLUTION, GRID_ORIGIN, GRID_CELLS = 0.1, (-5.0, -12.0), (300, 240)


@dataclass(frozen=True)
class Drive:
    """What ``write_bag`` wrote.

    Attributes:
        path: The bag.
        stamps_ns: The images' stamps.
        images: RGB pictures (H, W, 3).
        truths: Class ids (H, W).
    """

    path: Path
    stamps_ns: list[int]
    images: list[np.ndarray]
    truths: list[np.ndarray]


@dataclass
class Options:
    """What is in the bag."""

    frames: int = 5
    rate_hz: float = 5.0
    height: int = 60
    width: int = 96
    speed: float = 1.0
    storage: str = "mcap"
    image_topic: str = "/camera/image"
    encoding: str = "rgb8"
    compressed: bool = False
    camera_info: bool = True
    odometry: bool = True
    tf: bool = True
    truth: bool = True
    noise: int = 0
    start_ns: int = START_NS
    edit_info: Callable[[Any], None] = lambda message: None
    edit_image: Callable[[Any, int], None] = lambda message, index: None


def camera(height: int, width: int) -> CameraModel:
    focal = 0.6 * width
    k = [focal, 0, width / 2 - 0.5, 0, focal, height / 2 - 0.5, 0, 0, 1]
    return CameraModel.from_info(width, height, "plumb_bob", [0.0] * 5, k)


def render(ontology: Ontology, model: CameraModel, odom_T_camera: Transform) -> np.ndarray:
    """Class ids (H, W) uint8."""
    rows, columns = np.mgrid[: model.height, : model.width]
    uv_N2 = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
    rays_N3 = model.rays(uv_N2) @ odom_T_camera.rotation_33.T
    eye = odom_T_camera.translation_3
    ids_N = np.full(len(rays_N3), ontology.id_of("Sky"), np.uint8)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance_N = np.where(rays_N3[:, 2] < -1e-6, -eye[2] / rays_N3[:, 2], np.inf)
        x, y = eye[0] + distance_N * rays_N3[:, 0], eye[1] + distance_N * rays_N3[:, 1]
        ground = np.isfinite(distance_N)
        ids_N[ground] = ontology.id_of("Landscape")
        grass = ground & (x > GRASS[0]) & (x < GRASS[1]) & (y > GRASS[2]) & (y < GRASS[3])
        ids_N[grass] = ontology.id_of("Dry Grass")
        # Slab method against the one box.
        low = (np.array([ROCK[0], ROCK[2], 0.0]) - eye) / rays_N3
        high = (np.array([ROCK[1], ROCK[3], ROCK[4]]) - eye) / rays_N3
        near, far = np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)
    ids_N[(near < far) & (far > 0) & (near < distance_N + 1e-6)] = ontology.id_of("Rocks")
    return ids_N.reshape(model.height, model.width)


def true_costs(ontology: Ontology) -> np.ndarray:
    """OccupancyGrid data (rows y, columns x) int8 of the whole world."""
    columns, rows = GRID_CELLS
    x = GRID_ORIGIN[0] + (np.arange(columns) + 0.5) * GRID_RESOLUTION
    y = GRID_ORIGIN[1] + (np.arange(rows) + 0.5) * GRID_RESOLUTION
    xx, yy = np.meshgrid(x, y)
    ids = np.full((rows, columns), ontology.id_of("Landscape"), np.uint8)
    ids[(xx > GRASS[0]) & (xx < GRASS[1]) & (yy > GRASS[2]) & (yy < GRASS[3])] = ontology.id_of("Dry Grass")
    ids[(xx > ROCK[0]) & (xx < ROCK[1]) & (yy > ROCK[2]) & (yy < ROCK[3])] = ontology.id_of("Rocks")
    return ontology.costs_256[ids]


def write_bag(path: Path, ontology: Ontology, **options: Any) -> Drive:
    """Write a bag: ``path`` ending in .mcap or .db3 gives one file, else a folder."""
    want = Options(**options)
    single = path.suffix in (".mcap", ".db3")
    if path.suffix == ".db3":
        want.storage = "sqlite3"
    folder = path.with_suffix(".folder") if single else path
    plugin = StoragePlugin.MCAP if want.storage == "mcap" else StoragePlugin.SQLITE3
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        drive = _Writing(writer, want, ontology).run(path)
    if single:
        next(folder.glob(f"*{path.suffix}")).rename(path)
        shutil.rmtree(folder)
    return drive


def cut(path: Path, share: float) -> int:
    """Cut a file to a share of its size; returns the bytes that are left."""
    size = int(path.stat().st_size * share)
    with path.open("r+b") as stream:
        stream.truncate(size)
    return size


class _Writing:
    def __init__(self, writer: Writer, want: Options, ontology: Ontology) -> None:
        self.writer, self.want, self.ontology = writer, want, ontology
        self.connections: dict[str, Any] = {}

    def run(self, path: Path) -> Drive:
        want, model = self.want, camera(self.want.height, self.want.width)
        drive = Drive(path, [], [], [])
        base_T_camera = camera_mount(*MOUNT)
        rng = np.random.default_rng(0)
        if want.tf:
            self.statics(want.start_ns)
        if want.truth:
            self.grid(want.start_ns)
        for index in range(want.frames):
            stamp = want.start_ns + int(index / want.rate_hz * 1e9)
            base = Transform.from_rpy(0, 0, 0.02 * index, (want.speed * index / want.rate_hz, 0.1, 0.0))
            truth = render(self.ontology, model, base @ base_T_camera)
            image = self.ontology.colorize(truth)
            if want.noise:
                noise = rng.integers(-want.noise, want.noise + 1, image.shape)
                image = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
            if want.odometry:
                self.odometry(stamp, base)
            if want.camera_info:
                self.info(stamp, model)
            self.image(stamp, index, image)
            if want.truth:
                self.write(
                    "/camera/labels_truth", stamp, self.picture(stamp, truth, "mono8"), stamp + 3_000_000
                )
            drive.stamps_ns.append(stamp)
            drive.images.append(image)
            drive.truths.append(truth)
        return drive

    def write(
        self, topic: str, stamp: int, message: Any, log_time: int | None = None, *, latched: bool = False
    ) -> None:
        msgtype = message.__msgtype__
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(
                topic, msgtype, typestore=STORE, offered_qos_profiles=[LATCHED] if latched else []
            )
        data = STORE.serialize_cdr(message, msgtype)
        self.writer.write(self.connections[topic], stamp if log_time is None else log_time, data)

    def header(self, stamp: int, frame: str) -> Any:
        time = T["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
        return T["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    def picture(self, stamp: int, image: np.ndarray, encoding: str) -> Any:
        height, width = image.shape[:2]
        return T["sensor_msgs/msg/Image"](
            header=self.header(stamp, "camera_optical_frame"), height=height, width=width, encoding=encoding,
            is_bigendian=0, step=image.size // height, data=np.ascontiguousarray(image).ravel(),
        )  # fmt: skip

    def image(self, stamp: int, index: int, image: np.ndarray) -> None:
        want = self.want
        if want.compressed:
            _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            message = T["sensor_msgs/msg/CompressedImage"](
                header=self.header(stamp, "camera_optical_frame"),
                format="rgb8; png compressed bgr8",
                data=data.ravel(),
            )
        else:
            converted = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if want.encoding == "bgr8" else image
            message = self.picture(stamp, converted, want.encoding)
        want.edit_image(message, index)
        # An image reaches the recorder some milliseconds after its exposure.
        self.write(want.image_topic, stamp, message, stamp + 2_000_000)

    def info(self, stamp: int, model: CameraModel) -> None:
        roi = T["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        message = T["sensor_msgs/msg/CameraInfo"](
            header=self.header(stamp, "camera_optical_frame"), height=model.height, width=model.width,
            distortion_model="plumb_bob", d=np.zeros(5), k=model.K_33.ravel().copy(), r=np.eye(3).ravel(),
            p=np.hstack([model.K_33, np.zeros((3, 1))]).ravel(), binning_x=0, binning_y=0, roi=roi,
        )  # fmt: skip
        self.want.edit_info(message)
        self.write("/camera/camera_info", stamp, message, stamp + 1_000_000)

    def transform(self, stamp: int, parent: str, child: str, pose: Transform) -> Any:
        q, t = pose.quaternion_xyzw(), pose.translation_3
        return T["geometry_msgs/msg/TransformStamped"](
            header=self.header(stamp, parent), child_frame_id=child,
            transform=T["geometry_msgs/msg/Transform"](
                translation=T["geometry_msgs/msg/Vector3"](x=t[0], y=t[1], z=t[2]),
                rotation=T["geometry_msgs/msg/Quaternion"](x=q[0], y=q[1], z=q[2], w=q[3]),
            ),
        )  # fmt: skip

    def statics(self, stamp: int) -> None:
        x, y, z, roll, pitch, yaw = MOUNT
        link = Transform.from_rpy(roll, pitch, yaw, (x, y, z))
        optical = link.inverse() @ camera_mount(*MOUNT)
        message = T["tf2_msgs/msg/TFMessage"](
            transforms=[
                self.transform(stamp, "base_link", "camera_link", link),
                self.transform(stamp, "camera_link", "camera_optical_frame", optical),
            ]
        )
        self.write("/tf_static", stamp, message, latched=True)

    def odometry(self, stamp: int, base: Transform) -> None:
        q, t = base.quaternion_xyzw(), base.translation_3
        zero = T["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
        message = T["nav_msgs/msg/Odometry"](
            header=self.header(stamp, "odom"), child_frame_id="base_link",
            pose=T["geometry_msgs/msg/PoseWithCovariance"](
                pose=T["geometry_msgs/msg/Pose"](
                    position=T["geometry_msgs/msg/Point"](x=t[0], y=t[1], z=t[2]),
                    orientation=T["geometry_msgs/msg/Quaternion"](x=q[0], y=q[1], z=q[2], w=q[3]),
                ),
                covariance=np.zeros(36),
            ),
            twist=T["geometry_msgs/msg/TwistWithCovariance"](
                twist=T["geometry_msgs/msg/Twist"](linear=zero, angular=zero), covariance=np.zeros(36)
            ),
        )  # fmt: skip
        self.write("/odom", stamp, message)
        if self.want.tf:
            tf = T["tf2_msgs/msg/TFMessage"](transforms=[self.transform(stamp, "odom", "base_link", base)])
            self.write("/tf", stamp, tf)

    def grid(self, stamp: int) -> None:
        columns, rows = GRID_CELLS
        pose = T["geometry_msgs/msg/Pose"](
            position=T["geometry_msgs/msg/Point"](x=GRID_ORIGIN[0], y=GRID_ORIGIN[1], z=0.0),
            orientation=T["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        )
        info = T["nav_msgs/msg/MapMetaData"](
            map_load_time=T["builtin_interfaces/msg/Time"](sec=0, nanosec=0), resolution=GRID_RESOLUTION,
            width=columns, height=rows, origin=pose,
        )  # fmt: skip
        message = T["nav_msgs/msg/OccupancyGrid"](
            header=self.header(stamp, "odom"), info=info, data=true_costs(self.ontology).ravel()
        )
        self.write("/ground_truth/costmap", stamp, message, latched=True)


LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, QosTime(0, 0), QosTime(0, 0),
    QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
)  # fmt: skip
