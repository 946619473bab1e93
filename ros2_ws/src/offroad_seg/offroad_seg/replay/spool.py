# SPDX-License-Identifier: Apache-2.0
"""What the engine said of each frame, kept on disk while a replay runs, so that it can go on where it was broken off.

Everything after the engine is worked out anew when a replay goes on: it is cheap beside the engine, and so every
figure, the fused costmap too, comes out exactly as in a run that was never interrupted.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lz4.frame
import numpy as np

from offroad_seg.engines.base import EngineOutput

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = b"OSF2"
_HEAD = struct.Struct("<4sIIII")  # magic, index, bytes of the description, bytes of the arrays, CRC of both


@dataclass(frozen=True)
class Saved:
    """One frame.

    Attributes:
        output: What the engine gave.
        timings_ms: Stage → milliseconds, as it took when the engine ran.
    """

    output: EngineOutput
    timings_ms: dict[str, float]


class Spool:
    """A file to which each frame is added as soon as its labels are there; a process that is killed loses none.

    Args:
        path: The file; what is whole in it is kept, a last frame that was cut is written over.
        read_only: Only look: the file is there, and another process may be writing it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._places: dict[int, int] = {}
        self._stream = path.open("rb" if read_only else "r+b" if path.exists() else "w+b")
        self._end = self._scan(path.stat().st_size)
        if not read_only:
            self._stream.truncate(self._end)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __len__(self) -> int:
        return len(self._places)

    def put(self, index: int, output: EngineOutput, timings_ms: dict[str, float]) -> None:
        """Keep one more frame."""
        arrays = [output.labels_BHW, output.confidence_BHW]
        arrays += [] if output.ood_BHW is None else [output.ood_BHW]
        told = {
            "shape": list(output.labels_BHW.shape),
            "mean_confidence": [float(v) for v in output.mean_confidence_B],
            "timings_ms": timings_ms,
        }
        description = json.dumps(told).encode()
        # The engine waits meanwhile: LZ4 takes an eighth of zlib's time, and a fifth more space.
        packed: bytes = lz4.frame.compress(b"".join(np.ascontiguousarray(a).data for a in arrays))
        check = zlib.crc32(packed, zlib.crc32(description))
        self._stream.seek(self._end)
        self._stream.write(_HEAD.pack(_MAGIC, index, len(description), len(packed), check))
        self._stream.write(description)
        self._stream.write(packed)
        self._stream.flush()
        self._places[index] = self._end
        self._end = self._stream.tell()

    def get(self, index: int) -> Saved | None:
        """A frame that was kept, or None."""
        place = self._places.get(index)
        if place is None:
            return None
        self._stream.seek(place)
        _, _, told_size, packed_size, _ = _HEAD.unpack(self._stream.read(_HEAD.size))
        told: dict[str, Any] = json.loads(self._stream.read(told_size))
        flat: NDArray[np.uint8] = np.frombuffer(
            lz4.frame.decompress(self._stream.read(packed_size)), np.uint8
        )
        arrays = flat.reshape(-1, *told["shape"])
        mean = np.array(told["mean_confidence"], np.float32)
        ood = arrays[2] if len(arrays) > 2 else None
        return Saved(EngineOutput(arrays[0], arrays[1], mean, ood), told["timings_ms"])

    def _scan(self, size: int) -> int:
        """Find the frames that are whole; where the last one ends."""
        place = 0
        while True:
            self._stream.seek(place)
            head = self._stream.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return place
            magic, index, told_size, packed_size, check = _HEAD.unpack(head)
            end = place + _HEAD.size + told_size + packed_size
            if magic != _MAGIC or end > size:
                return place
            if zlib.crc32(self._stream.read(told_size + packed_size)) != check:
                return place
            self._places[index] = place
            place = end
