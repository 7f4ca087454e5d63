"""From the fields of a clip's file to a `Motion`: cut, filled and padded as asked for, then checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.clips import sanity
from mjx_mimic.clips.editing import frame_range
from mjx_mimic.clips.formats.base import RawClip, Reading, Terms
from mjx_mimic.clips.formats.fields import FEW_JOINTS, G1_23_JOINTS
from mjx_mimic.clips.motion import (
    UNIT_TOLERANCE,
    Motion,
    check_finite,
    frame_rate,
    mostly_good,
)
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import without_sign_flips

Array = NDArray[np.float64]


def motion_of(raw: RawClip, path: Path, terms: Terms, reading: Reading) -> Motion:
    """Make a clip of the fields of the file `path`.

    Raises:
        UserError: what is left of the frames is no clip of the 29-joint G1 in metres and radians.
    """
    rate = raw.fps if reading.source_fps is None else reading.source_fps
    if rate is None:
        raise UserError(f"{path}: {raw.no_rate}")
    fps = frame_rate(rate, path)
    counts = [len(array) for array in (raw.root_pos, raw.root_quat, raw.dof_pos)]
    if len(set(counts)) > 1:
        raise UserError(
            f"{path}: root_pos, root_quat and dof_pos have {counts[0]}, {counts[1]} and {counts[2]} frames;"
            " export them with the same number of frames"
        )
    raw = _with_joint_names(raw, path, terms, reading)
    if raw.note:
        reading.tell(raw.note)
    if reading.start is not None or reading.end is not None:
        raw = _part(raw, *frame_range(counts[0], fps, reading.start or 0.0, reading.end, str(path)))
    if reading.drop_bad:
        raw = _without_bad_frames(raw, path, reading)
    _check_finite(raw, path, terms)
    if reading.pad:
        raw = _padded(raw)
    sanity.check_metres(raw.root_pos, terms.position, path)
    read = raw.motion(fps, path)
    turns = sanity.whole_turns(read.dof_pos)
    angles = read.dof_pos - sanity.TURN * turns
    sanity.check_radians(angles, terms.joints, path)
    if raw.joint_vel is not None and reading.source_fps is None:
        sanity.check_rate(raw.dof_pos, raw.joint_vel, fps, terms.velocities, path)
    if not turns.any():
        return read
    for joint in np.flatnonzero(turns):
        reading.tell(f"took {turns[joint]:+.0f} whole turn(s) off {read.joint_names[joint]}")
    angles.setflags(write=False)
    return replace(read, dof_pos=angles)


def _with_joint_names(raw: RawClip, path: Path, terms: Terms, reading: Reading) -> RawClip:
    """Name the joints of a clip that has 23 and does not show which, as the user says.

    Raises:
        UserError: he does not, or does and the file shows it.
    """
    stated = reading.pad if isinstance(reading.pad, str) else None
    if raw.joint_names or raw.dof_pos.shape[1] != FEW_JOINTS:
        if stated is not None and set(raw.joint_names) != set(G1_23_JOINTS[stated]):
            raise UserError(
                f"{path}: {terms.joints} has other joints than --pad-as {stated} says, as the file shows;"
                " convert --pad sets those that it lacks to 0"
            )
        return raw
    if not reading.pad:
        raise UserError(
            f"{path}: {terms.joints}: there are {FEW_JOINTS} joints without names; convert --pad-as one-waist"
            " reads Unitree's, with the rolls of the wrists, convert --pad-as no-wrists those of ASAP, PBHC,"
            " TWIST and GMT, with three joints of the waist, and either sets the other six to 0"
        )
    if stated is None:
        reading.tell(
            f"took the {FEW_JOINTS} joints for Unitree's, with one of the waist and the rolls of the wrists;"
            " where they are three of the waist and none of the wrists, convert --pad-as no-wrists"
        )
    return replace(raw, joint_names=G1_23_JOINTS[stated or "one-waist"])


def _part(raw: RawClip, first: int, last: int) -> RawClip:
    """Keep the frames from `first` to `last`; a part of a cyclic clip is not cyclic."""
    if (first, last) == (0, len(raw.root_pos) - 1):
        return raw
    kept = slice(first, last + 1)
    return replace(
        raw,
        root_pos=raw.root_pos[kept],
        root_quat=raw.root_quat[kept],
        dof_pos=raw.dof_pos[kept],
        joint_vel=None if raw.joint_vel is None else raw.joint_vel[kept],
        loop="clamp",
    )


def _without_bad_frames(raw: RawClip, path: Path, reading: Reading) -> RawClip:
    """Cut bad frames off the ends, and fill those in between by interpolation; tell how many."""
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.linalg.norm(raw.root_quat, axis=1)
        good = np.abs(norm - 1.0) <= UNIT_TOLERANCE
        good &= (np.abs(raw.root_pos) <= sanity.FARTHEST).all(axis=1)
    good &= np.isfinite(raw.dof_pos).all(axis=1)
    kept = np.flatnonzero(good)
    if len(kept) < 2 or not mostly_good(len(good) - len(kept), len(good)):
        raise UserError(
            f"{path}: has {len(kept)} good frames of {len(good)}, too few to fill the others; cut to a good"
            " part with --start and --end, or export finite numbers and unit quaternions"
        )
    if good.all():
        return raw
    frames = np.arange(kept[0], kept[-1] + 1)
    turns = Slerp(kept, Rotation.from_quat(without_sign_flips(raw.root_quat[kept]), scalar_first=True))

    def filled(array: Array) -> Array:
        columns = [np.interp(frames, kept, array[kept, column]) for column in range(array.shape[1])]
        return np.stack(columns, axis=1)

    bad = ~good[frames]
    reading.tell(
        f"filled {bad.sum()} bad frames of {len(good)}, and cut {len(good) - len(frames)} at the ends"
    )
    root_quat = raw.root_quat[frames].copy()
    root_quat[bad] = turns(frames[bad]).as_quat(scalar_first=True) if bad.any() else root_quat[bad]
    return replace(
        raw,
        root_pos=filled(raw.root_pos),
        root_quat=root_quat,
        dof_pos=filled(raw.dof_pos),
        joint_vel=None,
        loop=raw.loop if len(frames) == len(good) else "clamp",
    )


def _check_finite(raw: RawClip, path: Path, terms: Terms) -> None:
    """Raise UserError for the first value that is NaN, infinite, or no place on Earth."""
    check_finite(raw.root_pos, terms.position, path, ("x", "y", "z"))
    check_finite(raw.root_quat, terms.rotation, path, ("w", "x", "y", "z"))
    check_finite(raw.dof_pos, terms.joints, path, raw.joint_names)
    sanity.check_distance(raw.root_pos, terms.position, path)


def _padded(raw: RawClip) -> RawClip:
    """Set the joints of the G1 that the file lacks to 0."""
    missing = [name for name in G1_JOINTS if name not in raw.joint_names]
    zeros = np.zeros((len(raw.dof_pos), len(missing)))
    return replace(
        raw,
        dof_pos=np.concatenate([raw.dof_pos, zeros], axis=1),
        joint_names=[*raw.joint_names, *missing],
        joint_vel=None,
    )
