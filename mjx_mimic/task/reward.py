"""Imitation rewards: pure functions of the simulated and the reference state.

Each term is exp(-scale * error) in (0, 1]; a reward is the weighted sum of its terms.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.robot import rotation
from mjx_mimic.robot.constants import END_EFFECTORS, G1_JOINTS
from mjx_mimic.robot.model import CharacterState, Robot

# MimicKit's published G1 weights of joint errors; whatever is not named counts 1.
_LIGHT_JOINTS = {"knee": 0.6, "elbow": 0.6, "ankle": 0.5, "wrist": 0.5}
JOINT_WEIGHT = np.array(
    [next((w for part, w in _LIGHT_JOINTS.items() if part in name), 1.0) for name in G1_JOINTS], np.float32
)


@struct.dataclass
class MimicKitTerms:
    """The terms of MimicKit's reward, each (...) in (0, 1]."""

    pose: jax.Array
    velocity: jax.Array
    root_pose: jax.Array
    root_velocity: jax.Array
    key_position: jax.Array


@struct.dataclass
class PaperTerms:
    """The terms of the paper's reward, each (...) in (0, 1]."""

    pose: jax.Array
    velocity: jax.Array
    end_effector: jax.Array
    centre_of_mass: jax.Array


RewardTerms = MimicKitTerms | PaperTerms


def _squared_norm(difference: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(difference), axis=-1)


def mimickit_reward(
    robot: Robot, state: CharacterState, reference: CharacterState, track_root: bool = True
) -> tuple[jax.Array, MimicKitTerms]:
    """Compute MimicKit's G1 reward (...) in (0, 1] (`envs/deepmimic_env.py`, `compute_reward`).

    With `track_root` the root's horizontal position and heading count, in the world frame; without it
    only what is left in each character's own heading frame does.
    """
    root_offset = reference.root_pos - state.root_pos
    if not track_root:
        root_offset = root_offset.at[..., :2].set(0.0)
        state, reference = _in_heading_frame(state), _in_heading_frame(reference)
    key_offset = _key_positions(robot, reference) - _key_positions(robot, state)
    weight = jnp.broadcast_to(JOINT_WEIGHT, state.dof_pos.shape)

    # Every joint is a hinge, so the angle between two joint rotations is that of their difference.
    turn = jnp.mod(reference.dof_pos - state.dof_pos + jnp.pi, 2.0 * jnp.pi) - jnp.pi
    pose_error = jnp.sum(weight * jnp.square(turn), axis=-1)
    velocity_error = jnp.sum(weight * jnp.square(reference.dof_vel - state.dof_vel), axis=-1)
    root_turn = rotation.angle_between(state.root_quat, reference.root_quat)
    root_error = _squared_norm(root_offset) + 0.1 * jnp.square(root_turn)
    root_velocity_error = _squared_norm(reference.root_vel - state.root_vel) + 0.1 * _squared_norm(
        reference.root_ang_vel - state.root_ang_vel
    )
    terms = MimicKitTerms(
        pose=jnp.exp(-0.25 * pose_error),
        velocity=jnp.exp(-0.01 * velocity_error),
        root_pose=jnp.exp(-5.0 * root_error),
        root_velocity=jnp.exp(-1.0 * root_velocity_error),
        key_position=jnp.exp(-10.0 * jnp.sum(_squared_norm(key_offset), axis=-1)),
    )
    total = (
        0.5 * terms.pose
        + 0.1 * terms.velocity
        + 0.15 * terms.root_pose
        + 0.1 * terms.root_velocity
        + 0.15 * terms.key_position
    )
    return total, terms


def paper_reward(
    robot: Robot, state: CharacterState, reference: CharacterState
) -> tuple[jax.Array, PaperTerms]:
    """Compute DeepMimic's reward (...) in (0, 1] (Peng et al. 2018, Reward).

    The root counts as a joint.
    """
    root_turn = rotation.angle_between(state.root_quat, reference.root_quat)
    pose_error = _squared_norm(reference.dof_pos - state.dof_pos) + jnp.square(root_turn)
    velocity_error = _squared_norm(reference.dof_vel - state.dof_vel) + _squared_norm(
        reference.root_ang_vel - state.root_ang_vel
    )
    ends = np.array([robot.body_names.index(name) for name in END_EFFECTORS])
    end_error = _squared_norm(reference.body_pos[..., ends, :] - state.body_pos[..., ends, :]).sum(-1)
    terms = PaperTerms(
        pose=jnp.exp(-2.0 * pose_error),
        velocity=jnp.exp(-0.1 * velocity_error),
        end_effector=jnp.exp(-40.0 * end_error),
        centre_of_mass=jnp.exp(-10.0 * _squared_norm(reference.com_pos - state.com_pos)),
    )
    total = 0.65 * terms.pose + 0.1 * terms.velocity + 0.15 * terms.end_effector + 0.1 * terms.centre_of_mass
    return total, terms


def _key_positions(robot: Robot, state: CharacterState) -> jax.Array:
    """Return the key bodies (..., K, 3) m relative to the root, in the world frame."""
    return state.body_pos[..., robot.key_bodies, :] - state.root_pos[..., None, :]


def _in_heading_frame(state: CharacterState) -> CharacterState:
    """Return the state as seen from its own root position, turned to face along x."""
    turn = rotation.conjugate(rotation.heading_quat(state.root_quat))
    return replace(
        state,
        root_quat=rotation.multiply(turn, state.root_quat),
        root_vel=rotation.rotate(turn, state.root_vel),
        root_ang_vel=rotation.rotate(turn, state.root_ang_vel),
        body_pos=rotation.rotate(turn[..., None, :], state.body_pos - state.root_pos[..., None, :]),
        root_pos=jnp.zeros_like(state.root_pos),
    )
