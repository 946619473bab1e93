# SPDX-License-Identifier: Apache-2.0
"""Strategies for messages that no driver should send, as plain objects; ``to_ros`` makes real messages of them.

Each example is a list: a message that could be good, the same with one field replaced after the other, and with all of
them replaced. Pure noise would be refused by the first check, and drawing is what takes the time.
"""

from __future__ import annotations

import array
import math
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

WIDTH, HEIGHT = 40, 24
FRAMES = ("camera_optical_frame", "base_link", "odom", "map", "", "/base_link", "böse", "a" * 300)
ENCODINGS = (
    *("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "rgb16", "bayer_rggb8", "bayer_gbrg16"),
    *("yuv422", "uyvy", "32FC1", "16UC1", "8UC3", "", "RGB8", "rgb8; jpeg", "x" * 200),
)
MODELS = ("plumb_bob", "rational_polynomial", "equidistant", "thin_prism", "", "plumb_bob ")
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_U32 = st.sampled_from([0, 1, 2, HEIGHT, WIDTH, 3 * WIDTH, 7680, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(
    0, 300
)
NUMBERS = (
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 1e300, 120.0]) | st.floats()
)


def space(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


@st.composite
def stamps(draw: Any) -> SimpleNamespace:
    """Mostly near the time that ``to_ros`` is given (``offset_ns``), else anything that a stamp can hold."""
    if draw(st.integers(0, 3)):
        return space(offset_ns=draw(st.sampled_from([0, 0, 0, -5_000_000, -400_000_000, 10**9, -3 * 10**10])))
    sec = draw(st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, -1]))
    return space(sec=sec, nanosec=draw(st.sampled_from([0, 999_999_999, 10**9, 2**32 - 1])))


@st.composite
def headers(draw: Any) -> SimpleNamespace:
    frame = draw(st.sampled_from(FRAMES[:1] * 6 + FRAMES) | _TEXT)
    return space(stamp=draw(stamps()), frame_id=frame)


@st.composite
def variants(draw: Any, message: SimpleNamespace, **others: Any) -> list[SimpleNamespace]:
    """The message, with each of some fields replaced, and with all of these."""
    names = draw(st.lists(st.sampled_from(sorted(others)), min_size=min(4, len(others)), unique=True))
    values = {name: draw(others[name]) for name in names}
    single = [{name: value} for name, value in values.items()]
    return [space(**{**vars(message), **change}) for change in ({}, *single, values)]


