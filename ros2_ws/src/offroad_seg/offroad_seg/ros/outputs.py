# SPDX-License-Identifier: Apache-2.0
"""The publishers of labels and their like, a set for each camera, and of the one costmap.

What nobody listens to is not worked out, except the costmap, which is latched.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from offroad_seg.mapping.grid import GridSize
from offroad_seg.overlay import overlay_image
from offroad_seg.ros.costmap_messages import CostmapWriter
from offroad_seg.ros.messages import ImageWriter
from offroad_seg.ros.nav_outputs import RAW_COSTMAP, NavOutputs
from offroad_seg.types import COST_UNKNOWN, Costmap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.grouping import Grouping
    from offroad_seg.ontology import Ontology
    from offroad_seg.ros.settings import Settings
    from offroad_seg.segmenter import NetworkSegmentation
    from offroad_seg.types import Frame, GridSpec, Segmentation

# Reliable: a best-effort publisher would not match RViz, which asks for reliable images. Of depth 1: only the newest is
# of use, and what a slow subscriber has not acknowledged would be kept, 15 MB for each cloud of 1280×720.
IMAGE_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

_ACKNOWLEDGED = Duration(seconds=1)


class ImageOutputs:
    """Publishes labels, confidence and overlay of one camera, and what Nav2 takes beside them.

    Args:
        node: The lifecycle node that owns the publishers.
        camera: Namespace of the topics; empty for the node's own.
        ontology: For the overlay's colours.
        settings: The parameters.
        grouping: Merges classes in ``labels``; None leaves them.

    Attributes:
        nav: The topics that Nav2's layers take beside these.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        ontology: Ontology,
        settings: Settings,
        grouping: Grouping | None = None,
    ) -> None:
        self._node, self._ontology, self._settings, self._grouping = node, ontology, settings, grouping
        prefix = f"{camera}/" if camera else ""
        self.nav = NavOutputs(node, prefix, IMAGE_QOS, LATCHED_QOS)
        overrides = QoSOverridingOptions.with_default_policies()
        make = node.create_lifecycle_publisher
        self._labels = make(Image, f"{prefix}labels", IMAGE_QOS, qos_overriding_options=overrides)
        self._confidence = make(Image, f"{prefix}confidence", IMAGE_QOS, qos_overriding_options=overrides)
        self._overlay = make(Image, f"{prefix}overlay", IMAGE_QOS, qos_overriding_options=overrides)
        self._writers = {name: ImageWriter("mono8") for name in ("labels", "confidence")}
        self._overlay_writer = ImageWriter("rgb8")

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in (self._labels, self._confidence, self._overlay):
            self._node.destroy_lifecycle_publisher(publisher)
        self.nav.destroy()

    def announce(self, now_ns: int) -> None:
        """What the labels are called, for all who come later."""
        names = self._ontology.names if self._grouping is None else self._grouping.names
        self.nav.publish_names(names, self._settings.grid_frame, now_ns, self._settings.min_confidence)

    def publish_segmentation(self, frame: Frame, segmentation: NetworkSegmentation, header: Any) -> None:
        """Labels, confidence and overlay with the image's own header, each where somebody listens."""
        if self._labels.get_subscription_count() > 0:
            labels_HW = segmentation.labels_HW
            if self._grouping is not None:
                labels_HW = self._grouping.apply(labels_HW)
            self._labels.publish(self._writers["labels"].message(labels_HW, header))
        if self._confidence.get_subscription_count() > 0:
            self._confidence.publish(self._writers["confidence"].message(segmentation.confidence_HW, header))
        if self._overlay.get_subscription_count() > 0:
            seen, writer = _as_seen(frame, segmentation), self._overlay_writer
            labels_HW = (segmentation.network or segmentation).labels_HW
            picture = overlay_image(seen, labels_HW, self._ontology, writer.buffer(seen.shape))
            self._overlay.publish(writer.message(picture, header))


class GridOutputs:
    """Publishes the costmap, as OccupancyGrid and in Nav2's own units; safe to use from two threads.

    Args:
        node: The lifecycle node that owns the publishers.
        settings: Size and frame of the costmap.
    """

    def __init__(self, node: Any, settings: Settings) -> None:
        self._node, self._settings = node, settings
        self._grid = node.create_lifecycle_publisher(OccupancyGrid, "costmap", LATCHED_QOS)
        self._raw = None
        if RAW_COSTMAP is not None:
            self._raw = node.create_lifecycle_publisher(RAW_COSTMAP, "costmap_raw", LATCHED_QOS)
        self._lock = threading.Lock()
        self._writer = CostmapWriter(RAW_COSTMAP)
        self._latest: Costmap | None = None
        self._known = False
        self._revocations = 0

    def destroy(self) -> None:
        """Remove the publishers; the latched costmap goes with them."""
        for publisher in (self._grid, self._raw):
            if publisher is not None:
                # Else "all is unknown", which was published just before, may never leave this machine.
                publisher.wait_for_all_acked(_ACKNOWLEDGED)
                self._node.destroy_lifecycle_publisher(publisher)

    @property
    def revocations(self) -> int:
        """How often everything was declared unknown: a frame notes it when it begins."""
        return self._revocations

    def publish(self, costmap: Costmap, revocations: int) -> bool:
        """The fused grid; False if everything was declared unknown since its frame began.

        Raises:
            ValueError: Nav2 would refuse the grid.
        """
        with self._lock:
            if revocations != self._revocations:
                return False
            self._send(costmap)
            self._latest, self._known = costmap, bool((costmap.cost_HW != COST_UNKNOWN).any())
            return True

    @property
    def has_known_cells(self) -> bool:
        """Whether the grid that consumers hold says something about some cell."""
        with self._lock:
            return self._known

    def publish_unknown(self, now_ns: int) -> None:
        """A grid of unknown cells, where the last one lay.

        Its stamp is the time of this statement, the only new thing in it: at ``now_ns`` nothing is known. A frame
        that is still being worked on began before, and cannot undo it.
        """
        with self._lock:
            grid = self._latest.grid if self._latest is not None else self._default_grid()
            frame = self._latest.frame_id if self._latest is not None else self._settings.grid_frame
            cells: NDArray[np.int8] = np.full((grid.height, grid.width), COST_UNKNOWN, np.int8)
            costmap = Costmap(cells, grid, frame, max(0, now_ns))
            self._revocations += 1
            self._send(costmap)
            self._known = False

    def _send(self, costmap: Costmap) -> None:
        self._grid.publish(self._writer.grid(costmap))
        if self._raw is not None:
            self._raw.publish(self._writer.raw(costmap))

    def _default_grid(self) -> GridSpec:
        s = self._settings
        return GridSize(s.costmap_width, s.costmap_height, s.costmap_resolution).around(0.0, 0.0)


def _as_seen(frame: Frame, segmentation: Segmentation) -> NDArray[np.uint8]:
    """The image at the labels' size."""
    height, width = segmentation.labels_HW.shape
    if frame.image_HWC.shape[:2] == (height, width):
        return frame.image_HWC
    return np.asarray(cv2.resize(frame.image_HWC, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
