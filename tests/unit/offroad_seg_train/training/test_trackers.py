# SPDX-License-Identifier: Apache-2.0
"""What a run reports: TensorBoard's files always; W&B (offline) and MLflow (a local store) where asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from offroad_seg.errors import InputError
from offroad_seg_train.training import tracking
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.run import train


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, frames: Path) -> tuple[Path, list[dict], TrainConfig]:
    """A run of two epochs with every tracker, stopped and resumed after the first."""
    import os

    from offroad_seg_train.training.recipe import load_recipe
    from tests.unit.offroad_seg_train.training.test_phases import Interrupt

    words = ["data.height=48", "data.width=80", "data.workers=0", "model.width=8", "device=cpu", "epochs=2"]
    config = load_recipe("tiny", [*words, "picture_epochs=1"], data=frames)
    config = replace(config, loggers=["wandb", "mlflow"])
    run = tmp_path_factory.mktemp("tracked") / "run"
    before = dict(os.environ)
    os.environ.update({"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"})
    try:
        with pytest.raises(KeyboardInterrupt):
            train(config, run, show=False, callbacks=[Interrupt(2)])
        result = train(config, run, resume=True, show=False)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return run, result.rows, config


def test_tensorboard_has_figures_rates_and_pictures(tracked: tuple[Path, list[dict], TrainConfig]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, rows, _ = tracked
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    for name, value in (
        ("val/miou", rows[1]["val"]["miou"]),
        ("train/loss", rows[1]["train"]["loss"]),
        ("lr/head", rows[1]["lr"]["head"]),
        ("val iou/Sky", rows[1]["val"]["per_class"]["Sky"]["iou"]),
    ):
        scalars = events.Scalars(name)
        assert [point.step for point in scalars] == [4, 8], name
        assert scalars[1].value == pytest.approx(value, rel=1e-5), name
    assert sorted(tags["images"]) == [f"validation {n}" for n in (1, 2, 3, 4)]
    picture = events.Images("validation 1")[0]
    assert picture.width > picture.height > 200


def test_wandb_has_one_run_of_both_starts(tracked: tuple[Path, list[dict], TrainConfig]) -> None:
    run, _, _ = tracked
    identity = json.loads((run / "tracking.json").read_text())
    offline = sorted((run / "wandb").glob("offline-run-*"))
    assert offline
    assert all(folder.name.endswith(identity["wandb"]) for folder in offline)
    written = [file for folder in offline for file in folder.glob("*.wandb")]
    assert written
    assert all(file.stat().st_size > 1000 for file in written)


def test_mlflow_has_every_figure(tracked: tuple[Path, list[dict], TrainConfig]) -> None:
    from mlflow.tracking import MlflowClient

    run, rows, config = tracked
    identity = json.loads((run / "tracking.json").read_text())
    client = MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    found = client.get_run(identity["mlflow"])
    assert found.data.params["optimizer.lr"] == str(config.optimizer.lr)
    assert found.data.metrics["train/loss"] == pytest.approx(rows[1]["train"]["loss"])
    history = client.get_metric_history(identity["mlflow"], "val/miou")
    assert [point.step for point in history] == [4, 8]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    name: str, recipe: TrainConfig, tmp_path: Path, monkeypatch
) -> None:
    found = tracking.importlib.util.find_spec
    monkeypatch.setattr(
        tracking.importlib.util, "find_spec", lambda n, *a: None if n == name else found(n, *a)
    )
    with pytest.raises(InputError, match=f"{name} is not installed") as caught:
        train(replace(recipe, loggers=[name]), tmp_path / "run", show=False)
    assert "offroad-seg[tracking]" in caught.value.mend
    assert not (tmp_path / "run").exists()
