"""Videos read back as arrays."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np


def read(path: Path) -> np.ndarray:
    """All frames of a video, (T, height, width, 3) uint8."""
    frames = imageio_ffmpeg.read_frames(str(path))
    width, height = next(frames)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames])
