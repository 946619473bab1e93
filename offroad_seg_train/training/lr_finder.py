# SPDX-License-Identifier: Apache-2.0
"""A learning rate to begin with: raise it step by step over some hundred steps, and look where the loss falls fastest.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017 (arXiv:1506.01186). The suggestion is the rate
of the steepest descent of the smoothed loss, as Lightning's tuner gives it; unlike that, each parameter group keeps
its ratio to the others.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
from lightning.fabric import Fabric
from scipy.ndimage import gaussian_filter1d

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.progress import progress
from offroad_seg.resources import check_output, keep_sources, prepare_output, replacing_file, write_text
from offroad_seg_train.training.hardware import choose_hardware
from offroad_seg_train.training.ingredients import gather
from offroad_seg_train.training.network import build_network
from offroad_seg_train.training.optim import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch.utils.data import DataLoader

    from offroad_seg_train.training.config import TrainConfig

    F64 = NDArray[np.float64]

_SMOOTHING = 0.9
# The search ends where the running mean of the loss is this many times its smallest value.
_DIVERGED = 4.0
# Width of the smoothing that the suggestion is read from, in steps. To both sides: a running mean lags behind, and
# would suggest a rate that is several times too large.
_SIGMA = 3.0
_FEWEST_STEPS = 20


@dataclass(frozen=True)
class RateSearch:
    """What a search found.

    Attributes:
        suggestion: Learning rate of the head where the smoothed loss falls fastest.
        lowest: The one where it was lowest: more is too much.
        diverged: The one at which the search ended because the loss grew; None where it never did.
        rates: All that were tried.
        losses: The loss at each.
        smoothed: The same, smoothed.
    """

    suggestion: float
    lowest: float
    diverged: float | None
    rates: list[float]
    losses: list[float]
    smoothed: list[float]


def find_rate(
    config: TrainConfig,
    out: Path,
    *,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    overwrite: bool = False,
    show: bool = True,
) -> RateSearch:
    """Search a learning rate for a recipe; writes ``lr_find.json`` and ``lr_find.png``.

    Args:
        config: The recipe.
        out: The folder.
        lowest: The first rate.
        highest: The last rate.
        steps: Steps between them.
        overwrite: Replace a folder that is not empty.
        show: Show progress.

    Raises:
        InputError: The range is none, the run is one of several processes, or the data cannot be used.
        OffroadSegError: The loss never falls, or grows from the first steps on.
    """
    if not 0 < lowest < highest or steps < _FEWEST_STEPS:
        raise InputError(
            f"{steps} steps from {lowest:g} to {highest:g} are no search",
            where="--min, --max, --steps",
            mend=f"0 < min < max, and at least {_FEWEST_STEPS} steps",
        )
    if config.devices != 1 or config.nodes != 1:
        raise InputError("the search runs on one device", where="devices, nodes", mend="devices=1 nodes=1")
    check_output(out, overwrite=overwrite)
    keep_sources(out, *config.sources)
    rates, losses = _raise_rate(config, np.geomspace(lowest, highest, steps), show=show)
    found = judge(rates, losses)
    prepare_output(out, overwrite=overwrite)
    write_text(out / "lr_find.json", json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    draw(found, out / "lr_find.png")
    return found


def judge(rates: list[float], losses: list[float]) -> RateSearch:
    """The suggestion from the losses.

    Args:
        rates: Rising.
        losses: At each rate; the last may be infinite or NaN.

    Raises:
        OffroadSegError: The loss never falls, or grows from the first steps on.
    """
    kept, diverged = _until_divergence(losses)
    if kept < _FEWEST_STEPS // 2:
        raise OffroadSegError(
            f"the loss grows from the first steps on: {losses[0]:.3g} at {rates[0]:.1e}, "
            f"{losses[min(kept, len(losses) - 1)]:.3g} at {rates[min(kept, len(rates) - 1)]:.1e}",
            where="lr-find",
            mend="a smaller --min; where that does not help, look at the data (`offroad-seg audit`) and the loss",
        )
    values: F64 = gaussian_filter1d(np.array(losses[:kept]), _SIGMA, mode="nearest")
    bottom = int(values.argmin())
    if values[: bottom + 1].max() - values[bottom] < 0.05 * abs(values[0]):
        raise OffroadSegError(
            f"the loss never falls between {rates[0]:.1e} and {rates[kept - 1]:.1e}: it stays near {values[0]:.3g}",
            where="lr-find",
            mend="a larger --max or more --steps; where that does not help, look at what is frozen and at the data",
        )
    slope = np.gradient(values, np.log(rates[:kept]))
    steepest = int(slope[: bottom + 1].argmin())
    return RateSearch(
        suggestion=float(rates[steepest]),
        lowest=float(rates[bottom]),
        diverged=float(rates[min(kept, len(rates) - 1)]) if diverged else None,
        rates=[float(rate) for rate in rates[:kept]],
        losses=[float(loss) for loss in losses[:kept]],
        smoothed=[float(value) for value in values],
    )


def _until_divergence(losses: list[float]) -> tuple[int, bool]:
    """How many steps there are before the loss explodes, and whether it does."""
    mean, smallest = 0.0, math.inf
    for n, loss in enumerate(losses):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        value = mean / (1 - _SMOOTHING ** (n + 1))
        if not math.isfinite(value) or value > _DIVERGED * max(smallest, 1e-12):
            return n, True
        smallest = min(smallest, value)
    return len(losses), False


def _raise_rate(config: TrainConfig, rates: F64, *, show: bool) -> tuple[list[float], list[float]]:
    pl.seed_everything(config.seed, verbose=False)
    hardware = choose_hardware(config)
    shared = gather(config, hardware, show=show)
    network = build_network(config, config.model, shared.ontology, hardware, fetch=True)
    fabric = Fabric(
        accelerator="gpu" if hardware.gpu else "cpu",
        devices=1,
        precision=hardware.precision,  # type: ignore[arg-type]
    )
    clips_in_mixed = bool(config.clip) and hardware.precision != "32-true"
    module, optimizer = fabric.setup(
        network, build_optimizer(config.optimizer, network.model, fused=not clips_in_mixed)
    )
    loss_function = fabric.to_device(shared.loss)
    ratios = [group["lr"] / config.optimizer.lr for group in optimizer.param_groups]
    batches = _endless(shared.training_loader(0, show=show))
    module.train()
    losses: list[float] = []
    for rate in progress(rates, what="raising the rate", total=len(rates), unit="step", show=show):
        batch = fabric.to_device(next(batches))
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = rate * ratio
        loss = loss_function(module(batch["image"]), batch["labels"])
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]) or _until_divergence(losses)[1]:
            break
        optimizer.zero_grad()
        fabric.backward(loss)
        if config.clip:
            fabric.clip_gradients(module, optimizer, max_norm=config.clip)
        optimizer.step()
    return [float(rate) for rate in rates[: len(losses)]], losses


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        yield from loader
        epoch += 1


def draw(found: RateSearch, path: Path) -> None:
    """The loss over the rate, with the suggestion marked.

    Args:
        found: The search.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(found.rates, found.losses, color="tab:gray", alpha=0.4, linewidth=1, label="loss of each step")
    axes.plot(found.rates, found.smoothed, color="tab:orange", linewidth=2, label="smoothed")
    at = found.rates.index(found.suggestion)
    axes.plot(
        [found.suggestion],
        [found.smoothed[at]],
        "o",
        color="tab:red",
        label=f"falls fastest: {found.suggestion:.1e}",
    )
    axes.axvline(found.lowest, color="tab:blue", linestyle=":", label=f"lowest: {found.lowest:.1e}")
    axes.set_xscale("log")
    low, high = min(found.smoothed), max(found.smoothed[: at + 1])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.3 * (high - low))
    axes.set_xlabel("learning rate of the head")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
