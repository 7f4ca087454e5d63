"""Files of frames are whole or absent, and a failing ffmpeg is reported in one line."""

import gc
import os
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from helpers.videos import read
from PIL import Image

from mjx_mimic.common.errors import RunFailure, UserError
from mjx_mimic.display import video

HEIGHT, WIDTH = 120, 160

# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
pytestmark = [
    pytest.mark.render,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def collected():
    """Collect a failed video's pipes within its test, whose marks let them go unclosed."""
    yield
    gc.collect()


def flat(count: int, height: int = HEIGHT, width: int = WIDTH):
    """Grey frames, each brighter than the one before."""
    return (np.full((height, width, 3), 20 * i, np.uint8) for i in range(count))


@pytest.mark.parametrize("fps", [30.0, 12.5])
def test_a_video_has_all_its_frames(tmp_path, fps):
    path = tmp_path / "new" / "video.mp4"
    assert video.write_video(path, flat(7), fps) == 7
    frames = read(path)
    assert frames.shape == (7, HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), 20 * np.arange(7), atol=4)
    assert next(imageio_ffmpeg.read_frames(str(path)))["fps"] == pytest.approx(fps)


def test_a_gif_has_all_its_frames_and_repeats(tmp_path):
    path = tmp_path / "video.GIF"
    assert video.write_video(path, flat(5), 10.0) == 5
    with Image.open(path) as gif:
        assert (gif.format, gif.n_frames, gif.size) == ("GIF", 5, (WIDTH, HEIGHT))
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 100  # ms
        gif.seek(3)
        assert np.asarray(gif.convert("L")).mean() == pytest.approx(60, abs=4)


def test_pictures_are_a_folder_of_all_frames_exactly(tmp_path):
    path = tmp_path / "new" / "frames"
    assert video.write_pictures(path, flat(3)) == 3
    assert sorted(file.name for file in path.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    for number, frame in enumerate(flat(3)):
        np.testing.assert_array_equal(np.asarray(Image.open(path / f"{number:04d}.png")), frame)
    assert [file.name for file in path.parent.iterdir()] == ["frames"]


def test_a_video_that_fails_leaves_nothing(tmp_path, collected):
    def broken():
        yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        raise RuntimeError("drawing stopped")

    with pytest.raises(RuntimeError, match="drawing stopped"):
        video.write_video(tmp_path / "video.mp4", broken(), 30.0)
    with pytest.raises(RuntimeError, match="drawing stopped"):
        video.write_pictures(tmp_path / "frames", broken())
    with pytest.raises(UserError, match="no frames"):
        video.write_video(tmp_path / "video.mp4", iter(()), 30.0)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        video.write_video(tmp_path / "file" / "video.mp4", flat(1), 30.0)
    with pytest.raises(UserError, match="cannot be written"):
        video.write_pictures(tmp_path / "file" / "frames", flat(1))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", ""),
        ("head -c 90000 > /dev/null; echo disk full >&2; exit 1", "disk full"),
        ("cat > /dev/null; echo disk full >&2; exit 1", "disk full"),
    ],
)
def test_an_ffmpeg_that_fails_is_words_in_one_line(tmp_path, monkeypatch, script, words, collected):
    """At once, in the middle of the video, or at its end."""
    programs, out = tmp_path / "programs", tmp_path / "out"
    programs.mkdir()
    out.mkdir()
    (programs / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(
        RunFailure, match=rf"ffmpeg failed \(.*{words}\).*\(pip install imageio-ffmpeg\)"
    ) as error:
        video.write_video(out / "video.mp4", flat(12), 30.0)
    assert len(str(error.value).splitlines()) == 1
    assert not list(out.iterdir())


def test_without_ffmpeg_the_package_is_named(tmp_path, monkeypatch):
    def none():
        raise RuntimeError("no ffmpeg exe")

    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(video.find_ffmpeg()).exists()  # the one that imageio-ffmpeg brings
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        video.write_video(tmp_path / "video.mp4", flat(1), 30.0)
    assert not list(tmp_path.iterdir())
