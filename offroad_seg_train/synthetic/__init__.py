# SPDX-License-Identifier: Apache-2.0
"""A synthetic desert: seeded worlds, exact masks and depth, a drive with its true costmap.

``write_dataset`` and ``write_bag`` are what other packages use; ``docs/synth.md`` tells the rest.
"""

from offroad_seg_train.synthetic.bag import write_bag
from offroad_seg_train.synthetic.dataset import write_dataset

__all__ = ["write_bag", "write_dataset"]
