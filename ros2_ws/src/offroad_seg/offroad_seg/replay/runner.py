# SPDX-License-Identifier: Apache-2.0
"""One replay from a bag to its results folder, whoever does the perceiving: this process or the node over DDS."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from offroad_seg import __version__
from offroad_seg.errors import ImageError
from offroad_seg.progress import progress
from offroad_seg.replay.annotated import AnnotatedWriter
from offroad_seg.replay.behind import Behind, one_opencv_thread
from offroad_seg.replay.evaluation import Evaluation, Measures
from offroad_seg.replay.frames import BagFrame, Drop, FrameSource
from offroad_seg.replay.gallery import Gallery
from offroad_seg.replay.prefetch import Prefetch
from offroad_seg.replay.records import FRAMES_NAME, RecordWriter
from offroad_seg.replay.report import write_report
from offroad_seg.resources import replacing_folder
from offroad_seg.types import Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.replay.bag import Topic
    from offroad_seg.replay.rows import FrameRow
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Result = tuple[BagFrame, Perception] | Drop
    Results = Iterator[Result]
    Drawn = tuple[BagFrame, Perception, FrameRow] | Drop

METRICS_NAME, REPORT_NAME = "metrics.json", "report.html"


@dataclass
class Replay:
    """What is replayed, and where the results go.

    Attributes:
        source: The bag's frames.
        bundle: Names the classes and is told in the results.
        out: The results folder.
        mode: ``offline`` or ``via_ros``, for the results.
        engine: What really ran, for the results; may be filled while it runs.
        settings: What was set, for the results.
        overwrite: Replace a results folder that is there.
        extra: More keys for ``metrics.json``, asked when all is done.
        measures: What is measured beside labels.
        told: Key of ``metrics.json`` → what is said there beside the figures, where there are any.
    """

    source: FrameSource
    bundle: Bundle
    out: Path
    mode: str
    engine: dict[str, Any]
    settings: dict[str, Any]
    overwrite: bool = False
    extra: Callable[[], dict[str, Any]] = field(default=dict)
    measures: Measures = field(default_factory=Measures)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, perceive: Callable[[Items], Results]) -> dict[str, Any]:
        """Replay every frame and write ``metrics.json``, ``frames.jsonl``, ``annotated.mcap`` and ``report.html``.

        Returns:
            What stands in ``metrics.json``.

        Raises:
            InputError: The results folder is not empty.
            ImageError: Not one image of the topic could be used.
        """
        with replacing_folder(self.out, overwrite=self.overwrite) as folder:
            return self._run(perceive, folder)

    def _run(self, perceive: Callable[[Items], Results], folder: Path) -> dict[str, Any]:
        source, ontology = self.source, self.bundle.ontology
        truth, count = source.true_costmap(), source.topics.images
        evaluation = Evaluation(ontology, truth, source.topics.names, self.measures)
        gallery = Gallery(ontology, truth, count, source.odom_frame)
        annotated = AnnotatedWriter(folder, source, ontology)
        if source.topics.grid is not None:
            annotated.copy(list(source.bag.messages([source.topics.grid.name]))[:1])
        started = time.perf_counter()
        with (
            one_opencv_thread(),
            RecordWriter(folder / FRAMES_NAME) as records,
            Prefetch(source.frames) as items,
        ):
            # Behind the engine two more threads: one measures, one draws and writes.
            def draw(result: Drawn) -> None:
                if isinstance(result, Drop):
                    annotated.drop(result)
                else:
                    gallery.add(*result)
                    annotated.add(*result[:2])

            def measure(result: Result) -> None:
                if isinstance(result, Drop):
                    evaluation.drop(result)
                    drawing.put(result)
                else:
                    drawing.put((*result, evaluation.add(*result)))
                records.append(evaluation.last)

            results = perceive(iter(items))
            with Behind(draw) as drawing, Behind(measure) as measuring:
                for result in progress(results, what="replay", total=count):
                    measuring.put(result if isinstance(result, Drop) else (result[0], _owned(result[1])))
        seconds = time.perf_counter() - started
        annotated.copy(source.tail)
        annotated.close()
        if not evaluation.rows:
            raise self._nothing(evaluation)
        metrics = {
            **self._figures(evaluation),
            "seconds": seconds,
            "frames_per_second": len(evaluation.rows) / seconds,
            **self._identity(),
            **self.extra(),
        }
        text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / METRICS_NAME).write_text(text + "\n", encoding="utf-8")
        write_report(folder / REPORT_NAME, metrics, evaluation, gallery)
        return metrics

    def _figures(self, evaluation: Evaluation) -> dict[str, Any]:
        found = evaluation.metrics()
        told = {**self.told, "driven_path": {"footprint": asdict(self.measures.footprint)}}
        return {key: {**told[key], **value} if key in told else value for key, value in found.items()}

    def _identity(self) -> dict[str, Any]:
        bag, topics, manifest = self.source.bag, self.source.topics, self.bundle.manifest
        cameras = topics.cameras
        named: dict[str, list[str | None]] = {
            "image": [c.image.name for c in cameras],
            "camera_info": [_name(c.calibration or c.camera_info) for c in cameras],
            "truth": [_name(c.masks or c.truth) for c in cameras],
            "depth": [_name(c.depth) for c in cameras],
            "odometry": [_name(topics.odometry)],
            "true_costmap": [_name(topics.grid)],
        }
        return {
            "mode": self.mode,
            "bag": {
                "name": bag.path.name,
                "topics": {role: ", ".join(n for n in names if n) or None for role, names in named.items()},
                "messages": bag.message_count,
                "losses": bag.losses,
                "notes": [*topics.notes, *self.source.problems],
            },
            "bundle": {
                "name": manifest.name,
                "ontology": self.bundle.ontology.name,
                "input": f"{manifest.input_width}×{manifest.input_height}",
                "precision": manifest.precision,
                "backend": manifest.backend,
                "source": manifest.source,
                "files": manifest.files,
            },
            "engine": self.engine,
            "settings": self.settings,
            "environment": {
                "offroad_seg": __version__,
                "python": platform.python_version(),
                "machine": platform.machine(),
                "system": platform.system(),
            },
        }

    def _nothing(self, evaluation: Evaluation) -> ImageError:
        topics = self.source.topics
        causes = "; ".join(
            f"{n} × {cause}: {evaluation.drop_reasons[cause]}" for cause, n in evaluation.drops.items()
        )
        return ImageError(
            f"not one of the {topics.images} images could be used ({causes or 'none could be read'})",
            where=f"{self.source.bag.path}, topic {topics.image.name}",
            mend="look at the topic's encoding, step and size, or choose another with --topic",
        )


def _owned(perception: Perception) -> Perception:
    """With copies of the arrays that the pipeline uses again for the next frames."""
    result = perception.segmentation
    copied = Segmentation(
        result.labels_HW.copy(),
        result.confidence_HW.copy(),
        result.stamp_ns,
        result.frame_id,
        result.mean_confidence,
        None if result.ood_HW is None else result.ood_HW.copy(),
    )
    return replace(perception, segmentation=copied, observation=None)


def _name(source: Topic | Path | None) -> str | None:
    """A topic's name, or a file's."""
    return None if source is None else source.name
