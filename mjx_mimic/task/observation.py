"""Observation layouts: pure functions of the state, the phase and the reference at coming control steps.

A layout is written once, as named parts in their order; the observation is their concatenation, and sizes and
the table in the documents follow from it. `mimickit`, `mimickit-local` and `paper` are MimicKit's layouts
number for number (`envs/deepmimic_env.py`, `compute_deepmimic_obs`); `compact` is ours: everything in the
heading frame, angles instead of per-hinge 6D rotations, and only the next reference pose.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot

NUM_PHASE_FREQUENCIES = 4

Parts = dict[str, jax.Array]
"""Named parts of an observation, in their order; each (..., n)."""


@dataclass(frozen=True)
class Layout:
    """What an observation holds.

    Attributes:
        parts: (robot, state, targets, phase) -> named parts. `targets` are reference states at
            `target_steps`; `phase` (...) is in [0, 1].
        target_steps: control steps ahead whose reference is seen (MimicKit `tar_obs_steps`).
        frame: of the vectors, for people.
    """

    parts: Callable[[Robot, CharacterState, tuple[CharacterState, ...], jax.Array], Parts]
    target_steps: tuple[int, ...]
    frame: str


def concatenated(parts: Parts) -> jax.Array:
    """Return the observation (..., O) of its parts."""
    return jnp.concatenate(list(parts.values()), axis=-1)


def phase_features(phase: jax.Array) -> jax.Array:
    """Return phase (...) and its sines and cosines at 1, 2, 4, 8 cycles, (..., 9).

    MimicKit `compute_phase_obs`.
    """
    turns = 2.0 * jnp.pi * phase[..., None] * 2.0 ** jnp.arange(NUM_PHASE_FREQUENCIES)
    return jnp.concatenate([phase[..., None], jnp.sin(turns), jnp.cos(turns)], axis=-1)


def mimickit(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> Parts:
    """MimicKit's G1 default: everything in the world frame."""
    del phase
    world = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0]), state.root_quat.shape)
    return _proprioception(robot, state, world) | _targets(
        robot, targets, MIMICKIT_TARGET_STEPS, state.root_pos, world
    )


def mimickit_local(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> Parts:
    """MimicKit with `global_obs: False`, phase and targets, which are seen from the first of them."""
    frame = _away_from_heading(targets[0].root_quat)
    return (
        _proprioception(robot, state, _away_from_heading(state.root_quat))
        | {"phase, its sines and cosines at 1, 2, 4, 8 turns": phase_features(phase)}
        | _targets(robot, targets, MIMICKIT_TARGET_STEPS, targets[0].root_pos, frame)
    )


def paper(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> Parts:
    """Heading frame and phase only, as in DeepMimic (Peng et al. 2018, States and Actions)."""
    del targets
    own = _proprioception(robot, state, _away_from_heading(state.root_quat))
    return own | {"phase, its sines and cosines at 1, 2, 4, 8 turns": phase_features(phase)}


def compact(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> Parts:
    """The default: own state, phase, and the next reference as seen from the robot.

    The heading of the vectors is the robot's; the reference enters by its offset in position and
    orientation, so that the policy can steer back in the world.
    """
    del robot
    (target,) = targets
    frame = _away_from_heading(state.root_quat)
    turn = rotation.multiply(rotation.conjugate(state.root_quat), target.root_quat)
    return {
        "root height": state.root_pos[..., 2:],
        "root rotation, tangent and normal": rotation.tangent_normal(
            rotation.multiply(frame, state.root_quat)
        ),
        "root velocity": rotation.rotate(frame, state.root_vel),
        "root angular velocity": rotation.rotate(frame, state.root_ang_vel),
        "joint angles": state.dof_pos,
        "joint velocities": state.dof_vel,
        "sines and cosines of the phase at 1, 2, 4, 8 turns": phase_features(phase)[..., 1:],
        "reference +1: offset of the root": rotation.rotate(frame, target.root_pos - state.root_pos),
        "reference +1: rotation from the root's, tangent and normal": rotation.tangent_normal(turn),
        "reference +1: root velocity": rotation.rotate(frame, target.root_vel),
        "reference +1: root angular velocity": rotation.rotate(frame, target.root_ang_vel),
        "reference +1: joint angles": target.dof_pos,
    }


MIMICKIT_TARGET_STEPS = (1, 2, 3)
_HEADING = "heading of the root"
LAYOUTS: dict[str, Layout] = {
    "compact": Layout(compact, (1,), _HEADING),
    "mimickit": Layout(mimickit, MIMICKIT_TARGET_STEPS, "world"),
    "mimickit-local": Layout(mimickit_local, MIMICKIT_TARGET_STEPS, _HEADING),
    "paper": Layout(paper, (), _HEADING),
}
"""By the names of `EnvConfig.observation`."""


def _proprioception(robot: Robot, state: CharacterState, frame: jax.Array) -> Parts:
    """Return what the character knows of itself.

    Args:
        robot: whose bodies these are.
        state: of the character.
        frame: (..., 4) takes the world into the frame of the vectors: identity, or heading removed.
    """
    return {
        "root height": state.root_pos[..., 2:],
        "root rotation, tangent and normal": rotation.tangent_normal(
            rotation.multiply(frame, state.root_quat)
        ),
        "root velocity": rotation.rotate(frame, state.root_vel),
        "root angular velocity": rotation.rotate(frame, state.root_ang_vel),
        "rotations of 30 bodies in their parents, tangent and normal": _joint_rotations(robot, state),
        "joint velocities": state.dof_vel,
        "key bodies from the root": _key_positions(robot, state, frame),
    }


def _targets(
    robot: Robot,
    targets: tuple[CharacterState, ...],
    steps: tuple[int, ...],
    origin: jax.Array,
    frame: jax.Array,
) -> Parts:
    """Return the reference states (MimicKit `compute_tar_obs`).

    Horizontal positions are relative to `origin` (..., 3), heights are as they are.
    """
    parts: Parts = {}
    for ahead, target in zip(steps, targets, strict=True):
        offset = rotation.rotate(frame, target.root_pos - origin)
        turn = rotation.multiply(frame, target.root_quat)
        parts |= {
            f"reference +{ahead}: horizontal offset": offset[..., :2],
            f"reference +{ahead}: height": target.root_pos[..., 2:],
            f"reference +{ahead}: rotation, tangent and normal": rotation.tangent_normal(turn),
            f"reference +{ahead}: rotations of 30 bodies in their parents, tangent and normal": (
                _joint_rotations(robot, target)
            ),
            f"reference +{ahead}: key bodies from its root": _key_positions(robot, target, frame),
        }
    return parts


def _joint_rotations(robot: Robot, state: CharacterState) -> jax.Array:
    """Return the rotations of all bodies but the root in their parents, (..., 6 (B - 1))."""
    return _flatten(rotation.tangent_normal(robot.joint_rotations(state.dof_pos)))


def _key_positions(robot: Robot, state: CharacterState, frame: jax.Array) -> jax.Array:
    """Return the key bodies relative to the root, (..., 3 K) m, in `frame`."""
    offset = state.body_pos[..., robot.key_bodies, :] - state.root_pos[..., None, :]
    return _flatten(rotation.rotate(frame[..., None, :], offset))


def _away_from_heading(quat: jax.Array) -> jax.Array:
    """Return the rotation (..., 4) from the world to the heading frame."""
    return rotation.conjugate(rotation.heading_quat(quat))


def _flatten(array: jax.Array) -> jax.Array:
    """Join the last two axes."""
    return array.reshape(*array.shape[:-2], -1)
