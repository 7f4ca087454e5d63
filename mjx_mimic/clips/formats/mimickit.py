"""MimicKit's `.pkl` clips (https://github.com/xbpeng/MimicKit, `mimickit/anim/motion.py`).

A pickled dict of `loop_mode` (0 clamp, 1 wrap), `fps` and `frames`: T lists of 35 numbers, which are root
position (m), root rotation as an exponential map (rotation vector, rad, pelvis to world) and 29 hinge angles
(rad) in the order of `G1_JOINTS`.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import FEW_JOINTS, first_shape, rate, require, scalar, unnamed_joints
from mjx_mimic.clips.formats.safe_pickle import MAX_BYTES
from mjx_mimic.clips.motion import Motion, real_array
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS

_ROOT = 6  # columns before the joints
_LOOPS = {0: "clamp", 1: "wrap"}

_LONGEST = 4.0 * np.pi  # rad; a rotation vector longer than two turns is in degrees


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "frames" in fields or "loop_mode" in fields


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1.
    """
    require(fields, ("loop_mode", "frames"), "MimicKit", path)
    loop_mode = scalar(fields["loop_mode"])
    if not isinstance(loop_mode, int | float) or loop_mode not in _LOOPS:
        raise UserError(f"{path}: loop_mode is not one of the integers 0 (clamp) and 1 (wrap); set it to one")
    joints = FEW_JOINTS if first_shape(fields["frames"])[1:] == (_ROOT + FEW_JOINTS,) else len(G1_JOINTS)
    frames = real_array(fields["frames"], "frames", (None, _ROOT + joints), path, finite=False)
    turns = np.abs(frames[:, 3:6])
    longest = float(turns[np.isfinite(turns)].max(initial=0.0))
    if longest > _LONGEST:
        raise UserError(
            f"{path}: frames has a root rotation vector of {longest:.4g} rad, which looks like degrees;"
            " give radians"
        )
    finite = np.isfinite(turns).all(axis=1)
    root_quat = np.full((len(frames), 4), np.nan)
    if finite.any():
        root_quat[finite] = Rotation.from_rotvec(frames[finite, 3:6]).as_quat(scalar_first=True)
    return RawClip(
        name=path.stem,
        fps=rate(fields, path),
        root_pos=frames[:, :3],
        root_quat=root_quat,
        dof_pos=frames[:, _ROOT:],
        joint_names=unnamed_joints(joints),
        loop=_LOOPS[int(loop_mode)],
    )


def write(path: str | Path, motion: Motion) -> None:
    """Write a clip as MimicKit does: a pickled dict of `loop_mode`, `fps` and `frames`, plain numbers only.

    Raises:
        UserError: the frame rate is not a whole number, the clip turns on from cycle to cycle, the file would
            be too large to be read, or it cannot be written.
    """
    check(path, motion.fps, motion.loop, motion.length)
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True).as_rotvec()
    frames = np.concatenate([motion.root_pos, turn, motion.dof_pos], axis=1)
    loop_mode = next(mode for mode, loop in _LOOPS.items() if loop == motion.loop)
    data = pickle.dumps({"loop_mode": loop_mode, "fps": int(motion.fps), "frames": frames.tolist()}, 4)
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path}: {len(frames)} frames are {len(data) / 2**20:.0f} MiB, and pickles are read up to"
            f" {MAX_BYTES // 2**20} MiB; write a .npz, or convert --fps 120"
        )
    with replacing(path) as file:
        file.write(data)


def check(path: str | Path, fps: float, loop: str, length: float) -> None:
    """Raise UserError for a rate that is no whole number, or a clip that turns on; see `Format.check`."""
    if loop == "turn":
        raise UserError(
            f"{path}: loop is 'turn', and MimicKit's cycles do not turn on; convert with --cycles 10, which"
            " ends, or write a .npz"
        )
    if not float(fps).is_integer():
        raise UserError(
            f"{path}: fps is {fps:.6g}, and MimicKit's is a whole number; convert with"
            f" {_whole_rate(fps, loop, length)}"
        )


def _whole_rate(fps: float, loop: str, length: float) -> str:
    """Name the options of `convert` for the nearest whole frame rate; a cyclic clip keeps its period."""
    near = sorted(range(1, 241), key=lambda rate: abs(rate - fps))
    if loop != "clamp" and length:
        intervals = [(rate, length * rate) for rate in near]
        near = [rate for rate, count in intervals if abs(count - round(count)) < 1e-9 * count]
    return f"--fps {near[0]}" if near else f"--loop clamp --fps {max(round(fps), 1)}"


FORMAT = Format(
    key="mimickit",
    name="MimicKit .pkl",
    container="fields",
    terms=Terms("frames", "frames", "frames"),
    fields=("loop_mode", "fps", "frames"),
    matches=matches,
    build=build,
    write=write,
    check=check,
)
