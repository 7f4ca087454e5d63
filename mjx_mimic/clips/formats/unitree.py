"""Unitree's retargeted LAFAN1 clips (`.csv`), as the data set LAFAN1_Retargeting_Dataset has them for the G1.

No row of names, 36 columns: root position (m), root quaternion **xyzw** (pelvis to world), 29 hinge angles
(rad) in the order of `G1_JOINTS`. 30 frames/s, which the file does not say. Read are as well: tables of the
G1 with 23 joints, a first column of time (s or ms, which gives the rate) or of frame numbers, and a row of
names, which then decide what a column is: the joints', and those of the root, such as `root_x` and `root_qw`.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.csv_table import Table
from mjx_mimic.clips.formats.fields import G1_23_JOINTS, g1_name
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS

Array = NDArray[np.float64]

FPS = 30.0

_WIDTHS = {7 + len(names): names for names in (G1_JOINTS, G1_23_JOINTS)}
_TIME = ("time", "times", "timestamp", "timestamps", "t", "s", "sec", "seconds")
_COUNTERS = ("frame", "frames", "frameid", "framenumber", "index", "id", "step", "unnamed0", "")


def write(path: str | Path, motion: Motion) -> None:
    """Write a clip of 30 frames/s that is not cyclic: the file cannot say otherwise.

    Raises:
        UserError: another frame rate, a cyclic clip, or the file cannot be written.
    """
    remedies = ["--loop clamp"] * (motion.loop != "clamp") + ["--fps 30"] * (motion.fps != FPS)
    if remedies:
        raise UserError(
            f"{path}: fps is {motion.fps:.6g} and loop '{motion.loop}', but Unitree's CSV always means 30 and"
            f" 'clamp'; convert with {' '.join(remedies)}"
        )
    rows = np.concatenate([motion.root_pos, np.roll(motion.root_quat, -1, axis=1), motion.dof_pos], axis=1)
    with replacing(path) as file:
        np.savetxt(file, rows, fmt="%.9f", delimiter=",")


def matches(table: Table, path: Path) -> bool:
    """Tell whether the table in the file `path` is of this format: any that no other one claims is."""
    return True


def build(table: Table, path: Path) -> RawClip:
    """Take the clip out of the `table` in the file `path`; raises UserError if there is none.

    A column of time or of frame numbers may stand before the others; time gives the frame rate.
    """
    if table.names is not None:
        return _named(table.names, table.rows, path)
    rows, fps = table.rows, FPS
    if rows.shape[1] - 1 in _WIDTHS and _runs(rows[:, 0]):
        rows, fps = rows[:, 1:], _rate(rows[:, 0], path)
    if rows.shape[1] not in _WIDTHS:
        raise UserError(
            f"{path}: has {rows.shape[1]} columns, expected {' or '.join(map(str, _WIDTHS))} (root position"
            " 3, quaternion xyzw 4, the joints), after one of time or frame numbers; export these columns"
        )
    return RawClip(
        name=path.stem,
        fps=fps,
        root_pos=rows[:, :3],
        root_quat=np.roll(rows[:, 3:7], 1, axis=1),
        dof_pos=rows[:, 7:],
        joint_names=_WIDTHS[rows.shape[1]],
    )


def _named(names: tuple[str, ...], rows: Array, path: Path) -> RawClip:
    """Take a clip out of columns with names: joints, seven of the root that end in x, y, z or w, time."""
    joints = {g1_name(name.removesuffix("_dof")): index for index, name in enumerate(names)}
    joints = {name: index for name, index in joints.items() if name in G1_JOINTS}
    others = {_plain(name): index for index, name in enumerate(names) if index not in joints.values()}
    time = next((others[name] for name in others if name in _TIME), None)
    root = {name: index for name, index in others.items() if name not in (*_TIME, *_COUNTERS)}
    turn = {name[-1]: i for name, i in root.items() if re.search(r"q|rot|ori", name) and name[-1] in "wxyz"}
    place = {name[-1]: i for name, i in root.items() if i not in turn.values() and name[-1:] in "xyz"}
    if len(root) != 7 or set(turn) != set("wxyz") or set(place) != set("xyz"):
        shown = ", ".join(quoted(names[index]) for index in list(root.values())[:8]) or "none"
        raise UserError(
            f"{path}: columns that are no joints are {shown}; name them root_x, root_y, root_z, root_qx,"
            " root_qy, root_qz, root_qw, or remove the row of names"
        )
    return RawClip(
        name=path.stem,
        fps=FPS if time is None else _rate(rows[:, time], path),
        root_pos=rows[:, [place[axis] for axis in "xyz"]],
        root_quat=rows[:, [turn[axis] for axis in "wxyz"]],
        dof_pos=rows[:, list(joints.values())],
        joint_names=tuple(joints),
    )


def _plain(name: str) -> str:
    """Reduce a column's name to its letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _runs(column: Array) -> bool:
    """Tell whether a column (T,) is a running time or number: it goes up by about the same at every frame."""
    step = np.diff(column)
    return len(step) > 0 and bool(np.all(step > 0.0)) and float(step.max()) < 2.0 * float(np.median(step))


def _rate(column: Array, path: Path) -> float:
    """Compute the frame rate that a column (T,) of time in s or ms shows; frame numbers show none."""
    finite = column[np.isfinite(column)]
    if not _runs(finite):
        raise UserError(
            f"{path}: time does not go up evenly; export every frame at one rate, or remove this column"
        )
    step = (finite[-1] - finite[0]) / (len(finite) - 1)
    if step == 1.0:
        return FPS
    rate = 1.0 / step if step < 1.0 else 1000.0 / step  # nobody records a frame in more than a second
    return float(round(rate)) if abs(rate - round(rate)) < 0.001 * rate else float(rate)


FORMAT = Format(
    key="unitree",
    name="Unitree .csv",
    container="table",
    terms=Terms("columns 1 to 3", "columns 4 to 7", "columns 8 to 36"),
    fields=(),
    matches=matches,
    build=build,
    write=write,
)
