"""What `convert` and `info` of the motion command do."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mjx_mimic.clips import editing, loop_closing, orders, sanity
from mjx_mimic.clips.formats import key_to_write, load_motion, save_motion
from mjx_mimic.clips.formats.base import AS_IT_SAYS, Reading
from mjx_mimic.clips.motion import Motion, summary
from mjx_mimic.common.errors import quoted
from mjx_mimic.robot.mjcf import joint_ranges, plain_g1


def convert(source: str, out: Path, force: bool, reading: Reading = AS_IT_SAYS, **edits: Any) -> list[str]:
    """Read the clip `source` as `reading` says, apply `edits` (see `apply_edits`), and write it to `out`.

    Returns:
        A line for the file that was written, and one for each thing that was done to read and to edit it.
    """
    key = key_to_write(out, force)
    notes: list[str] = []
    motion = load_motion(source, replace(reading, tell=notes.append))
    motion, done = apply_edits(motion, **edits)
    _save(out, motion, key)
    return [f"{out}: {key}, {summary(motion)}", *(f"  {line}" for line in notes + done)]


def join(sources: Sequence[str], out: Path, blend: float, loop: str, force: bool) -> list[str]:
    """Read the clips `sources`, let each follow the one before, and write the result to `out`.

    Returns:
        A line for the file that was written.
    """
    key = key_to_write(out, force)
    motion = functools.reduce(lambda a, b: editing.joined(a, b, blend), map(load_motion, sources))
    motion = editing.named(editing.with_loop(motion, loop), out.stem)
    _save(out, motion, key)
    return [f"{out}: {key}, {summary(motion)}"]


def _save(out: Path, motion: Motion, key: str) -> None:
    """Write a clip; raises UserError for one that would be refused when it is read."""
    sanity.check_distance(motion.root_pos, "root_pos", out)
    sanity.check_metres(motion.root_pos, "root_pos", out)
    save_motion(out, motion, key)


def apply_edits(motion: Motion, **edits: Any) -> tuple[Motion, list[str]]:
    """Apply the edits that are asked for, in the order of `EDITS`.

    Args:
        motion: the clip.
        edits: the value of each; None or False: it is not asked for.

    Returns:
        The edited clip, and a description of each edit.
    """
    done = []
    for name, edit in EDITS.items():
        value = edits.pop(name, None)
        if value is not None and value is not False:
            motion, what = edit(motion, value)
            done.append(what)
    if edits:
        raise TypeError(f"no such edits: {', '.join(edits)}")
    return motion, done


def _stored_as(motion: Motion, order: orders.Order) -> tuple[Motion, str]:
    return editing.stored_as(motion, order), f"read as {order}"


def _drop_repeated(motion: Motion, _: bool) -> tuple[Motion, str]:
    rest = editing.without_repeats(motion)
    count = motion.num_frames - rest.num_frames
    return rest, f"left out {count} repeated frames, now {rest.fps:.6g} frames/s"


def _speed(motion: Motion, factor: float) -> tuple[Motion, str]:
    played = editing.at_speed(motion, factor)
    return played, f"played at {factor:g} times the speed, {motion.length:.3f} s in {played.length:.3f} s"


def _loop(motion: Motion, loop: str) -> tuple[Motion, str]:
    return editing.with_loop(motion, loop), f"declared '{loop}'"


def _smooth(motion: Motion, cutoff_hz: float) -> tuple[Motion, str]:
    return editing.smoothed(motion, cutoff_hz), f"smoothed at {cutoff_hz:g} Hz"


def _make_cyclic(motion: Motion, _: bool) -> tuple[Motion, str]:
    cycle = loop_closing.find_loop(motion)
    first, last = cycle.first / motion.fps, cycle.last / motion.fps
    closed = loop_closing.made_cyclic(motion, cycle)
    share = f"{100 * cycle.gap:.0f}% of the motion"
    return closed, f"made cyclic from {first:.3f} to {last:.3f} s, which closed a gap of {share}"


def _cycles(motion: Motion, count: int) -> tuple[Motion, str]:
    turn = np.rad2deg(editing.with_loop(motion, "turn").cycle_turn)
    turned = f", each turned on by {turn:.1f} degrees" if abs(turn) > 0.1 else ""
    return editing.cycles(motion, count), f"{count} cycles, one after another{turned}"


def _fps(motion: Motion, fps: float) -> tuple[Motion, str]:
    return editing.resampled(motion, fps), f"resampled from {motion.fps:.6g} frames/s"


def _clip_joints(motion: Motion, _: bool) -> tuple[Motion, str]:
    return editing.within_limits(motion), "joints kept within their limits"


def _mirror(motion: Motion, _: bool) -> tuple[Motion, str]:
    return editing.mirrored(motion), "mirrored"


def _lift(motion: Motion, height: float | Literal["auto"]) -> tuple[Motion, str]:
    lifted = editing.lifted(motion, None if height == "auto" else height)
    return lifted, f"lifted by {lifted.root_pos[0, 2] - motion.root_pos[0, 2]:+.4f} m"


def _name(motion: Motion, name: str) -> tuple[Motion, str]:
    return editing.named(motion, name), f"named {quoted(name)}"


EDITS: dict[str, Callable[[Motion, Any], tuple[Motion, str]]] = {
    "stored_as": _stored_as,
    "drop_repeated": _drop_repeated,
    "speed": _speed,
    "loop": _loop,
    "smooth": _smooth,
    "make_cyclic": _make_cyclic,
    "cycles": _cycles,
    "fps": _fps,
    "clip_joints": _clip_joints,
    "mirror": _mirror,
    "lift": _lift,
    "name": _name,
}
"""Edits by the names of the options of `convert`, in the order in which they are applied; each returns the
edited clip and what was done."""


def describe(motion: Motion, file: str, kind: str) -> dict[str, Any]:
    """List the facts about one clip that `info` prints; lengths in m, times in s, speeds in m/s.

    Args:
        motion: the clip.
        file: where it is from.
        kind: name of the file's format.
    """
    speed = np.linalg.norm(np.diff(motion.root_pos, axis=0), axis=1) * motion.fps
    ranges = joint_ranges(plain_g1())
    centre, half = ranges.mean(axis=1), 0.5 * np.ptp(ranges, axis=1)
    used = np.abs(motion.dof_pos - centre).max(axis=0) / half
    return {
        "file": file,
        "name": motion.name,
        "format": kind,
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
