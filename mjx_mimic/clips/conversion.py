"""What `convert` and `info` of the motion command do."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mjx_mimic.clips import editing, loop_closing
from mjx_mimic.clips.formats import key_to_write, load_motion, load_with_format, save_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.mjcf import load_mjcf


def convert(source: str, out: Path, force: bool, **edits: Any) -> list[str]:
    """Read the clip `source`, apply `edits` (see `apply_edits`), and write it to `out`.

    Returns:
        A line for the file that was written, and one for each edit.
    """
    key = key_to_write(out, force)
    motion, done = apply_edits(load_motion(source), **edits)
    save_motion(out, motion, key)
    size = f"{motion.num_frames} frames at {motion.fps:.6g} frames/s, {motion.length:.3f} s"
    return [f"{out}: {key}, {size}, {motion.loop}", *(f"  {edit}" for edit in done)]


def apply_edits(
    motion: Motion,
    start: float | None = None,
    end: float | None = None,
    loop: str | None = None,
    smooth: float | None = None,
    make_cyclic: bool = False,
    fps: float | None = None,
    mirror: bool = False,
    lift: Literal["auto"] | float | None = None,
    name: str | None = None,
) -> tuple[Motion, list[str]]:
    """Apply the edits that are asked for, in the order of the arguments.

    Args:
        motion: the clip.
        start: s, cut off the frames before.
        end: s, cut off the frames after.
        loop: "wrap" or "clamp", declared only.
        smooth: Hz, remove what vibrates faster.
        make_cyclic: find a cycle and close it.
        fps: frames/s, resample.
        mirror: swap left and right.
        lift: m, raise; "auto": put the lowest point on the floor.
        name: new name.

    Returns:
        The edited clip, and a description of each edit.
    """
    done = []
    if start is not None or end is not None:
        before = motion.length
        motion = editing.cut(motion, start or 0.0, end)
        done.append(f"cut {before:.3f} s to {motion.length:.3f} s")
    if loop is not None:
        motion = editing.with_loop(motion, loop)
        done.append(f"declared '{loop}'")
    if smooth is not None:
        motion = editing.smoothed(motion, smooth)
        done.append(f"smoothed at {smooth:g} Hz")
    if make_cyclic:
        cycle = loop_closing.find_loop(motion)
        first, last = cycle.first / motion.fps, cycle.last / motion.fps
        motion = loop_closing.made_cyclic(motion)
        done.append(f"made cyclic from {first:.3f} to {last:.3f} s, gap {100 * cycle.gap:.0f}% closed")
    if fps is not None:
        done.append(f"resampled from {motion.fps:.6g} frames/s")
        motion = editing.resampled(motion, fps)
    if mirror:
        motion = editing.mirrored(motion)
        done.append("mirrored")
    if lift is not None:
        height = motion.root_pos[0, 2]
        motion = editing.lifted(motion, None if lift == "auto" else lift)
        done.append(f"lifted by {motion.root_pos[0, 2] - height:+.4f} m")
    if name is not None:
        motion = editing.named(motion, name)
    return motion, done


def describe(file: str) -> dict[str, Any]:
    """List the facts about one clip that `info` prints; lengths in m, times in s, speeds in m/s."""
    motion, found = load_with_format(file)
    speed = np.linalg.norm(np.diff(motion.root_pos, axis=0), axis=1) * motion.fps
    ranges = load_mjcf(visuals=False).jnt_range[1:]  # without the root
    centre, half = ranges.mean(axis=1), 0.5 * np.ptp(ranges, axis=1)
    used = np.abs(motion.dof_pos - centre).max(axis=0) / half
    return {
        "file": file,
        "name": motion.name,
        "format": found.name,
        "fps": motion.fps,
        "frames": motion.num_frames,
        "seconds": motion.length,
        "loop": motion.loop,
        "mean_speed": float(speed.mean()),
        "max_speed": float(speed.max()),
        "min_height": float(motion.root_pos[:, 2].min()),
        "max_height": float(motion.root_pos[:, 2].max()),
        "range_used": float(used.max()),
        "range_used_by": motion.joint_names[int(used.argmax())].removesuffix("_joint"),
        "digest": motion.digest,
    }
