"""Checkpoints of a run, written by orbax."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from mjx_mimic.common.errors import UserError
from mjx_mimic.learning.devices import first_device
from mjx_mimic.learning.learner import TrainState
from mjx_mimic.learning.networks import Params
from mjx_mimic.learning.normalizer import Normalizer

Which = Literal["best", "last"]


@dataclass(frozen=True)
class Progress:
    """How far a training is; goes with every checkpoint."""

    samples: int = 0
    wall_time_s: float = 0.0
    best_eval_return: float = float("-inf")


@dataclass(frozen=True)
class StoredPolicy:
    """What a checkpoint holds of the networks, as plain arrays."""

    actor: Params
    critic: Params
    normalizer: Normalizer


class Checkpoints:
    """Two checkpoints: `last` holds all of a training, `best` the policy with the best evaluation return."""

    def __init__(self, path: Path) -> None:
        """Open the checkpoints of the run in the folder `path`; they need not exist yet."""

        def manager(name: str) -> ocp.CheckpointManager:
            options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
            return ocp.CheckpointManager((path / "checkpoints" / name).absolute(), options=options)

        self.last, self.best = manager("last"), manager("best")

    def save(self, state: TrainState, progress: Progress, is_best: bool) -> None:
        """Write the last checkpoint, and the best one where this is it."""
        step = int(first_device(state.iteration))
        items = {
            "policy": ocp.args.StandardSave(_networks(state)),
            "progress": ocp.args.JsonSave(asdict(progress)),
        }
        if is_best:
            self.best.save(step, args=ocp.args.Composite(**items), force=True)
        training = ocp.args.StandardSave(to_host(state))
        self.last.save(step, args=ocp.args.Composite(training=training, **items), force=True)

    def restore_training(self, like: TrainState) -> tuple[TrainState, Progress]:
        """Read the last state, on the host, of the structure of `like`.

        Raises:
            UserError: nothing was saved.
        """
        step = self.last.latest_step()
        if step is None:
            raise UserError(
                f"{self.last.directory}: no checkpoint to resume from; start anew with another --out"
            )
        target = to_host(like)
        restored = self.last.restore(
            step,
            args=ocp.args.Composite(
                training=ocp.args.StandardRestore(target), progress=ocp.args.JsonRestore()
            ),
        )
        state = replace(restored.training, key=jax.random.wrap_key_data(restored.training.key))
        return state, Progress(**restored.progress)

    def restore_policy(self, which: Which = "best") -> StoredPolicy:
        """Read the networks of a checkpoint.

        Raises:
            UserError: there is none.
        """
        manager = {"best": self.best, "last": self.last}[which]
        step = manager.latest_step()
        if step is None:
            raise UserError(f"{manager.directory}: there is no checkpoint; train for longer")
        found = manager.restore(step, args=ocp.args.Composite(policy=ocp.args.StandardRestore())).policy
        return StoredPolicy(found["actor"], found["critic"], Normalizer(**found["normalizer"]))


def to_host(state: TrainState) -> TrainState:
    """Return all devices' arrays as NumPy, the key as plain numbers."""
    return jax.tree.map(np.asarray, replace(state, key=jax.random.key_data(state.key)))


def _networks(state: TrainState) -> dict[str, Any]:
    """Return the networks and the normaliser of the first device, as they are stored."""
    normalizer = first_device(state.normalizer)
    return {
        "actor": first_device(state.actor.params),
        "critic": first_device(state.critic.params),
        "normalizer": {"count": normalizer.count, "mean": normalizer.mean, "variance": normalizer.variance},
    }
