"""Unitree's retargeted LAFAN1 clips (`.csv`), as the data set LAFAN1_Retargeting_Dataset has them for the G1.

No row of names, 36 columns: root position (m), root quaternion **xyzw** (pelvis to world), 29 hinge angles
(rad) in the order of `G1_JOINTS`. 30 frames/s, which the file does not say. Read are as well: tables of 23
joints, a first column of time (s or ms, which gives the rate) or of frame numbers, and a row of names, which
then decide what a column is: the joints', those of the root, such as `root_x` and `root_qw`, and time, such
as `time_ms`.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.csv_table import Table
from mjx_mimic.clips.formats.fields import FEW_JOINTS, G1_23_JOINTS, are_unit, g1_name, unnamed_joints
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS

Array = NDArray[np.float64]

FPS = 30.0

_FREE = 7  # columns of the root
_COUNTS = (len(G1_JOINTS), FEW_JOINTS)
_UNIT = r"[\[(]\s*[^\W\d][^\])]*[\])]"  # in brackets, but no number
_ROOT = r"(?:root|base|pelvis|floatingbase|freejoint|free)?(?:joint)?"
_PLACE = _ROOT + r"(?:position|pos|translation|translate|trans|t|p)?([xyz0-3])"
_TURN = _ROOT + r"(?:quaternion|quat|q|rotation|rot|r|orientation|ori)([xyzw0-4])"
_TIME = r"(?:elapsed|sim)?(?:time|timestamp|stamp|t|s|secs?|seconds)(?:s|ms|us|ns|secs?|seconds)?"
_SECOND = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_NUMBER_STEPS = (1.0, 2.0, 3.0, 4.0)  # as ms, they would be over 200 frames/s
_UNEVEN = "time or frame numbers go up unevenly; export every frame, or convert --source-fps states the rate"
_COUNTER = r"(?:frame|row|sample|index|idx|id|number|num|no|nr|n|i|step|count|counter|unnamed0?)*"


def write(path: str | Path, motion: Motion) -> None:
    """Write a clip of 30 frames/s that is not cyclic: the file cannot say otherwise.

    Raises:
        UserError: another frame rate, a cyclic clip, or the file cannot be written.
    """
    check(path, motion.fps, motion.loop, motion.length)
    rows = np.concatenate([motion.root_pos, np.roll(motion.root_quat, -1, axis=1), motion.dof_pos], axis=1)
    with replacing(path) as file:
        np.savetxt(file, rows, fmt="%.9f", delimiter=",")


def check(path: str | Path, fps: float, loop: str, length: float) -> None:
    """Raise UserError for another frame rate, or a cyclic clip; see `Format.check`."""
    remedies = ["--loop clamp"] * (loop != "clamp") + ["--fps 30"] * (fps != FPS)
    if remedies:
        raise UserError(
            f"{path}: fps is {fps:.6g} and loop '{loop}', but Unitree's CSV always means 30 and 'clamp';"
            f" convert with {' '.join(remedies)}"
        )


def matches(table: Table, path: Path) -> bool:
    """Tell whether the table in the file `path` is of this format: any that no other one claims is."""
    return True


def build(table: Table, path: Path) -> RawClip:
    """Take the clip out of the `table` in the file `path`; raises UserError if there is none.

    A column of time or of frame numbers may stand before the others; time gives the frame rate.
    """
    if table.names is not None:
        return _named(table.names, table.rows, path)
    columns = table.rows.shape[1]
    width = next((_FREE + count for count in _COUNTS if _FREE + count <= columns), columns)
    before, rows = table.rows[:, : columns - width].T, table.rows[:, columns - width :]
    even = all(map(_runs, before))
    if width - _FREE not in _COUNTS or len(before) > 2 or not (even or _is_clip_after_time(before, rows)):
        raise UserError(
            f"{path}: has {columns} columns, expected {' or '.join(str(_FREE + n) for n in _COUNTS)} (root"
            " position 3, quaternion xyzw 4, the joints), after those of time or frame numbers, which go up;"
            " export these columns"
        )
    return RawClip(
        name=path.stem,
        fps=next((rate for rate in map(_rate, before) if rate is not None), FPS if even else None),
        root_pos=rows[:, :3],
        root_quat=np.roll(rows[:, 3:_FREE], 1, axis=1),
        dof_pos=rows[:, _FREE:],
        joint_names=unnamed_joints(width - _FREE),
        no_rate=_UNEVEN,
    )


def _is_clip_after_time(before: Array, rows: Array) -> bool:
    """Tell whether columns (C, T) go up, unevenly or not, and `rows` (T, 7 + J) hold unit quaternions."""
    whole = np.isfinite(before).all(axis=0) & np.isfinite(rows).all(axis=1)
    with np.errstate(over="ignore"):  # of numbers so large that they are damage
        rising = np.diff(before[:, whole], axis=1) > 0.0
    return bool(whole.sum() > 1 and np.all(rising)) and are_unit(rows[whole, 3:_FREE])


def _named(names: tuple[str, ...], rows: Array, path: Path) -> RawClip:
    """Take a clip out of columns with names: joints, seven of the root, and time; others are left alone."""
    plain = [_plain(name) for name in names]
    known = [(g1_name(re.sub(_UNIT, "", name)), index) for index, name in enumerate(names)]
    joints = _once([(joint, index) for joint, index in known if joint in G1_JOINTS], names, path)
    numbered = [index for index, name in enumerate(plain) if re.fullmatch(r"(dof|joint|q)(pos)?\d+", name)]
    columns, joint_names = list(joints.values()), list(joints)
    numbers_only = not joints and len(numbered) in _COUNTS
    if numbers_only:
        columns, joint_names = numbered, list(unnamed_joints(len(numbered)))
    others = [(name, index) for index, name in enumerate(plain) if index not in columns]
    place = list(_once(_axes(others, _PLACE, "xyz"), names, path).values())
    turn = list(_once(_axes(others, _TURN, "xyzw"), names, path).values())
    if len(place) < 3 or len(turn) < 4:
        shown = ", ".join(quoted(names[index]) for _, index in others[:8]) or "none"
        raise UserError(
            f"{path}: columns that are no joints are {shown}; name those of the root root_x, root_y, root_z,"
            " root_qx, root_qy, root_qz, root_qw, or remove the row of names"
        )
    time = next((index for name, index in others if re.fullmatch(_TIME, name)), None)
    if not numbers_only and not any(set(joints) >= set(known) for known in G1_23_JOINTS.values()):
        # One of the others may be the missing one, misspelt.
        taken = {*place, *turn, time}
        rest = [i for name, i in others if i not in taken and not re.fullmatch(_COUNTER, name)]
        columns, joint_names = columns + rest, joint_names + [names[index] for index in rest]
    numbers = [index for name, index in others if "frame" in name and re.fullmatch(_COUNTER, name)]
    even = all(_runs(rows[:, index]) for index in (numbers if time is None else [time]))
    rate = None if time is None else _rate(rows[:, time], _unit(names[time]))
    return RawClip(
        name=path.stem,
        fps=FPS if rate is None and even else rate,
        root_pos=rows[:, place],
        root_quat=np.roll(rows[:, turn], 1, axis=1),
        dof_pos=rows[:, columns],
        joint_names=joint_names,
        no_rate=_UNEVEN,
    )


def _axes(columns: list[tuple[str, int]], pattern: str, axes: str) -> list[tuple[str, int]]:
    """Find the columns of the root whose names match `pattern`, each with its axis, in the order of `axes`.

    Where axes are numbers, from 0 or 1, they are in this order.
    """
    found = [(match[1], index) for name, index in columns if (match := re.fullmatch(pattern, name))]
    for names in (axes, "0123"[: len(axes)], "1234"[: len(axes)]):
        if set(names) <= {axis for axis, _ in found}:
            return sorted((pair for pair in found if pair[0] in names), key=lambda pair: names.index(pair[0]))
    return []


def _once(columns: list[tuple[str, int]], names: tuple[str, ...], path: Path) -> dict[str, int]:
    """Return columns by what they are; raises UserError where two are the same."""
    found = dict(columns)
    for what, index in columns:
        if index != found[what]:
            both = f"{quoted(names[index])} and {quoted(names[found[what]])}"
            raise UserError(f"{path}: columns {both} mean the same; export one of them")
    return found


def _plain(name: str) -> str:
    """Reduce a column's name to its letters and digits, without a unit in brackets."""
    return re.sub(r"[^a-z0-9]", "", re.sub(_UNIT, "", name).lower())


