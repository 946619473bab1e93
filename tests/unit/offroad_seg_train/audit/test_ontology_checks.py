# SPDX-License-Identifier: Apache-2.0
"""Ontologies that cannot be true of the data, and those that can."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg_train.audit.audit import AuditOptions, run_audit
from offroad_seg_train.audit.finding import MaskValue, Severity
from offroad_seg_train.audit.ontology_checks import cost_findings
from offroad_seg_train.audit.sky import fitting_ontologies, looks_like_sky

DESERT = load_ontology("duality_desert").to_dict()


def audit_with(folder, tmp_path, change):
    """Audit with a changed copy of duality_desert."""
    table = {c["name"]: dict(c) for c in DESERT["classes"]}
    change(table)
    classes = [{k: v for k, v in c.items() if k != "id"} for c in table.values()]
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump({"name": "changed", "classes": classes, "ignore": [0]}))
    return run_audit(AuditOptions(folder, ontology=str(path), show_progress=False))


def about(audit):
    return {
        f.kind: f for f in audit.findings if "sky" in f.kind or "ground" in f.kind or "standing" in f.kind
    }


def swap(first, second):
    def change(table):
        table[first]["raw"], table[second]["raw"] = table[second]["raw"], table[first]["raw"]

    return change


@pytest.mark.filterwarnings("ignore:ontology seed_deck")
def test_the_deck_is_shouted_at_with_figures_and_told_what_fits(clean_folder):
    audit = run_audit(AuditOptions(clean_folder, ontology="seed_deck", show_progress=False))
    found = about(audit)
    shout = found["sky_below"]
    assert audit.findings[0] is shout
    assert shout.severity == Severity.ERROR
    for words in ("Raw 550", "LOWER", "Raw 10000", "Trail", "mean height 0.", "upper edge"):
        assert words in shout.title + shout.text
    assert "duality_desert" in shout.mend
    assert shout.figures["mean_height"] > 0.6
    assert shout.figures["looks_like_sky"] == ["10000"]
    assert shout.examples[0].panels[1].values == (MaskValue(550),)
    assert shout.examples[0].panels[2].values == (MaskValue(10000),)
    assert found["ground_above"].figures["class"] == "Trail"
    assert "ontology_warning" in {f.kind for f in audit.findings}


def test_the_right_ontology_has_nothing_against_it(clean_audit):
    assert about(clean_audit) == {}
    assert looks_like_sky(clean_audit.tally) == [MaskValue(10000)]


def test_sky_that_changed_places_with_the_ground_is_found(clean_folder, tmp_path):
    found = about(audit_with(clean_folder, tmp_path, swap("Sky", "Landscape")))
    assert found["sky_below"].severity == Severity.ERROR
    assert "Raw 7100" in found["sky_below"].text
    ground = found["ground_above"]
    assert ground.severity == Severity.ERROR
    assert "With cost 5 it would be driven on" in ground.text


def test_sky_that_changed_places_with_trees_is_doubted(clean_folder, tmp_path):
    found = about(audit_with(clean_folder, tmp_path, swap("Sky", "Trees")))
    assert set(found) & {"sky_below", "sky_unlikely"}


def test_sky_that_never_occurs_while_something_looks_like_it(clean_folder, tmp_path):
    def change(table):
        table["Haze"] = {"name": "Haze", "color": [1, 2, 3], "raw": [10000], "cost": "unknown"}
        table["Sky"]["raw"] = [4242]

    found = about(audit_with(clean_folder, tmp_path, change))
    assert found["sky_missing"].severity == Severity.WARNING
    assert "Raw 10000, which it calls Haze" in found["sky_missing"].text


def test_what_stands_does_not_fill_the_floor(clean_folder, tmp_path):
    found = about(audit_with(clean_folder, tmp_path, swap("Rocks", "Landscape")))
    assert "'Rocks'" in found["standing_below"].title


def test_two_values_of_one_class_lie_apart(clean_folder, tmp_path):
    def change(table):
        table["Landscape"]["raw"] = [7100, 10000]
        table["Sky"]["raw"] = [4242]

    audit = audit_with(clean_folder, tmp_path, change)
    (apart,) = [f for f in audit.findings if f.kind == "values_apart"]
    assert "10000 lies at mean height 0." in apart.text


def test_costs_that_contradict_names_need_no_data():
    def with_class(**own):
        entry = {"color": [0, 0, 0], "raw": [1], **own}
        return Ontology.from_dict({"name": "x", "classes": [entry]})

    (sky,) = cost_findings(with_class(name="Sky", cost=5))
    assert (sky.kind, sky.severity) == ("sky_costs", Severity.ERROR)
    assert cost_findings(with_class(name="Sky", cost="unknown")) == []
    assert cost_findings(with_class(name="Sky", cost="unknown", standing=True))
    (rock,) = cost_findings(with_class(name="Big Rock", cost=10))
    assert rock.kind == "solid_is_free"
    assert cost_findings(with_class(name="Big Rock", cost=10, standing=True)) == []
    assert cost_findings(with_class(name="Rock Bed", cost=10)) == []


def test_a_view_from_above_has_no_top_and_raises_no_alarm(tmp_path):
    """Colour masks in which every class lies everywhere, as on orthophotos."""
    palette = np.array([c.palette[0] for c in load_ontology("potsdam").classes], np.uint8)
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for k in range(24):
        index = cv2.resize(rng.integers(0, 6, (7, 9), np.uint8), (120, 90), interpolation=cv2.INTER_NEAREST)
        noise = rng.integers(-25, 26, (90, 120, 3))
        image = np.clip(palette[index].astype(int) // 2 + 60 + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"t{k}.png"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / "masks" / f"t{k}.png"), palette[index][..., ::-1])
    audit = run_audit(AuditOptions(tmp_path, ontology="potsdam", show_progress=False))
    assert audit.findings == []
    assert audit.tally.pixels == 24 * 90 * 120


def test_ontologies_that_fit_are_found_by_values_and_by_sky(clean_audit):
    assert fitting_ontologies(clean_audit.tally, sky=True) == []  # none but the one in use
    tally = clean_audit.tally
    other = type(tally)(load_ontology("ycor"))
    other.values, other.ids, other.masks, other.pixels = tally.values, tally.ids, tally.masks, tally.pixels
    assert fitting_ontologies(other, sky=True) == ["duality_desert"]
