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
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.formats.fields import require
from mjx_mimic.clips.formats.safe_pickle import MAX_FRAMES
from mjx_mimic.clips.motion import Motion, check_finite, make_motion
from mjx_mimic.clips.sanity import Terms
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS

TERMS = Terms("frames", "frames", "frames", order=None, named=False)

_COLUMNS = ("root x", "root y", "root z", "root rotation x", "root rotation y", "root rotation z", *G1_JOINTS)
_LOOPS = {0: "clamp", 1: "wrap"}

_LONGEST = 4.0 * np.pi  # rad; a rotation vector longer than two turns is in degrees


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Whether the fields of file `path` are of this format."""
    return "frames" in fields or "loop_mode" in fields


def build(fields: Mapping[str, Any], path: Path) -> Motion:
    """The clip that the `fields` of file `path` hold, named after the file.

    Raises:
        UserError: it is no clip of the 29-hinge G1.
    """
    require(fields, ("loop_mode", "fps", "frames"), "MimicKit", path)
    loop_mode = fields["loop_mode"]
    if type(loop_mode) is not int or loop_mode not in _LOOPS:
        raise UserError(f"{path}: loop_mode is not one of the integers 0 (clamp) and 1 (wrap); set it to one")
    frames = _frames(fields["frames"], path)
    longest = float(np.abs(frames[:, 3:6]).max())
    if longest > _LONGEST:
        raise UserError(
            f"{path}: frames has a root rotation vector of {longest:.4g} rad, which looks like degrees;"
            " give radians"
        )
    return make_motion(
        name=path.stem,
        fps=fields["fps"],
        root_pos=frames[:, :3],
        root_quat=Rotation.from_rotvec(frames[:, 3:6]).as_quat(scalar_first=True),
        dof_pos=frames[:, 6:],
        joint_names=G1_JOINTS,
        loop=_LOOPS[loop_mode],
        source=path,
    )


def write(path: str | Path, motion: Motion) -> None:
    """Writes a clip as MimicKit does: a pickled dict of `loop_mode`, `fps` and `frames`, plain numbers only.

    Raises:
        UserError: the frame rate is not a whole number, or the file cannot be written.
    """
    if not float(motion.fps).is_integer():
        raise UserError(
            f"{path}: fps is {motion.fps:.6g}, and MimicKit's is a whole number; convert with"
            f" {_whole_rate(motion)}"
        )
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True).as_rotvec()
    frames = np.concatenate([motion.root_pos, turn, motion.dof_pos], axis=1)
    loop_mode = next(mode for mode, loop in _LOOPS.items() if loop == motion.loop)
    with replacing(path) as file:
        pickle.dump({"loop_mode": loop_mode, "fps": int(motion.fps), "frames": frames.tolist()}, file, 4)


def _whole_rate(motion: Motion) -> str:
    """Options of `convert` for the nearest whole frame rate; a cyclic clip keeps its period."""
    near = sorted(range(1, 241), key=lambda rate: abs(rate - motion.fps))
    if motion.loop == "wrap":
        intervals = [(rate, motion.length * rate) for rate in near]
        near = [rate for rate, count in intervals if abs(count - round(count)) < 1e-9 * count]
    return f"--fps {near[0]}" if near else f"--loop clamp --fps {max(round(motion.fps), 1)}"


def _frames(frames: object, path: Path) -> NDArray[np.float64]:
    """`frames`, a list of T lists of 35 finite numbers, as a (T, 35) array."""
    if isinstance(frames, np.ndarray) and frames.ndim == 2 and frames.dtype.kind in "iuf":
        frames = frames.tolist()  # which MimicKit reads as well
    # Types first, numpy after: it would expand nested lists that share members without bound.
    if not isinstance(frames, list):
        raise UserError(f"{path}: frames is a {type(frames).__name__}; give a list of lists of numbers")
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise UserError(
            f"{path}: frames has {len(frames)} frame(s); give a clip of at least 2 frames"
            f" and at most {MAX_FRAMES}"
        )
    array = np.empty((len(frames), len(_COLUMNS)))
    for index, frame in enumerate(frames):
        if not isinstance(frame, list) or not set(map(type, frame)) <= {int, float}:
            raise UserError(f"{path}: frames: frame {index} is not a list of numbers; export the clip again")
        if len(frame) != len(_COLUMNS):
            raise UserError(
                f"{path}: frames: frame {index} has {len(frame)} columns, expected {len(_COLUMNS)} (root"
                " position 3, root exponential map 3, joints 29); retarget the clip to the 29-joint G1"
            )
        try:
            array[index] = frame
        except OverflowError as error:
            raise UserError(
                f"{path}: frames: frame {index} has an integer beyond float64; repair or cut this frame"
            ) from error
    check_finite(array, "frames", _COLUMNS, path)
    return array
