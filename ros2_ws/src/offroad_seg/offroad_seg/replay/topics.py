# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are replayed: those that the user names, else a guess by type and name that is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offroad_seg.errors import BagError

if TYPE_CHECKING:
    from offroad_seg.replay.bag import Bag, Topic

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, ODOMETRY = "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"
GRID, TF = "nav_msgs/msg/OccupancyGrid", "tf2_msgs/msg/TFMessage"
NONE = "none"
"""Given as a topic, it says that there is none, whatever the bag holds."""

# Images that are not what a camera sees.
_NO_PICTURE = re.compile(
    r"label|truth|mask|confidence|depth|disparity|overlay|segment|costmap|mono_ir|infra", re.I
)
_LIKELY = (
    r"^/camera/image$",
    r"image_rect_color",
    r"image_rect",
    r"image_raw|image_color",
    r"rgb|color|left|front",
    r"image",
)
_TRANSPORTS = re.compile(r"/(compressed|ffmpeg|theora|zstd)$")


@dataclass(frozen=True)
class Topics:
    """The topics that a replay reads; None where the bag has none.

    Attributes:
        image: Image or CompressedImage.
        camera_info: Its calibration.
        odometry: The vehicle's pose.
        truth: True class ids of each image (mono8), for scoring.
        grid: The world's true costmap, for scoring.
        notes: What was guessed among several, in words.
    """

    image: Topic
    camera_info: Topic | None
    odometry: Topic | None
    truth: Topic | None
    grid: Topic | None
    notes: tuple[str, ...] = ()

    @property
    def compressed(self) -> bool:
        """Whether the images are JPEG or PNG."""
        return self.image.msgtype == COMPRESSED


def camera_name(topic: str) -> str:
    """A camera's name, from its image topic: the namespace, else the topic itself."""
    parts = _TRANSPORTS.sub("", topic).strip("/").split("/")
    return "/".join(parts[:-1]) or parts[0]


def choose_topics(
    bag: Bag,
    *,
    image: str | None = None,
    camera_info: str | None = None,
    odometry: str | None = None,
    truth: str | None = None,
    grid: str | None = None,
) -> Topics:
    """Find the topics; ``none`` switches one off, None guesses.

    Raises:
        BagError: A topic that was asked for is not there, has another type or no messages, or there is no image
            topic to guess; the message lists those that there are.
    """
    notes: list[str] = []
    picture = _named(bag, image, (IMAGE, COMPRESSED), "--topic") if image else _guess_image(bag, notes)
    assert picture is not None
    if picture.count == 0:
        raise BagError(f"topic {picture.name} has no messages", where=str(bag.path), mend=_image_list(bag))
    return Topics(
        image=picture,
        camera_info=_find(
            bag, camera_info, CAMERA_INFO, "--camera-info", _near(picture, "camera_info"), notes
        ),
        odometry=_find(
            bag, odometry, ODOMETRY, "--odom", ["/odom", "/odometry", "/odometry/filtered"], notes
        ),
        truth=_find(bag, truth, IMAGE, "--truth", _near(picture, "labels_truth"), notes, only_wanted=True),
        grid=_find(bag, grid, GRID, "--true-costmap", ["/ground_truth/costmap"], notes, only_wanted=True),
        notes=tuple(notes),
    )


def _named(bag: Bag, name: str, msgtypes: tuple[str, ...], option: str) -> Topic | None:
    if name == NONE and IMAGE not in msgtypes[:1]:
        return None
    found = bag.topics.get(name) or bag.topics.get(f"/{name}")
    if found is None:
        listed = _image_list(bag) if COMPRESSED in msgtypes else _list(bag, *msgtypes)
        raise BagError(f"the bag has no topic {name}", where=f"{bag.path}, {option}", mend=listed)
    if found.msgtype not in msgtypes:
        listed = _image_list(bag) if COMPRESSED in msgtypes else _list(bag, *msgtypes)
        raise BagError(
            f"topic {name} is a {found.msgtype}, not a {' or '.join(msgtypes)}",
            where=f"{bag.path}, {option}",
            mend=listed,
        )
    return found


def _guess_image(bag: Bag, notes: list[str]) -> Topic:
    pictures = bag.of_type(IMAGE, COMPRESSED)
    likely = [t for t in pictures if t.count and not _NO_PICTURE.search(t.name)]
    if not likely:
        raise BagError("the bag has no topic with camera images", where=str(bag.path), mend=_image_list(bag))

    def rank(topic: Topic) -> tuple[int, int, int, str]:
        order = next((i for i, p in enumerate(_LIKELY) if re.search(p, topic.name, re.I)), len(_LIKELY))
        return order, -topic.count, int(topic.msgtype == COMPRESSED), topic.name

    likely.sort(key=rank)
    if len(likely) > 1:
        others = ", ".join(t.name for t in likely[1:])
        notes.append(f"took {likely[0].name} of several image topics; the others: {others} (--topic chooses)")
    return likely[0]


def _near(picture: Topic, name: str) -> list[str]:
    """Candidates beside the image topic, nearest first: /camera/image_raw/compressed → /camera/<name>, /<name>."""
    parts = _TRANSPORTS.sub("", picture.name).split("/")
    return ["/".join([*parts[:end], name]) for end in range(len(parts) - 1, 0, -1)]


def _find(
    bag: Bag,
    named: str | None,
    msgtype: str,
    option: str,
    wanted: list[str],
    notes: list[str],
    *,
    only_wanted: bool = False,
) -> Topic | None:
    if named == NONE:
        return None
    if named is not None:
        return _named(bag, named, (msgtype,), option)
    topics = [t for t in bag.of_type(msgtype) if t.count]
    by_name = {t.name: t for t in topics}
    if found := next((by_name[name] for name in wanted if name in by_name), None):
        return found
    if only_wanted or not topics:
        return None
    best = max(topics, key=lambda t: t.count)
    if len(topics) > 1:
        notes.append(f"took {best.name} of {', '.join(t.name for t in topics)} ({option} chooses)")
    return best


def _image_list(bag: Bag) -> str:
    found = bag.of_type(IMAGE, COMPRESSED)
    if not found:
        topics = ", ".join(f"{t.name} ({t.msgtype})" for t in bag.topics.values())
        return f"it has no image topic at all; its topics: {topics}"
    return "its image topics: " + ", ".join(f"{t.name} ({t.count} × {t.msgtype})" for t in found)


def _list(bag: Bag, *msgtypes: str) -> str:
    found = bag.of_type(*msgtypes)
    kind = " or ".join(msgtypes)
    return f"its {kind} topics: {', '.join(t.name for t in found)}" if found else f"it has no {kind} at all"
