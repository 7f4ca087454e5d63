"""The test of a policy: many deterministic episodes at once, never reset, and figures of each.

An episode runs for 10 s, or to the end of a clip that does not repeat. Nothing ends it early; what early
termination would have done is noted beside it, so that one run yields MimicKit's test return and the errors
of the whole clip. `mjx_engine` simulates with MJX, `c_engine` with MuJoCo in C.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from mjx_mimic.evaluation import tracking_errors
from mjx_mimic.evaluation.recording import Recording
from mjx_mimic.evaluation.tracking_errors import BodyState, Effort, TrackingErrors
from mjx_mimic.learning.learner import Learner
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.task.env import EnvState, ImitationEnv
from mjx_mimic.task.randomization import PUSH_INTERVAL_S, pushed, sensed

Policy = dict[str, Any]
"""Actor parameters and normaliser moments, as `Checkpoints.restore_policy` gives them."""

PHASE_BINS = 50
_SHAPES = ((), (), (2,), (2,))
SUCCESS_LIMITS = (0.5, 0.25)
"""An episode succeeds when the mean body distance never exceeds this, m."""


@dataclass(frozen=True)
class Protocol:
    """How long episodes are and what disturbs them."""

    seconds: float = 10.0
    """Length of an episode; a clip that does not repeat ends it earlier."""
    push: float = 0.0
    """Horizontal kick to the root every 2 s, m/s, its direction random."""
    noise: float = 0.0
    """Noise on what the policy observes; 1 is about a real robot's."""


@struct.dataclass
class Episode:
    """Of one environment, so far. Sums are over the `steps` inside the episode."""

    index: jax.Array  # () int; its clip is index modulo the number of clips
    steps: jax.Array  # () control steps with a finite state
    horizon: jax.Array  # () steps that the episode should have
    running: jax.Array  # () bool, early termination has not happened yet
    broken: jax.Array  # () bool, a state was not finite
    episode_length: jax.Array  # () steps until early termination
    episode_return: jax.Array  # () reward until early termination
    reward: jax.Array  # () sum
    errors: TrackingErrors  # () sums
    effort: Effort  # () sums
    foot_slip: jax.Array  # () sum, m/s
    action_change: jax.Array  # () sum of the mean absolute difference to the action before
    deviation: jax.Array  # () m, largest mean body distance
    action: jax.Array  # (J,) the last
    bodies: BodyState  # the last
    push_offset: jax.Array  # () int, control step of the first push


@struct.dataclass
class PhaseFigures:
    """Sums over all episodes, by clip and phase."""

    steps: jax.Array  # (C, PHASE_BINS)
    deviation: jax.Array  # (C, PHASE_BINS) m, mean body distance
    contact: jax.Array  # (C, PHASE_BINS, 2) of the left and the right foot
    reference_contact: jax.Array  # (C, PHASE_BINS, 2)


@dataclass(frozen=True)
class Outcome:
    """Of N episodes, as NumPy."""

    episode: Episode
    """(N, ...)."""
    figures: PhaseFigures
    """Sums over all episodes."""
    recordings: list[Recording]
    """Of the first episodes, as many as were asked for."""


