# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.transforms import Transform
from offroad_seg_train.synthetic.drive import Drive, base_T_optical, random_view
from offroad_seg_train.synthetic.render import default_camera, render


@pytest.fixture(scope="module")
def view(world):
    return Drive(world.terrain, start=20.0).poses(np.array([1.0]))[0] @ base_T_optical()


@pytest.fixture(scope="module")
def picture(world, camera, view):
    return render(world, camera, view, (1,))


def _points(camera, picture, world_T_optical):
    """World points (N, 3) and their labels, from depth and calibration alone."""
    seen = np.isfinite(picture.depth_HW)
    v, u = np.nonzero(seen)
    rays = camera.rays(np.stack([u, v], -1).astype(np.float64))
    points = rays / rays[:, 2:] * picture.depth_HW[seen][:, None].astype(np.float64)
    return world_T_optical.apply(points), picture.labels_HW[seen], points, np.stack([u, v], -1)


def test_shapes_and_types(picture, camera, ontology):
    assert picture.image_HWC.shape == (90, 160, 3)
    assert picture.image_HWC.dtype == np.uint8
    assert picture.labels_HW.dtype == np.uint8
    assert picture.depth_HW.dtype == np.float32
    assert picture.labels_HW.max() < ontology.n_classes
    assert 60 < picture.image_HWC.mean() < 200
    assert camera.D


def test_sky_is_where_there_is_no_depth(picture, ontology):
    assert np.array_equal(picture.labels_HW == ontology.id_of("Sky"), np.isnan(picture.depth_HW))
    assert np.nanmin(picture.depth_HW) > 0


def test_depth_and_calibration_put_bare_ground_onto_the_terrain(world, camera, picture, view, ontology):
    points, labels, optical, uv = _points(camera, picture, view)
    ground = (labels == ontology.id_of("Landscape")) & (np.hypot(*points[:, :2].T) < 300)
    assert ground.sum() > 500
    height = world.terrain.height(points[ground, 0], points[ground, 1])
    assert np.abs(points[ground, 2] - height).max() < 0.05
    back, valid = camera.project(optical)
    assert valid.all()
    assert np.abs(back - uv).max() < 0.05


def test_labels_of_bare_ground_are_those_of_its_cover(world, camera, picture, view, ontology):
    points, labels, _, _ = _points(camera, picture, view)
    on_ground = np.abs(points[:, 2] - world.terrain.height(points[:, 0], points[:, 1])) < 1e-3
    bare = on_ground & (labels == ontology.id_of("Landscape"))
    near = bare & (np.linalg.norm(points - view.translation_3, axis=1) < 15)
    expected = world.ground_classes(world.ground_cover(points[near, 0], points[near, 1]))
    # A hand's breadth at the edge of a patch is within the noise of reading the depth.
    assert (expected == ontology.id_of("Landscape")).mean() > 0.99


def _seen_from_above(world, camera, name, x, y, height=3.0):
    """Label in the middle of a picture that looks straight down at a place."""
    z = float(world.terrain.height(np.array([x]), np.array([y]))[0]) + height
    # Optical z down, optical x along world x, so optical y along −world y.
    down = Transform(np.diag([1.0, -1.0, -1.0]), np.array([x, y, z]))
    picture = render(world, camera, down, (2,))
    uv, valid = camera.project(np.array([[0.0, 0.0, height]]))
    assert valid.all()
    u, v = uv[0].round().astype(int)
    return world.ontology.names[picture.labels_HW[v, u]] == name, picture.depth_HW[v, u] < height


def test_known_rocks_are_labelled_rocks(world, camera):
    names = np.array(world.things.obstacle_names)
    rocks = world.things.obstacles_K3[names == "Rocks"]
    others = world.things.obstacles_K3[names != "Rocks"]
    rocks = rocks[np.argsort(-rocks[:, 2])]
    # Those over which nothing else stands.
    free = [r for r in rocks if (np.hypot(*(others[:, :2] - r[:2]).T) > others[:, 2] + 4).all()][:5]
    assert len(free) == 5
    for x, y, _ in free:
        labelled, above_ground = _seen_from_above(world, camera, "Rocks", x, y)
        assert labelled
        assert above_ground


def test_same_seed_same_bytes(world, camera, view, picture):
    again = render(world, camera, view, (1,))
    assert np.array_equal(picture.image_HWC, again.image_HWC)
    assert np.array_equal(picture.labels_HW, again.labels_HW)
    assert np.array_equal(picture.depth_HW, again.depth_HW, equal_nan=True)
    other = render(world, camera, view, (2,))
    assert not np.array_equal(picture.image_HWC, other.image_HWC)
    assert np.array_equal(picture.labels_HW, other.labels_HW)


def test_shadow_is_darker_than_sunlight(world, camera):
    """The ground beside a trunk, away from the sun, is darker than the ground around: shadows are cast."""
    names = np.array(world.things.obstacle_names)
    rock = world.things.obstacles_K3[names == "Rocks"]
    x, y, radius = rock[np.argmax(rock[:, 2])]
    sun = world.style.sun_3
    point = np.array([x, y, world.terrain.height(np.array([x]), np.array([y]))[0] + 0.3 * radius])
    towards = (point + 20 * sun)[None].astype(np.float32)
    assert world.scene.occluded(towards, -sun[None].astype(np.float32)).all()
    high = np.array([[x, y, 60.0]], np.float32)
    assert not world.scene.occluded(high, sun[None].astype(np.float32)).any()


def test_every_class_is_seen_from_a_few_views(world, ontology):
    camera = default_camera(240, 135)
    rng = np.random.default_rng(3)
    count = np.zeros(ontology.n_classes)
    for k in range(12):
        labels = render(world, camera, random_view(rng, world), (k,)).labels_HW
        count += np.bincount(labels.ravel(), minlength=ontology.n_classes)
    share = dict(zip(ontology.names, count / count.sum(), strict=True))
    assert min(share.values()) > 2e-4, share
    assert 0.1 < share["Sky"] < 0.6
    assert share["Landscape"] > 0.1
    assert share["Dry Grass"] > 0.05
