# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from offroad_seg_train.synthetic.world import GROUND, build_world


def test_same_seed_same_world_and_another_seed_another(world, ontology):
    again = build_world(world.seed, ontology)
    assert np.array_equal(world.mesh.vertices_N3, again.mesh.vertices_N3)
    assert np.array_equal(world.mesh.colors_N3, again.mesh.colors_N3)
    assert np.array_equal(world.mesh.faces_M3, again.mesh.faces_M3)
    assert np.array_equal(world.triangle_class_F, again.triangle_class_F)
    other = build_world((8, 0), ontology)
    assert not np.allclose(other.style.sun_3, world.style.sun_3)
    assert len(other.mesh.faces_M3) != len(world.mesh.faces_M3)


def test_every_class_but_sky_has_triangles(world, ontology):
    present = {ontology.names[k] for k in np.unique(world.triangle_class_F)}
    assert present == set(ontology.names) - {"Sky"}


def test_mesh_is_whole(world):
    mesh = world.mesh
    assert mesh.faces_M3.min() >= 0
    assert mesh.faces_M3.max() < len(mesh.vertices_N3)
    assert np.isfinite(mesh.vertices_N3).all()
    assert len(world.triangle_class_F) == len(world.triangle_kind_F) == len(mesh.faces_M3)
    assert mesh.colors_N3.min() >= 0
    assert mesh.colors_N3.max() <= 1
    lengths = np.linalg.norm(mesh.normals_N3, axis=1)
    assert np.abs(lengths - 1).max() < 0.02


def test_nothing_stands_on_the_trail(world):
    x, y, radius = world.things.obstacles_K3.T
    gap = world.terrain.trail_distance(x, y) - radius
    assert gap.min() > 1.0
    assert {"Trees", "Rocks", "Logs", "Lush Bushes", "Dry Bushes"} == set(world.things.obstacle_names)


def test_things_touch_the_ground(world, ontology):
    """Every rock's triangles begin below the ground: none floats."""
    rocks = world.mesh.faces_M3[world.triangle_class_F == ontology.id_of("Rocks")]
    used = world.mesh.vertices_N3[rocks].reshape(-1, 3)
    obstacles = world.things.obstacles_K3[np.array(world.things.obstacle_names) == "Rocks"]
    above = used[:, 2] - world.terrain.height(used[:, 0], used[:, 1])
    for x, y, radius in obstacles[:40]:
        mine = np.hypot(used[:, 0] - x, used[:, 1] - y) < radius
        assert above[mine].min() < 0.0 < above[mine].max()


def test_ground_classes_follow_the_cover(world, ontology):
    cover = np.array([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.1, 0.9, 0.0], [0.9, 0.9, 1.0]], np.float32)
    names = [ontology.names[k] for k in world.ground_classes(cover)]
    assert names == ["Landscape", "Dry Grass", "Ground Clutter", "Dry Grass"]
    assert (world.triangle_class_F[world.triangle_kind_F == GROUND] == ontology.id_of("Landscape")).all()
