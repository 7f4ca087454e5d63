"""Checkpoints of a run, written by orbax: `checkpoints/<samples>/`, by default the two newest.

Each holds everything at once, so that nothing in it can disagree: the training (`training`), the networks of
the last and of the best policy (`last`, `best`), and how far the training is (`progress`). Orbax writes it
beside its place and renames it when it is whole; then the digests of all its files are added, and only with
them it counts. One whose files are no longer those is named, and the one before it is used.
"""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from mjx_mimic.common.errors import DiskFailure, UserError, bare
from mjx_mimic.common.files import replacing, require_space
from mjx_mimic.common.processes import is_first
from mjx_mimic.config import TrainConfig, Which
from mjx_mimic.learning.devices import first_device, gather
from mjx_mimic.learning.learner import TrainState
from mjx_mimic.learning.networks import Params
from mjx_mimic.learning.normalizer import Normalizer

FOLDER = "checkpoints"
DIGESTS = "sha256.json"
OVERHEAD_BYTES = 2**20
"""What a checkpoint takes beside its numbers."""

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a training is; goes with every checkpoint."""

    samples: int = 0
    wall_time_s: float = 0.0
    best_eval_return: float | None = None
    """None before the first evaluation."""
    best_samples: int | None = None
    """Samples at the evaluation that chose the best policy; None before the first one."""

    def samples_of(self, which: Which) -> int:
        """Return the samples of the best policy, or of any other one of this checkpoint."""
        return (self.best_samples or 0) if which == "best" else self.samples

    def judged(self, best_eval_return: float, is_best: bool) -> Self:
        """Return the progress after an evaluation of the policy at hand, which is the best one or not."""
        chosen_at = self.samples if is_best else self.best_samples
        return replace(self, best_eval_return=best_eval_return, best_samples=chosen_at)


@dataclass(frozen=True)
class StoredPolicy:
    """What a checkpoint holds of the networks, as plain arrays."""

    actor: Params
    critic: Params
    normalizer: Normalizer
    samples: int
    """Samples of the training when these were its networks."""


class Checkpoints:
    """The checkpoints of the run in one folder."""

    def __init__(self, run: Path, keep: int | Literal["all"] = TrainConfig.keep_checkpoints) -> None:
        """Name the run, whose checkpoints need not exist yet, and how many of the newest are to be kept.

        At least two, so that one is left when the newest is damaged.
        """
        self.folder = (run / FOLDER).absolute()
        self._keep = None if keep == "all" else keep
        self._manager: ocp.CheckpointManager | None = None
        self._best: dict[str, Any] | None = None

    def save(self, state: TrainState, progress: Progress, is_best: bool) -> None:
        """Write a checkpoint of all devices. Every process calls this, and the first one writes.

        Args:
            state: the training, on its devices.
            progress: how far it is.
            is_best: whether its policy is the best so far.

        Raises:
            UserError: a number of the networks is not finite.
            DiskFailure: it cannot be written; the checkpoints before it are whole.
        """
        last, training = _networks(state), gather(to_host(state))
        if not is_finite((last, training.actor, training.critic)):
            raise UserError(f"{self.folder}: the networks hold numbers that are not finite; nothing is saved")
        if not is_first():
            return
        if is_best or self._best is None:
            self._best = last
        items = {"training": training, "last": last, "best": self._best}
        step = progress.samples
        arguments = ocp.args.Composite(
            progress=ocp.args.JsonSave(asdict(progress)),
            **{name: ocp.args.StandardSave(item) for name, item in items.items()},
        )
        # Orbax prints a traceback from each of its threads where the disk is full.
        require_space(self.folder, 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(items)) + OVERHEAD_BYTES)
        try:
            self._writer.save(step, args=arguments, force=True)
        except (OSError, ValueError) as error:
            raise DiskFailure(f"{self.folder}: checkpoint {step} cannot be written ({error})") from error
        folder = self.folder / str(step)
        digests = json.dumps(_digests(folder), indent=1).encode()
        with replacing(folder / DIGESTS) as file:
            file.write(digests)

    def restore_training(self, like: TrainState) -> tuple[TrainState, Progress] | None:
        """Read the newest whole checkpoint, to go on from.

        Args:
            like: a state of the same structure, on any number of devices.

        Returns:
            The state on the host, of as many devices as it was saved from, and its progress; None where no
            checkpoint was ever written.

        Raises:
            UserError: every checkpoint is damaged, or the state is that of another version of mjx_mimic.
        """
        target = to_host(like)

        def read(step: Path) -> tuple[str, TrainState, Progress]:
            training = _restore(step, "training", target)
            _require_same_sizes(step, training, target)
            self._best = _restore(step, "best")
            state = replace(training, key=jax.random.wrap_key_data(training.key))
            return step.name, state, _progress(step)

        found = self._newest(read)
        # What is newer than this one is damaged, and would be in the way of the training's own.
        for step in self._steps() if is_first() else ():
            if found is None or int(step.name) > int(found[0]):
                aside = step.with_name(f"{step.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                with contextlib.suppress(OSError):
                    step.rename(aside)
        return found and found[1:]

    def progress(self) -> Progress:
        """Read how far the training is at the newest whole checkpoint; at its start where there is none.

        Raises:
            UserError: every checkpoint is damaged.
        """
        return self._newest(_progress) or Progress()

    def restore_policy(self, which: Which = "best") -> StoredPolicy:
        """Read the best or the last networks of the newest whole checkpoint, or the last ones of another.

        Raises:
            UserError: there is none, or a number of its networks is not finite.
        """

        def read(step: Path) -> tuple[dict[str, Any], int]:
            progress = _progress(step)
            if which == "best" and progress.best_eval_return is None:
                raise UserError(
                    f"{step}: no evaluation yet, so no best policy; use the last one (--checkpoint last, or"
                    " --init-from RUN:last) or train longer"
                )
            return _restore(step, "best" if which == "best" else "last"), progress.samples_of(which)

        found, samples = self._chosen(which, read)
        return StoredPolicy(found["actor"], found["critic"], Normalizer(**found["normalizer"]), samples)

    def newest_whole(self) -> Path:
        """Return the folder of the newest checkpoint whose networks can be used.

        Raises:
            UserError: there is none.
        """

        def read(step: Path) -> Path:
            _restore(step, "last")
            return step

        return self._chosen("last", read)

    def newest(self) -> int | None:
        """Return the samples of the newest finished checkpoint without reading it; None if there is none."""
        finished = (step for step in self._steps() if (step / DIGESTS).is_file())
        return next((int(step.name) for step in finished), None)

    def restore_env_states(self, which: Which = "last") -> dict[str, Any]:
        """Read the fields of `EnvState` of all environments (N, ...) of the newest checkpoint, or another.

        Raises:
            UserError: there is none.
        """
        found = self._chosen(which, lambda step: _restore(step, "training"))
        return jax.tree.map(lambda x: jnp.asarray(x.reshape(-1, *x.shape[2:])), found["env"])

    @property
    def _writer(self) -> ocp.CheckpointManager:
        """Orbax's manager; removes what a killed save has left behind."""
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._keep,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
                create=False,
                multiprocessing_options=_alone(),
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def _steps(self) -> list[Path]:
        """Return the folders of all checkpoints, the newest first."""
        try:
            names = [entry.name for entry in self.folder.iterdir() if entry.name.isdecimal()]
        except OSError:
            return []
        return [self.folder / name for name in sorted(names, key=int, reverse=True)]

    def _chosen(self, which: Which, read: Callable[[Path], T]) -> T:
        """Return what `read` makes of the checkpoint with so many samples, or of the newest that is whole.

        Raises:
            UserError: there is no such checkpoint, or it is damaged.
        """
        if not isinstance(which, int):
            found = self._newest(read)
            if found is None:
                raise UserError(f"{self.folder}: there is no checkpoint; train for longer")
            return found
        step = self.folder / str(which)
        if step not in self._steps():
            kept = ", ".join(path.name for path in reversed(self._steps())) or "none"
            raise UserError(
                f"{self.folder}: there is no checkpoint with {which} samples; use one of these:"
                f" {bare(kept, 600)} (train --keep-checkpoints keeps more)"
            )
        found, damage = _attempt(step, read)
        if found is None:
            raise UserError(f"{step}: the checkpoint is damaged ({damage}); use another one")
        return found

    def _newest(self, read: Callable[[Path], T]) -> T | None:
        """Return what `read` makes of the newest checkpoint that it can read; None if there is none."""
        tried: set[Path] = set()
        while True:
            # Listed anew each time: a training that goes on removes old checkpoints and writes new ones.
            steps = self._steps()
            untried = [step for step in steps if step not in tried]
            if not untried:
                break
            step = untried[0]
            tried.add(step)
            found, damage = _attempt(step, read)
            if found is not None:
                return found
            if step in self._steps():  # else the training has removed it since
                print(f"{step}: the checkpoint is damaged ({damage}); using the one before", file=sys.stderr)
        # Nothing is lost of a training that has not begun, or was killed in its first save.
        if not any(step.name != "0" and (step / DIGESTS).is_file() for step in tried):
            return None
        raise UserError(
            f"{self.folder}: every checkpoint is damaged or of another version of mjx_mimic; restore the"
            " folder, use that version, or start anew"
        )


