"""How far a simulated step is from its reference, and what it costs: pure functions of both states."""

import jax
import jax.numpy as jnp
from flax import struct
from mujoco import mjx

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import Robot

CONTACT_HEIGHT = 0.005
"""A sole is in contact when its lowest point is under this, m."""


@struct.dataclass
class BodyState:
    """Coordinates and the kinematics of the same instant, in the world frame; quaternions are wxyz."""

    root_pos: jax.Array  # (3,)
    root_quat: jax.Array  # (4,)
    root_vel: jax.Array  # (3,)
    root_ang_vel: jax.Array  # (3,)
    dof_vel: jax.Array  # (J,)
    body_pos: jax.Array  # (B, 3)
    body_quat: jax.Array  # (B, 4)
    sole_pos: jax.Array  # (2, S, 3) lowest points of the soles' spheres, left and right

    @property
    def contact(self) -> jax.Array:
        """(2,) whether the left and the right sole are on the floor."""
        return jnp.any(self.sole_pos[..., 2] < CONTACT_HEIGHT, axis=-1)


def body_state(robot: Robot, qpos: jax.Array, qvel: jax.Array) -> BodyState:
    """From MuJoCo's generalised coordinates (7 + J,), (6 + J,)."""
    data = mjx.kinematics(robot.mjx_model, robot.mjx_data.replace(qpos=qpos))
    radius = jnp.asarray(robot.model.geom_size[robot.sole_geoms, 0], jnp.float32)
    lowest = data.geom_xpos[robot.sole_geoms].at[..., 2].add(-radius)
    return BodyState(
        root_pos=qpos[:3],
        root_quat=qpos[3:7],
        root_vel=qvel[:3],
        root_ang_vel=rotation.rotate(qpos[3:7], qvel[3:6]),
        dof_vel=qvel[6:],
        body_pos=data.xpos[1:],
        body_quat=data.xquat[1:],
        sole_pos=lowest,
    )


@struct.dataclass
class TrackingErrors:
    """MimicKit's seven (`envs/deepmimic_env.py`, `compute_tracking_error`), and the mean body distance.

    With a mean over bodies the fourth and the eighth are also known as root-relative and global MPJPE.
    """

    root_position: jax.Array  # () m, distance
    root_rotation: jax.Array  # () rad, angle
    body_position: jax.Array  # () m, mean distance over bodies, each relative to its root's position
    body_rotation: jax.Array  # () rad, mean angle over bodies
    joint_velocity: jax.Array  # () rad/s, mean absolute difference
    root_velocity: jax.Array  # () m/s, mean absolute difference over x, y, z
    root_angular_velocity: jax.Array  # () rad/s, likewise
    global_body_position: jax.Array  # () m, mean distance over bodies


def tracking_errors(state: BodyState, reference: BodyState) -> TrackingErrors:
    def distance(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.linalg.norm(left - right, axis=-1)

    local, wanted = (s.body_pos - s.root_pos for s in (state, reference))
    return TrackingErrors(
        root_position=distance(state.root_pos, reference.root_pos),
        root_rotation=rotation.angle_between(state.root_quat, reference.root_quat),
        body_position=distance(local, wanted).mean(),
        body_rotation=rotation.angle_between(state.body_quat, reference.body_quat).mean(),
        joint_velocity=jnp.abs(state.dof_vel - reference.dof_vel).mean(),
        root_velocity=jnp.abs(state.root_vel - reference.root_vel).mean(),
        root_angular_velocity=jnp.abs(state.root_ang_vel - reference.root_ang_vel).mean(),
        global_body_position=distance(state.body_pos, reference.body_pos).mean(),
    )


@struct.dataclass
class Effort:
    """Of one control step, means over its physics steps."""

    torque: jax.Array  # () N m, mean absolute torque over joints
    power: jax.Array  # () W, sum over joints of |torque * velocity|


def effort(robot: Robot, pd_target: jax.Array, dof_pos: jax.Array, dof_vel: jax.Array) -> Effort:
    """What the motors' PD controllers give at one instant; arrays (..., J)."""
    wanted = robot.kp * (pd_target - dof_pos) - robot.kd * dof_vel
    torque = jnp.clip(wanted, -robot.effort_limit, robot.effort_limit)
    return Effort(jnp.abs(torque).mean(-1), jnp.abs(torque * dof_vel).sum(-1))


def foot_slip(before: BodyState, after: BodyState, dt: float) -> jax.Array:
    """() m/s: the fastest horizontal speed of a sole point that stays on the floor over `dt` s; else 0."""
    down = jnp.maximum(before.sole_pos[..., 2], after.sole_pos[..., 2]) < CONTACT_HEIGHT
    speed = jnp.linalg.norm((after.sole_pos - before.sole_pos)[..., :2], axis=-1) / dt
    return jnp.max(jnp.where(down, speed, 0.0))
