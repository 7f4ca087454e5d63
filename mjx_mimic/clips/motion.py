"""One validated motion clip of the Unitree G1.

Conventions: metres, radians, seconds; world frame with z up; quaternions are wxyz and rotate from the
pelvis frame to the world; joints are in the order of `G1_JOINTS`. T is the number of frames.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import heading, turn_between, without_sign_flips

Array = NDArray[np.float64]
Loop = Literal["wrap", "turn", "clamp"]
LOOPS: tuple[Loop, ...] = ("wrap", "turn", "clamp")

_QPOS_COLUMNS = ("x", "y", "z", "qw", "qx", "qy", "qz", *G1_JOINTS)
MIN_FPS, MAX_FPS = 0.1, 10_000.0
"""Frame rates that a clip may have."""
UNIT_TOLERANCE = 1e-2
"""Of a quaternion's norm; one farther from 1 is not rounding: the columns are probably not a quaternion."""
_ZERO_NORM = 1e-8
_ROUNDING = 1e-12  # a norm this near 1 is left alone, so that reading a written clip changes no bit


@dataclass(frozen=True, eq=False)
class Motion:
    """One clip. Build it with `make_motion`, which checks everything; the arrays are read-only.

    Attributes:
        name: label for people.
        fps: frames per second.
        root_pos: (T, 3) float64, pelvis position in the world, m.
        root_quat: (T, 4) float64, pelvis orientation in the world, unit wxyz, without sign jumps.
        dof_pos: (T, 29) float64, hinge angles, rad, columns as `joint_names`.
        joint_names: `G1_JOINTS`.
        loop: "wrap" for a cyclic clip, whose last frame is the first one of the next cycle; "turn" for one
            whose cycles also go on in the heading in which the one before ended; or "clamp".
    """

    name: str
    fps: float
    root_pos: Array
    root_quat: Array
    dof_pos: Array
    joint_names: tuple[str, ...]
    loop: Loop

    @staticmethod
    def from_qpos(
        qpos: ArrayLike,
        *,
        name: str,
        fps: float,
        loop: str = "clamp",
        source: str | Path | None = None,
    ) -> Motion:
        """Build a clip from MuJoCo's generalised positions, checked as by `make_motion`.

        Args:
            qpos: (T, 36) root position (m) and quaternion (wxyz), then the angles of `G1_JOINTS` (rad).
            name: label of the clip.
            fps: frames per second.
            loop: one of `LOOPS`.
            source: what messages name as the origin of the frames; None: `name`.

        Raises:
            UserError: see `make_motion`.
        """
        source = name if source is None else source
        frames = real_array(qpos, "qpos", (None, len(_QPOS_COLUMNS)), source, _QPOS_COLUMNS)
        return make_motion(
            name=name,
            fps=fps,
            root_pos=frames[:, :3],
            root_quat=frames[:, 3:7],
            dof_pos=frames[:, 7:],
            joint_names=G1_JOINTS,
            loop=loop,
            source=source,
        )

    @property
    def qpos(self) -> Array:
        """(T, 36) MuJoCo's generalised positions of every frame."""
        return np.concatenate([self.root_pos, self.root_quat, self.dof_pos], axis=1)

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return len(self.root_pos)

    @property
    def length(self) -> float:
        """Seconds from the first to the last frame, (T - 1) / fps."""
        return (self.num_frames - 1) / self.fps

    @property
    def cyclic(self) -> bool:
        """Whether the clip repeats itself."""
        return self.loop != "clamp"

    @property
    def cycle_turn(self) -> float:
        """Change of heading over a cycle that the next one starts with, rad in [-pi, pi]."""
        if self.loop != "turn":
            return 0.0
        return turn_between(*heading(self.root_quat[[0, -1]]))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that a policy learns from; a renamed clip keeps its digest."""
        header = {"fps": self.fps, "loop": self.loop, "joints": self.joint_names, "frames": self.num_frames}
        sha = hashlib.sha256(json.dumps(header).encode())
        for array in (self.root_pos, self.root_quat, self.dof_pos):
            sha.update(array.astype("<f8").tobytes())
        return sha.hexdigest()


def summary(motion: Motion) -> str:
    """Return what a command says of a clip that it wrote: frames, rate, length, and loop."""
    size = f"{motion.num_frames} frames at {motion.fps:.6g} frames/s"
    return f"{size}, {motion.length:.3f} s, {motion.loop}"


def make_motion(
    *,
    name: str,
    fps: float,
    root_pos: ArrayLike,
    root_quat: ArrayLike,
    dof_pos: ArrayLike,
    joint_names: Sequence[str],
    loop: str,
    source: str | Path,
) -> Motion:
    """Build a `Motion`: check every field, sort the joints, normalise the quaternions.

    Args:
        name: label of the clip; what cannot be printed in it becomes a space.
        fps: frames per second, MIN_FPS to MAX_FPS.
        root_pos: (T, 3) m, T >= 2.
        root_quat: (T, 4) wxyz, either sign; norms within 1e-2 of 1 are renormalised.
        dof_pos: (T, 29) rad, columns as `joint_names`.
        joint_names: the names of `G1_JOINTS`, in any order.
        loop: one of `LOOPS`.
        source: the clip's file, named in every message.

    Raises:
        UserError: a field is missing, has the wrong type or shape, is not finite or makes no sense.
    """
    if not isinstance(name, str):
        raise UserError(f"{source}: name is a {type(name).__name__}; give the clip a name")
    name = clean_name(name)
    fps = frame_rate(fps, source)
    known = [name for name in LOOPS if isinstance(loop, str) and name == loop]
    if not known:
        shown = quoted(loop) if isinstance(loop, str) else f"a {type(loop).__name__}"
        raise UserError(
            f"{source}: loop is {shown}; use 'wrap' for a cyclic clip, 'turn' for one whose cycles turn on,"
            " else 'clamp'"
        )
    columns = _joint_columns(joint_names, source)

    position = real_array(root_pos, "root_pos", (None, 3), source, ("x", "y", "z"))
    quaternion = real_array(root_quat, "root_quat", (None, 4), source, ("w", "x", "y", "z"))
    angles = real_array(dof_pos, "dof_pos", (None, len(G1_JOINTS)), source, joint_names)[:, columns]
    if not len(position) == len(quaternion) == len(angles):
        raise UserError(
            f"{source}: root_pos, root_quat and dof_pos have {len(position)}, {len(quaternion)} and"
            f" {len(angles)} frames; export them with the same number of frames"
        )
    if len(position) < 2:
        raise UserError(f"{source}: root_pos has {len(position)} frame(s); a clip needs at least 2 frames")
    quaternion = without_sign_flips(_unit(quaternion, source))

    for array in (position, quaternion, angles):
        array.setflags(write=False)
    return Motion(name, fps, position, quaternion, angles, G1_JOINTS, known[0])


def clean_name(name: str) -> str:
    """Make a clip's name out of any text: one line, each character printable, "clip" if nothing is left."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "clip"