def _alone() -> ocp.options.MultiprocessingOptions:
    """Let orbax wait for no other process."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(own, {own}, barrier_sync_key_prefix=f"process {own}")


def _attempt[R](step: Path, read: Callable[[Path], R]) -> tuple[R | None, str | None]:
    """Return what `read` makes of a checkpoint, or None and what is wrong with it."""
    try:
        damage = _damage(step)
        return (read(step), None) if damage is None else (None, damage)
    except (OSError, ValueError) as error:
        return None, bare(error)


def _digests(step: Path) -> dict[str, str]:
    """Return the SHA-256 (hex) of every file of a checkpoint, by its path in it."""
    files = sorted(path for path in step.rglob("*") if path.is_file() and path.name != DIGESTS)
    return {
        path.relative_to(step).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _damage(step: Path) -> str | None:
    """Say what is wrong with a checkpoint's files, before orbax reads any of them; None if nothing is."""
    if not (step / DIGESTS).is_file():
        return "it was not finished"
    expected, found = _json(step / DIGESTS), _digests(step)
    if not isinstance(expected, dict) or not expected:
        return f"{DIGESTS} holds no digests"
    for name in expected:
        if found.get(name) != expected[name]:
            return f"{bare(name)} {'has changed' if name in found else 'is missing'}"
    return None  # more files than these do no harm


