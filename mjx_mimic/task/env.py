"""The imitation task: one G1, one reference, pure functions of an explicit state. Batch it with `vmap`."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.config import MOST_DELAY, EnvConfig, RandomizationConfig
from mjx_mimic.robot import rotation
from mjx_mimic.robot.implicit_pd import shifted_target
from mjx_mimic.robot.model import CharacterState, PhysicsState, Robot
from mjx_mimic.task import (
    dynamics,
    observation,
    reference,
    reflection,
    skills,
    start_sampling,
    termination,
)
from mjx_mimic.task.dynamics import Dynamics, Scalar
from mjx_mimic.task.goals import Goal, Situation, make_goal
from mjx_mimic.task.penalty import penalty
from mjx_mimic.task.reference import MotionLibrary
from mjx_mimic.task.reward import RewardTerms, mimickit_reward, paper_reward
from mjx_mimic.task.start_sampling import StartDistribution
from mjx_mimic.task.states import Arrival, EnvState, PhysicsTrace, StepResult
from mjx_mimic.task.tracking_errors import tracking_errors

PHYSICS_STEPS = "physics_steps"
"""Scope (`jax.named_scope`) of a control step's physics in a compiled program."""


@struct.dataclass
class ImitationEnv:
    """A pytree whose leaves are clips, starts, a share and a choice: a compiled step serves any of them."""

    library: MotionLibrary
    starts: StartDistribution
    robot: Robot = struct.field(pytree_node=False)
    config: EnvConfig = struct.field(pytree_node=False)
    disturbance: Scalar = np.float32(1.0)
    """() from 0 to 1, how much of kicks, noise and randomisation there is."""
    choice: skills.Choice | None = None
    """With skills, how the next one is chosen where a plan leaves it open; None: it never does."""

    @property
    def num_actions(self) -> int:
        """Number of joints J."""
        return len(self.robot.joint_range)

    @property
    def control_dt(self) -> float:
        """Length of a control step, s."""
        return 1.0 / self.config.control_hz

    @property
    def substeps(self) -> int:
        """Physics steps in a control step."""
        return round(self.config.physics_hz / self.config.control_hz)

    @property
    def episode_steps(self) -> int:
        """Control steps of a whole episode."""
        return round(self.config.episode_seconds * self.config.control_hz)

    def with_config(self, config: EnvConfig) -> Self:
        """Return the same task with other settings."""
        return replace(self, config=config)

    def reset(self, key: jax.Array, quantile: jax.Array | None = None) -> tuple[EnvState, jax.Array]:
        """Start an episode on the reference, by default at a random time (DeepMimic's RSI).

        Args:
            key: of all that is drawn.
            quantile: () in [0, 1), of the starts, instead of a random one.

        Returns:
            The state and its observation (O,).
        """
        state = self.draw_start(key, quantile)
        return state, self.observe(state)

    def draw_start(self, key: jax.Array, quantile: jax.Array | None = None) -> EnvState:
        """Return the reference of a clip drawn from `starts`, at a random time or at its first frame."""
        start_key, own_key, robot_key, offset_key = jax.random.split(key, 4)
        if quantile is None:
            clip, time = start_sampling.sample(self.starts, start_key)
        else:
            clip, time = start_sampling.at_quantile(self.starts, quantile)
        time = time if self.config.start == "random" else jnp.zeros_like(time)
        state = self.reset_to(clip, time, own_key)
        config = self.config.randomization
        if config == RandomizationConfig():
            return state
        qpos, qvel = dynamics.perturbed_start(config, state.qpos, state.qvel, offset_key, self.disturbance)
        state = self._with_goal(replace(state, qpos=qpos, qvel=qvel), own_key)
        return self.with_dynamics(state, dynamics.draw(config, self.robot, robot_key, self.disturbance))

    def with_dynamics(self, state: EnvState, robot: Dynamics) -> EnvState:
        """Return a state at the start of an episode whose robot is another."""
        state = replace(state, dynamics=robot, targets=None)
        if robot.delay is not None or self.shows_targets:  # they are angles as the encoders show them
            angles = self.encoded(state).qpos[7:]
            state = replace(state, targets=jnp.tile(angles, (math.ceil(MOST_DELAY), 1)))
        return self._with_history(state)

    @property
    def shows_targets(self) -> bool:
        """Whether the value function sees the PD targets that a delay keeps on their way."""
        is_delayed = self.config.randomization.delay != RandomizationConfig().delay
        return self.config.privileged_critic and is_delayed

    def _with_history(self, state: EnvState) -> EnvState:
        """Return a state at the start of an episode, before which the sensors have shown nothing else."""
        if self.config.history == 1:
            return state
        return replace(state, history=jnp.tile(self.reading(state), (self.config.history - 1, 1)))

    def reset_to(self, clip: jax.Array, time: jax.Array, key: jax.Array | None = None) -> EnvState:
        """Return the state at a start on the reference of `clip` () at `time` () s, of the nominal robot.

        `key` draws its goal and its skills; None: always the same ones.
        """
        qpos, qvel = self.start_coordinates(clip, time)
        state = EnvState(
            qpos=qpos,
            qvel=qvel,
            warm_start=jnp.zeros_like(qvel),
            clip=clip,
            start_time=time,
            steps=jnp.int32(0),
            episode_return=jnp.float32(0.0),
            action=jnp.zeros(self.num_actions) if self.remembers_action else None,
        )
        key = jax.random.key(0) if key is None else key
        state = self._with_goal(state, key)
        _, skill_key = jax.random.split(key)
        if self.config.clips == "skills":
            if self.choice is not None:
                plan = skills.open_plan(skill_key)
            else:
                shares = start_sampling.of_clips(self.starts, self.starts.share)
                plan = skills.draw_plan(clip, self.library.length, shares, skill_key)
            state = replace(state, skills=plan)
        return self.with_dynamics(state, state.dynamics)

    def start_coordinates(self, clip: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return qpos (36,) and qvel (35,) of a start, its velocity smoothed over a control step each way."""
        return reference.smooth_start(self.library, clip, time, self.control_dt)

    def _with_goal(self, state: EnvState, key: jax.Array) -> EnvState:
        """Return a state at the start of an episode with the goal that the key of `reset_to` draws."""
        if self.goal is None:
            return state
        goal_key, _ = jax.random.split(key)
        situation = self.situation(state, self.character(state))
        return replace(state, goal=self.goal.begin(situation, goal_key))

    def step(
        self, state: EnvState, action: jax.Array, key: jax.Array, sensed: EnvState | None = None
    ) -> tuple[EnvState, StepResult]:
        """Take one control step.

        Physics under the action; reward and causes of an end against the reference at the step's end; a new
        start where the episode has ended.

        Args:
            state: unbatched.
            action: (J,), clipped to [-1, 1].
            key: of the reset.
            sensed: the state as the sensors showed it to the policy; None: as it is.

        Returns:
            The next state, after a reset if there was one, and what the step yielded.
        """
        commanded, pd_target = self.command(state, action, sensed)
        next_state, trace = self.simulate(commanded, pd_target)
        next_state, arrival = self.arrive(next_state)
        causes = arrival.causes
        cost = penalty(self.config.penalty, self.robot, state, next_state, pd_target, trace)
        # A broken simulation earns nothing; without this its NaN would outlive the reset in the returns.
        goal_reward = None if next_state.goal is None else next_state.goal.reward
        reward, cost, terms, goal_reward = jax.tree.map(
            lambda x: jnp.where(causes.nonfinite, 0.0, x),
            (arrival.reward, cost, arrival.reward_terms, goal_reward),
        )
        next_state = replace(next_state, episode_return=state.episode_return + reward)

        done = causes.terminated | causes.truncated
        reset_state = self.draw_start(key)
        state_or_reset = jax.tree.map(lambda new, old: jnp.where(done, new, old), reset_state, next_state)
        result = StepResult(
            observation=self.observe(state_or_reset),
            final_observation=self.observe(next_state),
            reward=reward,
            penalty=cost,
            reward_terms=terms,
            errors=tracking_errors(arrival.character, arrival.target),
            causes=causes,
            episode_return=next_state.episode_return,
            episode_length=next_state.steps,
            segment=start_sampling.segment_of(self.starts, state.clip, self.phase(state)),
            goal_reward=goal_reward,
            goal_results=self.goal_results(next_state),
        )
        return state_or_reset, result

    def arrive(self, state: EnvState) -> tuple[EnvState, Arrival]:
        """Score the control step that led to an unbatched state.

        The step is scored by the clip in which it was taken, or where `clips` is `best` by the best one.

        Returns:
            The state with its goal advanced, and its next skill if a cycle ends; and what the step came to.
        """
        character = self.character(state)
        state = self.with_best_clip(state, character)
        target = self.reference(state)
        causes = self.causes(state, character, target)
        pursued = self.pursue(state, character)
        imitation, terms = self.compute_reward(character, target)
        reward = self.total_reward(imitation, pursued)
        return pursued, Arrival(state, character, target, causes, terms, reward)

    def command(
        self, state: EnvState, action: jax.Array, sensed: EnvState | None = None
    ) -> tuple[EnvState, jax.Array]:
        """Return the state, which remembers what will be observed of this control step, and the PD target.

        Args:
            state: unbatched.
            action: (J,).
            sensed: the state as the sensors showed it to the policy; None: as it is.

        Returns:
            The state with the action and the readings, and the target (J,) rad.
        """
        target = self.pd_target(state, action)
        if state.history is not None:
            reading = self.reading(state if sensed is None else sensed)
            state = replace(state, history=jnp.concatenate([reading[None], state.history[:-1]]))
        if state.action is not None:
            state = replace(state, action=jnp.clip(action, -1.0, 1.0))
        return state, target

    @property
    def remembers_action(self) -> bool:
        """Whether the last action is part of the state, because it is observed or its change is penalised."""
        return self.layout.readings is not None or self.config.penalty.action_change > 0.0

    def pd_target(self, state: EnvState, action: jax.Array) -> jax.Array:
        """Return the joint angles (J,) rad that an action (J,) in [-1, 1] asks the motors for.

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

    def simulate(
        self,
        state: EnvState,
        pd_target: jax.Array,
        *,
        force: jax.Array | None = None,
        substeps: int | None = None,
        unroll: bool = False,
    ) -> tuple[EnvState, PhysicsTrace]:
        """Simulate one control step under constant PD targets (J,) rad.

        Args:
            state: unbatched.
            pd_target: (J,) rad.
            force: (3,) N on the pelvis, world frame; None: no force.
            substeps: physics steps; None: those of a control step.
            unroll: whether to compile them one after the other instead of as a loop.
        """
        length = substeps or self.substeps
        dt = 1.0 / self.config.physics_hz
        fields = dynamics.simulated_fields(self.robot, state.dynamics, dt)

        def physics_step(
            physics: PhysicsState, target: jax.Array | None
        ) -> tuple[PhysicsState, PhysicsTrace]:
            ctrl = shifted_target(pd_target if target is None else target, physics.qvel[6:], dt)
            physics, depth = self.robot.physics_step(fields, physics, ctrl, force)
            penalised = depth if self.config.penalty.self_contact else None
            return physics, PhysicsTrace(physics.qpos[7:], physics.qvel[6:], penalised)

        physics = PhysicsState(state.qpos, state.qvel, state.warm_start)
        targets, state = self.motor_targets(state, pd_target, length)
        with jax.named_scope(PHYSICS_STEPS):
            physics, trace = jax.lax.scan(physics_step, physics, targets, length=length, unroll=unroll)
        return replace(state, **physics._asdict(), steps=state.steps + 1), trace

    def motor_targets(
        self, state: EnvState, pd_target: jax.Array, substeps: int
    ) -> tuple[jax.Array | None, EnvState]:
        """Return the targets (S, J) rad of the physics steps, and the state that remembers this one.

        None where the motors follow `pd_target` at once.
        """
        robot, earlier = state.dynamics, state.targets
        if earlier is not None:
            state = replace(state, targets=jnp.concatenate([pd_target[None], earlier[:-1]]))
        if robot.delay is None and robot.joint_offset is None:
            return None, state
        return dynamics.motor_targets(robot, pd_target, earlier, substeps), state

    def time(self, state: EnvState) -> jax.Array:
        """Return the time in the clip, s."""
        return state.start_time + self.clip_steps(state) * self.control_dt

    def clip_time(self, state: EnvState, ahead: int = 0) -> reference.ClipTime:
        """Return the time `ahead` control steps from now, exactly."""
        start = reference.clip_time(state.start_time)
        return reference.later(start, self.clip_steps(state) + ahead, self.config.control_hz)

    def clip_steps(self, state: EnvState) -> jax.Array:
        """Return the control steps () since `start_time`: those of the episode, or of its current skill."""
        return state.steps if state.skills is None else state.steps - state.skills.since

    def phase(self, state: EnvState) -> jax.Array:
        """Return the phase of the clip, in [0, 1]."""
        return reference.phase(self.library, state.clip, self.clip_time(state))

    def character(self, state: EnvState) -> CharacterState:
        """Return the simulated robot with its bodies."""
        return self.robot.character_state(state.qpos, state.qvel)

    def reference_coordinates(self, state: EnvState, ahead: int = 0) -> tuple[jax.Array, jax.Array]:
        """Return qpos (36,) and qvel (35,) of the reference `ahead` control steps from now.

        With a goal or several clips in an episode, the reference goes where the robot goes: its root now is
        moved to the robot's place and heading, and what is ahead with it.
        """
        return self.reference_at(state, self.clip_time(state, ahead))

    def reference_at(
        self, state: EnvState, time: reference.ClipTime | jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return what `reference_coordinates` does, at a time in the clip, a `ClipTime` or () s."""
        found = reference.lookup(self.library, state.clip, time)
        return self._from_robot(state, *found) if self.pursues else found

    def _from_robot(self, state: EnvState, qpos: jax.Array, qvel: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Move coordinates of the reference as if it now stood at the robot's place and heading."""
        now, _ = reference.lookup(self.library, state.clip, self.clip_time(state))
        return reference.carried(qpos, qvel, now[:7], state.qpos[:7])

    def reference(self, state: EnvState, ahead: int = 0) -> CharacterState:
        """Return `shown_coordinates` with its bodies: what reward, ends and errors compare the robot with."""
        return self.robot.character_state(*self.shown_coordinates(state, ahead))

    def shown_coordinates(self, state: EnvState, ahead: int = 0) -> tuple[jax.Array, jax.Array]:
        """Return what `reference_coordinates` does, for whoever compares the robot with it or looks at it.

        Where place and heading do not count, the reference now is at the robot's.
        """
        found = reference.lookup(self.library, state.clip, self.clip_time(state, ahead))
        return self._from_robot(state, *found) if self.goes_with_robot else found

    @property
    def goes_with_robot(self) -> bool:
        """Whether the reference is shown where the robot is."""
        return self.pursues or not self.track_root

    def observe(self, state: EnvState, sensed: EnvState | None = None) -> jax.Array:
        """Return the observation (O,) of a state.

        What the policy sees comes first. With `privileged_critic`, what only the value function sees follows.

        Args:
            state: unbatched.
            sensed: the state as the sensors show it to the policy; None: as it is.
        """
        seen = self.observation_parts(state if sensed is None else sensed)
        if self.config.privileged_critic:
            seen = seen | self.privileged_parts(state)
        return observation.concatenated(seen)

    def observation_parts(self, state: EnvState) -> observation.Parts:
        """Return the named parts of what the policy sees, in their order, as the encoders show them."""
        is_carried = self.layout.carries_reference
        coordinates = self.shown_coordinates if is_carried else self.reference_coordinates
        targets = {
            ahead: self.robot.character_state(*coordinates(state, ahead)) for ahead in self.target_steps
        }
        parts = self.imitation_parts(state, targets, self.phase(state))
        if self.goal is not None and state.goal is not None:
            parts |= self.goal.parts(state.goal, self.character(state))
        if state.skills is not None:
            parts |= skills.parts(state.clip, self.library.num_clips)
        return parts

    def imitation_parts(
        self, state: EnvState, targets: observation.Targets, phase: jax.Array
    ) -> observation.Parts:
        """Return those parts that are of the robot, of these references ahead and of the phase ()."""
        parts = self.readings(state)
        if state.history is not None:
            parts[f"the same at {len(state.history)} control steps before"] = state.history.ravel()
        shown = observation.Phase(phase, self.phase_frequencies)
        return parts | self.layout.parts(self.robot, self.character(self.encoded(state)), targets, shown)

    @property
    def reflection(self) -> reflection.Reflection | None:
        """The reflection left to right of the observation (O,), under which actions are reflected too.

        None where the policy sees no reference, so that it cannot tell a mirrored clip from the clip.
        """
        return reflection.of_observation(self) if self.target_steps else None

    def encoded(self, state: EnvState) -> EnvState:
        """Return a state with the joint angles that the encoders show."""
        offset = state.dynamics.joint_offset
        return state if offset is None else replace(state, qpos=state.qpos.at[7:].add(offset))

    def levelled(self, state: EnvState) -> EnvState:
        """Return a state whose orientation is relative to gravity, as sensors show it, not to the floor."""
        gravity = state.dynamics.gravity
        if gravity is None:
            return state
        down = jnp.array([0.0, 0.0, -1.0])
        level = rotation.between(gravity / jnp.linalg.norm(gravity), down)
        return replace(state, qpos=state.qpos.at[3:7].set(rotation.multiply(level, state.qpos[3:7])))

    def readings(self, state: EnvState) -> observation.Parts:
        """Return by name what the sensors show, and the last action; nothing in layouts of other things."""
        if self.layout.readings is None or state.action is None:
            return {}
        shown = self.layout.readings(self.character(self.levelled(self.encoded(state))))
        return shown | {"last action": state.action}

    def reading(self, state: EnvState) -> jax.Array:
        """Return the readings as one array (R,)."""
        return observation.concatenated(self.readings(state))

    def privileged_parts(self, state: EnvState) -> observation.Parts:
        """Return the named parts of what only the value function sees: the true state, and the robot's."""
        return self.true_parts(state, self.robot.character_state(*self.shown_coordinates(state, 1)))

    def true_parts(self, state: EnvState, target: CharacterState) -> observation.Parts:
        """Return `privileged_parts` with this reference one control step ahead."""
        phase = observation.Phase(jnp.float32(0.0), frequencies=0)
        parts = observation.compact(self.robot, self.character(state), {1: target}, phase)
        if state.action is not None and self.layout.readings is None:  # else the policy sees it too
            parts["last action"] = state.action
        if state.targets is not None and self.shows_targets:
            parts["targets on their way"] = state.targets.ravel()
        # An episode of the nominal robot shows what is nominal, so that there are always as many numbers.
        nominal = dynamics.draw(self.config.randomization, self.robot, jax.random.key(0), 0.0)
        values = {
            name: value if (drawn := getattr(state.dynamics, name)) is None else drawn
            for name, value in vars(nominal).items()
            if value is not None
        }
        return {f"value function: {name}": jnp.atleast_1d(part) for name, part in (parts | values).items()}

    @property
    def layout(self) -> observation.Layout:
        """Layout of the observation."""
        return observation.LAYOUTS[self.config.observation]

    @property
    def target_steps(self) -> tuple[int, ...]:
        """Control steps ahead whose reference is observed."""
        return self.config.target_steps or self.layout.target_steps

    @property
    def phase_frequencies(self) -> int:
        """Frequencies at which the phase is observed; 0: not at all."""
        is_seen = self.layout.phase if self.config.phase is None else self.config.phase
        return self.config.phase_frequencies if is_seen else 0

    @property
    def track_root(self) -> bool:
        """Whether the root's place and heading count; never where the observation does not show the place."""
        return self.config.track_root and self.layout.shows_place

    @property
    def policy_inputs(self) -> int | None:
        """How many numbers of the observation the policy sees, the first ones; None: all of them."""
        return sum(self.observation_sizes().values()) if self.config.privileged_critic else None

    def observation_sizes(self) -> dict[str, int]:
        """Return how many numbers each part that the policy sees has, in their order; nothing is computed."""
        return self._sizes(self.observation_parts)

    def privileged_sizes(self) -> dict[str, int]:
        """Return the same of what only the value function sees, nothing where there is no such thing."""
        return self._sizes(self.privileged_parts) if self.config.privileged_critic else {}

    def _sizes(self, parts: Callable[[EnvState], observation.Parts]) -> dict[str, int]:
        sizes: dict[str, int] = {}

        def trace(state: EnvState) -> None:
            # Read while tracing: a dict that `eval_shape` returns has its keys sorted.
            sizes.update({name: part.shape[-1] for name, part in parts(state).items()})

        jax.eval_shape(trace, jax.eval_shape(self.reset_to, jnp.int32(0), jnp.float32(0.0)))
        return sizes

    def compute_reward(self, state: CharacterState, target: CharacterState) -> tuple[jax.Array, RewardTerms]:
        """Return the imitation reward () and its terms, each in (0, 1]; `target` is from `reference`."""
        if self.config.reward == "paper":
            return paper_reward(self.robot, state, target, self.config.paper_reward)
        config = self.config
        return mimickit_reward(self.robot, state, target, config.mimickit_reward, config.joint_weights)

    @property
    def goal(self) -> Goal | None:
        """What the robot is to do besides imitating, if anything."""
        return make_goal(self.config, self.robot)

    def situation(self, state: EnvState, character: CharacterState) -> Situation:
        """Return what a goal sees of a state."""
        time, phase = self.time(state), self.phase(state)
        # The very number of the control step before: a cycle must not begin twice by rounding.
        before = reference.phase(self.library, state.clip, self.clip_time(state, ahead=-1))
        cycle_start = time - phase * self.library.length[state.clip]
        ends = self.ends_cycle(state)
        is_over = ends & ~self.library.wraps[state.clip]
        return Situation(
            character=character,
            home=jnp.where(is_over, state.qpos[:7], self.reference_at(state, cycle_start)[0][:7]),
            steps=state.steps,
            phase=phase,
            previous_phase=jnp.where(state.steps == 0, phase, before),
            ends_cycle=ends,
            dt=self.control_dt,
        )

    @property
    def pursues(self) -> bool:
        """Whether `with_best_clip` or `pursue` change anything."""
        return self.config.goal != "none" or self.config.clips != "one"

    def with_best_clip(self, state: EnvState, character: CharacterState) -> EnvState:
        """Return a state after a control step with the clip for which it earns most, where `clips` is `best`.

        max_j r_t^j over the clips (DeepMimic, Multi-Clip Reward). Each clip keeps its own phase: the episode
        started at the same phase of all, and each goes on at its own speed.
        """
        if self.config.clips != "best":
            return state

        def in_clip(clip: jax.Array) -> EnvState:
            length = self.library.length
            return replace(state, clip=clip, start_time=state.start_time / length[state.clip] * length[clip])

        def earned(clip: jax.Array) -> jax.Array:
            return self.compute_reward(character, self.reference(in_clip(clip)))[0]

        rewards = jax.vmap(earned)(jnp.arange(self.library.num_clips, dtype=jnp.int32))
        return in_clip(jnp.argmax(rewards).astype(jnp.int32))

    def pursue(self, state: EnvState, character: CharacterState) -> EnvState:
        """Return a state after a control step with its goal advanced, and its next skill if a cycle ends."""
        if self.goal is not None and state.goal is not None:
            state = replace(state, goal=self.goal.advance(state.goal, self.situation(state, character)))
        if state.skills is None:
            return state
        begun, ends = self.begin_next_skill(state), self.ends_cycle(state)
        return jax.tree.map(lambda new, old: jnp.where(ends, new, old), begun, state)

    def begin_next_skill(self, state: EnvState) -> EnvState:
        """Return a state in which the next skill of its plan begins, drawn by `choice` where that is open."""
        assert state.skills is not None
        clip = state.skills.wanted
        if self.choice is not None:
            logits = self.choice.logits(self.observations_of_skills(state))
            own, drawn = state.skills.draw(logits)
            state = replace(state, skills=own)
            clip = jnp.where(clip == skills.OPEN, drawn, clip)
        return self.begin_skill(state, clip)

    def observations_of_skills(self, state: EnvState) -> jax.Array:
        """Return what would be observed (C, O) if each of the clips began where the robot is."""

        def begun(clip: jax.Array) -> jax.Array:
            return self.observe(self.begin_skill(state, clip))

        return jax.vmap(begun)(jnp.arange(self.library.num_clips, dtype=jnp.int32))

    def begin_skill(self, state: EnvState, clip: jax.Array) -> EnvState:
        """Return a state with skills in which the next one is `clip` (), which begins where the robot is."""
        assert state.skills is not None
        return replace(state, clip=clip, start_time=jnp.float32(0.0), skills=state.skills.next(state.steps))

    def ends_cycle(self, state: EnvState) -> jax.Array:
        """Return whether the control step that led to a state has ended a cycle of its clip, ().

        The very counts of the phase: a cycle must not end twice by rounding, nor never.
        """
        before, now = (
            reference.cycles(self.library, state.clip, self.clip_time(state, ahead)) for ahead in (-1, 0)
        )
        before = jnp.where(self.library.wraps[state.clip], before, 0)
        return (self.clip_steps(state) > 0) & (now > before)

    def total_reward(self, imitation: jax.Array, state: EnvState) -> jax.Array:
        """Return the reward () of a control step: the imitation's, or r = w_I r_I + w_G r_G with a goal.

        DeepMimic (Peng et al. 2018, Reward). `state` is what `pursue` returns.
        """
        if state.goal is None:
            return imitation
        return self.config.imitation_weight * imitation + self.config.goal_weight * state.goal.reward

    def goal_markers(self, state: EnvState) -> jax.Array | None:
        """Return the points (K, 3) m in the world that show the goal to people, if there is one."""
        if self.goal is None or state.goal is None:
            return None
        return self.goal.markers(state.goal, self.character(state))

    def goal_results(self, state: EnvState) -> dict[str, jax.Array]:
        """Return what the episode has achieved of its goal; nothing without one."""
        return {} if self.goal is None or state.goal is None else self.goal.results(state.goal)

    def causes(
        self, state: EnvState, character: CharacterState, target: CharacterState
    ) -> termination.Causes:
        """Return why the episode ends in `state`, if it does."""
        ends = ~self.library.wraps[state.clip] & (self.config.clips != "skills")
        limit, never = self.config.max_deviation, jnp.bool_(False)
        return termination.Causes(
            fall=termination.has_fallen(character) & self.config.fall_ends,
            deviation=(
                never
                if limit is None
                else termination.has_deviated(character, target, limit, self.track_root)
            ),
            nonfinite=termination.is_nonfinite(state.qpos, state.qvel),
            time_out=state.steps >= self.episode_steps,
            clip_end=ends & (self.phase(state) >= 1.0),
        )
