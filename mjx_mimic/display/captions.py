"""What is added to drawn frames: captions, and other frames beside them in a grid."""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mjx_mimic.clips.motion import Motion
from mjx_mimic.display.video import Frame

MAX_WIDTH, MAX_HEIGHT = 1920, 1080
"""Pixels of a whole grid."""

_TEXT, _WARNING, _BACKGROUND = (255, 255, 255, 255), (255, 140, 110, 255), (20, 24, 32, 150)


def heading(clip: str, time: float, slow: float) -> str:
    """Write the first line of a caption: name of the clip, time in s, and the speed if it is not 1."""
    speed = "" if slow == 1.0 else f"   {1.0 / slow:.3g}x"
    return f"{clip}   {time:.2f} s{speed}"


def clip_phase(motion: Motion, time: float) -> float:
    """Return the phase of a clip, in [0, 1], at `time` s; the host twin of `task.reference.phase`."""
    cycles = time / motion.length
    return cycles % 1.0 if motion.cyclic else min(max(cycles, 0.0), 1.0)


def captioned(frame: Frame, lines: Sequence[str], warning: str = "") -> Frame:
    """Return a copy of `frame` with lines of text in its upper left corner, and `warning` below, in red."""
    height, width = frame.shape[:2]
    size = max(9, round(height / 26))
    font = _font(size)
    text = [(line, _TEXT) for line in lines] + [(warning, _WARNING)] * bool(warning)
    longest = max((font.getlength(line) for line, _ in text), default=0.0)
    box_size = min(width, round(longest + size)), min(height, round(size * (1.3 * len(text) + 0.6)))
    box = Image.new("RGBA", box_size, _BACKGROUND)
    pen = ImageDraw.Draw(box)
    for number, (line, color) in enumerate(text):
        pen.text((0.5 * size, (0.3 + 1.3 * number) * size), line, fill=color, font=font)
    picture = Image.fromarray(frame)
    picture.paste(box.convert("RGB"), (0, 0), box.getchannel("A"))
    return np.array(picture)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def columns_of(count: int) -> int:
    """Return the columns of a nearly square grid of `count` places."""
    return math.ceil(math.sqrt(count))


def grid(count: int, width: int, height: int) -> tuple[int, int, int]:
    """Arrange `count` pictures of `width` x `height` pixels in a nearly square grid.

    Returns:
        The number of columns, and the width and height of a tile: shrunk, if need be, until the grid fits in
        `MAX_WIDTH` x `MAX_HEIGHT`, and even, as H.264 wants them.
    """
    columns = columns_of(count)
    rows = math.ceil(count / columns)
    scale = min(1.0, MAX_WIDTH / (columns * width), MAX_HEIGHT / (rows * height))
    return columns, 2 * int(scale * width / 2), 2 * int(scale * height / 2)


def tiled(frames: Sequence[Frame], columns: int) -> Frame:
    """Join the frames row by row, with a black line between them; places left over are black."""
    height, width = frames[0].shape[:2]
    rows = math.ceil(len(frames) / columns)
    whole = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, frame in enumerate(frames):
        y, x = (number // columns) * height, (number % columns) * width
        whole[y : y + height, x : x + width] = frame
        if len(frames) > 1:
            whole[y + height - 1, x : x + width] = whole[y : y + height, x + width - 1] = 0
    return whole