def real_array(
    values: ArrayLike,
    field: str,
    shape: tuple[int | None, ...],
    source: str | Path,
    columns: Sequence[str] = (),
    finite: bool = True,
) -> Array:
    """Copy `values` into a float64 array.

    Args:
        values: an array, or lists nested as deep as the shape.
        field: what the file calls them, for messages.
        shape: the expected shape; None stands for T, any number of frames.
        source: the file, for messages.
        columns: names of the last axis, for messages; without them, its indices are given.
        finite: whether NaN and infinity are refused.

    Raises:
        UserError: the values are not real numbers, have another shape, or are not finite.
    """
    if isinstance(values, list | tuple):
        # NumPy would turn a list that mixes text with numbers into text of the longest length.
        if not _holds_numbers(values, len(shape)):
            raise UserError(f"{source}: {field} is not made of numbers alone; give real numbers")
        try:
            array = np.array(values, np.float64)
        except ValueError as error:
            raise UserError(f"{source}: {field} is ragged; give every frame as many numbers") from error
        except OverflowError as error:
            raise UserError(f"{source}: {field} has an integer beyond float64; give real numbers") from error
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise UserError(f"{source}: {field} has type {array.dtype}; give real numbers")
    sizes = zip(shape, array.shape, strict=False)
    if array.ndim != len(shape) or any(wanted not in (None, found) for wanted, found in sizes):
        expected = ", ".join("T" if size is None else str(size) for size in shape)
        comma = "," if len(shape) == 1 else ""
        raise UserError(
            f"{source}: {field} has shape {array.shape}, expected ({expected}{comma}); export the clip of the"
            " 29-joint G1"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # of a longer float, and of a signalling NaN
        array = array.astype(np.float64, order="C")
    if finite:
        check_finite(array, field, source, columns)
    return array


def check_finite(array: Array, field: str, source: str | Path, columns: Sequence[str] = ()) -> None:
    """Raise UserError naming the first frame and column of `array` (T, ..., C) that is NaN or infinite."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        frame, *index = map(int, bad[0])
        where = "".join(f", column {columns[i] if columns else i}" for i in index)
        remedy = remedy_for_frames(bad[:, 0], len(array), "export the clip again")
        raise UserError(
            f"{source}: {field} is {array[tuple(bad[0])]} at frame {frame}{where}"
            f" ({len(bad)} such value(s)); {remedy}"
        )


def remedy_for_frames(bad: NDArray, frames: int, otherwise: str) -> str:
    """Advise to leave out the frames `bad`, of so many, where most are good, and what to do `otherwise`."""
    return "convert --drop-bad mends them" if mostly_good(len(np.unique(bad)), frames) else otherwise


def mostly_good(bad: int, frames: int) -> bool:
    """Tell whether so few frames are bad that those between good ones can be filled."""
    return 2 * bad <= frames


def _holds_numbers(values: Sequence, depth: int) -> bool:
    """Whether `values` are numbers in sequences nested `depth` deep, the inner ones maybe arrays."""
    if isinstance(values, np.ndarray):
        return values.dtype.kind in "iuf"
    if not isinstance(values, list | tuple):
        return False
    if depth == 1:
        kinds = set(map(type, values))
        return all(kind is not bool and issubclass(kind, int | float | np.number) for kind in kinds)
    return all(_holds_numbers(row, depth - 1) for row in values)


def frame_rate(fps: object, source: str | Path) -> float:
    """Convert frames per second to a float; UserError if they are none."""
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.integer | np.floating):
        raise UserError(f"{source}: fps is a {type(fps).__name__}; give one number > 0, in frames/s")
    try:
        rate = float(fps)
    except OverflowError:  # a Python integer beyond float64
        rate = float("inf")
    if not MIN_FPS <= rate <= MAX_FPS:
        raise UserError(
            f"{source}: fps is {rate:g}; give one number from {MIN_FPS:g} to {MAX_FPS:g}, in frames/s"
        )
    return rate


def _joint_columns(names: Sequence[str], source: str | Path) -> list[int]:
    """For each joint of `G1_JOINTS`, its index in `names`, which must be a permutation of them."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{source}: joint_names is not a list of text; give the 29 G1 joint names")
    faults = [
        f"{fault} {', '.join(map(quoted, found[:8]))}" + (f" and {len(found) - 8} more" if found[8:] else "")
        for fault, found in (
            ("unknown", [name for name in names if name not in G1_JOINTS]),
            ("missing", [name for name in G1_JOINTS if name not in names]),
            ("duplicate", [name for name in G1_JOINTS if names.count(name) > 1]),
        )
        if found
    ]
    if faults:
        only_missing = set(names) < set(G1_JOINTS) and len(set(names)) == len(names)
        remedy = "convert --pad sets them to 0" if only_missing else "name each of the 29 G1 joints once"
        raise UserError(f"{source}: joint_names: {'; '.join(faults)}; {remedy}")
    return [names.index(name) for name in G1_JOINTS]


def _unit(quaternion: Array, source: str | Path) -> Array:
    """`quaternion` (T, 4) with unit rows; UserError for rows that are zero or clearly not unit."""
    with np.errstate(over="ignore"):  # an overflowing norm is infinite and refused below
        norm = np.linalg.norm(quaternion, axis=1)
    bad = np.flatnonzero(np.abs(norm - 1.0) > UNIT_TOLERANCE)
    if len(bad):
        frame = bad[0]
        shown = "is zero" if norm[frame] < _ZERO_NORM else f"has norm {norm[frame]:.6g}"
        remedy = remedy_for_frames(bad, len(norm), "divide each by its norm if these are its columns")
        raise UserError(
            f"{source}: root_quat {shown} at frame {frame} ({len(bad)} such frame(s)); give unit ones, or"
            f" {remedy}"
        )
    return quaternion / np.where(np.abs(norm - 1.0) < _ROUNDING, 1.0, norm)[:, None]