@st.composite
def images(draw: Any, encodings: tuple[str, ...] = ENCODINGS, pixel_bytes: int = 3) -> list[SimpleNamespace]:
    height, width = draw(st.tuples(st.integers(0, HEIGHT), st.integers(0, WIDTH)))
    encoding = draw(st.sampled_from(encodings))
    step = width * pixel_bytes + draw(st.sampled_from([0, 0, 0, 1, 8]))
    size = height * step
    noise = draw(st.binary(min_size=1, max_size=64))
    message = space(
        header=draw(headers()), height=height, width=width, encoding=encoding, is_bigendian=0, step=step,
        data=(noise * (size // len(noise) + 1))[:size],
    )  # fmt: skip
    short = message.data[: draw(st.integers(0, len(message.data)))]
    return draw(
        variants(
            message, height=_U32, width=_U32, step=_U32, is_bigendian=st.integers(0, 255),
            encoding=st.sampled_from(ENCODINGS) | _TEXT, data=st.just(short) | st.just(b"") | st.binary(max_size=99),
        )
    )  # fmt: skip


def depths() -> st.SearchStrategy[list[SimpleNamespace]]:
    return images(("32FC1", "16UC1", "32FC1", "mono16"), 4) | images(("16UC1",), 2)


@st.composite
def compressed_images(draw: Any, pictures: tuple[bytes, ...]) -> list[SimpleNamespace]:
    """Real JPEGs and PNGs, cut and with bytes changed."""
    good = draw(st.sampled_from(pictures))
    data = bytearray(good)
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[place] = draw(st.integers(0, 255))
    forms = (
        st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth", ""]) | _TEXT
    )
    message = space(header=draw(headers()), format="jpeg", data=bytes(data))
    cut = space(**{**vars(message), "data": bytes(data[: draw(st.integers(0, len(data)))])})
    swapped = space(**{**vars(message), "data": good[len(good) // 2 :] + good[: len(good) // 2]})
    return [*draw(variants(message, format=forms, data=st.binary(max_size=200))), cut, swapped]


@st.composite
def camera_infos(draw: Any) -> list[SimpleNamespace]:
    f = draw(st.sampled_from([30.0, 120.0]))
    number = st.lists(NUMBERS, min_size=9, max_size=9)
    message = space(
        header=draw(headers()), height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", d=[0.0] * 5,
        k=[f, 0.0, WIDTH / 2, 0.0, f, HEIGHT / 2, 0.0, 0.0, 1.0], binning_x=0, binning_y=0,
        roi=space(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )  # fmt: skip
    roi = st.builds(space, x_offset=_U32, y_offset=_U32, height=_U32, width=_U32, do_rectify=st.booleans())
    return draw(
        variants(
            message, height=_U32, width=_U32, distortion_model=st.sampled_from(MODELS) | _TEXT,
            d=st.lists(NUMBERS, max_size=15), k=number, binning_x=_U32, binning_y=_U32, roi=roi,
        )
    )  # fmt: skip


def _vectors() -> st.SearchStrategy[SimpleNamespace]:
    return st.builds(space, x=NUMBERS, y=NUMBERS, z=NUMBERS)


def _quaternions() -> st.SearchStrategy[SimpleNamespace]:
    unit = st.just(space(x=0.0, y=0.0, z=0.0, w=1.0))
    return unit | unit | st.builds(space, x=NUMBERS, y=NUMBERS, z=NUMBERS, w=NUMBERS)


@st.composite
def odometries(draw: Any) -> list[SimpleNamespace]:
    near = space(position=space(x=1.0, y=0.5, z=0.0), orientation=space(x=0.0, y=0.0, z=0.0, w=1.0))
    header = draw(headers())
    header.frame_id = "odom"
    message = space(header=header, child_frame_id="base_link", pose=space(pose=near))
    poses = st.builds(space, position=_vectors(), orientation=_quaternions())
    return draw(
        variants(
            message,
            header=headers(),
            child_frame_id=st.sampled_from(FRAMES) | _TEXT,
            pose=st.builds(space, pose=poses),
        )
    )


@st.composite
def transforms(draw: Any) -> list[SimpleNamespace]:
    """tf2_msgs/TFMessage: also loops, frames that are their own parents, and two parents of one frame."""
    one = st.builds(
        space,
        header=headers(),
        child_frame_id=st.sampled_from(FRAMES) | _TEXT,
        transform=st.builds(space, translation=_vectors(), rotation=_quaternions()),
    )
    found = draw(st.lists(one, min_size=3, max_size=6))
    return [space(transforms=[]), *(space(transforms=[each]) for each in found), space(transforms=found)]


def to_ros(message: SimpleNamespace, kind: Any, now_ns: int) -> Any:
    """A real message with the fields of a plain one; those that it does not have are left out."""
    made = kind()
    for name, value in vars(message).items():
        slot = getattr(made, name, None)
        if isinstance(value, SimpleNamespace):
            if hasattr(value, "offset_ns"):
                slot.sec, slot.nanosec = divmod(now_ns + value.offset_ns, 10**9)
            else:
                setattr(made, name, to_ros(value, type(slot), now_ns))
        elif name == "transforms":
            made.transforms = [to_ros(v, _stamped(), now_ns) for v in value]
        elif isinstance(value, bytes):
            setattr(made, name, array.array("B", value))
        elif slot is not None:
            setattr(made, name, value)
    return made


def _stamped() -> Any:
    from geometry_msgs.msg import TransformStamped

    return TransformStamped


def at(message: SimpleNamespace, now_ns: int) -> SimpleNamespace:
    """The plain message with its stamp as numbers, as what reads it expects."""
    stamp = message.header.stamp
    if hasattr(stamp, "offset_ns"):
        stamp.sec, stamp.nanosec = divmod(now_ns + stamp.offset_ns, 10**9)
    return message
