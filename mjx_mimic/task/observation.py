"""Observation layouts: pure functions of the state, the phase and the reference at coming control steps.

A layout is written once, as named parts in their order; the observation is their concatenation, and sizes and
the table in the documents follow from it. `mimickit`, `mimickit-local` and `paper` are MimicKit's layouts
number for number (`envs/deepmimic_env.py`, `compute_deepmimic_obs`); `compact` is ours: everything in the
heading frame, angles instead of per-hinge 6D rotations, and only the next reference pose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot

Parts = dict[str, jax.Array]
"""Named parts of an observation, in their order; each (..., n)."""
Targets = Mapping[int, CharacterState]
"""Reference states by the control steps that they are ahead."""


@dataclass(frozen=True)
class Phase:
    """The phase (...) in [0, 1], and at how many frequencies it is observed; 0: not at all."""

    value: jax.Array
    frequencies: int = 4

    @property
    def turns(self) -> str:
        """Frequencies, for people."""
        return ", ".join(str(2**power) for power in range(self.frequencies))


@dataclass(frozen=True)
class Layout:
    """What an observation holds.

    Attributes:
        parts: (robot, state, targets, phase) -> named parts.
        target_steps: control steps ahead whose reference is seen unless the configuration says (MimicKit
            `tar_obs_steps`).
        phase: whether the phase is seen unless the configuration says (MimicKit `enable_phase_obs`).
        shows_place: whether the policy sees how far it is from the reference's place and heading; if not,
            neither reward nor termination counts them.
        frame: of the vectors, for people.
        readings: state -> what sensors show of it, by name. They come before the parts, with the last action
            and the same of control steps before (`EnvConfig.history`). None: a layout without a history.
        carries_reference: whether, where place does not count, the reference is seen at the robot's place.
            MimicKit's is not, and other layouts see no place.
    """

    parts: Callable[[Robot, CharacterState, Targets, Phase], Parts]
    target_steps: tuple[int, ...]
    phase: bool
    shows_place: bool
    frame: str
    readings: Callable[[CharacterState], Parts] | None = None
    carries_reference: bool = False


def concatenated(parts: Parts) -> jax.Array:
    """Return the observation (..., O) of its parts."""
    return jnp.concatenate(list(parts.values()), axis=-1)


def phase_features(phase: Phase) -> jax.Array:
    """Return the phase and its sines and cosines at 1, 2, 4, ... cycles, (..., 1 + 2 frequencies).

    MimicKit `compute_phase_obs`.
    """
    turns = 2.0 * jnp.pi * phase.value[..., None] * 2.0 ** jnp.arange(phase.frequencies)
    return jnp.concatenate([phase.value[..., None], jnp.sin(turns), jnp.cos(turns)], axis=-1)


def mimickit(robot: Robot, state: CharacterState, targets: Targets, phase: Phase) -> Parts:
    """MimicKit's G1 default: everything in the world frame."""
    world = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0]), state.root_quat.shape)
    return (
        _proprioception(robot, state, world) | _phase(phase) | _targets(robot, targets, state.root_pos, world)
    )


def mimickit_local(robot: Robot, state: CharacterState, targets: Targets, phase: Phase) -> Parts:
    """MimicKit with `global_obs: False`: the heading frame, targets as seen from the first of them."""
    own = _proprioception(robot, state, _away_from_heading(state.root_quat)) | _phase(phase)
    if not targets:
        return own
    first = next(iter(targets.values()))
    return own | _targets(robot, targets, first.root_pos, _away_from_heading(first.root_quat))


