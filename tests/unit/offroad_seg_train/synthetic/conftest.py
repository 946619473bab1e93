# SPDX-License-Identifier: Apache-2.0
"""One world and one bag for all tests of the synthetic desert: building them takes seconds."""

from __future__ import annotations

import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg_train.synthetic.bag import write_bag
from offroad_seg_train.synthetic.render import default_camera
from offroad_seg_train.synthetic.world import build_world

SEED = (7, 0)
BAG_SECONDS, BAG_RATE, BAG_SEED, BAG_SIZE = 1.2, 5.0, 4, (160, 90)


@pytest.fixture(scope="session")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="session")
def world(ontology):
    return build_world(SEED, ontology)


@pytest.fixture(scope="session")
def camera():
    return default_camera(160, 90)


@pytest.fixture(scope="session")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bag") / "drive"
    return write_bag(path, BAG_SECONDS, BAG_RATE, BAG_SEED, *BAG_SIZE, progress=False, workers=1)
