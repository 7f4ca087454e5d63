"""Biovision hierarchies (`.bvh`): a skeleton's offsets and joint angles as text, posed in the world.

The file has two parts. HIERARCHY nests `JOINT name { OFFSET x y z; CHANNELS n ...; children }`; MOTION has
`Frames: T`, `Frame Time: s`, and a line of numbers per frame, one number per channel in the order in which
the channels were declared. Rotations are degrees, applied in the order of their channels about axes that turn
along. A position channel takes the place of that coordinate of the joint's OFFSET, as in Blender's importer;
so the root's channels are its place in the world. Lengths have no unit in the format.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.common.files import read_bytes

Array = NDArray[np.float64]

MAX_BYTES = 128 * 2**20  # over an hour of CMU's 96 channels at 30 frames/s
_POSITIONS = ("xposition", "yposition", "zposition")
_ROTATIONS = ("xrotation", "yrotation", "zrotation")
_END_OF_FILE = "\x1a\0 \t\r\n"  # what DOS and others write after the last line
_MAX_JOINTS = 1000
_MAX_POSES = 10_000_000  # of about 100 bytes; 43 minutes of 32 joints at 120 frames/s
_MAX_FPS = 10_000.0
_ROUNDED = (-2e-3, 9e-4)  # of a frame time; NTSC's are longer than a whole rate's by 1e-3
_FARTHEST = 1e9  # a larger length or angle is damage, and sums of the largest would overflow


@dataclass(frozen=True, eq=False)
class Bvh:
    """A posed skeleton of J joints over T frames, in the file's own axes and unit of length.

    Attributes:
        names: names of the joints, the root first, parents before their children, without end sites.
        parents: (J,) index of the parent, -1 for the root.
        fps: frames per second.
        positions: (T, J, 3) of the joints in the world.
        rotations: (T, J, 4) unit quaternions wxyz, joint to world.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    fps: float
    positions: Array
    rotations: Array

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return len(self.positions)


@dataclass
class _Joint:
    """One joint of the hierarchy."""

    name: str
    parent: int
    offset: list[float] | None = None
    channels: list[str] = field(default_factory=list)


def read(path: str | Path) -> Bvh:
    """Read a file and pose its skeleton.

    Raises:
        UserError: the file is not BVH, is truncated, or has an invalid field; with the number of the line.
    """
    path = Path(path)
    text = read_bytes(path, MAX_BYTES, "give the path of a BVH file").decode("utf-8-sig", errors="replace")
    lines = text.rstrip(_END_OF_FILE).splitlines()
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if not lines or lines[start].strip() != "HIERARCHY":
        found = quoted(lines[start].strip(), 20) if lines else "nothing"
        raise UserError(f"{path}: not a BVH file: it starts with {found}, not HIERARCHY; export it as BVH")
    motion = next((number for number, line in enumerate(lines) if line.strip() == "MOTION"), None)
    if motion is None:
        raise UserError(f"{path}: there is no line MOTION, so the file is truncated; export or copy it again")
    joints = _hierarchy(path, lines, start + 1, motion)
    fps, channels = _motion(path, lines, motion + 1, sum(len(joint.channels) for joint in joints))
    if len(joints) * len(channels) > _MAX_POSES:
        raise UserError(
            f"{path}: {len(joints)} joints in {len(channels)} frames are over {_MAX_POSES:,} poses; cut the"
            " recording into parts"
        )
    return _posed(joints, fps, channels)


def _fail(path: Path, number: int, message: str) -> NoReturn:
    """Raise UserError on the line with index `number`."""
    raise UserError(f"{path}: line {number + 1}: {message}")


def _hierarchy(path: Path, lines: list[str], start: int, stop: int) -> list[_Joint]:
    """Read the joints between two lines, parents first."""
    words = _words(lines, start, stop)
    joints: list[_Joint] = []
    open_blocks: list[int | None] = []  # index of the joint whose block it is; None for an end site

    def take(what: str) -> tuple[int, str]:
        """Return the next word and its line."""
        for number, word in words:
            return number, word
        _fail(path, stop, f"HIERARCHY ends where {what} should stand, so it is truncated; export it again")

    def take_number(what: str) -> float:
        number, word = take(what)
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not abs(value) <= _FARTHEST:
            _fail(path, number, f"{what} is {quoted(word)}; give a finite number, {_FARTHEST:g} at most")
        return value

    def open_block() -> None:
        number, word = take("'{'")
        if word != "{":
            _fail(path, number, f"{quoted(word)} stands where '{{' should; names are one word each")

    while not joints or open_blocks:
        number, word = take("ROOT" if not joints else "'}'")
        owner = open_blocks[-1] if open_blocks else None
        joint = None if owner is None else joints[owner]
        if word == "ROOT" and not joints:
            joints.append(_Joint(take("the root's name")[1], -1))
            open_blocks.append(0)
            open_block()
        elif word == "JOINT" and owner is not None:
            joints.append(_Joint(take("a joint's name")[1], owner))
            open_blocks.append(len(joints) - 1)
            open_block()
        elif word == "End" and owner is not None:
            take("Site")
            open_blocks.append(None)
            open_block()
        elif word == "OFFSET" and open_blocks:
            offset = [take_number(f"OFFSET {axis}") for axis in "xyz"]
            if joint is not None:
                joint.offset = offset
        elif word == "CHANNELS" and joint is not None and not joint.channels:
            joint.channels = [take("a channel")[1].lower() for _ in range(_count(path, *take("a number")))]
            unknown = [name for name in joint.channels if name not in _POSITIONS + _ROTATIONS]
            if unknown or len(set(joint.channels)) < len(joint.channels):
                wrong = quoted((unknown or joint.channels)[0])
                known = "Xposition to Zposition and Xrotation to Zrotation"
                _fail(path, number, f"CHANNELS of {quoted(joint.name)} has {wrong}; give {known} once each")
        elif word == "}" and open_blocks:
            if joint is not None and joint.offset is None:
                _fail(path, number, f"joint {quoted(joint.name)} has no OFFSET; export the file again")
            open_blocks.pop()
        else:
            known = "JOINT, End Site, OFFSET, CHANNELS and }" if joints else "ROOT"
            _fail(path, number, f"HIERARCHY has {quoted(word)} where only {known} may stand; export it again")
        if len(joints) > _MAX_JOINTS:
            _fail(path, number, f"there are over {_MAX_JOINTS} joints; export one person's skeleton")
    for number, word in words:
        _fail(path, number, f"{quoted(word)} follows the root's block; export one person's skeleton")
    names = [joint.name for joint in joints]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: there are two joints {quoted(twice)}; export the file with unique names")
    return joints


