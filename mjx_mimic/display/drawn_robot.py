"""The robot as all displays draw it: its pose, and a second one for the reference."""

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

GHOST_COLOR = (0.25, 0.55, 0.95, 0.2)
"""Red, green, blue and opacity of a reference drawn where it is, over the robot."""

MARKER_COLOR, MARKER_RADIUS = (0.9, 0.2, 0.1, 1.0), 0.05
"""Of a ball that shows a goal: red, green, blue and opacity, and m."""

AZIMUTH, ELEVATION = 130.0, -12.0
"""Where MuJoCo's camera looks, degrees."""


def pose_model(model: mujoco.MjModel, data: mujoco.MjData, qpos: NDArray) -> None:
    """Put bodies, camera and light at `qpos` (36,).

    Of what the next `mj_step` starts from, only `data.qpos` changes.
    """
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)  # the light follows the centre of mass
    mujoco.mj_camlight(model, data)


def add_robot(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    scene: mujoco.MjvScene,
    color: Sequence[float] | None = GHOST_COLOR,
    shift: Sequence[float] | NDArray = (0.0, 0.0, 0.0),
) -> None:
    """Add the robot in the pose of `data` to a scene that may show another one.

    Args:
        model: the robot.
        data: its pose, brought up to date by `pose_model`.
        scene: to add to.
        color: rgba of the whole robot; None: its own colours.
        shift: (3,) m in the world frame, from where `data` has it.
    """
    first = scene.ngeom
    dynamic = mujoco.mjtCatBit.mjCAT_DYNAMIC
    mujoco.mjv_addGeoms(model, data, mujoco.MjvOption(), mujoco.MjvPerturb(), dynamic, scene)
    for geom in scene.geoms[first : scene.ngeom]:
        if color is not None:
            geom.rgba[:] = color
            geom.matid = -1
        geom.pos[:] += shift


def add_marker(scene: mujoco.MjvScene, point: NDArray) -> None:
    """Add a ball at a point (3,) m in the world to a scene."""
    geom = scene.geoms[scene.ngeom]
    size, upright = np.array([MARKER_RADIUS, 0.0, 0.0]), np.eye(3).ravel()
    color = np.array(MARKER_COLOR, np.float32)
    mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, size, np.asarray(point, float), upright, color)
    scene.ngeom += 1
