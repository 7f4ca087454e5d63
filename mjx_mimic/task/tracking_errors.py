"""How far a simulated step is from its reference, and what it costs: pure functions of both states."""

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot

CONTACT_HEIGHT = 0.005
"""A sole is in contact when its lowest point is under this, m."""


@struct.dataclass
class TrackingErrors:
    """MimicKit's seven errors, and the mean body distance.

    MimicKit `envs/deepmimic_env.py`, `compute_tracking_error`. With a mean over bodies, the third and the
    eighth are also known as root-relative and global MPJPE.
    """

    root_position: jax.Array  # () m, distance
    root_rotation: jax.Array  # () rad, angle
    body_position: jax.Array  # () m, mean distance over bodies, each relative to its root's position
    body_rotation: jax.Array  # () rad, mean angle over bodies
    joint_velocity: jax.Array  # () rad/s, mean absolute difference
    root_velocity: jax.Array  # () m/s, mean absolute difference over x, y, z
    root_angular_velocity: jax.Array  # () rad/s, likewise
    global_body_position: jax.Array  # () m, mean distance over bodies


def tracking_errors(state: CharacterState, reference: CharacterState) -> TrackingErrors:
    """Compare two unbatched states, in the world frame."""

    def distance(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.linalg.norm(left - right, axis=-1)

    local, reference_local = (s.body_pos - s.root_pos for s in (state, reference))
    return TrackingErrors(
        root_position=distance(state.root_pos, reference.root_pos),
        root_rotation=rotation.angle_between(state.root_quat, reference.root_quat),
        body_position=distance(local, reference_local).mean(),
        body_rotation=rotation.angle_between(state.body_quat, reference.body_quat).mean(),
        joint_velocity=jnp.abs(state.dof_vel - reference.dof_vel).mean(),
        root_velocity=jnp.abs(state.root_vel - reference.root_vel).mean(),
        root_angular_velocity=jnp.abs(state.root_ang_vel - reference.root_ang_vel).mean(),
        global_body_position=distance(state.body_pos, reference.body_pos).mean(),
    )


def no_errors() -> TrackingErrors:
    """Return errors of 0, to add others to."""
    return TrackingErrors(*[jnp.float32(0.0)] * 8)


@struct.dataclass
class Effort:
    """What the motors spend in one control step, as means over its physics steps."""

    torque: jax.Array  # () N m, mean absolute torque over joints
    power: jax.Array  # () W, sum over joints of |torque * velocity|


def motor_torque(robot: Robot, pd_target: jax.Array, dof_pos: jax.Array, dof_vel: jax.Array) -> jax.Array:
    """Return the torques (..., J) N m of the motors' PD controllers; arguments as for `effort`."""
    torque = robot.kp * (pd_target - dof_pos) - robot.kd * dof_vel
    return jnp.clip(torque, -robot.effort_limit, robot.effort_limit)


def effort(robot: Robot, pd_target: jax.Array, dof_pos: jax.Array, dof_vel: jax.Array) -> Effort:
    """Return what the motors' PD controllers give at one instant.

    Args:
        robot: its gains and effort limits.
        pd_target: (..., J) rad.
        dof_pos: (..., J) rad.
        dof_vel: (..., J) rad/s.
    """
    torque = motor_torque(robot, pd_target, dof_pos, dof_vel)
    return Effort(jnp.abs(torque).mean(-1), jnp.abs(torque * dof_vel).sum(-1))


def foot_contact(sole_pos: jax.Array) -> jax.Array:
    """Return whether the left and the right sole (2, S, 3) are on the floor, (2,)."""
    return jnp.any(sole_pos[..., 2] < CONTACT_HEIGHT, axis=-1)


def foot_slip(before: jax.Array, after: jax.Array, dt: float) -> jax.Array:
    """Return the fastest horizontal speed () m/s of a sole point that stays on the floor over `dt` s, or 0.

    Args:
        before: (2, S, 3) lowest points of the soles.
        after: the same `dt` s later.
        dt: s.
    """
    on_floor = jnp.maximum(before[..., 2], after[..., 2]) < CONTACT_HEIGHT
    speed = jnp.linalg.norm((after - before)[..., :2], axis=-1) / dt
    return jnp.max(jnp.where(on_floor, speed, 0.0))
