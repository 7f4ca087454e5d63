"""Pictures show the robot where it is, and its reference too."""

import numpy as np
import pytest
from helpers.videos import assert_every_frame_shows_the_robot, changed, changed_share, without_robot

from mjx_mimic.display import gl, offscreen
from mjx_mimic.display.options import ReferenceStyle, VideoOptions
from mjx_mimic.display.rendering import Shot, compose
from mjx_mimic.robot.mjcf import load_mjcf

pytestmark = pytest.mark.render

HEIGHT, WIDTH = 120, 160


@pytest.fixture(scope="module", autouse=True)
def can_draw():
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)


@pytest.fixture(scope="module")
def model():
    return load_mjcf()


def standing(model, frames: int, x: float = 0.0) -> np.ndarray:
    qpos = np.tile(model.key("stand").qpos, (frames, 1))
    qpos[:, 0] += x
    return qpos


def draw(model, qpos, reference=None, style: ReferenceStyle = "ghost") -> np.ndarray:
    options = VideoOptions(width=WIDTH, height=HEIGHT, caption=False)
    return np.stack(list(compose(model, [Shot(qpos, reference)], options, style))).astype(int)


def test_the_robot_is_in_the_picture_and_the_camera_goes_with_it(model):
    there, far = draw(model, standing(model, 1)), draw(model, standing(model, 1, x=50.0))
    for qpos, picture in ((standing(model, 1), there), (standing(model, 1, x=50.0), far)):
        assert_every_frame_shows_the_robot(picture, draw(without_robot(model), qpos))
    # The robot fills the middle of both pictures, 50 m apart.
    middle = (slice(None), slice(HEIGHT // 4, -HEIGHT // 4), slice(WIDTH // 2 - 15, WIDTH // 2 + 15))
    assert changed_share(there[middle], far[middle]) < 0.35


def test_the_ghost_is_drawn_where_the_reference_is(model):
    qpos = standing(model, 1)
    alone, beside = draw(model, qpos), draw(model, qpos, standing(model, 1, x=0.6))
    assert 0.01 < changed_share(alone, beside) < 0.3
    blue = beside - alone
    shifted = changed(alone, beside)
    assert np.mean(blue[shifted][:, 2] - blue[shifted][:, 0]) > 5  # tinted blue


def test_beside_is_on_the_right_and_hides_nothing(model):
    """The robot alone on the left, an opaque blue one of the same size on the right."""
    qpos = standing(model, 1)
    (picture,) = draw(model, qpos, qpos, "side")
    (alone,) = draw(model, qpos, None, "side")
    other = changed(picture, alone)
    columns = np.flatnonzero(other.any(axis=0))
    assert columns.min() > WIDTH // 2
    (empty,) = draw(without_robot(model), qpos, None, "side")
    robot = changed(alone, empty)
    assert np.flatnonzero(robot.any(axis=0)).max() < columns.min()
    assert other.sum() == pytest.approx(robot.sum(), rel=0.4)
    blue = picture[other] - empty[other]
    assert np.mean(blue[:, 2] - blue[:, 0]) > 20


def test_the_camera_path_is_smooth_and_level(model):
    qpos = standing(model, 61)
    qpos[30:, 0] += 1.0  # a jump, as of a robot that stumbles
    qpos[:, 2] += np.linspace(0.0, 1.0, 61)
    with offscreen.OffscreenScene(model, WIDTH, HEIGHT) as scene:
        path = scene.camera_path(qpos, 30.0)
    assert path[0, 0] == pytest.approx(0.0, abs=0.05)
    assert path[-1, 0] == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.diff(path[:, 0])).max() < 0.04
    np.testing.assert_allclose(path[:, 2], offscreen.CAMERA_HEIGHT)
    assert np.ptp(path[:, 3]) == 0.0


@pytest.mark.parametrize("angle", [0.0, 2.0, 4.0])
def test_a_goal_some_metres_away_is_in_the_picture_beside_the_robot(model, angle):
    qpos = standing(model, 10)
    goal = np.tile([3.5 * np.cos(angle), 3.5 * np.sin(angle), 0.0], (10, 1))
    with offscreen.OffscreenScene(model, WIDTH, HEIGHT) as scene:
        camera = scene.camera_path(qpos, 30.0, goal)[5]
        plain = scene.draw(qpos[5], camera)
        marked = scene.draw(qpos[5], camera, markers=goal[5:6])
    with offscreen.OffscreenScene(without_robot(model), WIDTH, HEIGHT) as scene:
        empty = scene.draw(qpos[5], camera)
    for with_it, without in ((marked, plain), (plain, empty)):
        rows, columns = np.nonzero(changed(with_it, without))
        assert len(rows) > 5
        assert rows.min() > 0
        assert rows.max() < HEIGHT - 1
        assert columns.min() > 0
        assert columns.max() < WIDTH - 1


def test_a_goal_is_a_red_ball_where_it_is(can_draw):
    model = load_mjcf()
    qpos = model.key("stand").qpos
    with offscreen.OffscreenScene(model, 160, 120) as scene:
        camera = np.array([0.0, 0.0, 0.7, 2.6])
        plain = scene.draw(qpos, camera).astype(int)
        marked = scene.draw(qpos, camera, markers=np.array([[0.4, -0.4, 0.7]])).astype(int)
    changed = np.abs(marked - plain).sum(axis=-1) > 30
    assert 5 < changed.sum() < 400
    red, green, blue = marked[changed].mean(axis=0)
    assert red > 1.5 * max(green, blue)
