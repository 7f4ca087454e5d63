"""Videos read back as arrays, and whether they show the robot."""

import copy
from pathlib import Path

import imageio_ffmpeg
import mujoco
import numpy as np
from PIL import Image

VISIBLE_CHANGE = 20
"""Of 255, in a colour channel: what the eye sees as another colour."""


def read(path: Path) -> np.ndarray:
    """Return all frames of a video, (T, height, width, 3) uint8."""
    frames = imageio_ffmpeg.read_frames(str(path))
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames])


def read_pictures(folder: Path) -> np.ndarray:
    """Return the PNG files of a folder in order, (T, height, width, 3) uint8."""
    return np.stack([np.asarray(Image.open(file)) for file in sorted(folder.iterdir())])


def without_robot(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy of a model whose robot is not drawn; its floor and sky are."""
    empty = copy.copy(model)
    empty.geom_group[empty.geom_bodyid > 0] = 5
    return empty


def changed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return where two pictures (..., 3) differ visibly."""
    return np.abs(left.astype(int) - right.astype(int)).max(axis=-1) > VISIBLE_CHANGE


def changed_share(left: np.ndarray, right: np.ndarray) -> float:
    """Return the share of the pixels of two pictures (..., 3) that differ visibly."""
    return float(changed(left, right).mean())


def assert_every_frame_shows_the_robot(frames: np.ndarray, empty: np.ndarray) -> None:
    """Compare frames (T, H, W, 3) with those of `without_robot`: a robot changes 2% to 30% of each."""
    shares = changed(frames, empty).mean(axis=(1, 2))
    assert len(frames) == len(empty) > 0
    assert shares.min() > 0.015, shares
    assert shares.max() < 0.3, shares
