"""Episodes kept moment by moment, for videos and clips."""

import jax
import numpy as np
from flax import struct
from numpy.typing import NDArray

from mjx_mimic.task.env import EnvState, ImitationEnv
from mjx_mimic.task.termination import Causes


@struct.dataclass
class Moment:
    """What is kept of a state."""

    qpos: jax.Array  # (36,) simulated
    qvel: jax.Array  # (35,)
    reference: jax.Array  # (36,) qpos of the reference
    phase: jax.Array  # () of the clip, in [0, 1]
    reward: jax.Array  # () of the step that led here
    causes: Causes


def moment(env: ImitationEnv, state: EnvState) -> Moment:
    """What is kept of `state`, unbatched."""
    character, target = env.character(state), env.reference(state)
    return Moment(
        qpos=state.qpos,
        qvel=state.qvel,
        reference=env.reference_coordinates(state)[0],
        phase=env.phase(state),
        reward=env.reward(character, target)[0],
        causes=env.causes(state, character, target),
    )


@struct.dataclass
class Recording:
    """An episode of T control steps; nothing ended it early. The first moment is its start."""

    qpos: np.ndarray  # (T + 1, 36); a broken simulation's last finite state goes on
    qvel: np.ndarray  # (T + 1, 35), likewise
    reference: np.ndarray  # (T + 1, 36)
    phase: np.ndarray  # (T + 1,)
    reward: np.ndarray  # (T + 1,) of the step before; the start's is 1
    causes: Causes  # (T + 1,) bool
    clip: int
    """Index of its clip."""
    fps: float
    """Control steps a second."""

    @property
    def failure(self) -> tuple[int, str] | None:
        """The first moment at which early termination would have ended the episode, and why."""
        failed = np.flatnonzero(self.causes.terminated)
        if not len(failed):
            return None
        first = int(failed[0])
        names = [name for name in ("fall", "deviation", "nonfinite") if getattr(self.causes, name)[first]]
        return first, names[-1]


def recordings(
    moments: Moment, horizon: NDArray[np.int_], clip: NDArray[np.int_], fps: float
) -> list[Recording]:
    """One for each of N episodes.

    Args:
        moments: arrays (T + 1, N, ...), starts first.
        horizon: (N,) control steps of each episode, T at most.
        clip: (N,) index of each one's clip.
        fps: control steps a second.
    """
    kept = []
    for i, steps in enumerate(horizon):
        own = jax.tree.map(lambda x, i=i, steps=steps: np.array(x[: steps + 1, i]), moments)
        broken = np.flatnonzero(own.causes.nonfinite)
        if len(broken):
            for values in (own.qpos, own.qvel):
                values[broken[0] :] = values[max(broken[0] - 1, 0)]
        kept.append(Recording(**vars(own), clip=int(clip[i]), fps=fps))
    return kept
