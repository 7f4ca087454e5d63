"""The imitation task: one G1, one reference, pure functions of an explicit state. Batch it with `vmap`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from mujoco import mjx

from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.model import CharacterState, Robot
from mjx_mimic.task import observation, reference, start_sampling, termination
from mjx_mimic.task.reference import MotionLibrary
from mjx_mimic.task.reward import RewardTerms, mimickit_reward, paper_reward
from mjx_mimic.task.start_sampling import Starts


@struct.dataclass
class EnvState:
    """All that a step needs: coordinates, solver warm start, place in the clip, tally of the episode.

    An `mjx.Data` is about 50 kB and everything else in it follows from these.
    """

    qpos: jax.Array  # (36,)
    qvel: jax.Array  # (35,)
    warm_start: jax.Array  # (35,) the last accelerations, where the constraint solver starts
    clip: jax.Array  # () int
    start_time: jax.Array  # () s, time in the clip at the episode's start
    steps: jax.Array  # () int, control steps since then
    episode_return: jax.Array  # ()


@struct.dataclass
class StepResult:
    """What a step yields. `final_observation` is that of the state reached, before any reset; not finite
    where `causes.nonfinite` says that the state is not."""

    observation: jax.Array  # (O,) of the next state, after a reset if there was one
    final_observation: jax.Array  # (O,)
    reward: jax.Array  # ()
    reward_terms: RewardTerms
    causes: termination.Causes
    episode_return: jax.Array  # () so far, this step included
    episode_length: jax.Array  # () int, likewise
    stretch: jax.Array  # () int, of the clips where the step began; see `sampling`


@struct.dataclass
class ImitationEnv:
    """A pytree whose only leaves are the clips, so that a compiled step serves any of them."""

    library: MotionLibrary
    robot: Robot = struct.field(pytree_node=False)
    config: EnvConfig = struct.field(pytree_node=False)

    @property
    def num_actions(self) -> int:
        return len(self.robot.joint_range)

    @property
    def starts(self) -> Starts:
        """Where episodes start."""
        return self.library.starts

    def starting(self, starts: Starts) -> "ImitationEnv":
        """The same task with other chances to start."""
        return replace(self, library=replace(self.library, starts=starts))

    @property
    def control_dt(self) -> float:
        return 1.0 / self.config.control_hz

    @property
    def substeps(self) -> int:
        """Physics steps in a control step."""
        return round(self.config.physics_hz / self.config.control_hz)

    @property
    def episode_steps(self) -> int:
        return round(self.config.episode_seconds * self.config.control_hz)

    def reset(self, key: jax.Array) -> tuple[EnvState, jax.Array]:
        """Reference state initialisation: a clip by weight, a uniform time, the full reference state."""
        state = self.reset_to(*start_sampling.sample(self.starts, key))
        return state, self.observe(state)

    def reset_to(self, clip: jax.Array, time: jax.Array) -> EnvState:
        """The state of the reference of `clip` at `time` s."""
        qpos, qvel = reference.lookup(self.library, clip, time)
        return EnvState(
            qpos=qpos,
            qvel=qvel,
            warm_start=jnp.zeros_like(qvel),
            clip=clip,
            start_time=time,
            steps=jnp.int32(0),
            episode_return=jnp.float32(0.0),
        )

    def time(self, state: EnvState, ahead: int = 0) -> jax.Array:
        """Time in the clip, s, `ahead` control steps from now."""
        return state.start_time + (state.steps + ahead) * self.control_dt

    def phase(self, state: EnvState) -> jax.Array:
        """Phase of the clip, in [0, 1]."""
        return reference.phase(self.library, state.clip, self.time(state))

    def character(self, state: EnvState) -> CharacterState:
        return self.robot.character_state(state.qpos, state.qvel)

    def reference_coordinates(self, state: EnvState, ahead: int = 0) -> tuple[jax.Array, jax.Array]:
        """qpos and qvel of the reference `ahead` control steps from now."""
        return reference.lookup(self.library, state.clip, self.time(state, ahead))

    def reference(self, state: EnvState, ahead: int = 0) -> CharacterState:
        """The reference `ahead` control steps from now."""
        return self.robot.character_state(*self.reference_coordinates(state, ahead))

    def observe(self, state: EnvState) -> jax.Array:
        """The observation of a state, (O,)."""
        targets = tuple(
            self.reference(state, ahead) for ahead in observation.TARGET_STEPS[self.config.observation]
        )
        layout = observation.LAYOUTS[self.config.observation]
        return layout(self.robot, self.character(state), targets, self.phase(state))

    def pd_target(self, state: EnvState, action: jax.Array) -> jax.Array:
        """Joint angles (J,) that an action (J,) in [-1, 1] asks the motors for.

        `mimickit`: centre 0, range 1.4 times the larger joint limit (MimicKit `zero_center_action`).
        `reference`: centre on the reference at the end of the step; one unit asks for a share of the
        motor's effort limit through its proportional gain, so that all joints explore alike.
        """
        action = jnp.clip(action, -1.0, 1.0)
        if self.config.action == "mimickit":
            return action * self.action_scale
        centre, _ = self.reference_coordinates(state, ahead=1)
        return centre[7:] + action * self.action_scale

    @property
    def action_scale(self) -> np.ndarray:
        """(J,) rad that one unit of action moves the PD target by."""
        if self.config.action == "mimickit":
            scale = 1.4 * np.abs(self.robot.joint_range).max(axis=-1)
        else:
            scale = self.config.action_scale * self.robot.effort_limit / self.robot.kp
        return scale.astype(np.float32)

    def simulate(self, state: EnvState, pd_target: jax.Array) -> EnvState:
        """One control step of physics under constant PD targets (J,)."""
        return self._physics(state, pd_target, lambda qpos, qvel: None)[0]

    def simulate_tracing(
        self, state: EnvState, pd_target: jax.Array
    ) -> tuple[EnvState, tuple[jax.Array, jax.Array]]:
        """The same, with joint angles and velocities (S, J) at the beginning of each physics step, by which
        the motors act in it."""
        return self._physics(state, pd_target, lambda qpos, qvel: (qpos[7:], qvel[6:]))

    def _physics(self, state: EnvState, pd_target: jax.Array, trace: Callable) -> tuple[EnvState, Any]:
        def substep(carry: tuple, _: None) -> tuple[tuple, Any]:
            qpos, qvel, warm_start = carry
            data = self.robot.mjx_data.replace(
                qpos=qpos, qvel=qvel, qacc_warmstart=warm_start, ctrl=pd_target
            )
            data = mjx.step(self.robot.mjx_model, data)
            return (data.qpos, data.qvel, data.qacc_warmstart), trace(qpos, qvel)

        coordinates = (state.qpos, state.qvel, state.warm_start)
        (qpos, qvel, warm_start), traced = jax.lax.scan(substep, coordinates, None, length=self.substeps)
        reached = replace(state, qpos=qpos, qvel=qvel, warm_start=warm_start, steps=state.steps + 1)
        return reached, traced

    def step(self, state: EnvState, action: jax.Array, key: jax.Array) -> tuple[EnvState, StepResult]:
        """One control step, reward and termination against the reference of its end, automatic reset."""
        reached = self.simulate(state, self.pd_target(state, action))
        character, target = self.character(reached), self.reference(reached)
        causes = self.causes(reached, character, target)
        gain, terms = self.reward(character, target)
        # A broken simulation earns nothing; without this its NaN would outlive the reset in the returns.
        gain, terms = jax.tree.map(lambda x: jnp.where(causes.nonfinite, 0.0, x), (gain, terms))
        reached = replace(reached, episode_return=state.episode_return + gain)

        fresh = self.reset_to(*start_sampling.sample(self.starts, key))
        done = causes.terminated | causes.truncated
        following = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, reached)
        result = StepResult(
            observation=self.observe(following),
            final_observation=self.observe(reached),
            reward=gain,
            reward_terms=terms,
            causes=causes,
            episode_return=reached.episode_return,
            episode_length=reached.steps,
            stretch=start_sampling.stretch_of(self.starts, state.clip, self.phase(state)),
        )
        return following, result

    def reward(self, state: CharacterState, target: CharacterState) -> tuple[jax.Array, RewardTerms]:
        if self.config.reward == "paper":
            return paper_reward(self.robot, state, target)
        return mimickit_reward(self.robot, state, target, self.config.track_root)

    def causes(
        self, state: EnvState, character: CharacterState, target: CharacterState
    ) -> termination.Causes:
        ends = ~self.library.wraps[state.clip]
        return termination.Causes(
            fall=termination.has_fallen(character),
            deviation=termination.has_deviated(character, target, self.config.max_deviation),
            nonfinite=termination.is_nonfinite(state.qpos, state.qvel),
            time_out=state.steps >= self.episode_steps,
            clip_end=ends & (self.time(state) >= self.library.length[state.clip]),
        )