@dataclass(frozen=True)
class Judge:
    """The parts of an episode that are the same whatever simulates: what acts, and what measures."""

    env: ImitationEnv
    learner: Learner
    protocol: Protocol

    @property
    def steps(self) -> int:
        """Control steps of the longest episode."""
        return round(self.protocol.seconds * self.env.config.control_hz)

    def begin(self, index: jax.Array, at_first: jax.Array, key: jax.Array) -> tuple[EnvState, Episode]:
        """The `index`-th episode's start: clips in turn, so that each has as many; at the clip's first frame,
        or at a random phase."""
        library = self.env.library
        time_key, push_key = jax.random.split(key)
        clip = index % library.num_clips
        share = jnp.where(at_first, 0.0, jax.random.uniform(time_key))
        state = self.env.reset_to(clip, share * library.length[clip])
        left = jnp.ceil((1.0 - share) * library.length[clip] * self.env.config.control_hz - 1e-3)
        horizon = jnp.where(library.wraps[clip], self.steps, jnp.minimum(left, self.steps))
        interval = round(PUSH_INTERVAL_S * self.env.config.control_hz)
        zero = jnp.float32(0.0)
        return state, Episode(
            index=index,
            steps=jnp.int32(0),
            horizon=horizon.astype(jnp.int32),
            running=jnp.bool_(True),
            broken=jnp.bool_(False),
            episode_length=jnp.int32(0),
            episode_return=zero,
            reward=zero,
            errors=TrackingErrors(*[zero] * 8),
            effort=Effort(zero, zero),
            foot_slip=zero,
            action_change=zero,
            deviation=zero,
            action=jnp.zeros(self.env.num_actions),
            bodies=tracking_errors.body_state(self.env.robot, state.qpos, state.qvel),
            push_offset=jax.random.randint(push_key, (), 0, interval),
        )

    def begin_all(
        self, index: jax.Array, at_first: jax.Array, seed: int
    ) -> tuple[EnvState, Episode, PhaseFigures]:
        """N starts, and sums to begin with."""
        figures = PhaseFigures(*[jnp.zeros((self.env.library.num_clips, PHASE_BINS, *n)) for n in _SHAPES])
        return (*jax.vmap(self.begin)(index, at_first, _keys(seed, index, 0)), figures)

    def act_all(
        self,
        policy: Policy,
        state: EnvState,
        episode: Episode,
        index: jax.Array,
        number: jax.Array,
        seed: int,
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """`act` for N episodes at control step `number`."""
        keys = _keys(seed, index, number)
        return jax.vmap(self.act, (None, 0, 0, 0))(policy, state, episode, keys)

    def measure_all(
        self, episode: Episode, figures: PhaseFigures, reached: EnvState, action: jax.Array, effort: Effort
    ) -> tuple[Episode, PhaseFigures]:
        """`measure` for N episodes, the figures by phase added up."""
        episode, added = jax.vmap(self.measure)(episode, reached, action, effort)
        return episode, jax.tree.map(lambda total, new: total + new.sum(0), figures, added)

    def act(
        self, policy: Policy, state: EnvState, episode: Episode, key: jax.Array
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """The state after a push, if one is due; the action (J,), the policy's mean; the PD target (J,)."""
        noise_key, push_key = jax.random.split(key)
        if self.protocol.push:
            interval = round(PUSH_INTERVAL_S * self.env.config.control_hz)
            due = (state.steps - episode.push_offset) % interval == 0
            state = pushed(state, jnp.where(due, self.protocol.push, 0.0), push_key)
        seen = sensed(state, self.protocol.noise, noise_key) if self.protocol.noise else state
        observation = Normalizer(**policy["normalizer"])(self.env.observe(seen))
        action, _ = self.learner.policy(policy["actor"], observation)
        return state, action, self.env.pd_target(state, action)

    def measure(
        self, episode: Episode, reached: EnvState, action: jax.Array, effort: Effort
    ) -> tuple[Episode, PhaseFigures]:
        """The tally after a step of one environment, and what the step adds to the figures by phase."""
        env, robot = self.env, self.env.robot
        character, target = env.character(reached), env.reference(reached)
        causes = env.causes(reached, character, target)
        reward, _ = env.reward(character, target)
        bodies = tracking_errors.body_state(robot, reached.qpos, reached.qvel)
        wanted = tracking_errors.body_state(robot, *env.reference_coordinates(reached))
        errors = tracking_errors.tracking_errors(bodies, wanted)
        counts = (reached.steps <= episode.horizon) & ~episode.broken & ~causes.nonfinite

        def add(total: jax.Array, value: jax.Array) -> jax.Array:
            return total + jnp.where(counts, value, 0.0)

        running = episode.running & counts
        first = episode.steps == 0
        change = jnp.where(first, 0.0, jnp.abs(action - episode.action).mean())
        deviation = errors.global_body_position
        following = replace(
            episode,
            steps=episode.steps + counts,
            running=running & ~causes.terminated,
            broken=episode.broken | (causes.nonfinite & (reached.steps <= episode.horizon)),
            episode_length=episode.episode_length + (episode.running & (reached.steps <= episode.horizon)),
            episode_return=episode.episode_return + jnp.where(running, reward, 0.0),
            reward=add(episode.reward, reward),
            errors=jax.tree.map(add, episode.errors, errors),
            effort=jax.tree.map(add, episode.effort, effort),
            foot_slip=add(
                episode.foot_slip, tracking_errors.foot_slip(episode.bodies, bodies, env.control_dt)
            ),
            action_change=add(episode.action_change, change),
            deviation=jnp.where(counts, jnp.maximum(episode.deviation, deviation), episode.deviation),
            action=action,
            bodies=bodies,
        )
        bin_ = jnp.minimum((env.phase(reached) * PHASE_BINS).astype(jnp.int32), PHASE_BINS - 1)
        at = jnp.zeros((env.library.num_clips, PHASE_BINS)).at[reached.clip, bin_].set(counts * 1.0)
        return following, PhaseFigures(
            steps=at,
            deviation=at * jnp.where(counts, deviation, 0.0),
            contact=at[..., None] * bodies.contact,
            reference_contact=at[..., None] * wanted.contact,
        )


def _keys(seed: int, index: jax.Array, number: jax.Array | int) -> jax.Array:
    """Keys (N,) of the episodes `index` (N,) at control step `number`, whatever device they are on."""
    key = jax.random.fold_in(jax.random.key(seed), number)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
