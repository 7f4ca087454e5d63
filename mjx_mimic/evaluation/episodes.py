"""The evaluation of a policy: many deterministic episodes at once, never reset, and figures of each.

An episode runs for 10 s, or to the end of a clip that is not cyclic. Nothing ends it early; what early
termination would have done is noted beside it, so that one run yields MimicKit's test return and the errors
of the whole clip. `mjx_engine` simulates with MJX, `mujoco_engine` with MuJoCo in C.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.config import DIRECTIONS
from mjx_mimic.evaluation import mjlab_metrics
from mjx_mimic.evaluation.episode import PHASE_BINS, Episode, PhaseFigures
from mjx_mimic.evaluation.protocol import Protocol
from mjx_mimic.evaluation.recording import StepRecord
from mjx_mimic.learning.composite import AnyPolicy
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task import tracking_errors
from mjx_mimic.task.disturbances import PUSH_INTERVAL_S, pushed, sensed
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.skills import OPEN
from mjx_mimic.task.states import EnvState
from mjx_mimic.task.termination import Causes, with_endings
from mjx_mimic.task.tracking_errors import Effort, no_errors

GOLDEN_RATIO = round((math.sqrt(5.0) - 1.0) / 2.0 * 2**32)
"""In units of 2^-32."""
OF_NO_STEP = 2**32 - 1
"""Number of the key that is of no control step."""


@struct.dataclass
class Evaluation:
    """The parts of an episode that do not depend on the physics engine: what acts, and what measures."""

    env: ImitationEnv
    policy: AnyPolicy
    protocol: Protocol = Protocol()
    starts: EnvState | None = None
    """(K, ...) where the episodes start, in turn; None: on the reference."""
    forces: jax.Array | None = None
    """(K, 2) N on the pelvis, forward and to the left of the robot, of the episodes in turn; each acts once,
    after 1 to 3 s. None: no forces."""
    plan: tuple[int, ...] = struct.field(pytree_node=False, default=())
    """With skills, the clips that every episode goes through, the last one again and again; none: each pair
    of clips in turn."""
    chooses: bool = struct.field(pytree_node=False, default=False)
    """With a task that can choose its skills, and no plan: it does, also the first one of an episode that
    starts with a clip."""

    def under(self, conditions: Mapping[str, float]) -> Self:
        """Return the same evaluation with other fields of its protocol, by name."""
        return replace(self, protocol=replace(self.protocol, **conditions))

    def with_force(self, direction: str, newtons: float) -> Self:
        """Return the same evaluation with a force in one of `DIRECTIONS`."""
        return replace(self, forces=newtons * jnp.array([DIRECTIONS[direction]]))

    @property
    def steps(self) -> int:
        """Control steps of the longest episode."""
        return round(self.protocol.seconds * self.env.config.control_hz)

    def begin(
        self, index: jax.Array, at_first: jax.Array, start_key: jax.Array, key: jax.Array
    ) -> tuple[EnvState, Episode]:
        """Start one episode; clips take turns, so that each has as many.

        Args:
            index: () int, of the episode.
            at_first: () bool, start at the clip's first frame, not at a random phase.
            start_key: of `start_phase`, the same for all episodes.
            key: of its pushes and its goal.
        """
        push_key, goal_key = jax.random.split(key)
        if self.starts is None:
            state, phase = self._on_reference(index, at_first, start_key, goal_key)
        else:
            state, phase = self._from_training(index, self.starts)
        if jax.tree.leaves(self.protocol.dynamics):
            state = self.env.with_dynamics(state, self.protocol.dynamics)
        interval = round(PUSH_INTERVAL_S * self.env.config.control_hz)
        zero = jnp.float32(0.0)
        return state, Episode(
            clip=state.clip,
            start_phase=phase,
            following=jnp.int32(OPEN),
            steps=jnp.int32(0),
            horizon=self._horizon(state.clip, phase),
            running=jnp.bool_(True),
            causes=Causes(*[jnp.bool_(False)] * 5),
            broken=jnp.bool_(False),
            episode_length=jnp.int32(0),
            episode_return=zero,
            reward=zero,
            errors=no_errors(),
            effort=Effort(zero, zero),
            foot_slip=zero,
            action_change=zero,
            deviation=zero,
            mjlab_running=jnp.bool_(True),
            mjlab_steps=jnp.int32(0),
            mjlab_errors=mjlab_metrics.no_errors(),
            action=jnp.zeros(self.env.num_actions),
            sole_pos=self.env.character(state).sole_pos,
            push_offset=jax.random.randint(push_key, (), 0, interval),
            goal=self.env.goal_results(state),
        )

    def _on_reference(
        self, index: jax.Array, at_first: jax.Array, start_key: jax.Array, goal_key: jax.Array
    ) -> tuple[EnvState, jax.Array]:
        """Return the state on the reference at which an episode starts, and its phase (); see `begin`."""
        clip, following = self.skills_of(index)
        phase = jnp.where(at_first, 0.0, self.start_phase(index, start_key))
        state = self.env.reset_to(clip, phase * self.env.library.length[clip], goal_key)
        if state.skills is None:
            return state, phase
        if self.is_open:
            chosen = self.env.begin_next_skill(state)
            return jax.tree.map(lambda new, old: jnp.where(phase == 0.0, new, old), chosen, state), phase
        return replace(state, skills=state.skills.followed_by(following)), phase

    def _from_training(self, index: jax.Array, starts: EnvState) -> tuple[EnvState, jax.Array]:
        """Return the state of a training at which an episode starts, and its phase (); see `begin`."""
        state = jax.tree.map(lambda x: x[index % x.shape[0]], starts)
        phase = self.env.phase(state)
        # The episode begins here: its steps are counted from 0.
        state = replace(state, start_time=self.env.time(state), steps=jnp.int32(0))
        if state.skills is not None:
            state = replace(state, skills=replace(state.skills, since=jnp.int32(0)))
        if state.goal is not None:
            state = replace(state, goal=state.goal.counted_from_here())
        return state, phase

    def _horizon(self, clip: jax.Array, phase: jax.Array) -> jax.Array:
        """Return how many control steps () an episode should have that starts at `phase` () of `clip` ()."""
        library, config = self.env.library, self.env.config
        left = jnp.ceil((1.0 - phase) * library.length[clip] * config.control_hz - 1e-3)
        goes_on = library.wraps[clip] | (config.clips != "one")
        return jnp.where(goes_on, self.steps, jnp.minimum(left, self.steps)).astype(jnp.int32)

    def start_phase(self, index: jax.Array, key: jax.Array) -> jax.Array:
        """Return the phase () at which an episode starts if not at the first frame.

        From a random one on, each turn of the clips starts the golden ratio later. So the starts are even in
        each clip, however many there are, and the share of them where a policy fails is no matter of luck.
        """
        turns = (index // self.kinds).astype(jnp.uint32) * jnp.uint32(GOLDEN_RATIO)  # of 2^32, so exact
        return (jax.random.uniform(key) + turns.astype(jnp.float32) / 2.0**32) % 1.0

    @property
    def kinds(self) -> int:
        """How many episodes make a turn: one for each clip, or each pair of clips where skills are given."""
        if self.plan:  # all of them go through the same
            return 1
        clips = self.env.library.num_clips
        return clips**2 if self.env.config.clips == "skills" and not self.is_open else clips

    def whole_turns(self, episodes: int) -> int:
        """Return the least number of episodes, at least so many, that has all `kinds` equally often."""
        return -(-episodes // self.kinds) * self.kinds

    @property
    def is_open(self) -> bool:
        """Whether the task chooses the skills of the episodes."""
        return self.chooses and not self.plan and self.env.choice is not None

    def skills_of(self, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the first clip () of an episode, and those that follow it as skills (K,)."""
        plan, count = self.plan, self.env.library.num_clips
        if plan:
            return jnp.int32(plan[0]), jnp.array(plan[1:] or plan, jnp.int32)
        return index % count, (index // count % count)[None]

    def act(self, state: EnvState, episode: Episode, key: jax.Array) -> tuple[EnvState, jax.Array, jax.Array]:
        """Choose what the motors do next.

        Returns:
            The state after a push, if one is due; the action (J,), the policy's mean, as clipped for the
            motors; the PD target (J,) rad.
        """
        noise_key, push_key = jax.random.split(key)
        if self.protocol.push:
            interval = round(PUSH_INTERVAL_S * self.env.config.control_hz)
            due = (state.steps - episode.push_offset) % interval == 0
            turn = jnp.where(due, self.protocol.push_turn, 0.0) if self.protocol.push_turn else None
            state = pushed(state, jnp.where(due, self.protocol.push, 0.0), push_key, turn)
        scale = self.protocol.noise
        seen = None if scale is None else sensed(state, self.env.config.noise, scale, noise_key)
        action = jnp.clip(self.policy.act(self.env.observe(state, seen)), -1.0, 1.0)
        state, pd_target = self.env.command(state, action, seen)
        return state, action, pd_target

    def force(self, state: EnvState, episode: Episode, index: jax.Array) -> jax.Array | None:
        """Return the force (3,) N, world frame, on the pelvis in the coming control step.

        Args:
            state: unbatched.
            episode: so far.
            index: () int, of the episode.
        """
        if self.forces is None:
            return None
        since = state.steps - self.force_start(episode)
        acts = (since >= 0) & (since < self.force_steps)
        force = jnp.append(self.forces[index % len(self.forces)], 0.0)
        return jnp.where(acts, rotation.rotate(rotation.heading_quat(state.qpos[3:7]), force), 0.0)

    @property
    def force_steps(self) -> int:
        """Control steps for which a force acts."""
        return max(round(self.protocol.force_seconds * self.env.config.control_hz), 1)

    def force_start(self, episode: Episode) -> jax.Array:
        """Return the control step () at which the force begins: after 1 to 3 s."""
        return episode.push_offset + round(self.env.config.control_hz)

    def is_long_enough(self, episode: Episode) -> jax.Array:
        """Return whether an episode (...) has room for the force, or else the first kick, and a second more.

        A robot that falls needs that second. Only such an episode tells whether it survives.
        """
        second = round(self.env.config.control_hz)
        if self.forces is None:
            return episode.push_offset + 1 + second <= episode.horizon
        return self.force_start(episode) + self.force_steps + second <= episode.horizon

    def measure(
        self, episode: Episode, state: EnvState, action: jax.Array, effort: Effort
    ) -> tuple[EnvState, Episode, PhaseFigures, StepRecord]:
        """Add a control step of one environment.

        Args:
            episode: before the step.
            state: after it.
            action: (J,) that led there.
            effort: of the motors on the way.

        Returns:
            The state with its goal advanced, and its next skill if a cycle ends; the episode with the step;
            what the step adds to the figures by phase; and for recordings, what the step came to.
        """
        # Falls and deviations fail here also where they do not end episodes of the training.
        env = self.env.with_config(with_endings(self.env.config))
        pursued, arrival = env.arrive(state)
        state, character, target = arrival.state, arrival.character, arrival.target
        causes, reward = arrival.causes, arrival.reward
        # An episode of the best of several clips ends where the one that is best now does.
        horizon = jnp.where(causes.clip_end, jnp.minimum(episode.horizon, state.steps), episode.horizon)
        following = episode.following
        if state.skills is not None:
            is_next = (following == OPEN) & env.ends_cycle(state) & episode.running
            following = jnp.where(is_next, pursued.clip, following)
        errors = tracking_errors.tracking_errors(character, target)
        inside = state.steps <= horizon
        counts = inside & ~episode.broken & ~causes.nonfinite

        def add(total: jax.Array, value: jax.Array) -> jax.Array:
            return total + jnp.where(counts, value, 0.0)

        # What happens after the horizon, at which a clip that is not cyclic ends, is no failure.
        running = episode.running & ~(inside & (causes.terminated | ~counts))
        slip = tracking_errors.foot_slip(episode.sole_pos, character.sole_pos, env.control_dt)
        change = jnp.where(episode.steps == 0, 0.0, jnp.abs(action - episode.action).mean())
        deviation = errors.global_body_position
        moved = not env.track_root and not env.pursues  # which mjlab's reference is not
        in_world = env.robot.character_state(*env.reference_coordinates(state)) if moved else target
        mjlab_errors, mjlab_ends = mjlab_metrics.mjlab_errors(env.robot, character, in_world)
        is_tracked = episode.mjlab_running & counts
        new_episode = replace(
            episode,
            following=following,
            horizon=horizon,
            steps=episode.steps + counts,
            running=running,
            causes=jax.tree.map(
                lambda new, old: jnp.where(episode.running & inside, new, old), causes, episode.causes
            ),
            broken=episode.broken | (causes.nonfinite & inside),
            episode_length=episode.episode_length + (episode.running & inside),
            episode_return=episode.episode_return + jnp.where(episode.running & counts, reward, 0.0),
            reward=add(episode.reward, reward),
            errors=jax.tree.map(add, episode.errors, errors),
            effort=jax.tree.map(add, episode.effort, effort),
            foot_slip=add(episode.foot_slip, slip),
            action_change=add(episode.action_change, change),
            deviation=jnp.where(counts, jnp.maximum(episode.deviation, deviation), episode.deviation),
            mjlab_running=episode.mjlab_running & ~((mjlab_ends | causes.nonfinite) & inside),
            mjlab_steps=episode.mjlab_steps + is_tracked,
            mjlab_errors=jax.tree.map(
                lambda total, value: total + jnp.where(is_tracked, value, 0.0),
                episode.mjlab_errors,
                mjlab_errors,
            ),
            action=action,
            sole_pos=character.sole_pos,
            goal=jax.tree.map(
                lambda new, old: jnp.where(counts, new, old), env.goal_results(pursued), episode.goal
            ),
        )
        fails = episode.running & ~running
        figures = self._figures(state, character, target, counts, fails, deviation)
        return pursued, new_episode, figures, StepRecord(reward, causes)

    def _figures(
        self,
        state: EnvState,
        character: CharacterState,
        target: CharacterState,
        counts: jax.Array,
        fails: jax.Array,
        deviation: jax.Array,
    ) -> PhaseFigures:
        """Return what a control step adds to the figures by phase.

        Args:
            state: after the step, unbatched.
            character: its bodies.
            target: those of the reference.
            counts: () bool, whether the step is inside the episode.
            fails: () bool, whether early termination happens here.
            deviation: () m, mean body distance.
        """
        phase_bin = jnp.minimum((self.env.phase(state) * PHASE_BINS).astype(jnp.int32), PHASE_BINS - 1)
        bins = jnp.zeros((self.env.library.num_clips, PHASE_BINS))
        at = bins.at[state.clip, phase_bin].set(counts * 1.0)
        return PhaseFigures(
            steps=at,
            failures=bins.at[state.clip, phase_bin].set(fails),
            deviation=at * jnp.where(counts, deviation, 0.0),
            contact=at[..., None] * tracking_errors.foot_contact(character.sole_pos),
            reference_contact=at[..., None] * tracking_errors.foot_contact(target.sole_pos),
        )

    def begin_all(
        self, index: jax.Array, at_first: jax.Array, seed: int
    ) -> tuple[EnvState, Episode, PhaseFigures]:
        """Start N episodes, with sums to begin with."""
        bins = (self.env.library.num_clips, PHASE_BINS)
        figures = PhaseFigures(*(jnp.zeros((*bins, *feet)) for feet in ((), (), (), (2,), (2,))))
        begin = jax.vmap(self.begin, in_axes=(0, 0, None, 0))
        start_key = jax.random.fold_in(jax.random.key(seed), OF_NO_STEP)
        return (*begin(index, at_first, start_key, _keys(seed, index, 0)), figures)

    def act_all(
        self, state: EnvState, episode: Episode, index: jax.Array, number: jax.Array, seed: int
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """`act` for N episodes at control step `number`."""
        return jax.vmap(self.act)(state, episode, _keys(seed, index, number))

    def forces_all(self, state: EnvState, episode: Episode, index: jax.Array) -> jax.Array | None:
        """`force` for N episodes, (N, 3) N."""
        return None if self.forces is None else jax.vmap(self.force)(state, episode, index)

    def measure_all(
        self, episode: Episode, figures: PhaseFigures, state: EnvState, action: jax.Array, effort: Effort
    ) -> tuple[EnvState, Episode, PhaseFigures, StepRecord]:
        """`measure` for N episodes, with the figures by phase added up."""
        state, episode, added, record = jax.vmap(self.measure)(episode, state, action, effort)
        return state, episode, jax.tree.map(lambda total, new: total + new.sum(0), figures, added), record


def _keys(seed: int, index: jax.Array, number: jax.Array | int) -> jax.Array:
    """Keys (N,) of the episodes `index` (N,) at control step `number`, whatever device they are on."""
    key = jax.random.fold_in(jax.random.key(seed), number)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
