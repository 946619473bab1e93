# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are replayed: those that the user names, else a guess by type and name that is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.errors import BagError
from offroad_seg.replay.topics import (
    CAMERA_INFO,
    COMPRESSED,
    GRID,
    IMAGE,
    ODOMETRY,
    CameraTopics,
    Topics,
    camera_name,
    without_transport,
)

if TYPE_CHECKING:
    from offroad_seg.replay.bag import Bag, Topic

Names = str | Sequence[str] | None
"""One topic, one for each camera, or None to guess."""
NONE = "none"
"""Given as a topic, it says that there is none, whatever the bag holds."""
GUESS = "guess"
"""Given as a topic, it stands for not giving one."""
_DEPTHS = ("depth", "depth/image", "depth/image_rect", "depth/image_raw", "aligned_depth_to_color/image_raw")

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


def choose_topics(
    bag: Bag,
    *,
    image: Names = None,
    camera_info: Names = None,
    odometry: str | None = None,
    truth: Names = None,
    grid: str | None = None,
    depth: Names = None,
) -> Topics:
    """Find the topics; ``none`` switches one off, None and ``guess`` guess.

    What belongs to a camera is given in the order of the cameras. ``camera_info`` may be a calibration file (YAML),
    ``truth`` a folder of masks.

    Raises:
        BagError: A topic that was asked for is not there, has another type or no messages, or there is no image
            topic to guess; the message lists those that there are.
    """
    notes: list[str] = []
    wanted = _listed(image)
    pictures = [_named(bag, name, (IMAGE, COMPRESSED), "--topic") for name in wanted]
    if not wanted:
        pictures = [_guess_image(bag, notes)]
    names = _camera_names([p.name for p in pictures if p is not None])
    per_camera = [
        _for_each(values, len(pictures), option)
        for values, option in ((camera_info, "--camera-info"), (truth, "--truth"), (depth, "--depth"))
    ]
    cameras = []
    for name, picture, info, mask, deep in zip(names, pictures, *per_camera):  # noqa: B905 – all are as many
        assert picture is not None
        if picture.count == 0:
            raise BagError(
                f"topic {picture.name} has no messages", where=str(bag.path), mend=_image_list(bag)
            )
        cameras.append(_camera(bag, name, picture, info, mask, deep, notes))
    return Topics(
        cameras=tuple(cameras),
        odometry=_find(
            bag, odometry, ODOMETRY, "--odom", ["/odom", "/odometry", "/odometry/filtered"], notes
        ),
        grid=_find(bag, grid, GRID, "--true-costmap", ["/ground_truth/costmap"], notes, only_wanted=True),
        notes=tuple(notes),
    )


def _camera(
    bag: Bag,
    name: str,
    picture: Topic,
    info: str | None,
    truth: str | None,
    depth: str | None,
    notes: list[str],
) -> CameraTopics:
    calibration = Path(info) if info is not None and Path(info).suffix in (".yaml", ".yml") else None
    masks = Path(truth) if truth is not None and Path(truth).is_dir() else None
    beside = [c for wanted in _DEPTHS for c in _near(picture, wanted)]
    return CameraTopics(
        name=name,
        image=picture,
        camera_info=None
        if calibration
        else _find(bag, info, CAMERA_INFO, "--camera-info", _near(picture, "camera_info"), notes),
        truth=None
        if masks
        else _find(bag, truth, IMAGE, "--truth", _near(picture, "labels_truth"), notes, only_wanted=True),
        depth=_find(bag, depth, IMAGE, "--depth", beside, notes, only_wanted=True),
        calibration=calibration,
        masks=masks,
    )


def _listed(values: Names) -> list[str]:
    return [] if values is None else [values] if isinstance(values, str) else list(values)


def _for_each(values: Names, cameras: int, option: str) -> list[str | None]:
    """One value for each camera, None to guess."""
    listed = _listed(values)
    if listed == [NONE]:
        listed = [NONE] * cameras
    if not listed:
        return [None] * cameras
    if len(listed) != cameras:
        raise BagError(
            f"{len(listed)} × {option} for {cameras} cameras",
            where=option,
            mend=f"give {option} once for each --topic, in their order; `guess` guesses, `none` leaves it out",
        )
    return [None if value == GUESS else value for value in listed]


def _camera_names(topics: list[str]) -> list[str]:
    """A name for each camera that no other has."""
    for repeated in topics:
        if topics.count(repeated) > 1:
            raise BagError(f"topic {repeated} is given twice", where="--topic", mend="give each camera once")
    short = [camera_name(topic) for topic in topics]
    if len(set(short)) == len(short):
        return short
    return [without_transport(topic).strip("/") for topic in topics]


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
    parts = without_transport(picture.name).split("/")
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