def compact(robot: Robot, state: CharacterState, targets: Targets, phase: Phase) -> Parts:
    """The default: own state, phase, and the next reference as seen from the robot.

    The heading of the vectors is the robot's; the reference enters by its offset in position and
    orientation, so that the policy can steer back in the world.
    """
    del robot
    frame = _away_from_heading(state.root_quat)
    parts = {
        "root height": state.root_pos[..., 2:],
        "root rotation, tangent and normal": rotation.tangent_normal(
            rotation.multiply(frame, state.root_quat)
        ),
        "root velocity": rotation.rotate(frame, state.root_vel),
        "root angular velocity": rotation.rotate(frame, state.root_ang_vel),
        "joint angles": state.dof_pos,
        "joint velocities": state.dof_vel,
    }
    if phase.frequencies:
        parts[f"sines and cosines of the phase at {phase.turns} turns"] = phase_features(phase)[..., 1:]
    for ahead, target in targets.items():
        turn = rotation.multiply(rotation.conjugate(state.root_quat), target.root_quat)
        name = f"reference +{ahead}"
        parts |= {
            f"{name}: offset of the root": rotation.rotate(frame, target.root_pos - state.root_pos),
            f"{name}: rotation from the root's, tangent and normal": rotation.tangent_normal(turn),
            f"{name}: root velocity": rotation.rotate(frame, target.root_vel),
            f"{name}: root angular velocity": rotation.rotate(frame, target.root_ang_vel),
            f"{name}: joint angles": target.dof_pos,
        }
    return parts


def onboard(robot: Robot, state: CharacterState, targets: Targets, phase: Phase) -> Parts:
    """Phase and reference, which follow the `sensor_readings`: neither place nor heading.

    Vectors are in the frame of the reference's pelvis.
    """
    del robot, state
    parts: Parts = {}
    if phase.frequencies:
        parts[f"sines and cosines of the phase at {phase.turns} turns"] = phase_features(phase)[..., 1:]
    for ahead, target in targets.items():
        name = f"reference +{ahead}"
        parts |= _inertial(f"{name}: gravity", f"{name}: root angular velocity", target) | {
            f"{name}: root velocity": rotation.rotate_inverse(target.root_quat, target.root_vel),
            f"{name}: root height": target.root_pos[..., 2:],
            f"{name}: joint angles": target.dof_pos,
        }
    return parts


def sensor_readings(state: CharacterState) -> Parts:
    """What a robot's own sensors show: no linear velocity. Vectors are in the frame of the pelvis."""
    return _inertial("gravity", "gyro", state) | {
        "joint angles": state.dof_pos,
        "joint velocities": state.dof_vel,
    }


def _inertial(gravity: str, spin: str, state: CharacterState) -> Parts:
    """Return the direction of gravity and the angular velocity in the frame of the pelvis."""
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), state.root_pos.shape)
    return {
        gravity: rotation.rotate_inverse(state.root_quat, down),
        spin: rotation.rotate_inverse(state.root_quat, state.root_ang_vel),
    }


_HEADING = "heading of the root"
LAYOUTS: dict[str, Layout] = {
    "compact": Layout(compact, (1,), phase=True, shows_place=True, frame=_HEADING, carries_reference=True),
    "mimickit": Layout(mimickit, (1, 2, 3), phase=False, shows_place=True, frame="world"),
    "mimickit-local": Layout(mimickit_local, (1, 2, 3), phase=True, shows_place=False, frame=_HEADING),
    "onboard": Layout(
        onboard,
        (1, 3),
        phase=True,
        shows_place=False,
        frame="pelvis, and the reference's pelvis",
        readings=sensor_readings,
    ),
    # Heading frame and phase only, as in DeepMimic (Peng et al. 2018, States and Actions).
    "paper": Layout(mimickit_local, (), phase=True, shows_place=False, frame=_HEADING),
}
"""By the names of `EnvConfig.observation`."""


def _phase(phase: Phase) -> Parts:
    """Return the phase, as MimicKit observes it."""
    if not phase.frequencies:
        return {}
    return {f"phase, its sines and cosines at {phase.turns} turns": phase_features(phase)}


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


def _targets(robot: Robot, targets: Targets, origin: jax.Array, frame: jax.Array) -> Parts:
    """Return the reference states (MimicKit `compute_tar_obs`).

    Horizontal positions are relative to `origin` (..., 3), heights are as they are.
    """
    parts: Parts = {}
    for ahead, target in targets.items():
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
    return _flatten(rotation.rotate(frame[..., None, :], robot.key_offsets(state)))


def _away_from_heading(quat: jax.Array) -> jax.Array:
    """Return the rotation (..., 4) from the world to the heading frame."""
    return rotation.conjugate(rotation.heading_quat(quat))


def _flatten(array: jax.Array) -> jax.Array:
    """Join the last two axes."""
    return array.reshape(*array.shape[:-2], -1)
