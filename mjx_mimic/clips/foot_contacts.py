"""When a clip's feet stand on the floor, and how they slide while they do; on the host, in float64."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.kinematics import sole_positions

LOW = 0.02
"""Height, m, below which a sole sphere may carry load."""
SLOW_FALL = 0.25
"""Vertical speed, m/s, above which a low sphere is landing or lifting off."""
SWING_SPEED = 0.8
"""Horizontal speed, m/s, above which a low foot swings past while the other one stands."""


@dataclass(frozen=True, eq=False)
class FootContacts:
    """Contacts in each of the T - 1 steps from a frame to the next, of the left and the right foot.

    Attributes:
        standing: (T - 1, 2) bool.
        slide: (T - 1, 2, 2) m, displacement in x and y of the foot's slowest low sphere; 0 where the foot
            does not stand.
    """

    standing: NDArray[np.bool_]
    slide: NDArray[np.float64]


def foot_contacts(model: mujoco.MjModel, motion: Motion) -> FootContacts:
    """Find the contacts of a clip's feet with the floor.

    A foot stands while one of its four sole spheres is low and hardly moves up or down. A foot that is low
    but sweeps past while the other one stands is in swing. The slowest of its low spheres shows how the foot
    slides, since the foot may roll over heel or toes or turn on one of them.
    """
    soles = sole_positions(model, motion.qpos)
    step, height = np.diff(soles, axis=0), soles[..., 2]
    low = np.maximum(height[1:], height[:-1]) < LOW
    carrying = low & (np.abs(step[..., 2]) * motion.fps < SLOW_FALL)
    distance = np.where(carrying, np.linalg.norm(step[..., :2], axis=-1), np.inf)
    slowest = distance.argmin(axis=-1)[..., None]
    speed = np.take_along_axis(distance, slowest, axis=-1)[..., 0] * motion.fps
    other_foot_swings = speed[:, ::-1] >= SWING_SPEED
    standing = (speed < SWING_SPEED) | (np.isfinite(speed) & other_foot_swings)
    slide = np.take_along_axis(step[..., :2], slowest[..., None], axis=2)[:, :, 0]
    return FootContacts(standing, np.where(standing[..., None], slide, 0.0))


def runs_of_true(flags: NDArray[np.bool_]) -> list[slice]:
    """Find the runs of True in `flags` (N,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
