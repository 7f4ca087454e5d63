"""The policies of a training that goes on, loaded as their checkpoints come."""

import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from mjx_mimic.common.errors import UserError
from mjx_mimic.config import Which
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.checkpoints import Checkpoints

INTERVAL_S = 2.0
"""Time between two looks at the folder, s."""


class Follower:
    """Looks for new checkpoints of a run, which may be removed or replaced while they are read."""

    def __init__(self, run: Path, which: Which) -> None:
        """Count what there is now as known."""
        self._checkpoints = Checkpoints(run)
        self._which = which
        self._looked_at = time.monotonic()
        self.samples = self._checkpoints.newest()
        """Samples of the newest checkpoint that was tried; None: there was none."""

    def load_newer(self, policy: Policy) -> Policy | None:
        """Load what has come since the last call, if that is `INTERVAL_S` ago, and print a line.

        Args:
            policy: the one before, whose normaliser keeps its settings.

        Returns:
            The policy of a new checkpoint; None if there is no new one, or none that can be used.
        """
        now = time.monotonic()
        if now < self._looked_at + INTERVAL_S:
            return None
        self._looked_at = now
        newest = self._checkpoints.newest()
        if newest is None or newest == self.samples:
            return None
        self.samples = newest  # one that cannot be used is not tried again
        try:
            stored = self._checkpoints.restore_policy(self._which)
        except UserError as error:
            print(f"checkpoint {newest} is not shown: {error}", flush=True)
            return None
        moments = replace(stored.normalizer, min_std=policy.normalizer.min_std)
        found = replace(policy, params=stored.actor, normalizer=moments)
        if _shapes(found) != _shapes(policy):
            print(
                f"checkpoint {newest} is not shown: it is of another run; start the view again",
                flush=True,
            )
            return None
        print(f"the {self._which} policy, of {stored.samples:,} samples, is shown from here on", flush=True)
        return found


def _shapes(policy: Policy) -> tuple[list[tuple[int, ...]], jax.tree_util.PyTreeDef]:
    leaves, structure = jax.tree.flatten(policy)
    return [np.shape(leaf) for leaf in leaves], structure
