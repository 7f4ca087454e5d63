"""Observation layouts: pure functions of the state, the phase and the reference at coming control steps.

`mimickit` and `paper` are MimicKit's layouts number for number (`envs/deepmimic_env.py`,
`compute_deepmimic_obs`); `compact` is ours: everything in the heading frame, angles instead of
per-hinge 6D rotations, and only the next reference pose.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot

ObservationName = Literal["compact", "mimickit", "paper"]

# Control steps ahead whose reference each layout sees (MimicKit `tar_obs_steps`).
TARGET_STEPS: dict[str, tuple[int, ...]] = {"compact": (1,), "mimickit": (1, 2, 3), "paper": ()}

NUM_PHASE_FREQUENCIES = 4


def phase_features(phase: jax.Array) -> jax.Array:
    """Phase and its sines and cosines at 1, 2, 4, 8 cycles, (..., 9) (MimicKit `compute_phase_obs`)."""
    turns = 2.0 * jnp.pi * phase[..., None] * 2.0 ** jnp.arange(NUM_PHASE_FREQUENCIES)
    return jnp.concatenate([phase[..., None], jnp.sin(turns), jnp.cos(turns)], axis=-1)


def _flatten(array: jax.Array) -> jax.Array:
    return array.reshape(*array.shape[:-2], -1)


def _proprioception(robot: Robot, state: CharacterState, frame: jax.Array) -> jax.Array:
    """Root height, rotation, velocities, joint rotations and velocities, key bodies: (..., 237).

    `frame` (..., 4) takes the world into the frame of the vectors: identity, or heading removed.
    """
    key_offset = state.body_pos[..., robot.key_bodies, :] - state.root_pos[..., None, :]
    return jnp.concatenate(
        [
            state.root_pos[..., 2:],
            rotation.tangent_normal(rotation.multiply(frame, state.root_quat)),
            rotation.rotate(frame, state.root_vel),
            rotation.rotate(frame, state.root_ang_vel),
            _flatten(rotation.tangent_normal(robot.joint_rotations(state.dof_pos))),
            state.dof_vel,
            _flatten(rotation.rotate(frame[..., None, :], key_offset)),
        ],
        axis=-1,
    )


def _target(robot: Robot, target: CharacterState, origin: jax.Array, frame: jax.Array) -> jax.Array:
    """Reference root, joint rotations and key bodies (..., 204); horizontal position relative to `origin`
    (..., 3), height as it is (MimicKit `compute_tar_obs`)."""
    offset = rotation.rotate(frame, target.root_pos - origin)
    key_offset = target.body_pos[..., robot.key_bodies, :] - target.root_pos[..., None, :]
    return jnp.concatenate(
        [
            offset[..., :2],
            target.root_pos[..., 2:],
            rotation.tangent_normal(rotation.multiply(frame, target.root_quat)),
            _flatten(rotation.tangent_normal(robot.joint_rotations(target.dof_pos))),
            _flatten(rotation.rotate(frame[..., None, :], key_offset)),
        ],
        axis=-1,
    )


def _away_from_heading(quat: jax.Array) -> jax.Array:
    """World to heading frame (..., 4)."""
    return rotation.conjugate(rotation.heading_quat(quat))


def mimickit(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> jax.Array:
    """MimicKit's G1 default, (..., 849): everything in the world frame, targets +1, +2, +3."""
    del phase
    world = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0]), state.root_quat.shape)
    seen = [_target(robot, target, state.root_pos, world) for target in targets]
    return jnp.concatenate([_proprioception(robot, state, world), *seen], axis=-1)


def mimickit_local(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> jax.Array:
    """MimicKit with `global_obs: False` and both options on, (..., 858); targets are seen from the first."""
    own = _proprioception(robot, state, _away_from_heading(state.root_quat))
    frame = _away_from_heading(targets[0].root_quat)
    seen = [_target(robot, target, targets[0].root_pos, frame) for target in targets]
    return jnp.concatenate([own, phase_features(phase), *seen], axis=-1)


def paper(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> jax.Array:
    """Heading frame and phase only, as in DeepMimic (Peng et al. 2018, sec. 5.1), (..., 246)."""
    del targets
    own = _proprioception(robot, state, _away_from_heading(state.root_quat))
    return jnp.concatenate([own, phase_features(phase)], axis=-1)


def compact(
    robot: Robot, state: CharacterState, targets: tuple[CharacterState, ...], phase: jax.Array
) -> jax.Array:
    """The default, (..., 3 J + 36): own state, phase, and the next reference as seen from the robot.

    The heading of the vectors is the robot's; the reference enters by its offset in position and
    orientation, so that the policy can steer back in the world.
    """
    del robot
    (target,) = targets
    frame = _away_from_heading(state.root_quat)
    return jnp.concatenate(
        [
            state.root_pos[..., 2:],
            rotation.tangent_normal(rotation.multiply(frame, state.root_quat)),
            rotation.rotate(frame, state.root_vel),
            rotation.rotate(frame, state.root_ang_vel),
            state.dof_pos,
            state.dof_vel,
            phase_features(phase)[..., 1:],
            rotation.rotate(frame, target.root_pos - state.root_pos),
            rotation.tangent_normal(rotation.multiply(rotation.conjugate(state.root_quat), target.root_quat)),
            rotation.rotate(frame, target.root_vel),
            rotation.rotate(frame, target.root_ang_vel),
            target.dof_pos,
        ],
        axis=-1,
    )


Layout = Callable[[Robot, CharacterState, tuple[CharacterState, ...], jax.Array], jax.Array]

_OWN = (
    ("root height", 1),
    ("root rotation, tangent and normal", 6),
    ("root velocity", 3),
    ("root angular velocity", 3),
    ("rotations of 30 bodies in their parents, tangent and normal", 180),
    ("joint velocities", 29),
    ("key bodies from the root", 15),
)
_TARGET = (
    ("horizontal offset", 2),
    ("height", 1),
    ("rotation, tangent and normal", 6),
    ("rotations of 30 bodies in their parents, tangent and normal", 180),
    ("key bodies from its root", 15),
)
PARTS: dict[str, tuple[tuple[str, int], ...]] = {
    "compact": (
        ("root height", 1),
        ("root rotation, tangent and normal", 6),
        ("root velocity", 3),
        ("root angular velocity", 3),
        ("joint angles", 29),
        ("joint velocities", 29),
        ("sine of the phase at 1, 2, 4, 8 turns", 4),
        ("cosine of the phase at 1, 2, 4, 8 turns", 4),
        ("reference +1: offset of the root", 3),
        ("reference +1: rotation from the root's, tangent and normal", 6),
        ("reference +1: root velocity", 3),
        ("reference +1: root angular velocity", 3),
        ("reference +1: joint angles", 29),
    ),
    "mimickit": (
        *_OWN,
        *(
            (f"reference +{ahead}: {name}", size)
            for ahead in TARGET_STEPS["mimickit"]
            for name, size in _TARGET
        ),
    ),
    "paper": (
        *_OWN,
        ("phase", 1),
        ("sine of the phase at 1, 2, 4, 8 turns", 4),
        ("cosine of the phase at 1, 2, 4, 8 turns", 4),
    ),
}
"""What each layout's numbers are, in their order: name and count."""

LAYOUTS: dict[str, Layout] = {"compact": compact, "mimickit": mimickit, "paper": paper}
