"""Forward kinematics of whole clips with MuJoCo in C, in float64, on the host."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.mjcf import COLLISION_GROUP

_FAR = 1e3  # m; a distance over it comes back as it


@dataclass(frozen=True, eq=False)
class Poses:
    """Where the bodies of a model are in T frames; world frame, m. Bodies without the world, B of them."""

    body_names: tuple[str, ...]
    body_pos: NDArray[np.float64]  # (T, B, 3) origins
    body_quat: NDArray[np.float64]  # (T, B, 4) wxyz
    com_pos: NDArray[np.float64]  # (T, 3) whole-body centre of mass

    def of(self, *names: str) -> NDArray[np.float64]:
        """(T, len(names), 3) origins of the named bodies."""
        return self.body_pos[:, [self.body_names.index(name) for name in names]]


def qpos_of(motion: Motion) -> NDArray[np.float64]:
    """(T, 36) MuJoCo's generalised positions of every frame."""
    return np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=1)


def forward_kinematics(model: mujoco.MjModel, qpos: NDArray) -> Poses:
    """Poses of `model`, with the joints of the G1 in their order, at `qpos` (T, 36)."""
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


def floor_clearance(model: mujoco.MjModel, qpos: NDArray) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Height of each collision shape's lowest point over the floor, m; below 0 it is in it. A foot's shapes
    are the four `*_sole_*` spheres.

    Returns:
        Names of the G shapes, and (T, G).
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
