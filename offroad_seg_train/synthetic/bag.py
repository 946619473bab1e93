# SPDX-License-Identifier: Apache-2.0
"""A drive through a world as a rosbag2 (mcap): what a vehicle would record, and the truth beside it."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from offroad_seg.errors import InputError
from offroad_seg.progress import progress as progress_bar
from offroad_seg.transforms import OPTICAL_QUATERNION_XYZW, Transform
from offroad_seg_train.synthetic import messages
from offroad_seg_train.synthetic.dataset import cached_world, check_size
from offroad_seg_train.synthetic.drive import Drive, base_T_link, base_T_optical
from offroad_seg_train.synthetic.render import Picture, default_camera, render
from offroad_seg_train.synthetic.truth import true_costmap
from offroad_seg_train.synthetic.world import begin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offroad_seg.camera import CameraModel
    from offroad_seg.types import Costmap

START_NS = 1_750_000_000_000_000_000
CAMERA_FRAME = "camera_optical_frame"
# Worlds of drives are not those of the pictures of the same seed: a network must not have seen them.
_DRIVE_WORLD = 1_000_000
_ODOM_PER_IMAGE = 5

_QOS = Qos(
    history=QosHistory.KEEP_LAST,
    depth=10,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.VOLATILE,
    deadline=QosTime(0, 0),
    lifespan=QosTime(0, 0),
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=QosTime(0, 0),
    avoid_ros_namespace_conventions=False,
)
_LATCHED = _QOS._replace(depth=1, durability=QosDurability.TRANSIENT_LOCAL)

TOPICS = {
    "/camera/image": ("sensor_msgs/msg/Image", _QOS),
    "/camera/camera_info": ("sensor_msgs/msg/CameraInfo", _QOS),
    "/camera/depth": ("sensor_msgs/msg/Image", _QOS),
    "/camera/labels_truth": ("sensor_msgs/msg/Image", _QOS),
    "/odom": ("nav_msgs/msg/Odometry", _QOS),
    "/tf": ("tf2_msgs/msg/TFMessage", _QOS),
    "/tf_static": ("tf2_msgs/msg/TFMessage", _LATCHED),
    "/ground_truth/costmap": ("nav_msgs/msg/OccupancyGrid", _LATCHED),
}


def drive_seed(seed: int) -> tuple[int, int]:
    """The world's seed of the drive of a seed."""
    return seed, _DRIVE_WORLD


def _drive(seed: int) -> Drive:
    _, _, terrain = begin(drive_seed(seed))
    rng = np.random.default_rng([seed, _DRIVE_WORLD, 5])
    return Drive(terrain, start=float(rng.uniform(0, terrain.trail.length)))


def _frame(seed: int, k: int, camera: CameraModel, world_T_optical: Transform) -> Picture:
    world = cached_world(drive_seed(seed))
    return render(world, camera, world_T_optical, (seed, _DRIVE_WORLD, k), noise=0.012)


def _truth(seed: int) -> Costmap:
    return true_costmap(cached_world(drive_seed(seed)))


def write_bag(
    path: Path | str,
    seconds: float,
    rate_hz: float = 10.0,
    seed: int = 0,
    width: int = 480,
    height: int = 270,
    progress: bool = True,
    workers: int = 2,
    *,
    overwrite: bool = False,
) -> Path:
    """Drive along the trail of a world and record it.

    Topics: ``/camera/{image,camera_info,depth,labels_truth}`` at ``rate_hz``; ``/odom`` and ``/tf`` five times as often
    and at every image's stamp; ``/tf_static``; ``/ground_truth/costmap``, the cost of the whole world, once. odom's
    axes are the world's, its origin is where the vehicle starts.

    Args:
        path: A rosbag2 folder to make, or a single file where it ends in ``.mcap``.
        seconds: Length.
        rate_hz: Images per second.
        seed: Which desert; never one of ``write_dataset``'s.
        width: Pixels.
        height: Pixels.
        progress: Show a bar.
        workers: Processes that render; 1 renders in this one.
        overwrite: Replace what is there, once the new bag is whole.

    Raises:
        InputError: The path is taken, or a number makes no sense.
    """
    if seconds <= 0 or rate_hz <= 0 or seed < 0 or workers < 1:
        raise InputError(
            f"seconds={seconds:g}, rate={rate_hz:g} Hz, seed={seed}, workers={workers}",
            mend="give seconds > 0, a rate > 0, seed ≥ 0 and workers ≥ 1",
        )
    check_size(width, height)
    frames = max(1, round(seconds * rate_hz))
    camera = default_camera(width, height)
    drive = _drive(seed)
    period_ns = round(1e9 / rate_hz)
    # One interval more than there are images, so that the last image's stamp is not the end of the history.
    stamps = START_NS + (np.arange(frames * _ODOM_PER_IMAGE + 1) * period_ns) // _ODOM_PER_IMAGE
    world_T_base = drive.poses((stamps - START_NS) / 1e9)
    odom_T_world = Transform(np.eye(3), -world_T_base[0].translation_3)
    odom_T_base = [odom_T_world @ pose for pose in world_T_base]
    views = [pose @ base_T_optical() for pose in world_T_base[::_ODOM_PER_IMAGE][:frames]]
    with (
        _bag_writer(Path(path), overwrite) as (writer, topics),
        _pictures(seed, camera, views, workers) as (truth, pictures),
    ):

        def write(topic: str, stamp_ns: int, message: Any) -> None:
            connection = topics[topic]
            writer.write(connection, stamp_ns, messages.STORE.serialize_cdr(message, connection.msgtype))

        link_T_optical = Transform.from_quaternion(OPTICAL_QUATERNION_XYZW)
        write(
            "/tf_static",
            START_NS,
            messages.transforms(
                START_NS,
                ("base_link", "camera_link", base_T_link()),
                ("camera_link", CAMERA_FRAME, link_T_optical),
            ),
        )
        bar = progress_bar(pictures, what="synthetic drive", total=frames, show=progress)
        for k, picture in enumerate(bar):
            for i in range(k * _ODOM_PER_IMAGE, (k + 1) * _ODOM_PER_IMAGE):
                _write_pose(write, int(stamps[i]), odom_T_base, stamps, i)
                if i == k * _ODOM_PER_IMAGE:
                    _write_picture(write, int(stamps[i]), picture, camera)
        end = len(stamps) - 1
        _write_pose(write, int(stamps[end]), odom_T_base, stamps, end)
        write(
            "/ground_truth/costmap",
            START_NS,
            messages.occupancy_grid(START_NS, _in_odom(truth(), odom_T_world)),
        )
    return Path(path)


