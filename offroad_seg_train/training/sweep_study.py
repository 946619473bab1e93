# SPDX-License-Identifier: Apache-2.0
"""Optuna's record of a sweep, which a kill at any moment leaves whole."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import optuna

    from offroad_seg_train.training.config import TrainConfig

# Set where a trial has ended, in whatever way; one that was killed has none.
SECONDS = "seconds"
_STUDY = "sweep"
# Trials that are judged by their whole length before any is cut short.
_UNPRUNED = 4


def trial_folder(out: Path, number: int) -> Path:
    """Where a trial's run is; Optuna counts from 0, people from 1."""
    return out / "trials" / f"{number + 1:04d}"


def import_optuna() -> Any:
    """Optuna, which comes with an extra.

    Raises:
        InputError: It is not installed.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise InputError(
            f"Optuna is not installed: {error}", where="sweep", mend="pip install 'offroad-seg[sweep]'"
        ) from error
    return optuna


def open_study(optuna: Any, out: Path, config: TrainConfig, *, larger_is_better: bool) -> Any:
    """The study in a sweep's folder, new or as it was left; what a kill interrupted is queued again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    )
    study = optuna.create_study(
        storage=storage,
        study_name=_STUDY,
        direction="maximize" if larger_is_better else "minimize",
        # The first figures say little.
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=_UNPRUNED, n_warmup_steps=max(1, config.epochs // 4)
        ),
        load_if_exists=True,
    )
    # Another seed after each stop, or the same settings would be drawn again.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        # Killed in the middle: it is done again, and counts once.
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
        shutil.rmtree(trial_folder(out, trial.number), ignore_errors=True)
    return study


def count_ended(study: optuna.Study) -> int:
    """Trials that came to an end, in whatever way."""
    return sum(SECONDS in trial.user_attrs for trial in study.trials)


def best_trial(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The best so far; None where no trial reached its end."""
    try:
        return study.best_trial
    except ValueError:
        return None