def _unit(name: str) -> float | None:
    """Find how many of its units a second has by the last word of a column's name; None: it does not say."""
    words = re.findall(r"[^\W\d_]+", name.lower())
    return _SECOND.get(words[-1]) if words else None


def _runs(column: Array) -> bool:
    """Tell whether a column (T,) is a running time or number: it goes up by about the same at every frame.

    Cells without a number are passed over.
    """
    there = np.flatnonzero(np.isfinite(column))
    with np.errstate(over="ignore"):  # of numbers so large that they are damage
        step = np.diff(column[there]) / np.diff(there)
    return len(step) > 0 and bool(np.all(step > 0.0)) and float(step.max()) < 2.0 * float(np.median(step))


def _rate(column: Array, unit: float | None = None) -> float | None:
    """Compute the frame rate that a column (T,) of time shows; None: it numbers the frames, or is uneven.

    Args:
        column: time, NaN where it is unknown.
        unit: how many of its units a second has; None: it is s, ms, us or ns, whatever the steps look like,
            and whole steps under 5 are frame numbers.
    """
    if not _runs(column):
        return None
    first, last = np.flatnonzero(np.isfinite(column))[[0, -1]]
    length = float(column[last]) - float(column[first])
    step = length / int(last - first)
    if unit is None and step in _NUMBER_STEPS:
        return None
    if unit is None:  # no frame takes a second
        unit = next((unit for unit in (1.0, 1e3, 1e6) if step < unit), 1e9)
    rate = unit / step
    whole, rounding = float(np.round(rate)), 0.0
    if not np.any(column[np.isfinite(column)] % 1.0):
        rounding = 1.0 / length
    return whole if abs(rate - whole) < (0.001 + rounding) * rate else rate


FORMAT = Format(
    key="unitree",
    name="Unitree .csv",
    container="table",
    terms=Terms("columns 1 to 3", "columns 4 to 7", "columns 8 to 36"),
    fields=(),
    matches=matches,
    build=build,
    write=write,
    check=check,
)
