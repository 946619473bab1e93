# SPDX-License-Identifier: Apache-2.0
"""Many runs of one recipe with other settings, towards the best validation figure (Optuna).

The sweep's folder::

    sweep.yaml          the recipe, what is varied, and towards what
    study.journal       Optuna's own record, from which `--resume` goes on
    trials.csv          one line a trial
    sweep.png           the figure over the trials, and over each setting
    best.yaml           the recipe with the best settings: `train --config DIR/best.yaml`
    trials/0007/        a run as `train` leaves it; only the best one keeps its checkpoint
"""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import yaml

from offroad_seg.errors import DataError, InputError, OffroadSegError, OntologyError
from offroad_seg.resources import check_output, keep_sources, prepare_output, write_text
from offroad_seg_train.data.layouts import find_layout
from offroad_seg_train.training.monitor import Monitor
from offroad_seg_train.training.recipe import dump, override
from offroad_seg_train.training.recorder import Recorder
from offroad_seg_train.training.run import train
from offroad_seg_train.training.search_space import split_words
from offroad_seg_train.training.sweep_report import draw_sweep, write_table
from offroad_seg_train.training.sweep_study import (
    SECONDS,
    best_trial,
    count_ended,
    import_optuna,
    open_study,
    trial_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import optuna

    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.search_space import Range

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        best_value: The best figure, or None where no trial reached its end.
        best_settings: The settings that gave it.
        best_checkpoint: Its weights.
        trials: Trials that were run to their end, cut short, or failed.
    """

    best_value: float | None
    best_settings: dict[str, Any]
    best_checkpoint: Path | None
    trials: int


class Pruner(lightning.Callback):
    """Tells the study of each epoch, and ends a trial that falls behind.

    Args:
        trial: The trial.
        monitor: The figure that it is judged by.
    """

    def __init__(self, trial: optuna.Trial, monitor: Monitor) -> None:
        self._trial = trial
        self._monitor = monitor

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Report the epoch."""
        import optuna

        (recorder,) = (c for c in trainer.callbacks if isinstance(c, Recorder))  # type: ignore[attr-defined]
        row = recorder.rows[-1]
        value = self._monitor.value(row)
        if value is not None:
            self._trial.report(value, step=row["epoch"])
            if self._trial.should_prune():
                raise optuna.TrialPruned


def sweep(
    config: TrainConfig,
    words: list[str],
    out: Path,
    *,
    trials: int,
    resume: bool = False,
    overwrite: bool = False,
) -> SweepResult:
    """Run trials until there are ``trials`` of them.

    Args:
        config: The recipe, with its data.
        words: ``key=range`` for what is varied; ``key=value`` for what is not.
        out: The sweep's folder.
        trials: How many trials the sweep has in the end.
        resume: Go on with the sweep in ``out``.
        overwrite: Replace a folder that is not empty.

    Raises:
        InputError: A range does not fit its setting, nothing is varied, or a resumed sweep differs.
    """
    optuna = import_optuna()
    fixed, ranges = split_words(words, config)
    base = override(config, fixed)
    _check(base, ranges, trials)
    # Told before the folder is touched.
    record = {"recipe": asdict(base), "ranges": [asdict(r) for r in ranges]}
    if resume:
        _check_same(out, record)
    else:
        check_output(out, overwrite=overwrite)
        keep_sources(out, *base.sources)
        prepare_output(out, overwrite=overwrite)
        write_text(out / "sweep.yaml", yaml.safe_dump(_plain(record), sort_keys=False, allow_unicode=True))
    monitor = Monitor(base.monitor)
    study = open_study(optuna, out, base, larger_is_better=monitor.larger_is_better)
    while (number := count_ended(study)) < trials:
        with _quiet(beginning=number == 0):
            _run_trial(optuna, study, base, ranges, out, monitor)
        _keep_only_best(study, out)
        write_table(study, ranges, out / "trials.csv")
        draw_sweep(study, ranges, base.monitor, out / "sweep.png")
        log.info("trial %d of %d: %s", number + 1, trials, _describe(study, ranges))
    best = best_trial(study)
    if best is None:
        return SweepResult(None, {}, None, count_ended(study))
    settings = {r.key: yaml.safe_load(best.user_attrs["settings"][r.key]) for r in ranges}
    chosen = override(base, [f"{k}={v}" for k, v in best.user_attrs["settings"].items()])
    # The recipe is for any data; those of the sweep are in sweep.yaml.
    plain = replace(chosen, data=replace(chosen.data, root=None))
    write_text(
        out / "best.yaml",
        f"# Best of {count_ended(study)} trials: {base.monitor} {best.value:.4f}.\n" + dump(plain),
    )
    return SweepResult(
        best.value, settings, trial_folder(out, best.number) / "checkpoints" / "best.ckpt", count_ended(study)
    )


def _run_trial(
    optuna: Any, study: optuna.Study, base: TrainConfig, ranges: list[Range], out: Path, monitor: Monitor
) -> None:
    trial = study.ask()
    settings = {r.key: r.suggest(trial) for r in ranges}
    trial.set_user_attr("settings", settings)
    start = time.monotonic()
    try:
        config = override(base, [f"{key}={value}" for key, value in settings.items()])
        result = train(
            config,
            trial_folder(out, trial.number),
            overwrite=True,
            show=False,
            callbacks=[Pruner(trial, monitor)],
        )
    except optuna.TrialPruned:
        state, value = optuna.trial.TrialState.PRUNED, None
    except (DataError, OntologyError):
        # No setting mends the data.
        raise
    except (OffroadSegError, RuntimeError) as error:
        # Settings that cannot be trained (a loss that explodes, a batch that does not fit) are a result too.
        log.warning("trial %d failed: %s", trial.number + 1, str(error).splitlines()[0])
        trial.set_user_attr("error", str(error).splitlines()[0])
        state, value = optuna.trial.TrialState.FAIL, None
    else:
        known = result.best is not None
        state = optuna.trial.TrialState.COMPLETE if known else optuna.trial.TrialState.FAIL
        value = result.best
    trial.set_user_attr(SECONDS, round(time.monotonic() - start, 1))
    study.tell(trial, value, state=state)


@contextmanager
def _quiet(*, beginning: bool) -> Iterator[None]:
    """What is to be said about the data is said in the first trial."""
    speakers = [
        logging.getLogger(f"{__package__}.{name}") for name in ("ingredients", "recorder", "hardware")
    ]
    before = [speaker.level for speaker in speakers]
    for speaker in speakers:
        speaker.setLevel(speaker.level if beginning else logging.ERROR)
    try:
        yield
    finally:
        for speaker, level in zip(speakers, before, strict=True):
            speaker.setLevel(level)


def _keep_only_best(study: optuna.Study, out: Path) -> None:
    """Checkpoints are large, and only the best trial's are of use."""
    best = best_trial(study)
    for trial in study.trials:
        checkpoints = trial_folder(out, trial.number) / "checkpoints"
        if best is not None and trial.number == best.number:
            (checkpoints / "last.ckpt").unlink(missing_ok=True)
        else:
            shutil.rmtree(checkpoints, ignore_errors=True)


def _describe(study: optuna.Study, ranges: list[Range]) -> str:
    trial = study.trials[-1]
    settings = " ".join(f"{r.key}={_short(trial.params.get(r.key))}" for r in ranges)
    best = best_trial(study)
    complete = trial.state.name == "COMPLETE"
    value = f"{trial.value:.4f}" if complete else trial.state.name.lower()
    return f"{value}  {settings}" + (
        "" if best is None else f"  (best {best.value:.4f}, trial {best.number + 1})"
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _check(base: TrainConfig, ranges: list[Range], trials: int) -> None:
    if not ranges:
        raise InputError(
            "nothing is varied",
            where="key=range",
            mend="for example optimizer.lr=log:1e-5:1e-2 loss.dice=0:1",
        )
    if trials < 1:
        raise InputError(f"{trials} trials", where="--trials", mend="1 or more")
    if base.devices != 1 or base.nodes != 1:
        raise InputError("a sweep trains on one device", where="devices, nodes", mend="devices=1 nodes=1")
    for one in ranges:
        for value in one.ends():
            override(base, [f"{one.key}={value}"])
    if base.data.root is None:
        raise InputError("no data folder", where="data.root", mend="give --data DIR")
    find_layout(base.data.layout, base.data.root)


def _check_same(out: Path, record: dict[str, Any]) -> None:
    path = out / "sweep.yaml"
    if not path.is_file():
        raise InputError(
            "there is no sweep to resume", where=str(out), mend="give its folder, or leave --resume out"
        )
    if yaml.safe_load(path.read_text(encoding="utf-8")) != _plain(record):
        raise InputError(
            "a resumed sweep goes on with its own recipe and ranges, and these differ",
            where=str(path),
            mend="give the words of its start, or start a new one in another folder",
        )


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """As YAML reads it back: lists instead of tuples."""
    plain: dict[str, Any] = yaml.safe_load(yaml.dump(record, Dumper=_TupleDumper, sort_keys=False))
    return plain


class _TupleDumper(yaml.SafeDumper):
    pass


_TupleDumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(list(data)))
