"""The test of a policy with MJX, as in training."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.evaluation import tracking_errors
from mjx_mimic.evaluation.episodes import Episode, Judge, Outcome, Policy
from mjx_mimic.evaluation.recording import Moment, Recording, moment, recordings
from mjx_mimic.evaluation.tracking_errors import Effort
from mjx_mimic.learning.learner import first_device
from mjx_mimic.learning.metrics import DEVICES
from mjx_mimic.task.env import EnvState, ImitationEnv


def run_in_mjx(
    judge: Judge, policy: Policy, at_first: NDArray[np.bool_], seed: int, recorded: int = 0
) -> Outcome:
    """Episodes spread over the learner's devices.

    Args:
        at_first: (N,) which episodes start at their clip's first frame, the others at random phases; filled
            up with such to a multiple of the devices.
        recorded: episodes to keep moment by moment: the first one, or all of them, or the first ones of
            each device.
    """
    learner = judge.learner
    count = len(learner.devices)
    kept = -(-recorded // count)

    def on_device(env: ImitationEnv, policy: Policy, index: jax.Array, at_first: jax.Array) -> tuple:
        local = replace(judge, env=env)

        def moments(state: EnvState) -> Moment | None:
            first = jax.tree.map(lambda x: x[:kept], state)
            return jax.vmap(moment, (None, 0))(env, first) if kept else None

        def step(carry: tuple, number: jax.Array) -> tuple[tuple, Moment | None]:
            state, episode, figures = carry
            state, action, pd_target = local.act_all(policy, state, episode, index, number, seed)
            reached, effort = jax.vmap(simulate, (None, 0, 0))(env, state, pd_target)
            episode, figures = local.measure_all(episode, figures, reached, action, effort)
            return (reached, episode, figures), moments(reached)

        begun = local.begin_all(index, at_first, seed)
        (_, episode, figures), track = jax.lax.scan(step, begun, jnp.arange(1, local.steps + 1))
        return episode, jax.lax.psum(figures, DEVICES), moments(begun[0]), track

    filled = np.pad(at_first, (0, -len(at_first) % count))
    index = learner.place(jnp.arange(len(filled)).reshape(count, -1))
    first = learner.place(jnp.asarray(filled).reshape(count, -1))
    spread = learner.place(jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), policy))
    episode, figures, start, track = learner.map(on_device)(learner.placed_env, spread, index, first)
    return Outcome(
        episode=jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), episode),
        figures=first_device(figures),
        recordings=_recordings(judge, episode, start, track)[:recorded] if recorded else [],
    )


def _recordings(judge: Judge, episode: Episode, start: Moment, track: Moment) -> list[Recording]:
    """From arrays with the devices (D, K, ...) in front, and (D, T, K, ...)."""
    moments = jax.tree.map(
        lambda first, others: np.concatenate(
            [
                np.concatenate([x[None], y])
                for x, y in zip(np.asarray(first), np.asarray(others), strict=True)
            ],
            axis=1,
        ),
        start,
        track,
    )
    kept = start.phase.shape[1]
    horizon, index = (np.asarray(x)[:, :kept].ravel() for x in (episode.horizon, episode.index))
    return recordings(moments, horizon, index % judge.env.library.num_clips, judge.env.config.control_hz)


def simulate(env: ImitationEnv, state: EnvState, pd_target: jax.Array) -> tuple[EnvState, Effort]:
    """A control step of MJX, as in training, with the effort of its physics steps."""
    reached, (dof_pos, dof_vel) = env.simulate_tracing(state, pd_target)
    spent = tracking_errors.effort(env.robot, pd_target, dof_pos, dof_vel)
    return reached, jax.tree.map(jnp.mean, spent)