def _words(lines: list[str], start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Yield words and the indices of their lines."""
    for number in range(start, stop):
        for word in lines[number].split():
            yield number, word


def _count(path: Path, number: int, word: str) -> int:
    """Read the number of channels."""
    if word not in ("0", "1", "2", "3", "4", "5", "6"):
        _fail(path, number, f"CHANNELS starts with {quoted(word)}; give how many follow, 0 to 6")
    return int(word)


def _motion(path: Path, lines: list[str], start: int, width: int) -> tuple[float, Array]:
    """Read the frames per second, and the channels of every frame (T, width)."""
    rows = [(number, line) for number, line in enumerate(lines[start:], start) if line.strip()]
    frames = _header(path, rows[:1], "Frames", "the number of frames")
    seconds = _header(path, rows[1:2], "Frame Time", "seconds between two frames")
    if frames < 1 or frames != int(frames):
        _fail(path, rows[0][0], f"Frames is {frames:g}; give the number of frames, 1 or more")
    if not 1.0 / _MAX_FPS <= seconds <= 1.0:
        what = f"the seconds between two frames, {1.0 / _MAX_FPS:g} to 1"
        _fail(path, rows[1][0], f"Frame Time is {seconds:g}; give {what}")
    rows = rows[2:]
    if len(rows) != frames:
        hint = "so it is truncated" if len(rows) < frames else "so lines are left over"
        shown = f"{int(frames)} but {len(rows)} lines of numbers follow"
        raise UserError(f"{path}: Frames is {shown}, {hint}; export it again")
    table = [line.split() for _, line in rows]
    for (number, _), words in zip(rows, table, strict=True):
        if len(words) != width:
            last = "; the last line is cut off" if number == rows[-1][0] and len(words) < width else ""
            _fail(path, number, f"{len(words)} numbers for {width} channels{last}; export the file again")
    try:
        values = np.array(table, dtype=np.float64).reshape(len(rows), width)
    except ValueError:
        for (number, _), words in zip(rows, table, strict=True):
            for word in words:
                if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", word, re.I) is None:
                    _fail(path, number, f"{quoted(word)} is not a number; export the file again")
        _fail(path, rows[0][0], "there is no table of numbers; export the file again")
    bad = np.argwhere(~(np.abs(values) <= _FARTHEST))  # NaN too
    if len(bad):
        row, column = bad[0]
        shown = quoted(table[row][column])[1:-1]
        _fail(path, rows[row][0], f"channel {column + 1} is {shown}; repair or cut these frames")
    whole = round(1.0 / seconds)
    # Frame times are written with few digits: 0.0333 is of 30 frames/s, 0.0417 of 24, but 0.033367 of 29.97.
    low, high = _ROUNDED
    return float(whole) if low < whole * seconds - 1.0 < high else 1.0 / seconds, values


def _header(path: Path, row: list[tuple[int, str]], name: str, what: str) -> float:
    """Read the number on the line `name: number`."""
    if not row:
        raise UserError(f"{path}: the line '{name}:' is missing after MOTION; the file is truncated")
    number, line = row[0]
    label, _, value = line.partition(":")
    try:
        parsed = float(value) if " ".join(label.split()) == name else np.nan
    except ValueError:
        parsed = np.nan
    if not np.isfinite(parsed):
        _fail(path, number, f"{quoted(line.strip())} stands where '{name}: <number>' should; give {what}")
    return parsed


def _posed(joints: list[_Joint], fps: float, values: Array) -> Bvh:
    """Compute forward kinematics of all frames at once."""
    frames, count = len(values), len(joints)
    positions = np.empty((frames, count, 3))
    rotations: list[Rotation] = []
    column = 0
    for index, joint in enumerate(joints):
        local = np.tile(np.array(joint.offset), (frames, 1))
        axes, angles = "", []
        for channel in joint.channels:
            if channel in _POSITIONS:
                local[:, _POSITIONS.index(channel)] = values[:, column]
            else:
                angles.append(values[:, column])
                axes += channel[0].upper()  # upper case: about the turned axes
            column += 1
        turn = Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1)))
        if axes:
            turn = Rotation.from_euler(axes, np.stack(angles, axis=1), degrees=True)
        if joint.parent < 0:
            positions[:, index] = local
            rotations.append(turn)
        else:
            parent = rotations[joint.parent]
            positions[:, index] = positions[:, joint.parent] + parent.apply(local)
            rotations.append(parent * turn)
    return Bvh(
        names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints]),
        fps=fps,
        positions=positions,
        rotations=np.stack([turn.as_quat(scalar_first=True) for turn in rotations], axis=1),
    )
