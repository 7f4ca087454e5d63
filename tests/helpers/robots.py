"""Stand-ins for the robot and for its physics."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot, coordinates
from mjx_mimic.task.env import EnvState, ImitationEnv, PhysicsTrace


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

    def simulate(self, state: EnvState, pd_target: jax.Array) -> tuple[EnvState, PhysicsTrace]:
        qpos, qvel = self.reference_coordinates(state, ahead=1)
        drift = state.qvel[:2] - self.reference_coordinates(state)[1][:2]
        next_state = replace(state, qpos=qpos, qvel=qvel.at[:2].add(drift), steps=state.steps + 1)
        return next_state, PhysicsTrace(qpos[None, 7:], qvel[None, 6:])
