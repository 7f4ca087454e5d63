"""The composition of videos: shots of clips and episodes, side by side, with captions. No JAX."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.display import captions
from mjx_mimic.display.menagerie_meshes import load_with_meshes
from mjx_mimic.display.offscreen import OffscreenScene
from mjx_mimic.display.options import ReferenceStyle, VideoOptions
from mjx_mimic.display.video import Frame, find_ffmpeg, write_pictures, write_video
from mjx_mimic.robot.mjcf import load_mjcf

__all__ = [
    "MAX_SHOTS",
    "Shot",
    "clip_shot",
    "compose",
    "draw",
    "draw_clips",
    "find_ffmpeg",
    "frame_times",
    "load_model",
    "write_frames",
]

MAX_SHOTS = 64
"""Clips of one video; if there are so many, each has 240 x 134 pixels at most."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A clip or an episode at the times of the video's T frames."""

    qpos: NDArray[np.float64]  # (T, 36)
    reference: NDArray[np.float64] | None  # (T, 36)
    captions: Sequence[Sequence[str]] = ()  # T of lines; none for a video without captions
    warnings: Sequence[str] = ()  # T, or none as well
    markers: NDArray[np.float64] | None = None  # (T, K, 3) m in the world, that show a goal, its place first


def load_model(meshes: bool) -> mujoco.MjModel:
    """Load the robot as it is drawn: of simple shapes, or of the real robot's meshes.

    Raises:
        UserError: there are no meshes here, or they are another robot's.
    """
    if not meshes:
        return load_mjcf()
    robot = load_with_meshes()
    print(f"meshes: {robot.file}, links within {1e3 * robot.offset:.1f} mm of ours")
    return robot.model


def frame_times(seconds: float, options: VideoOptions) -> NDArray[np.float64]:
    """Return the times (T,) s of the motion at which `seconds` of it are drawn."""
    rate = options.fps * options.slow
    return np.arange(int(seconds * rate + 1e-6) + 1) / rate


def clip_shot(motion: Motion, times: NDArray[np.float64], options: VideoOptions) -> Shot:
    """Show a clip by itself at `times` (T,) s, a cyclic one again and again."""
    return Shot(
        qpos=sampled(motion, times),
        reference=None,
        captions=[
            [
                captions.heading(motion.name, time, options.slow),
                f"phase {captions.clip_phase(motion, time):.2f}",
            ]
            for time in times
        ],
        warnings=[""] * len(times),
    )


def draw_clips(motions: Sequence[Motion], out: Path, options: VideoOptions) -> None:
    """Draw clips by themselves, in a grid, and print what was written.

    The longest one decides how long the video is; one that ends before stays in its last frame.

    Raises:
        UserError: there are too many clips, or the video cannot be written.
    """
    if len(motions) > MAX_SHOTS:
        raise UserError(f"{len(motions)} clips are too many for a video, which shows {MAX_SHOTS}; name fewer")
    longest = max(options.seconds if motion.cyclic else motion.length for motion in motions)
    times = frame_times(min(options.seconds, longest), options)
    draw([clip_shot(motion, times, options) for motion in motions], out, options)


def draw(shots: Sequence[Shot], out: Path, options: VideoOptions, reference: ReferenceStyle = "none") -> None:
    """Draw shots side by side, and print what was written.

    Raises:
        UserError: the meshes are missing, or the video cannot be written.
    """
    frames = compose(load_model(options.meshes), shots, options, reference)
    count = write_frames(out, frames, options.fps)
    print(f"{out}: {count} frames, {count / options.fps:.1f} s")


def compose(
    model: mujoco.MjModel,
    shots: Sequence[Shot],
    options: VideoOptions,
    reference: ReferenceStyle = "ghost",
    draft: bool = False,
) -> Iterator[Frame]:
    """Draw the frames of a video that shows all shots at once, in a grid.

    Args:
        model: the robot, as `load_model` gives it.
        shots: of the same number of frames T, `options.fps * options.slow` of them per second.
        options: size and rate of the video, and whether it shows the captions of the shots.
        reference: how the shots' references are drawn.
        draft: see `OffscreenScene`.

    Yields:
        T frames (height, width, 3).
    """
    columns, width, height = captions.grid(len(shots), options.width, options.height)
    with OffscreenScene(model, width, height, beside=reference == "side", draft=draft) as scene:
        paths = [
            scene.camera_path(
                shot.qpos,
                options.fps * options.slow,
                None if shot.markers is None else shot.markers[:, 0],
            )
            for shot in shots
        ]
        for i in range(len(paths[0])):
            tiles = []
            for shot, path in zip(shots, paths, strict=True):
                other = None if shot.reference is None or reference == "none" else shot.reference[i]
                markers = () if shot.markers is None else shot.markers[i]
                tile = scene.draw(shot.qpos[i], path[i], other, markers)
                if options.caption:
                    tile = captions.captioned(tile, shot.captions[i], shot.warnings[i])
                tiles.append(tile)
            yield captions.tiled(tiles, columns)


def write_frames(out: Path, frames: Iterator[Frame], fps: float) -> int:
    """Write a video, or a folder of pictures if `out` has no ending; return the number of frames.

    Raises:
        UserError: ffmpeg is missing or fails, or `out` cannot be written.
    """
    return write_video(out, frames, fps) if out.suffix else write_pictures(out, frames)
