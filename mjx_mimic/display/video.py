"""Frames written to files: MP4, GIF, and folders of PNG pictures; each is complete or absent."""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import mediapy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mjx_mimic.common.errors import RunFailure, UserError
from mjx_mimic.common.files import PARTIAL, unwritable

Frame = NDArray[np.uint8]
"""A picture (height, width, 3), RGB."""


def find_ffmpeg() -> str:
    """Find the program ffmpeg: the system's, or else the one that imageio-ffmpeg brings.

    Raises:
        UserError: neither is here.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        try:
            found = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError:
            raise UserError(
                "no ffmpeg found for the video; install one (pip install imageio-ffmpeg)"
            ) from None
    return found


def write_video(path: Path, frames: Iterator[Frame], fps: float) -> int:
    """Write an MP4 (H.264), or a GIF that repeats if `path` ends in .gif.

    Returns:
        The number of frames.

    Raises:
        UserError: there are no frames, ffmpeg is missing, or the file cannot be written.
        RunFailure: ffmpeg fails, or the disk is full.
    """
    mediapy.set_ffmpeg(find_ffmpeg())
    first, frames = _peek(path, frames)
    suffix = path.suffix.lower()
    codec = "gif" if suffix == ".gif" else "h264"
    with _temporary_folder(path) as folder:
        temporary, count = folder / f"video{suffix}", 0
        video = mediapy.VideoWriter(temporary, first.shape[:2], fps=fps, codec=codec)
        video.__enter__()  # `with` would hide why ffmpeg ended: it closes the broken pipe once, not twice
        try:
            for frame in frames:
                video.add_image(frame)
                count += 1
        except BrokenPipeError:
            pass  # ffmpeg has ended, and says why when it is closed
        finally:
            failure = _close(video)
        if failure is not None:
            raise RunFailure(
                f"{path}: ffmpeg failed ({failure}); make space on the disk, or install another (pip install"
                " imageio-ffmpeg)"
            )
        os.replace(temporary, path)
    return count


def _close(video: mediapy.VideoWriter) -> str | None:
    """End ffmpeg; return its error output if it failed."""
    try:
        with contextlib.suppress(BrokenPipeError):  # the last bytes for an ffmpeg that has ended
            video.close()
        video.close()  # the pipe is closed now; does nothing after a success
    except RuntimeError as error:
        return " ".join(str(error).split()).rpartition("': ")[2]  # without the temporary file's name
    return None


def write_pictures(path: Path, frames: Iterator[Frame]) -> int:
    """Write a new folder of PNG files, `0000.png` and on.

    Returns:
        The number of frames.

    Raises:
        UserError: there are no frames, or the folder cannot be written or is not empty.
    """
    _, frames = _peek(path, frames)
    with _temporary_folder(path) as folder:
        (folder / "frames").mkdir()
        count = 0
        for frame in frames:
            Image.fromarray(frame).save(folder / "frames" / f"{count:04d}.png")
            count += 1
        if os.path.isdir(path):
            path.rmdir()
        os.replace(folder / "frames", path)
    return count


def _peek(path: Path, frames: Iterator[Frame]) -> tuple[Frame, Iterator[Frame]]:
    """Return the first frame, and an iterator over all of them."""
    first = next(frames, None)
    if first is None:
        raise UserError(f"{path}: no frames to write; give a longer motion")
    return first, itertools.chain([first], frames)


@contextlib.contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """Lend a folder beside `path`, on the same disk, and remove it at the end.

    Raises:
        UserError: `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lent = tempfile.TemporaryDirectory(prefix=PARTIAL, dir=path.parent)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    try:
        with lent as folder:
            yield Path(folder)
    except OSError as error:
        raise unwritable(path, error) from None
