"""Clips that store poses of named bodies beside named joints (`.npz`), as IsaacLab's AMP motions do.

`dof_names` and `body_names`, `dof_positions` (T, J) rad, `body_positions` (T, B, 3) m and `body_rotations`
(T, B, 4) in the world, and `fps`. Quaternions are wxyz, or xyzw where only that puts the bodies where they
are. The root is the body "pelvis", or the first one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import G1_23_JOINTS, angles, distances, first_of, numbers, rate, texts
from mjx_mimic.clips.sanity import LINK_TOLERANCE, link_positions, links
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

_JOINTS = ("dof_positions", "joint_pos", "joint_positions", "dof_pos")
_PLACES = ("body_positions", "body_pos_w", "body_pos")
_TURNS = ("body_rotations", "body_quat_w", "body_quat")
_FRAMES = 20  # frames whose bodies are compared


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    wanted = (("dof_names", "joint_names"), ("body_names",), _JOINTS, _PLACES, _TURNS)
    return all(first_of(fields, names) is not None for names in wanted)


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`, named after the file.

    Raises:
        UserError: it is not a clip of the G1, or its body positions are not those of its angles.
    """
    joints, places, turns = (first_of(fields, names) or "" for names in (_JOINTS, _PLACES, _TURNS))
    dof_pos, joint_names = angles(fields, joints, path)
    bodies = texts(fields, "body_names", path)
    stored = numbers(fields, places, (None, len(bodies), 3), path)
    root = bodies.index("pelvis") if "pelvis" in bodies else 0
    raw = RawClip(
        name=path.stem,
        fps=rate(fields, path),
        root_pos=stored[:, root],
        root_quat=numbers(fields, turns, (None, len(bodies), 4), path)[:, root],
        dof_pos=dof_pos,
        joint_names=joint_names,
    )
    swapped = replace(
        raw, root_quat=np.roll(raw.root_quat, 1, axis=1), note=f"{turns} is xyzw, by where the bodies are"
    )
    for clip in (raw, swapped):
        pose = np.concatenate([clip.root_pos, clip.root_quat], axis=1)
        if _distance(clip.dof_pos, clip.joint_names, pose, bodies, stored) <= LINK_TOLERANCE:
            return clip
    check_bodies(raw, np.concatenate([raw.root_pos, raw.root_quat], axis=1), bodies, stored, places, path)
    return raw  # it lacks joints of the G1, so its bodies may well be elsewhere


def check_bodies(
    raw: RawClip,
    root: NDArray[np.float64],
    names: Sequence[str],
    stored: NDArray[np.float64],
    field: str,
    path: Path,
) -> None:
    """Raise UserError if the angles do not put the bodies where the file has them.

    A clip that lacks joints of the G1, or of whose bodies none is known by its name, is left alone.

    Args:
        raw: the clip, T frames.
        root: (T, 7) pose of the pelvis in the frame of `stored`: m, quaternion wxyz.
        names: B names of the bodies.
        stored: (T, B, 3) m, positions of the bodies.
        field: what the file calls them, for messages.
        path: the file, for messages.
    """
    if set(raw.joint_names) != set(G1_JOINTS):
        return
    away = _distance(raw.dof_pos, raw.joint_names, root, names, stored)
    if away > LINK_TOLERANCE:
        raise UserError(
            f"{path}: {field} is {away:.2g} m, on average, from where the joint angles put the bodies; write"
            " the joints in the order that the file states, else in Unitree's, and in radians"
        )


def joints_by_bodies(
    raw: RawClip, root: NDArray[np.float64], names: Sequence[str], stored: NDArray[np.float64]
) -> tuple[str, ...]:
    """Find which 23 joints a clip has that does not name them: those that put the bodies where it has them.

    The arguments are those of `check_bodies`. No names are returned where the bodies do not show it.
    """
    away = {joints: _distance(raw.dof_pos, joints, root, names, stored) for joints in G1_23_JOINTS.values()}
    nearest, other = sorted(away, key=lambda joints: away[joints])
    return nearest if away[nearest] < away[other] and away[nearest] <= LINK_TOLERANCE else ()


def _distance(
    dof_pos: NDArray[np.float64],
    joint_names: Sequence[str],
    root: NDArray[np.float64],
    names: Sequence[str],
    stored: NDArray[np.float64],
) -> float:
    """Compute the mean distance, m, of bodies from where the joints put them; missing joints are at 0.

    It is 0 where no body is known by its name, or no frame has all numbers.
    """
    known = [name for name in links() if name in names]
    if not known or not len(stored) == len(dof_pos) == len(root):
        return 0.0
    joints = np.zeros((len(dof_pos), len(G1_JOINTS)))
    joints[:, [G1_JOINTS.index(name) for name in joint_names]] = dof_pos
    qpos = np.concatenate([root, joints], axis=1)
    finite = np.flatnonzero(np.isfinite(qpos).all(axis=1) & np.isfinite(stored).all(axis=(1, 2)))
    if not len(finite):
        return 0.0
    frames = finite[np.unique(np.linspace(0, len(finite) - 1, _FRAMES).astype(int))]
    computed = link_positions(qpos[frames])[:, [links().index(name) for name in known]]
    shown = stored[np.ix_(frames, [names.index(name) for name in known])]
    return float(distances(computed, shown).mean())


FORMAT = Format(
    key="bodies",
    name="bodies with names .npz",
    container="fields",
    terms=Terms("body_positions", "body_rotations", "dof_positions"),
    fields=("fps", "dof_names", "body_names", "dof_positions", "body_positions", "body_rotations"),
    matches=matches,
    build=build,
)
