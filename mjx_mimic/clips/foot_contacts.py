"""When a clip's feet stand on the floor, and how they slide while they do; on the host, in float64."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.kinematics import forward_kinematics, qpos_of

FEET = ("left", "right")
LOW = 0.02
"""Height, m, under which a sole sphere may be carrying."""
SLOW_FALL = 0.25
"""Vertical speed, m/s, over which a low sphere is landing or leaving."""
SWING_SPEED = 0.8
"""Horizontal speed, m/s, over which a low foot swings by while the other one stands."""


@dataclass(frozen=True, eq=False)
class FootContacts:
    """Of every step from a frame to the next, T - 1 of them, and of the left and the right foot.

    Attributes:
        standing: (T - 1, 2) bool.
        slide: (T - 1, 2, 2) m, way in x and y of the foot's slowest low sphere; 0 where it does not stand.
    """

    standing: NDArray[np.bool_]
    slide: NDArray[np.float64]


def foot_contacts(model: mujoco.MjModel, motion: Motion) -> FootContacts:
    """A foot stands while one of its four sole spheres is low and moves little up or down. A foot that is
    low but sweeps by while the other one stands is in swing.

    The slowest of its low spheres tells how the foot slides, since it may roll over heel or toes or turn on
    one of them.
    """
    soles = _sole_positions(model, motion)
    step, height = np.diff(soles, axis=0), soles[..., 2]
    carrying = np.maximum(height[1:], height[:-1]) < LOW
    carrying &= np.abs(step[..., 2]) * motion.fps < SLOW_FALL
    way = np.where(carrying, np.linalg.norm(step[..., :2], axis=-1), np.inf)
    slowest = way.argmin(axis=-1)[..., None]
    speed = np.take_along_axis(way, slowest, axis=-1)[..., 0] * motion.fps
    standing = (speed < SWING_SPEED) | (np.isfinite(speed) & (speed[:, ::-1] >= SWING_SPEED))
    slide = np.take_along_axis(step[..., :2], slowest[..., None], axis=2)[:, :, 0]
    return FootContacts(standing, np.where(standing[..., None], slide, 0.0))


def stretches(flags: NDArray[np.bool_]) -> list[slice]:
    """The runs of True in `flags` (N,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _sole_positions(model: mujoco.MjModel, motion: Motion) -> NDArray[np.float64]:
    """(T, 2, 4, 3) lowest points of the sole spheres of both feet, world, m."""
    poses = forward_kinematics(model, qpos_of(motion))
    feet = []
    for side in FEET:
        row = poses.body_names.index(f"{side}_ankle_roll_link")
        turn = Rotation.from_quat(poses.body_quat[:, row], scalar_first=True)
        spheres = [geom for geom in range(model.ngeom) if model.geom(geom).name.startswith(f"{side}_sole_")]
        radius = [0.0, 0.0, model.geom_size[spheres[0], 0]]
        centres = [poses.body_pos[:, row] + turn.apply(model.geom_pos[sphere]) for sphere in spheres]
        feet.append(np.array(centres) - radius)
    return np.moveaxis(np.array(feet), 2, 0)
