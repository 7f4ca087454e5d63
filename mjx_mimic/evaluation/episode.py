"""One episode of an evaluation so far, its figures by phase, and what all episodes came to."""

from dataclasses import dataclass

import jax
from flax import struct

from mjx_mimic.evaluation.mjlab_metrics import MjlabErrors
from mjx_mimic.evaluation.recording import Recording
from mjx_mimic.task.termination import Causes
from mjx_mimic.task.tracking_errors import Effort, TrackingErrors

PHASE_BINS = 50
"""Parts of equal length into which a clip's phase is divided."""
SUCCESS_LIMITS = (0.5, 0.25)
"""An episode succeeds when the mean body distance never exceeds this, m."""


@struct.dataclass
class Episode:
    """One episode so far. Sums are over the `steps` inside the episode."""

    clip: jax.Array  # () int, the first one
    start_phase: jax.Array  # () in [0, 1], of that clip
    following: jax.Array  # () int, with skills the one after it; `OPEN` as long as that has not begun
    steps: jax.Array  # () control steps with a finite state
    horizon: jax.Array  # () control steps that the episode should have
    running: jax.Array  # () bool, early termination has not happened yet
    causes: Causes  # () bool, of early termination, or as long as that has not happened of the last step
    broken: jax.Array  # () bool, a state was not finite
    episode_length: jax.Array  # () control steps until early termination
    episode_return: jax.Array  # () reward until early termination
    reward: jax.Array  # () sum
    errors: TrackingErrors  # () sums
    effort: Effort  # () sums
    foot_slip: jax.Array  # () sum, m/s
    action_change: jax.Array  # () sum of the mean absolute difference to the action before
    deviation: jax.Array  # () m, largest mean body distance
    mjlab_running: jax.Array  # () bool, mjlab would not have ended it yet
    mjlab_steps: jax.Array  # () control steps until then
    mjlab_errors: MjlabErrors  # () sums until then
    action: jax.Array  # (J,) the last
    sole_pos: jax.Array  # (2, S, 3) m, the last lowest points of the soles
    push_offset: jax.Array  # () int, control step of the first push; a force acts 1 s later
    goal: dict[str, jax.Array]  # () what was achieved of the goal; see `Goal.results`

    @property
    def survived(self) -> jax.Array:
        """Whether early termination never happened."""
        return self.running & (self.episode_length >= self.horizon)


@struct.dataclass
class PhaseFigures:
    """Sums over all episodes, by clip and phase."""

    steps: jax.Array  # (C, PHASE_BINS)
    failures: jax.Array  # (C, PHASE_BINS) early terminations
    deviation: jax.Array  # (C, PHASE_BINS) m, mean body distance
    contact: jax.Array  # (C, PHASE_BINS, 2) of the left and the right foot
    reference_contact: jax.Array  # (C, PHASE_BINS, 2)


@dataclass(frozen=True)
class Outcome:
    """What N episodes came to, as NumPy."""

    episode: Episode
    """(N, ...)."""
    figures: PhaseFigures
    """Sums over all episodes."""
    recordings: list[Recording]
    """Of the first episodes, as many as were asked for."""
