"""Stand-ins for the robot and for its physics."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot, coordinates
from mjx_mimic.task import reference
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.states import EnvState, PhysicsTrace


class RigidRobot(Robot):
    """Stands in for the robot where only layouts and times count: its bodies are fixed to the root."""

    def character_state(self, qpos: jax.Array, qvel: jax.Array) -> CharacterState:
        offsets = jnp.linspace(-0.5, 0.5, 3 * len(self.body_names)).reshape(-1, 3)
        return CharacterState(
            **coordinates(qpos, qvel),
            body_pos=qpos[None, :3] + rotation.rotate(qpos[3:7], offsets),
            body_quat=jnp.broadcast_to(qpos[3:7], (len(self.body_names), 4)),
            com_pos=qpos[:3],
            sole_pos=jnp.broadcast_to(qpos[:3], (2, 4, 3)),
            clearance=qpos[2:3],
        )


@struct.dataclass
class GlidingEnv(ImitationEnv):
    """The real task with free flight for physics: what was kicked moves on, whatever the motors do."""

    def start_coordinates(self, clip: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        return reference.lookup(self.library, clip, time)

    def simulate(
        self, state: EnvState, pd_target: jax.Array, *, force: jax.Array | None = None
    ) -> tuple[EnvState, PhysicsTrace]:
        del force
        qpos, qvel = self.reference_coordinates(state, ahead=1)
        drift = state.qvel[:2] - self.reference_coordinates(state)[1][:2]
        next_state = replace(state, qpos=qpos, qvel=qvel.at[:2].add(drift), steps=state.steps + 1)
        return next_state, PhysicsTrace(qpos[None, 7:], qvel[None, 6:])


@struct.dataclass
class ObedientEnv(GlidingEnv):
    """The same, but the joints are at once where the motors bring them, and the root leans with them."""

    def simulate(
        self, state: EnvState, pd_target: jax.Array, *, force: jax.Array | None = None
    ) -> tuple[EnvState, PhysicsTrace]:
        next_state, _ = GlidingEnv.simulate(self, state, pd_target, force=force)
        lean = rotation.turned(next_state.qpos[3:7], 0.1 * pd_target[3:6])
        qpos = jnp.concatenate([next_state.qpos[:3] + 0.1 * pd_target[:3], lean, pd_target])
        qvel = jnp.concatenate(
            [next_state.qvel[:6] + 0.1 * pd_target[:6], (pd_target - state.qpos[7:]) / self.control_dt]
        )
        return replace(next_state, qpos=qpos, qvel=qvel), PhysicsTrace(qpos[None, 7:], qvel[None, 6:])
