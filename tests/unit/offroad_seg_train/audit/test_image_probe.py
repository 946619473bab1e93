# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from offroad_seg.errors import ImageError
from offroad_seg_train.audit.image_probe import TRAITS, digest, probe_image, shrink
from tests.helpers.planted import alien, scene


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


@pytest.fixture(scope="module")
def picture():
    return scene(3, 150, 260)[0]


def test_the_same_pixels_have_the_same_digest_whatever_the_file(tmp_path, picture):
    png, _ = probe_image(save(tmp_path / "a.png", picture))
    bmp, _ = probe_image(save(tmp_path / "b.bmp", picture))
    assert png.digest == bmp.digest
    assert (png.format, bmp.format, png.mode) == ("PNG", "BMP", "RGB")
    changed = picture.copy()
    changed[0, 0, 0] ^= 1
    assert probe_image(save(tmp_path / "c.png", changed))[0].digest != png.digest


def test_the_shape_is_part_of_the_digest():
    flat = np.zeros(24, np.uint8)
    assert digest(flat.reshape(4, 6)) != digest(flat.reshape(6, 4))
    assert digest(flat) != digest(flat.astype(np.uint16)[:12])


def test_figures_are_what_numpy_says(tmp_path, picture):
    record, small = probe_image(save(tmp_path / "a.png", picture))
    assert (record.height, record.width) == (150, 260)
    assert small.shape == (148, 256, 3)
    np.testing.assert_allclose(record.mean_3, picture.reshape(-1, 3).mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(
        record.square_3, (picture.reshape(-1, 3).astype(float) ** 2).mean(axis=0), rtol=1e-6
    )
    assert record.traits.shape == (len(TRAITS),)
    assert np.isfinite(record.traits).all()
    assert not any((record.blank, record.grey, record.turned))


def test_an_encoded_copy_keeps_its_hash_and_another_scene_does_not(tmp_path, picture):
    original, _ = probe_image(save(tmp_path / "a.png", picture))
    copy, _ = probe_image(save(tmp_path / "b.jpg", picture, quality=50))
    other, _ = probe_image(save(tmp_path / "c.png", scene(4, 150, 260)[0]))
    assert (original.hash_bits != copy.hash_bits).sum() <= 16
    assert (original.hash_bits != other.hash_bits).sum() > 60


@pytest.mark.parametrize(("value", "noise"), [(0, 0), (255, 0), (90, 2)])
def test_blank_frames_are_blank(tmp_path, value, noise):
    rng = np.random.default_rng(0)
    image = np.clip(value + rng.normal(0, noise, (60, 100, 3)), 0, 255).astype(np.uint8)
    assert probe_image(save(tmp_path / "a.png", image))[0].blank


def test_a_dark_scene_is_not_blank_and_grey_is_told_from_colour(tmp_path, picture):
    assert not probe_image(save(tmp_path / "d.png", picture // 8))[0].blank
    grey = np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert probe_image(save(tmp_path / "g.png", grey))[0].grey
    assert not probe_image(save(tmp_path / "e.png", alien()))[0].grey


def test_rows_that_a_broken_download_left_are_measured(tmp_path, picture):
    cut = picture.copy()
    cut[120:] = 128
    assert probe_image(save(tmp_path / "a.png", cut))[0].flat_rows == pytest.approx(0.2)
    assert probe_image(save(tmp_path / "b.png", picture))[0].flat_rows == 0


def test_a_turned_photograph_is_read_as_people_see_it(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    record, _ = probe_image(save(tmp_path / "a.jpg", picture, exif=exif))
    assert record.turned
    assert (record.height, record.width) == (260, 150)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError):
        probe_image(tmp_path / "a.png")


def test_shrinking_keeps_small_pictures_and_their_shape():
    image = np.random.default_rng(0).integers(0, 5, (300, 500), np.uint8)
    assert shrink(image, 600) is image
    assert shrink(image, 100).shape == (60, 100)
    assert shrink(np.zeros((2, 4000), np.uint8), 100).shape == (1, 100)
