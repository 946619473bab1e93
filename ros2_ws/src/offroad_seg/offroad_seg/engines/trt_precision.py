# SPDX-License-Identifier: Apache-2.0
"""Proof that an engine has the precision it was built for.

Silent float32 is the commonest fault in the field: a flag that a newer version ignores, and the engine is twice as
large and several times as slow, and says nothing. So what came out is weighed and looked into, and does not count as
fp16 because it was asked for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.engines.trt_layers import FLOAT, HALF
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from offroad_seg.engines.trt_layers import LayerTypes

_HALFWAY = 1.5  # between the bytes of float16 and those of float32
_OVERHEAD = 8 << 20  # code and tables of a plan beside its weights
_MOST = 0.9  # of the numbers in weights


@dataclass(frozen=True)
class PrecisionProof:
    """What was looked at, for the manifest.

    Attributes:
        precision: What was asserted.
        plan_bytes: Size of the serialised engine.
        weight_count: Floating-point numbers in the network's constants.
        weights_bytes: Bytes of weights as the builder counted them, or None.
        constants: Type → numbers in the engine's weights, after fusion; empty where nothing told.
        heavy: Type → convolutions and matrix products that give it.
        told_by: What the assertion rests on.
    """

    precision: str
    plan_bytes: int
    weight_count: int
    weights_bytes: int | None
    constants: dict[str, int]
    heavy: dict[str, int]
    told_by: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {**asdict(self), "told_by": list(self.told_by)}


def assert_precision(
    precision: str,
    *,
    plan_bytes: int,
    weight_count: int,
    weights_bytes: int | None = None,
    layers: LayerTypes | None = None,
    where: str = "",
) -> PrecisionProof:
    """Hold an engine against the precision that it was built for.

    Args:
        precision: ``fp16`` or ``fp32``.
        plan_bytes: Size of the serialised engine.
        weight_count: Floating-point numbers in the network's constants.
        weights_bytes: As the builder counted them, where it did.
        layers: The engine's layers, where they could be read.
        where: For the message.

    Raises:
        EngineError: The engine is not of that precision; the message has the figures.
    """
    told_by = []
    half, full = 2 * weight_count, 4 * weight_count
    faults = []
    constants = layers.constants if layers is not None else {}
    heavy = layers.heavy if layers is not None else {}
    wanted = HALF if precision == "fp16" else FLOAT
    if total := sum(constants.values()):
        told_by.append("types of the weights")
        share = constants.get(wanted, 0) / total
        if share < _MOST:
            faults.append(f"{share:.0%} of the numbers in its weights are {wanted}: {_listed(constants)}")
    if total := sum(heavy.values()):
        told_by.append("types of the layers")
        share = heavy.get(wanted, 0) / total
        if share < _MOST:
            faults.append(
                f"{share:.0%} of its convolutions and matrix products give {wanted}: {_listed(heavy)}"
            )
    # Some tactics keep weights in a larger form: where the types were told, they decide.
    typed = bool(told_by)
    if weights_bytes is not None:
        told_by.append("size of the weights")
        if not typed and not _plausible(weights_bytes, 0, half, precision):
            faults.append(
                f"its weights take {_mb(weights_bytes)}; fp16 would take {_mb(half)}, fp32 {_mb(full)}"
            )
    # A plan of few weights is mostly code: its size tells nothing.
    if half > 2 * _OVERHEAD:
        told_by.append("size of the plan")
        if not typed and not _plausible(plan_bytes, _OVERHEAD, half, precision):
            faults.append(
                f"the plan takes {_mb(plan_bytes)}; fp16 would take about {_mb(half)}, fp32 {_mb(full)}"
            )
    if faults:
        raise EngineError(
            f"the engine is not {precision}: {'; '.join(faults)}",
            where=where,
            mend="report this with the versions of TensorRT and offroad-seg; nothing was written",
        )
    if not told_by:
        told_by.append("types of the network")
    return PrecisionProof(
        precision, plan_bytes, weight_count, weights_bytes, dict(constants), dict(heavy), tuple(told_by)
    )


def _plausible(found: int, overhead: int, half: int, precision: str) -> bool:
    if precision == "fp16":
        return found <= _HALFWAY * half + overhead
    return found >= _HALFWAY * half


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
