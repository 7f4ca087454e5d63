"""Options that commands share about what is displayed; imports neither MuJoCo nor JAX."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import is_empty_folder, require_writable
from mjx_mimic.config import Direction, EngineName, Which

MAX_GIF_FPS = 50.0
"""A GIF counts in hundredths of a second, and browsers slow down frames shorter than two."""
SPEED_RANGE = (0.1, 2.0)
"""Of a live view, times real time."""

ReferenceStyle = Literal["ghost", "side", "none"]


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How a motion becomes a video, a GIF, or a folder of pictures."""

    seconds: float = 10.0
    """Longest time of the motion to show; a cyclic clip repeats."""
    slow: float = 1.0
    """Slow motion: 2 takes twice the time. Poses between two control steps are interpolated."""
    fps: float = 30.0
    """Frames per second of the video."""
    width: int = 640
    """Pixels of one episode, 1280 at most; a grid is shrunk to 1920 x 1080."""
    height: int = 480
    """Pixels of one episode, 960 at most."""
    caption: bool = True
    """The caption in the picture: clip, time, phase, and of an episode its reward and failure."""
    meshes: bool = False
    """Draw the real robot's meshes, from the extra `meshes` or a folder named by MENAGERIE_ROOT."""


@dataclass(frozen=True, kw_only=True)
class EpisodeOptions:
    """Which episodes of a run are shown."""

    reference: ReferenceStyle = "ghost"
    """With --run: draw the reference as a translucent ghost, beside the robot, or not at all."""
    num_envs: int = 1
    """With --run: episodes in a grid; each clip once from its start, further ones from random phases."""
    clip: Annotated[int | None, cli.shown("INT")] = None
    """Only this one of several clips, counted from 0; otherwise a run's take turns, and those of --motion are
    side by side."""
    skills: tuple[str, ...] = ()
    """With a run of skills: the clips to go through, a cycle of each, the last one again and again."""
    checkpoint: Which = "best"
    """With --run: the policy with the best evaluation return, the last one, or that of a kept checkpoint, by
    its samples."""
    engine: EngineName = "mujoco"
    """With --run: physics, MuJoCo in C, which starts sooner and in which a fallen robot lies on the floor, or
    MJX with the run's own contacts, as in training."""
    seed: int = 0
    """With --run: seed of the random phases and pushes."""
    push: float = 0.0
    """With --run: speed of a kick every 2 s in a random horizontal direction, m/s."""
    force: float = 0.0
    """With --run: force on the pelvis for 0.2 s, once in each episode after 1 to 3 s, N."""
    direction: Direction = "forward"
    """With --force: where it points, as the robot sees it."""


def check_video(out: Path, options: VideoOptions) -> None:
    """Refuse sizes, rates and files that will not do, before anything is loaded.

    Raises:
        UserError: with the option and a remedy.
    """
    for option, value, limit in (("--width", options.width, 1280), ("--height", options.height, 960)):
        if not (16 <= value <= limit and value % 2 == 0):
            raise UserError(f"option {option}: {value} will not do; use an even number from 16 to {limit}")
    cli.require_range(
        {
            "--seconds": (options.seconds, 0.1, 600.0),
            "--slow": (options.slow, 0.1, 100.0),
            "--fps": (options.fps, 1.0, 240.0),
        }
    )
    suffix = out.suffix.lower()
    if suffix not in (".mp4", ".gif", "") or (suffix and os.path.isdir(out)):
        raise UserError(
            f"option --out: {out} will not do; name a file that ends in .mp4 or .gif, or, for PNG frames, a"
            " folder without an ending"
        )
    if suffix and out.parent.is_dir():
        require_writable("--out", out)
    if suffix == ".gif" and options.fps > MAX_GIF_FPS:
        raise UserError(f"option --fps: {options.fps:g} will not do; a GIF shows {MAX_GIF_FPS:g} at most")
    if not suffix and os.path.exists(out) and not is_empty_folder(out):
        raise UserError(f"option --out: {out} is there already; name a new folder")
