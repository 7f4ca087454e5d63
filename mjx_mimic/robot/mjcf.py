"""The G1's MJCF, compiled for MuJoCo on the host."""

import functools

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.paths import assets_dir
from mjx_mimic.robot.constants import CONTACT_SHAPES, G1_JOINTS, SELF_COLLISIONS, ContactSet

VISUAL_GROUP = 2
"""Geom group of what is only drawn."""
COLLISION_GROUP = 3
"""Geom group of the shapes that stand for the robot's surface, whether they may touch the floor or not. Not
in it are the feet's capsules, which only the other leg meets."""


def load_mjcf(
    contacts: ContactSet = "feet",
    physics_hz: float = 90.0,
    visuals: bool = True,
    self_collision: bool = False,
) -> mujoco.MjModel:
    """Compile the G1 in its scene.

    Args:
        contacts: which geoms may touch the floor.
        physics_hz: physics steps per second.
        visuals: keep what is only drawn; without it for physics alone, since MJX computes a pose for every
            geom, drawn or not.
        self_collision: let legs touch each other, and arms the trunk and the thighs; without friction, which
            costs one constraint row for each pair.
    """
    spec = mujoco.MjSpec.from_file(str(assets_dir() / "g1" / "scene.xml"))
    spec.option.timestep = 1.0 / physics_hz
    for geom in spec.geoms:
        name = geom.name.removeprefix("left_").removeprefix("right_").removesuffix("_collision")
        if name in CONTACT_SHAPES[contacts]:
            geom.conaffinity = 1
    if self_collision:
        for first, second in SELF_COLLISIONS:
            spec.add_pair(geomname1=f"{first}_collision", geomname2=f"{second}_collision", condim=1)
    if not visuals:
        for geom in [geom for geom in spec.geoms if geom.group == VISUAL_GROUP]:
            spec.delete(geom)
    return spec.compile()


@functools.cache
def plain_g1() -> mujoco.MjModel:
    """Return the G1 without what is only drawn, compiled once.

    Everyone gets the same model, so whoever changes it must copy it first.
    """
    return load_mjcf(visuals=False)


def joint_ranges(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the lowest and the highest angle of each joint of `G1_JOINTS`, (29, 2) rad."""
    return model.jnt_range[[model.joint(name).id for name in G1_JOINTS]]


def effort_limits(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Return the largest torques of the motors, (29,) N m.

    A joint's limit is that of the robot's joint; wrist pitch and yaw have weaker motors.
    """
    joints = [model.joint(name).id for name in G1_JOINTS]
    actuators = [model.actuator(name).id for name in G1_JOINTS]
    motor = np.where(model.actuator_forcelimited[actuators], model.actuator_forcerange[actuators, 1], np.inf)
    return np.minimum(model.jnt_actfrcrange[joints, 1], motor)