def _json(file: Path) -> Any:
    """Read a small file; ValueError if it is damaged."""
    try:
        return json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file.name} is nested too deep") from None


def _progress(step: Path) -> Progress:
    """Read how far the training is; ValueError if that is damaged."""
    fields = _json(step / "progress" / "metadata")
    known = set(asdict(Progress()))
    if not isinstance(fields, dict) or set(fields) | {"best_samples"} != known:
        raise ValueError("progress/metadata holds no progress")
    # An earlier version's best policy is at most as old as its checkpoint.
    progress = Progress(**{"best_samples": fields["samples"]} | fields)
    counts = (progress.samples, progress.best_samples or 0)
    numbers = (*counts, progress.wall_time_s, progress.best_eval_return or 0.0)
    are_numbers = all(type(number) in (int, float) and abs(number) < 1e300 for number in numbers)
    if not are_numbers or not all(type(count) is int for count in counts):
        raise ValueError("progress/metadata holds something else than numbers")
    return progress


def _require_same_sizes(step: Path, stored: TrainState, state: TrainState) -> None:
    """Refuse a checkpoint whose arrays have other sizes than this state's, but for devices and environments.

    Raises:
        UserError: another version of mjx_mimic made it.
    """
    arrays = zip(*map(jax.tree_util.tree_leaves_with_path, (stored, state)), strict=True)
    for (path, found), (_, expected) in arrays:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        first = 2 if name.startswith(("env.", "observation")) else 1
        if found.shape[first:] != expected.shape[first:]:
            raise UserError(
                f"{step}: '{name}' has other sizes than in this version of mjx_mimic; resume with the version"
                " that made the run, or let a new run start from its policy with --init-from"
            )


def _restore(step: Path, name: str, target: Any = None) -> Any:
    """Read one item of a checkpoint, as NumPy.

    Raises:
        UserError: a number of its networks is not finite.
    """
    with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
        try:
            item = jax.tree.map(np.asarray, checkpointer.restore(step / name, target))
            fields = item if isinstance(item, dict) else vars(item)
            networks = [fields[part] for part in ("actor", "critic", "normalizer")]
        except Exception as error:  # orbax and what it is made of raise a dozen types on damaged files
            reason = bare(" ".join(str(error).split()))
            raise ValueError(f"{name} cannot be read: {type(error).__name__} {reason}") from error
    if not is_finite(networks):
        raise UserError(f"{step}: '{name}' holds numbers that are not finite; train anew")
    return item


def is_finite(tree: Any) -> bool:
    """Return whether every number of a tree of arrays is finite."""
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def to_host(state: TrainState) -> TrainState:
    """Return the arrays of this process's devices as NumPy, the key as plain numbers."""
    return jax.tree.map(np.asarray, replace(state, key=jax.random.key_data(state.key)))


def _networks(state: TrainState) -> dict[str, Any]:
    """Return the networks and the normaliser of the first device, as they are stored."""
    normalizer = first_device(state.normalizer)
    return {
        "actor": first_device(state.actor.params),
        "critic": first_device(state.critic.params),
        "normalizer": {"count": normalizer.count, "mean": normalizer.mean, "variance": normalizer.variance},
    }
