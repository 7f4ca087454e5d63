"""Imitation rewards: pure functions of the simulated and the reference state, in the world frame.

Each term is exp(-scale error) in (0, 1]; a reward is the sum of its terms, weighted by the configuration.
Where place and heading do not count, the reference has been moved to the robot's (`ImitationEnv.reference`).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.config import MimicKitRewardConfig, PaperRewardConfig
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
    root: jax.Array


RewardTerms = MimicKitTerms | PaperTerms


def _squared_norm(difference: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(difference), axis=-1)


def mimickit_reward(
    robot: Robot,
    state: CharacterState,
    reference: CharacterState,
    config: MimicKitRewardConfig | None = None,
    joint_weights: Sequence[float] | np.ndarray = (),
) -> tuple[jax.Array, MimicKitTerms]:
    """Compute MimicKit's G1 reward (...) (`envs/deepmimic_env.py`, `compute_reward`).

    Args:
        robot: whose key bodies count.
        state: simulated.
        reference: at the same time.
        config: weights and scales; None: the published ones, with which the reward is in (0, 1].
        joint_weights: (J,); empty: the published ones.
    """
    c = MimicKitRewardConfig() if config is None else config
    key_offset = robot.key_offsets(reference) - robot.key_offsets(state)
    weight = jnp.asarray(joint_weights if len(joint_weights) else JOINT_WEIGHT, jnp.float32)
    weight = jnp.broadcast_to(weight, state.dof_pos.shape)

    # Every joint is a hinge, so the angle between two joint rotations is that of their difference.
    turn = jnp.mod(reference.dof_pos - state.dof_pos + jnp.pi, 2.0 * jnp.pi) - jnp.pi
    pose_error = jnp.sum(weight * jnp.square(turn), axis=-1)
    velocity_error = jnp.sum(weight * jnp.square(reference.dof_vel - state.dof_vel), axis=-1)
    root_turn = rotation.angle_between(state.root_quat, reference.root_quat)
    root_error = _squared_norm(reference.root_pos - state.root_pos) + 0.1 * jnp.square(root_turn)
    root_velocity_error = _squared_norm(reference.root_vel - state.root_vel) + 0.1 * _squared_norm(
        reference.root_ang_vel - state.root_ang_vel
    )
    terms = MimicKitTerms(
        pose=jnp.exp(-c.pose_scale * pose_error),
        velocity=jnp.exp(-c.velocity_scale * velocity_error),
        root_pose=jnp.exp(-c.root_pose_scale * root_error),
        root_velocity=jnp.exp(-c.root_velocity_scale * root_velocity_error),
        key_position=jnp.exp(-c.key_position_scale * jnp.sum(_squared_norm(key_offset), axis=-1)),
    )
    return _weighted(c, terms), terms


def paper_reward(
    robot: Robot,
    state: CharacterState,
    reference: CharacterState,
    config: PaperRewardConfig | None = None,
) -> tuple[jax.Array, PaperTerms]:
    """Compute DeepMimic's reward (...) (Peng et al. 2018, Reward).

    The root counts as a joint. The term of the root itself is the released code's (`SceneImitate.cpp`,
    `CalcRewardImitate`) and has weight 0 in the paper.

    Args:
        robot: whose feet and hands count.
        state: simulated.
        reference: at the same time.
        config: weights and scales; None: the printed ones, with which the reward is in (0, 1].
    """
    c = PaperRewardConfig() if config is None else config
    root_turn = jnp.square(rotation.angle_between(state.root_quat, reference.root_quat))
    root_spin = _squared_norm(reference.root_ang_vel - state.root_ang_vel)
    pose_error = _squared_norm(reference.dof_pos - state.dof_pos) + root_turn
    velocity_error = _squared_norm(reference.dof_vel - state.dof_vel) + root_spin
    ends = np.array([robot.body_names.index(name) for name in END_EFFECTORS])
    end_error = _squared_norm(reference.body_pos[..., ends, :] - state.body_pos[..., ends, :]).sum(-1)
    root_error = (
        _squared_norm(reference.root_pos - state.root_pos)
        + 0.1 * root_turn
        + 0.01 * _squared_norm(reference.root_vel - state.root_vel)
        + 0.001 * root_spin
    )
    terms = PaperTerms(
        pose=jnp.exp(-c.pose_scale * pose_error),
        velocity=jnp.exp(-c.velocity_scale * velocity_error),
        end_effector=jnp.exp(-c.end_effector_scale * end_error),
        centre_of_mass=jnp.exp(-c.centre_of_mass_scale * _squared_norm(reference.com_pos - state.com_pos)),
        root=jnp.exp(-c.root_scale * root_error),
    )
    return _weighted(c, terms), terms


def _weighted(config: MimicKitRewardConfig | PaperRewardConfig, terms: RewardTerms) -> jax.Array:
    """Return the sum (...) of the terms by their weights."""
    weighted = [getattr(config, f"{name}_weight") * term for name, term in vars(terms).items()]
    return sum(weighted[1:], weighted[0])
