# SPDX-License-Identifier: Apache-2.0
"""Networks that halve the image several times want sides that divide; these make any side divide, and undo it."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor


def pad_to_multiple(x_BCHW: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of ``multiple``.

    The image keeps its place at the top left, so ``crop_like`` undoes it on an output of the same size.
    """
    bottom, right = (-x_BCHW.shape[-2] % multiple, -x_BCHW.shape[-1] % multiple)
    if not (bottom or right):
        return x_BCHW
    return F.pad(x_BCHW, (0, right, 0, bottom), mode="replicate")


def crop_like(y_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """Cut ``y`` to the height and width of ``like`` at its top left."""
    height, width = like_BCHW.shape[-2:]
    return y_BCHW[..., :height, :width]
