"""Kinematics of whole clips on the host, in float64: MuJoCo's C engine, and quaternions of frames."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.robot.constants import SELF_COLLISIONS, SOLE_GEOMS
from mjx_mimic.robot.mjcf import COLLISION_GROUP, joint_ranges

Array = NDArray[np.float64]

_FAR = 1e3  # m; `floor_clearance` reports a larger distance as this one
_NEAR = 0.1  # m; so does `self_clearance` with this one


@dataclass(frozen=True, eq=False)
class Poses:
    """Positions and orientations of a model in T frames; world frame, m.

    Attributes:
        body_names: names of the B bodies without the world.
        body_pos: (T, B, 3) origins of the bodies.
        body_quat: (T, B, 4) wxyz, body to world.
        com_pos: (T, 3) whole-body centre of mass.
    """

    body_names: tuple[str, ...]
    body_pos: Array
    body_quat: Array
    com_pos: Array

    def of(self, *names: str) -> Array:
        """(T, len(names), 3) origins of the named bodies."""
        return self.body_pos[:, [self.body_names.index(name) for name in names]]


def forward_kinematics(model: mujoco.MjModel, qpos: NDArray) -> Poses:
    """Compute the poses of `model`, with the joints of the G1 in their order, at `qpos` (T, 36)."""
    data = mujoco.MjData(model)
    body_pos = np.empty((len(qpos), model.nbody - 1, 3))
    body_quat = np.empty((len(qpos), model.nbody - 1, 4))
    com_pos = np.empty((len(qpos), 3))
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        body_pos[frame], body_quat[frame], com_pos[frame] = data.xpos[1:], data.xquat[1:], data.subtree_com[0]
    names = tuple(model.body(body).name for body in range(1, model.nbody))
    return Poses(names, body_pos, body_quat, com_pos)


def sole_positions(model: mujoco.MjModel, qpos: NDArray) -> Array:
    """Compute the lowest points of the sole spheres of both feet.

    Args:
        model: the G1.
        qpos: (T, 36) generalised positions.

    Returns:
        (T, 2, 4, 3) m in the world: left and right foot, spheres in the order of `SOLE_GEOMS`.
    """
    data = mujoco.MjData(model)
    spheres = np.array([[model.geom(name).id for name in foot] for foot in SOLE_GEOMS])
    points = np.empty((len(qpos), *spheres.shape, 3))
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        points[frame] = data.geom_xpos[spheres]
    points[..., 2] -= model.geom_size[spheres, 0]
    return points


def floor_clearance(model: mujoco.MjModel, qpos: NDArray) -> tuple[tuple[str, ...], Array]:
    """Measure how high the lowest point of each collision shape is above the floor.

    The shapes of a foot are its sole spheres.

    Args:
        model: the G1.
        qpos: (T, 36) generalised positions.

    Returns:
        Names of the G shapes, and (T, G) m, negative where a shape is in the floor.
    """
    data = mujoco.MjData(model)
    floor = model.geom("floor").id
    shapes = np.flatnonzero(model.geom_group == COLLISION_GROUP)
    clearance = np.empty((len(qpos), len(shapes)))
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        for column, shape in enumerate(shapes):
            clearance[frame, column] = mujoco.mj_geomDistance(model, data, floor, shape, _FAR, None)
    return tuple(model.geom(shape).name for shape in shapes), clearance


def self_clearance(model: mujoco.MjModel, qpos: NDArray) -> tuple[tuple[str, ...], Array]:
    """Measure how far shapes that must not go through one another are apart; see `SELF_COLLISIONS`.

    Args:
        model: the G1.
        qpos: (T, 36) generalised positions.

    Returns:
        Names of the P pairs, and (T, P) m, negative where one is in the other; at most `_NEAR`.
    """
    data = mujoco.MjData(model)
    pairs = [[model.geom(f"{shape}_collision").id for shape in pair] for pair in SELF_COLLISIONS]
    clearance = np.empty((len(qpos), len(pairs)))
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        for column, (first, second) in enumerate(pairs):
            clearance[frame, column] = mujoco.mj_geomDistance(model, data, first, second, _NEAR, None)
    return tuple(" in ".join(pair) for pair in SELF_COLLISIONS), clearance


def beyond_limits(model: mujoco.MjModel, dof_pos: NDArray) -> Array:
    """Measure by how many rad each angle in `dof_pos` (T, 29) exceeds its joint's range; (T, 29), else 0."""
    low, high = joint_ranges(model).T
    return np.maximum(np.maximum(dof_pos - high, low - dof_pos), 0.0)


def heading(quat: NDArray) -> Array:
    """Yaw (...) in rad of the rotated x axis about the world's z axis, for `quat` (..., 4) wxyz.

    The host twin of `rotation.heading`.
    """
    w, x, y, z = np.moveaxis(np.asarray(quat, np.float64), -1, 0)
    return np.arctan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))


def turn_between(start: float, end: float) -> float:
    """Return the turn, rad in [-pi, pi], from the heading `start` to the heading `end`."""
    return float(np.arctan2(np.sin(end - start), np.cos(end - start)))


def without_sign_flips(quat: NDArray) -> Array:
    """Choose the signs of quaternions (T, 4) so that neighbours have a dot product >= 0; the first one stays.

    Any order of the components will do.
    """
    flips = np.where(np.sum(quat[1:] * quat[:-1], axis=1) < 0.0, -1.0, 1.0)
    return quat * np.cumprod(np.concatenate([[1.0], flips]))[:, None]
