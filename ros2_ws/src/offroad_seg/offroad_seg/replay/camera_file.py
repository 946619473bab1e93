# SPDX-License-Identifier: Apache-2.0
"""Calibration files in the format of ROS's camera_calibration and camera_info_manager."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import CameraError
from offroad_seg.sensor_messages import camera_from_info

if TYPE_CHECKING:
    from pathlib import Path

_MEND = (
    "give a file as `ros2 run camera_calibration cameracalibrator` saves it: image_width, camera_matrix, …"
)


def read_camera_file(path: Path) -> Any:
    """The file as an object with the fields of sensor_msgs/CameraInfo; ``frame_id`` is the camera's name.

    Raises:
        CameraError: It cannot be read, a key is missing, or the numbers describe no camera.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise CameraError(f"the calibration cannot be read: {reason}", where=str(path), mend=_MEND) from None
    except yaml.YAMLError as error:
        raise CameraError(
            f"not valid YAML: {' '.join(str(error).split())}", where=str(path), mend=_MEND
        ) from None
    try:
        info = SimpleNamespace(
            header=SimpleNamespace(
                stamp=SimpleNamespace(sec=0, nanosec=0), frame_id=str(data.get("camera_name") or "camera")
            ),
            width=int(data["image_width"]),
            height=int(data["image_height"]),
            distortion_model=str(data.get("distortion_model") or ""),
            d=_numbers(data.get("distortion_coefficients") or {"data": []}),
            k=_numbers(data["camera_matrix"]),
            binning_x=int(data.get("binning_x", 0)),
            binning_y=int(data.get("binning_y", 0)),
            roi=SimpleNamespace(x_offset=0, y_offset=0, height=0, width=0),
        )
    except KeyError as error:
        raise CameraError(f"{error} is missing", where=str(path), mend=_MEND) from None
    except (AttributeError, TypeError, ValueError):
        raise CameraError("not a calibration", where=str(path), mend=_MEND) from None
    try:
        camera_from_info(info)
    except CameraError as error:
        raise CameraError(error.what, where=str(path), mend=error.mend) from None
    return info


def _numbers(matrix: Any) -> list[float]:
    return [float(value) for value in matrix["data"]]
