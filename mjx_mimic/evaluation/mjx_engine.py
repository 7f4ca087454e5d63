"""The evaluation of a policy with MJX, as in training."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.evaluation.episode import Episode, Outcome
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.recording import Recording, Snapshot, StepRecord, recordings, snapshot
from mjx_mimic.learning.devices import DEVICES, first_device, map_devices, place, replicate
from mjx_mimic.task import tracking_errors
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.states import EnvState
from mjx_mimic.task.tracking_errors import Effort


def run_in_mjx(
    evaluation: Evaluation,
    at_first: NDArray[np.bool_],
    seed: int,
    devices: Sequence[jax.Device],
    recorded: int = 0,
) -> Outcome:
    """Run episodes spread over devices.

    Args:
        evaluation: task, policy and protocol.
        at_first: (N,) which episodes start at their clip's first frame, the others at random phases. Others
            fill the devices, and nothing of them is in the outcome.
        seed: of phases, pushes and noise.
        devices: D of this process.
        recorded: episodes to record: the first one, or all of them, or the first ones of each device.
    """
    count = len(devices)
    filled = np.pad(at_first, (0, -len(at_first) % count))
    number = np.arange(len(filled))
    index, first, is_wanted = (
        place(devices, jnp.asarray(values).reshape(count, -1))
        for values in (number, filled, number < len(at_first))
    )
    mapped = _compiled(tuple(devices), seed, -(-recorded // count))
    copies = replicate(devices, jax.tree.map(jnp.asarray, evaluation))
    episode, figures, start, track = mapped(copies, index, first, is_wanted)
    return Outcome(
        episode=jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:])[: len(at_first)], episode),
        figures=first_device(figures),
        recordings=_recordings(evaluation.env, episode, start, track)[:recorded] if recorded else [],
    )


@functools.cache
def _compiled(devices: tuple[jax.Device, ...], seed: int, kept: int) -> Callable:
    """Compile the episodes of each device with `kept` recordings, once for all rounds of a search."""

    def on_device(
        evaluation: Evaluation, index: jax.Array, at_first: jax.Array, is_wanted: jax.Array
    ) -> tuple:
        env = evaluation.env

        def snapshots(state: EnvState, record: StepRecord | None = None) -> Snapshot | None:
            first = jax.tree.map(lambda x: x[:kept], (state, record))
            return jax.vmap(snapshot, (None, 0, 0))(env, *first) if kept else None

        def control_step(carry: tuple, number: jax.Array) -> tuple[tuple, Snapshot | None]:
            state, episode, figures = carry
            state, action, pd_target = evaluation.act_all(state, episode, index, number, seed)
            forces = evaluation.forces_all(state, episode, index)
            state, effort = jax.vmap(simulate, (None, 0, 0, 0))(env, state, pd_target, forces)
            state, episode, figures, record = evaluation.measure_all(episode, figures, state, action, effort)
            return (state, episode, figures), snapshots(state, record)

        start, episode, figures = evaluation.begin_all(index, at_first, seed)
        # An episode that only fills a device has no steps inside it, so that it adds nothing to the figures.
        episode = replace(episode, horizon=jnp.where(is_wanted, episode.horizon, 0))
        (_, episode, figures), track = jax.lax.scan(
            control_step, (start, episode, figures), jnp.arange(1, evaluation.steps + 1)
        )
        return episode, jax.lax.psum(figures, DEVICES), snapshots(start), track

    return map_devices(devices, on_device)


def _recordings(env: ImitationEnv, episode: Episode, start: Snapshot, track: Snapshot) -> list[Recording]:
    """Join snapshots of the starts (D, K, ...) and of the steps (D, T, K, ...), devices in front."""

    def joined(first: jax.Array, others: jax.Array) -> np.ndarray:
        whole = np.concatenate([np.asarray(first)[:, None], np.asarray(others)], axis=1)
        return np.concatenate(list(whole), axis=1)

    kept = start.phase.shape[1]
    horizon = np.asarray(episode.horizon)[:, :kept].ravel()
    return recordings(jax.tree.map(joined, start, track), horizon, env.config.control_hz)


def simulate(
    env: ImitationEnv, state: EnvState, pd_target: jax.Array, force: jax.Array | None = None
) -> tuple[EnvState, Effort]:
    """Simulate a control step with MJX, as in training, with the effort of its physics steps.

    `force` (3,) N acts on the pelvis, if there is one.
    """
    targets, _ = env.motor_targets(state, pd_target, env.substeps)
    targets = pd_target if targets is None else targets
    state, trace = env.simulate(state, pd_target, force=force)
    spent = tracking_errors.effort(env.robot, targets, trace.dof_pos, trace.dof_vel)
    return state, jax.tree.map(jnp.mean, spent)
