"""Pictures show the robot where it is, its reference too, and videos are whole or absent."""

import copy
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from mjx_mimic import drawing, render
from mjx_mimic.errors import UserError
from mjx_mimic.mjcf import load_mjcf

HEIGHT, WIDTH = 120, 160

# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def gl():
    if drawing.choose_gl_backend() is None:
        pytest.skip(drawing.NO_GL)


@pytest.fixture(scope="module")
def model():
    return load_mjcf()


def standing(model, frames: int, x: float = 0.0) -> np.ndarray:
    qpos = np.tile(model.key("stand").qpos, (frames, 1))
    qpos[:, 0] += x
    return qpos


def draw(model, qpos, reference=None) -> np.ndarray:
    frames = drawing.render_frames(model, qpos, reference, fps=30.0, width=WIDTH, height=HEIGHT)
    return np.stack(list(frames)).astype(int)


def read(path: Path) -> np.ndarray:
    frames = imageio_ffmpeg.read_frames(str(path))
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames])


def changed(left: np.ndarray, right: np.ndarray) -> float:
    """Share of the pixels that differ visibly."""
    return float(np.mean(np.abs(left - right).max(axis=-1) > 20))


def test_the_robot_is_in_the_picture_and_the_camera_goes_with_it(model):
    there, far = draw(model, standing(model, 1)), draw(model, standing(model, 1, x=50.0))
    bare = copy.copy(model)
    bare.geom_group[bare.geom_bodyid > 0] = 5  # not drawn
    for qpos, picture in ((standing(model, 1), there), (standing(model, 1, x=50.0), far)):
        (empty,) = drawing.render_frames(bare, qpos, fps=30.0, width=WIDTH, height=HEIGHT)
        assert 0.02 < changed(picture, empty.astype(int)[None]) < 0.3
    # The robot fills the middle of both pictures, 50 m apart.
    middle = (slice(None), slice(HEIGHT // 4, -HEIGHT // 4), slice(WIDTH // 2 - 15, WIDTH // 2 + 15))
    assert changed(there[middle], far[middle]) < 0.35


def test_the_ghost_is_drawn_where_the_reference_is(model):
    qpos = standing(model, 1)
    alone, beside = draw(model, qpos), draw(model, qpos, standing(model, 1, x=0.6))
    assert 0.01 < changed(alone, beside) < 0.3
    blue = beside - alone
    shifted = np.abs(blue).max(axis=-1) > 20
    assert np.mean(blue[shifted][:, 2] - blue[shifted][:, 0]) > 5  # tinted blue


def test_a_video_has_all_its_frames(model, tmp_path):
    frames = drawing.render_frames(model, standing(model, 7), fps=30.0, width=WIDTH, height=HEIGHT)
    path = tmp_path / "new" / "video.mp4"
    assert drawing.write_video(path, frames, 30.0) == 7
    video = read(path)
    assert video.shape == (7, HEIGHT, WIDTH, 3)
    assert video.std() > 10


def test_a_video_that_fails_leaves_nothing(model, tmp_path):
    def broken():
        yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        raise RuntimeError("drawing stopped")

    with pytest.raises(RuntimeError, match="drawing stopped"):
        drawing.write_video(tmp_path / "video.mp4", broken(), 30.0)
    with pytest.raises(UserError, match="no frames"):
        drawing.write_video(tmp_path / "video.mp4", iter(()), 30.0)
    (tmp_path / "file").touch()
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(UserError, match="cannot be written"):
        drawing.write_video(tmp_path / "file" / "video.mp4", iter([frame]), 30.0)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_command_draws_a_clip(tmp_path, capsys):
    path = tmp_path / "walk.mp4"
    size = ["--width", str(WIDTH), "--height", str(HEIGHT)]
    assert render.main(["--motion", "walk", "--out", str(path), "--seconds", "0.2", *size]) == 0
    assert len(read(path)) == 7
    assert "7 frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--run and --motion"),
        (["--motion", "walk", "--run", "runs/x"], "--run and --motion"),
        (["--motion", "walk", "--width", "5000"], "--width"),
        (["--motion", "walk", "--seconds", "0"], "--seconds"),
        (["--motion", "nofile"], "nofile"),
        (["--run", "nowhere"], "no run in this folder"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, arguments, told):
    with pytest.raises(UserError, match=told) as error:
        render.main([*arguments, "--out", str(tmp_path / "video.mp4")])
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())
