"""What of the robot touches the floor in a clip, and so which contacts a training needs."""

from collections.abc import Sequence

import mujoco
import numpy as np

from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.constants import ALL_BODIES, CONTACT_SHAPES, GROUND_BODIES, SOLE_GEOMS, ContactSet
from mjx_mimic.robot.kinematics import floor_clearance

NEAR_FLOOR = 0.01
"""Clearance below which a shape is on the floor, m."""


def touching_shapes(model: mujoco.MjModel, motion: Motion) -> tuple[str, ...]:
    """Return the collision shapes beside the soles that are on the floor at some time, without "_collision".

    Args:
        model: the robot, with all shapes.
        motion: the clip.
    """
    geoms, clearance = floor_clearance(model, motion.qpos)
    touching = np.any(clearance < NEAR_FLOOR, axis=0) & ~np.isin(geoms, SOLE_GEOMS)
    shapes = [name.removesuffix("_collision") for name in geoms]
    return tuple(np.array(shapes)[touching].tolist())


def needed_contacts(model: mujoco.MjModel, shapes: Sequence[str]) -> tuple[ContactSet, tuple[str, ...]]:
    """Return the smallest contact set that has these shapes, and the bodies that may be on the floor.

    Args:
        model: the robot, with all shapes.
        shapes: names of geoms without "_collision".

    Returns:
        The set, and the names of the bodies; none where those of the set are enough.
    """
    stems = {name.removeprefix("left_").removeprefix("right_") for name in shapes}
    contacts = next(name for name, known in CONTACT_SHAPES.items() if stems <= set(known))
    bodies = {model.body(model.geom(f"{name}_collision").bodyid[0]).name for name in shapes}
    allowed = GROUND_BODIES[contacts]
    missing = [] if allowed == ALL_BODIES else sorted(bodies - set(allowed))
    return contacts, (*allowed, *missing) if missing else ()
