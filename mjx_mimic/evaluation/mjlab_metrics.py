"""The metrics by which mjlab judges a tracking policy, as it defines them (`tracking/mdp/metrics.py`).

Those of mjlab 1.4.0 (26 May 2026), whose pull requests 1007 and 1008 defined three of them anew.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.robot import rotation
from mjx_mimic.robot.constants import END_EFFECTORS, SIDES
from mjx_mimic.robot.model import CharacterState, Robot

ANCHOR = "torso_link"
TRACKED = (
    "pelvis",
    ANCHOR,
    *(
        f"{side}_{part}_link"
        for side in SIDES
        for part in ("hip_roll", "knee", "ankle_roll", "shoulder_roll", "elbow", "wrist_yaw")
    ),
)
"""The 14 bodies whose positions count."""
MOST_HEIGHT_ERROR = 0.25
"""Of torso, ankles and wrists, m; beyond it an episode has failed."""
MOST_GRAVITY_ERROR = 0.8
"""Of the vertical component of the gravity direction in the torso's frame."""


@struct.dataclass
class MjlabErrors:
    """Errors of one control step."""

    mpkpe: jax.Array  # () m, mean distance of the tracked bodies, world
    mpkpe_root: jax.Array  # () m, the same from the reference moved to the robot's torso and heading
    end_effector_position: jax.Array  # () m, likewise
    end_effector_rotation: jax.Array  # () rad, likewise
    joint_velocity: jax.Array  # () rad/s, root mean square over the joints


def no_errors() -> MjlabErrors:
    """Return errors of 0, to add others to."""
    return MjlabErrors(*[jnp.float32(0.0)] * 5)


def mjlab_errors(
    robot: Robot, state: CharacterState, reference: CharacterState
) -> tuple[MjlabErrors, jax.Array]:
    """Compare two unbatched states as mjlab does.

    All but the first and the last error, and the endings, compare with the reference turned about the
    vertical and moved horizontally to the robot's torso, its heights as they are (`body_pos_relative_w`).

    Returns:
        The errors, and whether mjlab would have ended the episode here, ().
    """
    rows = {name: row for row, name in enumerate(robot.body_names)}
    tracked, ends = (np.array([rows[name] for name in names]) for names in (TRACKED, END_EFFECTORS))
    anchor = rows[ANCHOR]

    def distance(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.linalg.norm(left - right, axis=-1)

    quat, reference_quat = state.body_quat[anchor], reference.body_quat[anchor]
    turn = rotation.heading_quat(rotation.multiply(quat, rotation.conjugate(reference_quat)))
    origin = state.body_pos[anchor].at[2].set(reference.body_pos[anchor, 2])
    moved_pos = origin + rotation.rotate(turn, reference.body_pos - reference.body_pos[anchor])
    moved_quat = rotation.multiply(turn, reference.body_quat[ends])
    down = jnp.array([0.0, 0.0, -1.0])
    tilt = rotation.rotate_inverse(quat, down)[2] - rotation.rotate_inverse(reference_quat, down)[2]
    heights = jnp.abs(
        jnp.append((moved_pos - state.body_pos)[ends, 2], (reference.body_pos - state.body_pos)[anchor, 2])
    )
    return MjlabErrors(
        mpkpe=distance(state.body_pos[tracked], reference.body_pos[tracked]).mean(),
        mpkpe_root=distance(moved_pos[tracked], state.body_pos[tracked]).mean(),
        end_effector_position=distance(moved_pos[ends], state.body_pos[ends]).mean(),
        end_effector_rotation=rotation.angle_between(moved_quat, state.body_quat[ends]).mean(),
        joint_velocity=jnp.sqrt(jnp.mean(jnp.square(state.dof_vel - reference.dof_vel))),
    ), jnp.any(heights > MOST_HEIGHT_ERROR) | (jnp.abs(tilt) > MOST_GRAVITY_ERROR)
