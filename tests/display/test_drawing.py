"""Pictures show the robot where it is, its reference too, and videos are whole or absent."""

import copy
import gc
import os
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from helpers.videos import read
from PIL import Image

from mjx_mimic import render
from mjx_mimic.common.errors import UserError
from mjx_mimic.display import captions, drawing
from mjx_mimic.robot.mjcf import load_mjcf

HEIGHT, WIDTH = 120, 160

# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def gl():
    if drawing.choose_gl_backend() is None:
        pytest.skip(drawing.NO_GL)


@pytest.fixture
def collected():
    """Collects a failed video's pipes within its test, whose marks let them go unclosed."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def model():
    return load_mjcf()


def standing(model, frames: int, x: float = 0.0) -> np.ndarray:
    qpos = np.tile(model.key("stand").qpos, (frames, 1))
    qpos[:, 0] += x
    return qpos


def draw(model, qpos, reference=None, **options) -> np.ndarray:
    frames = drawing.render_frames(model, qpos, reference, fps=30.0, width=WIDTH, height=HEIGHT, **options)
    return np.stack(list(frames)).astype(int)


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


def test_beside_is_on_the_right_and_hides_nothing(model):
    """The robot alone on the left, an opaque blue one of the same size on the right."""
    qpos = standing(model, 1)
    (picture,) = draw(model, qpos, qpos, beside=True)
    (alone,) = draw(model, qpos, None, beside=True)
    other = np.abs(picture - alone).max(axis=-1) > 20
    columns = np.flatnonzero(other.any(axis=0))
    assert columns.min() > WIDTH // 2
    with drawing.Stage(model, WIDTH, HEIGHT, beside=True) as stage:
        (path,) = stage.camera_path(qpos, 30.0)
        bare = copy.copy(model)
        bare.geom_group[bare.geom_bodyid > 0] = 5
        with drawing.Stage(bare, WIDTH, HEIGHT, beside=True) as empty_stage:
            empty = empty_stage.picture(qpos[0], path).astype(int)
    robot = np.abs(alone - empty).max(axis=-1) > 20
    assert np.flatnonzero(robot.any(axis=0)).max() < columns.min()
    assert other.sum() == pytest.approx(robot.sum(), rel=0.4)
    blue = picture[other] - empty[other]
    assert np.mean(blue[:, 2] - blue[:, 0]) > 20


def test_the_camera_path_is_smooth_and_level(model):
    qpos = standing(model, 61)
    qpos[30:, 0] += 1.0  # a jump, as of a robot that stumbles
    qpos[:, 2] += np.linspace(0.0, 1.0, 61)
    with drawing.Stage(model, WIDTH, HEIGHT) as stage:
        path = stage.camera_path(qpos, 30.0)
    assert path[0, 0] == pytest.approx(0.0, abs=0.05)
    assert path[-1, 0] == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.diff(path[:, 0])).max() < 0.04
    np.testing.assert_allclose(path[:, 2], drawing.CAMERA_HEIGHT)


def test_a_picture_is_empty_when_the_robot_is_out_of_view(model):
    qpos = standing(model, 1)[0]
    with drawing.Stage(model, WIDTH, HEIGHT) as stage:
        for away, filled in ((0.0, True), (0.3, True), (50.0, False)):
            lookat = np.array([away, 0.0, 0.7])
            assert stage.is_filled(stage.picture(qpos, lookat), lookat) is filled


def test_the_check_leaves_the_next_picture_as_it_would_be(model):
    qpos, lookat = standing(model, 1)[0], np.array([0.0, 0.0, 0.7])
    with drawing.Stage(model, WIDTH, HEIGHT) as stage:
        before = [stage.picture(qpos, lookat).astype(int) for _ in range(2)]
        stage.is_filled(before[1].astype(np.uint8), lookat)
        after = stage.picture(qpos, lookat)
    np.testing.assert_allclose(after, before[1], atol=1)  # with its shadow


def test_the_share_of_changed_pixels():
    left = np.full((10, 10, 3), 100, np.uint8)
    right = left.copy()
    right[:3, 0, 1] -= 21
    right[5:, 5:] += 20  # too little to be seen
    right[0, 9, 2] = 255
    assert drawing.changed_share(left, right) == pytest.approx(0.04)


def flat(count: int, height: int = HEIGHT, width: int = WIDTH):
    """Grey frames, each brighter than the one before."""
    return (np.full((height, width, 3), 20 * i, np.uint8) for i in range(count))


@pytest.mark.parametrize("fps", [30.0, 12.5])
def test_a_video_has_all_its_frames(tmp_path, fps):
    path = tmp_path / "new" / "video.mp4"
    assert drawing.write_video(path, flat(7), fps) == 7
    video = read(path)
    assert video.shape == (7, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(video.mean(axis=(1, 2, 3)), 20 * np.arange(7), atol=4)
    assert next(imageio_ffmpeg.read_frames(str(path)))["fps"] == pytest.approx(fps)


def test_a_gif_has_all_its_frames_and_repeats(tmp_path):
    path = tmp_path / "video.GIF"
    assert drawing.write_video(path, flat(5), 10.0) == 5
    with Image.open(path) as gif:
        assert (gif.format, gif.n_frames, gif.size) == ("GIF", 5, (WIDTH, HEIGHT))
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 100  # ms
        gif.seek(3)
        assert np.asarray(gif.convert("L")).mean() == pytest.approx(60, abs=4)


def test_pictures_are_a_folder_of_all_frames_exactly(tmp_path):
    path = tmp_path / "new" / "frames"
    assert drawing.write_pictures(path, flat(3)) == 3
    assert sorted(file.name for file in path.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    for number, frame in enumerate(flat(3)):
        np.testing.assert_array_equal(np.asarray(Image.open(path / f"{number:04d}.png")), frame)
    assert [file.name for file in path.parent.iterdir()] == ["frames"]


def test_a_video_that_fails_leaves_nothing(tmp_path, collected):
    def broken():
        yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        raise RuntimeError("drawing stopped")

    with pytest.raises(RuntimeError, match="drawing stopped"):
        drawing.write_video(tmp_path / "video.mp4", broken(), 30.0)
    with pytest.raises(RuntimeError, match="drawing stopped"):
        drawing.write_pictures(tmp_path / "frames", broken())
    with pytest.raises(UserError, match="no frames"):
        drawing.write_video(tmp_path / "video.mp4", iter(()), 30.0)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        drawing.write_video(tmp_path / "file" / "video.mp4", flat(1), 30.0)
    with pytest.raises(UserError, match="cannot be written"):
        drawing.write_pictures(tmp_path / "file" / "frames", flat(1))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", ""),
        ("head -c 90000 > /dev/null; echo disk full >&2; exit 1", "disk full"),
        ("cat > /dev/null; echo disk full >&2; exit 1", "disk full"),
    ],
)
def test_an_ffmpeg_that_fails_is_told_in_one_line(tmp_path, monkeypatch, script, told, collected):
    """At once, in the middle of the video, or at its end."""
    programs, out = tmp_path / "programs", tmp_path / "out"
    programs.mkdir()
    out.mkdir()
    (programs / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(
        UserError, match=rf"ffmpeg failed \(.*{told}\).*\(pip install imageio-ffmpeg\)"
    ) as error:
        drawing.write_video(out / "video.mp4", flat(12), 30.0)
    assert len(str(error.value).splitlines()) == 1
    assert not list(out.iterdir())


def test_without_ffmpeg_the_package_is_named(tmp_path, monkeypatch):
    def none():
        raise RuntimeError("no ffmpeg exe")

    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(drawing.find_ffmpeg()).exists()  # the one that imageio-ffmpeg brings
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        drawing.write_video(tmp_path / "video.mp4", flat(1), 30.0)
    assert not list(tmp_path.iterdir())


def test_a_caption_is_in_its_corner_and_a_warning_is_red():
    frame = np.full((240, 320, 3), 200, np.uint8)
    told = captions.captioned(frame, ["walk   1.20 s", "phase 0.50"])
    warned = captions.captioned(frame, ["walk   1.20 s", "phase 0.50"], "failed: fall at 0.9 s")
    np.testing.assert_array_equal(frame, 200)
    rows, columns = np.nonzero((told != frame).any(axis=-1))
    assert rows.max() < 50
    assert columns.max() < 160
    assert told.max() > 240
    assert told.min() < 110
    added = warned[rows.max() + 1 :].astype(int)
    red = added[..., 0] - added[..., 2]
    assert red.max() > 100
    np.testing.assert_array_equal(told[60:], 200)
    other = captions.captioned(frame, ["walk   1.23 s", "phase 0.50"])
    assert 0 < drawing.changed_share(told, other) < 0.01


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
