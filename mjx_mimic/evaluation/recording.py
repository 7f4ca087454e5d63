"""Episodes recorded control step by control step, for videos and clips."""

import jax
import numpy as np
from flax import struct
from numpy.typing import NDArray

from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.states import EnvState
from mjx_mimic.task.termination import Causes, with_endings


@struct.dataclass
class Snapshot:
    """What a recording keeps of a state."""

    qpos: jax.Array  # (36,) simulated
    qvel: jax.Array  # (35,)
    reference: jax.Array  # (36,) qpos of the reference, where the robot is if place and heading do not count
    phase: jax.Array  # () of the clip, in [0, 1]
    reward: jax.Array  # () of the step that led here
    causes: Causes
    clip: jax.Array  # () int, that is imitated
    markers: jax.Array | None = None  # (K, 3) m, that show the goal, its place first


@struct.dataclass
class StepRecord:
    """What a control step came to, by the clip in which it was taken: the state may be in the next one."""

    reward: jax.Array  # ()
    causes: Causes


def snapshot(env: ImitationEnv, state: EnvState, record: StepRecord | None = None) -> Snapshot:
    """Take the snapshot of an unbatched state.

    `record` is of the control step that led there; None: the state is scored by its own clip, with its goal
    as it is.
    """
    record = _own_record(env, state) if record is None else record
    return Snapshot(
        qpos=state.qpos,
        qvel=state.qvel,
        reference=env.shown_coordinates(state)[0],
        phase=env.phase(state),
        reward=record.reward,
        causes=record.causes,
        clip=state.clip,
        markers=env.goal_markers(state),
    )


def _own_record(env: ImitationEnv, state: EnvState) -> StepRecord:
    """Score an unbatched state to which no control step has led that changed its clip or its goal."""
    env = env.with_config(with_endings(env.config))  # what `Evaluation.measure` counts is what is shown
    character, target = env.character(state), env.reference(state)
    reward = env.total_reward(env.compute_reward(character, target)[0], state)
    return StepRecord(reward, env.causes(state, character, target))


@struct.dataclass
class Recording:
    """An episode of T control steps that nothing ended early; the first snapshot is its start."""

    qpos: np.ndarray  # (T + 1, 36); after a simulation has broken, its last finite state
    qvel: np.ndarray  # (T + 1, 35), likewise
    reference: np.ndarray  # (T + 1, 36), likewise where it goes with the robot
    phase: np.ndarray  # (T + 1,)
    reward: np.ndarray  # (T + 1,) of the step before; the start's is that of its own state
    causes: Causes  # (T + 1,) bool
    clip: np.ndarray  # (T + 1,) int, that is imitated
    fps: float
    """Control steps per second."""
    markers: np.ndarray | None = None  # (T + 1, K, 3) m in the world, that show the goal, its place first

    @property
    def failure(self) -> tuple[int, str] | None:
        """The first control step at which early termination would have ended the episode, and why."""
        failed = np.flatnonzero(self.causes.terminated)
        if not len(failed):
            return None
        first = int(failed[0])
        return first, str(jax.tree.map(lambda flags: flags[first], self.causes).failure)


def recordings(snapshots: Snapshot, horizon: NDArray[np.int_], fps: float) -> list[Recording]:
    """Cut the snapshots of N episodes into one recording each.

    Args:
        snapshots: arrays (T + 1, N, ...), starts first.
        horizon: (N,) control steps of each episode, T at most.
        fps: control steps per second.
    """
    found = []
    for i, steps in enumerate(horizon):
        episode = jax.tree.map(lambda x, i=i, steps=steps: np.array(x[: steps + 1, i]), snapshots)
        broken = np.flatnonzero(episode.causes.nonfinite)
        if len(broken):
            for values in (episode.qpos, episode.qvel, episode.reference, episode.markers):
                # A reference that does not go with the robot is still finite, and goes on.
                if values is not None and not np.isfinite(values[broken[0] :]).all():
                    values[broken[0] :] = values[max(broken[0] - 1, 0)]
        found.append(Recording(**vars(episode), fps=fps))
    return found
