# SPDX-License-Identifier: Apache-2.0
"""What a sweep varies: ``key=range`` words, for any setting of a recipe.

======================  =====================================================
``optimizer.lr=log:1e-5:1e-2``  between, evenly in the logarithm
``loss.dice=0:1``       between; whole numbers where the setting is one
``epochs=10:50:10``     in steps
``model.backbone=[a,b]``  one of these; for a list setting one of [[a],[a,b]]
======================  =====================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from offroad_seg.errors import InputError
from offroad_seg_train.training.recipe import parse_value

if TYPE_CHECKING:
    import optuna

    from offroad_seg_train.training.config import TrainConfig

_MEND = "for example optimizer.lr=log:1e-5:1e-2, loss.dice=0:1 or model.backbone=[resnet18,resnet34]"


@dataclass(frozen=True)
class Range:
    """The values of one setting.

    Attributes:
        key: Its dotted name.
        choices: The values, as YAML; empty where there are bounds.
        low: Smallest value.
        high: Largest value.
        step: Distance of the values; None where every value between the bounds is one.
        log: Even in the logarithm.
        whole: Whole numbers only.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def suggest(self, trial: optuna.Trial) -> str:
        """A value for a trial, as YAML."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=step))
        return repr(trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step))

    def ends(self) -> list[str]:
        """The values that show whether the range fits the setting."""
        if self.choices:
            return list(self.choices)
        return [str(int(v)) if self.whole else repr(v) for v in (self.low, self.high)]


def split_words(words: list[str], config: TrainConfig) -> tuple[list[str], list[Range]]:
    """Part ``key=value`` words that hold a setting fixed from those that vary one.

    Args:
        words: All of them.
        config: The recipe; what a setting is there decides whether a list is a value or a choice.

    Raises:
        InputError: A range is none.
    """
    fixed: list[str] = []
    ranges: list[Range] = []
    for word in words:
        key, _, text = word.partition("=")
        current = _current(config, key)
        found = _choices(key, text, word, current) or _bounds(key, text, word, current)
        if found is None:
            fixed.append(word)
        else:
            ranges.append(found)
    return fixed, ranges


def _choices(key: str, text: str, word: str, current: Any) -> Range | None:
    if not text.startswith("["):
        return None
    values = parse_value(text, word)
    if isinstance(current, list) and not all(isinstance(value, list) for value in values):
        return None
    if len(values) < 2:
        raise InputError(f"'{word}' leaves no choice", mend=_MEND)
    return Range(
        key, tuple(yaml.safe_dump(value, default_flow_style=True).split("\n")[0] for value in values)
    )


def _bounds(key: str, text: str, word: str, current: Any) -> Range | None:
    log = text.startswith("log:")
    parts = text.removeprefix("log:").split(":")
    if len(parts) == 1 and not log:
        return None
    values = [parse_value(part, word) for part in parts]
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        if log:
            raise InputError(f"'{word}' has no numbers", mend=_MEND)
        # A path or an address may hold a colon.
        return None
    if len(values) not in (2, 3) or (log and len(values) == 3):
        raise InputError(f"'{word}' is no range", mend=_MEND)
    whole = isinstance(current, int) and all(isinstance(v, int) for v in values)
    low, high = values[:2]
    if not low < high or (log and low <= 0):
        raise InputError(
            f"'{word}' is no range", mend=f"low:high with low < high{', both above 0' * log}; {_MEND}"
        )
    step = values[2] if len(values) == 3 else None
    if step is not None and not 0 < step <= high - low:
        raise InputError(f"the step of '{word}' does not fit", mend="above 0, and no more than high − low")
    return Range(key, low=low, high=high, step=step, log=log, whole=whole)


def _current(config: TrainConfig, key: str) -> Any:
    value: Any = asdict(config)
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
