"""Captions are readable and in their corner, grids fit, tiles keep their order."""

import numpy as np
import pytest
from helpers.videos import changed_share

from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.display import captions

pytestmark = pytest.mark.render


def test_a_caption_is_in_its_corner_and_a_warning_is_red():
    frame = np.full((240, 320, 3), 200, np.uint8)
    plain = captions.captioned(frame, ["walk   1.20 s", "phase 0.50"])
    warned = captions.captioned(frame, ["walk   1.20 s", "phase 0.50"], "failed: fall at 0.9 s")
    np.testing.assert_array_equal(frame, 200)
    rows, columns = np.nonzero((plain != frame).any(axis=-1))
    assert rows.max() < 50
    assert columns.max() < 160
    assert plain.max() > 240
    assert plain.min() < 110
    added = warned[rows.max() + 1 :].astype(int)
    red = added[..., 0] - added[..., 2]
    assert red.max() > 100
    np.testing.assert_array_equal(plain[60:], 200)
    other = captions.captioned(frame, ["walk   1.23 s", "phase 0.50"])
    assert 0 < changed_share(plain, other) < 0.01


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (1, (640, 480), (1, 640, 480)),
        (4, (640, 480), (2, 640, 480)),
        (5, (640, 480), (3, 640, 480)),
        (9, (640, 480), (3, 480, 360)),
        (2, (1280, 960), (2, 960, 720)),
        (64, (640, 480), (8, 180, 134)),
    ],
)
def test_a_grid_is_nearly_square_and_fits(count, size, expected):
    columns, width, height = captions.grid(count, *size)
    assert (columns, width, height) == expected
    assert columns * width <= 1920
    assert -(-count // columns) * height <= 1080
    assert abs(width / height / (size[0] / size[1]) - 1.0) < 0.02


def test_tiles_are_row_by_row():
    tiles = [np.full((8, 10, 3), 10 * i, np.uint8) for i in range(1, 6)]
    whole = captions.tiled(tiles, 3)
    assert whole.shape == (16, 30, 3)
    assert whole[3::8, 4::10, 0].tolist() == [[10, 20, 30], [40, 50, 0]]
    np.testing.assert_array_equal(captions.tiled(tiles[:1], 1), tiles[0])


def test_the_phase_of_a_cyclic_clip_starts_again_and_that_of_another_stays_at_its_end():
    walk = load_motion("walk")
    once = with_loop(walk, "clamp")
    assert captions.clip_phase(walk, 2.25 * walk.length) == pytest.approx(0.25)
    assert captions.clip_phase(walk, walk.length) == 0.0
    assert captions.clip_phase(once, 0.5 * walk.length) == pytest.approx(0.5)
    assert captions.clip_phase(once, 2.25 * walk.length) == 1.0
