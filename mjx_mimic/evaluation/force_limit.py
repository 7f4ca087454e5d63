"""The largest force on the pelvis that a policy survives, by direction (DeepMimic, sec. 6.2)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import write_json
from mjx_mimic.config import DIRECTIONS
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episodes import Evaluation

EPISODES = 64
"""For each direction and force, at least; more where only that is a whole number of turns of the clips."""
SURVIVORS = 0.9
"""Share of the episodes that must survive a force."""
MOST_FORCE = 1600.0
"""Where the search begins, N."""
ROUNDS = 7
"""Bisections."""
RESOLUTION = MOST_FORCE / 2**ROUNDS
"""The smallest force that is tested, and how exact a limit is, N."""


@dataclass(frozen=True)
class ForceLimits:
    """What a search found."""

    newtons: Mapping[str, float]
    """By direction, as the robot sees it; 0: not even `RESOLUTION` was survived."""
    seconds: float
    """How long each force acts."""
    mass: float
    """Of the robot, kg."""
    episodes: int
    """That counted for each direction and force, at least."""

    def show(self, title: str) -> None:
        """Print the limits, and the speed that the smallest one gives the robot."""
        found = ", ".join(f"{name} {_shown(force)}" for name, force in self.newtons.items())
        worst = min(self.newtons.values())
        speed = f"; {worst:.0f} N change {self.mass:.1f} kg by {worst * self.seconds / self.mass:.2f} m/s"
        print(
            f"{title}: largest force on the pelvis for {self.seconds:g} s that {SURVIVORS:.0%} of"
            f" {self.episodes} episodes survive: {found}{speed if worst else ''}"
        )
        for warning in self.warnings:
            print(f"warning: {warning}")

    @property
    def warnings(self) -> list[str]:
        """What makes the limits doubtful."""
        if self.episodes >= EPISODES / 2:
            return []
        return [
            f"only {self.episodes} episodes count: the others fail before the force, or their clip ends"
            " within a second after it"
        ]

    def write_json(self, path: Path, more: Mapping[str, Any]) -> None:
        """Write the limits, and `more` fields before them."""
        write_json(path, {**more, **asdict(self), "warnings": self.warnings}, indent=1)


def find_limits(evaluation: Evaluation, engine: Engine) -> ForceLimits:
    """Find by bisection the largest force that `SURVIVORS` of the episodes survive in each direction.

    Args:
        evaluation: task, policy and protocol, whose `force_seconds` each force acts.
        engine: that runs the episodes, from random phases. Those that fail before the force, or whose clip
            ends within a second after it, do not count.

    Raises:
        UserError: in some direction none counts.
    """
    directions = np.array(list(DIRECTIONS.values()))
    low, high = np.zeros(len(directions)), np.full(len(directions), MOST_FORCE)
    # Episodes take the clips, or the pairs of skills, in turn: each direction has all of them equally often.
    episodes = evaluation.whole_turns(EPISODES)
    at_first, counted = np.zeros(episodes * len(directions), bool), episodes
    for _ in range(ROUNDS):
        middle = (low + high) / 2.0
        forces = np.repeat(middle[:, None] * directions, episodes, axis=0)
        forced = replace(evaluation, forces=jnp.asarray(forces, jnp.float32))
        episode = engine.run(forced, at_first).episode
        is_pushed = forced.is_long_enough(episode) & (episode.episode_length > forced.force_start(episode))
        survived, felt = (
            np.asarray(values).reshape(len(directions), episodes) for values in (episode.survived, is_pushed)
        )
        if not felt.any(axis=1).all():
            raise UserError(
                "option --find-limit: in some direction every episode fails before the force acts (after 1 to"
                " 3 s), or its clip ends within a second after it; take a policy that survives undisturbed,"
                " and clips that repeat or are longer"
            )
        counted = min(counted, int(felt.sum(axis=1).min()))
        share = survived.mean(axis=1, where=felt)
        low, high = np.where(share >= SURVIVORS, middle, low), np.where(share >= SURVIVORS, high, middle)
    found = dict(zip(DIRECTIONS, low.tolist(), strict=True))
    seconds = evaluation.force_steps * evaluation.env.control_dt
    return ForceLimits(found, seconds, engine.mass(evaluation), counted)


def _shown(newtons: float) -> str:
    """Show a limit; at either end of the search nothing else was tested."""
    if newtons < RESOLUTION:
        return f"less than {RESOLUTION:g} N"
    return f"{'at least ' if newtons >= MOST_FORCE - RESOLUTION else ''}{newtons:.0f} N"