def _write_picture(write: Any, stamp_ns: int, picture: Picture, camera: CameraModel) -> None:
    write("/camera/image", stamp_ns, messages.image(stamp_ns, CAMERA_FRAME, picture.image_HWC, "rgb8"))
    write("/camera/camera_info", stamp_ns, messages.camera_info(stamp_ns, CAMERA_FRAME, camera))
    write("/camera/depth", stamp_ns, messages.image(stamp_ns, CAMERA_FRAME, picture.depth_HW, "32FC1"))
    write(
        "/camera/labels_truth", stamp_ns, messages.image(stamp_ns, CAMERA_FRAME, picture.labels_HW, "mono8")
    )


def _write_pose(write: Any, stamp_ns: int, poses: list[Transform], stamps: np.ndarray, i: int) -> None:
    before, after = max(i - 1, 0), min(i + 1, len(poses) - 1)
    dt = float(stamps[after] - stamps[before]) / 1e9
    here = poses[i]
    linear = here.rotation_33.T @ (poses[after].translation_3 - poses[before].translation_3) / dt
    turn = poses[before].rotation_33.T @ poses[after].rotation_33
    angular = Rotation.from_matrix(turn).as_rotvec() / dt
    write("/odom", stamp_ns, messages.odometry(stamp_ns, here, linear, angular))
    write("/tf", stamp_ns, messages.transforms(stamp_ns, ("odom", "base_link", here)))


def _in_odom(costmap: Costmap, odom_T_world: Transform) -> Costmap:
    dx, dy, _ = (float(v) for v in odom_T_world.translation_3)
    grid = replace(costmap.grid, origin_x=costmap.grid.origin_x + dx, origin_y=costmap.grid.origin_y + dy)
    return replace(costmap, grid=grid, frame_id="odom", stamp_ns=START_NS)


@contextmanager
def _pictures(seed: int, camera: CameraModel, views: list[Transform], workers: int) -> Iterator[Any]:
    """A call that gives the true grid, and the pictures in order."""
    n = len(views)
    if workers == 1:
        yield (lambda: _truth(seed)), (_frame(seed, k, camera, view) for k, view in enumerate(views))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            truth = pool.submit(_truth, seed)
            pictures = pool.map(_frame, [seed] * n, range(n), [camera] * n, views, chunksize=4)
            yield truth.result, pictures
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_bag_path(path: Path, *, overwrite: bool) -> None:
    """Refuse a path whose content would be lost.

    Raises:
        InputError: Something is there and ``overwrite`` is false, or it is no bag.
    """
    if path.exists() and not overwrite:
        raise InputError(
            "the bag exists", where=str(path), mend="give another path, or --overwrite to replace it"
        )
    if path.exists() and not _is_bag(path):
        raise InputError(
            "this is not a bag, and will not be replaced", where=str(path), mend="give another path"
        )


@contextmanager
def _bag_writer(path: Path, overwrite: bool) -> Iterator[tuple[Writer, dict[str, Any]]]:
    """A writer into a temporary bag that takes the path's place when all is well."""
    check_bag_path(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        # The writer names the file after its folder.
        bag = scratch / (path.stem if path.suffix == ".mcap" else path.name)
        # Version 9 writes QoS policies as words, which rosbag2 of Humble and Iron cannot read; Jazzy reads both.
        writer = Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer:
            topics = {
                name: writer.add_connection(name, kind, typestore=messages.STORE, offered_qos_profiles=[qos])
                for name, (kind, qos) in TOPICS.items()
            }
            yield writer, topics
        result = bag / f"{bag.name}.mcap" if path.suffix == ".mcap" else bag
        if path.is_dir():
            path.rename(scratch / "replaced")
        result.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_bag(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".mcap"
    return (path / "metadata.yaml").exists() or not any(path.iterdir())
