"""The largest force on the pelvis that a policy survives, by direction (DeepMimic, sec. 6.2)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mjx_mimic.common.files import write_json
from mjx_mimic.evaluation.engine import Engine
from mjx_mimic.evaluation.episodes import DIRECTIONS, Evaluation

EPISODES = 64
"""For each direction and force."""
SURVIVORS = 0.9
"""Share of the episodes that must survive a force."""
MOST_FORCE = 1600.0
"""Where the search begins, N."""
ROUNDS = 7
"""Bisections, to 12.5 N."""


@dataclass(frozen=True)
class ForceLimits:
    """What a search found."""

    newtons: Mapping[str, float]
    """By direction, as the robot sees it."""
    seconds: float
    """How long each force acts."""
    mass: float
    """Of the robot, kg."""

    def show(self, title: str) -> None:
        """Print the limits, and the speed that the smallest one gives the robot."""
        found = ", ".join(f"{name} {force:.0f} N" for name, force in self.newtons.items())
        worst = min(self.newtons.values())
        speed = worst * self.seconds / self.mass
        print(
            f"{title}: largest force on the pelvis for {self.seconds:g} s that {SURVIVORS:.0%} of {EPISODES}"
            f" episodes survive: {found}; {worst:.0f} N change {self.mass:.1f} kg by {speed:.2f} m/s"
        )

    def write_json(self, path: Path, more: Mapping[str, Any]) -> None:
        """Write the limits, and `more` fields before them."""
        write_json(path, {**more, **asdict(self)}, indent=1)


def find_limits(evaluation: Evaluation, engine: Engine) -> ForceLimits:
    """Find by bisection the largest force that `SURVIVORS` of the episodes survive in each direction.

    Args:
        evaluation: task, policy and protocol, whose `force_seconds` each force acts.
        engine: that runs the episodes, from random phases.
    """
    directions = np.array(list(DIRECTIONS.values()))
    low, high = np.zeros(len(directions)), np.full(len(directions), MOST_FORCE)
    at_first = np.zeros(EPISODES * len(directions), bool)
    for _ in range(ROUNDS):
        middle = (low + high) / 2.0
        forces = jnp.asarray(middle[:, None] * directions, jnp.float32)
        episode = engine.run(replace(evaluation, forces=forces), at_first).episode
        survived = np.asarray(episode.survived)[: len(at_first)]
        share = survived.reshape(-1, len(directions)).mean(axis=0)  # the episodes take the forces in turn
        low, high = np.where(share >= SURVIVORS, middle, low), np.where(share >= SURVIVORS, high, middle)
    mass = float(evaluation.env.robot.model.body_mass.sum())
    found = dict(zip(DIRECTIONS, low.tolist(), strict=True))
    return ForceLimits(found, evaluation.protocol.force_seconds, mass)
