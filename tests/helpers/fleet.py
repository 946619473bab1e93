# SPDX-License-Identifier: Apache-2.0
"""Bags for a replay of many, and what differs from one replay of them to the next."""

from __future__ import annotations

import json

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.evaluation import TIME_KEYS
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle

HEIGHT, WIDTH = 60, 96
FRAMES = {"a_run": 60, "b_run": 50, "c_run": 40}


@pytest.fixture(scope="session")
def fleet_place(tmp_path_factory):
    """A bundle, three bags, one that is no bag, and the results of all four from one process in the folder ``one``."""
    ontology = load_ontology("duality_desert")
    folder = tmp_path_factory.mktemp("fleet")
    make_color_bundle(folder / "bundle", ontology, HEIGHT, WIDTH)
    for number, (name, frames) in enumerate(FRAMES.items()):
        write_bag(
            folder / "bags" / f"{name}.mcap", ontology, frames=frames, rate_hz=10.0, height=HEIGHT, width=WIDTH,
            noise=40 + 20 * number, speed=0.5 + number,
        )  # fmt: skip
    (folder / "bags" / "broken.mcap").write_bytes(b"no bag at all")
    assert main(fleet(folder, "one")) == 1
    return folder


def fleet(place, out, *options):
    bags = sorted(str(p) for p in (place / "bags").glob("*.mcap"))
    return ["replay", str(place / "bundle"), *bags, "--out", str(place / out), *options]


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def lasting(metrics):
    """Without what differs from run to run."""
    kept = {k: v for k, v in metrics.items() if k not in TIME_KEYS}
    if "bags" in kept:
        kept["bags"] = {
            n: {k: v for k, v in b.items() if k not in TIME_KEYS} for n, b in kept["bags"].items()
        }
    return kept
