"""The run folder: configuration, checkpoints, metrics."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import yaml
from tensorboardX import SummaryWriter

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_yaml, replacing
from mjx_mimic.config import TrainConfig
from mjx_mimic.learning.learner import TrainState, first_device
from mjx_mimic.runs import config_yaml
from mjx_mimic.runs.config_yaml import CONFIG_FILE

CURVES_OF_CLIPS = 20
"""With more clips than this, their returns are not logged as curves."""


@dataclass(frozen=True)
class Progress:
    """How far a training is; goes with every checkpoint."""

    samples: int = 0
    wall_time_s: float = 0.0
    best_test_return: float = float("-inf")


def create(path: Path, config: TrainConfig, clips: Clips, devices: int) -> None:
    """Makes a new run folder with its configuration.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    if (path / CONFIG_FILE).exists():
        raise UserError(f"{path}: holds a run already; add --resume to continue it, or choose another --out")
    try:
        if path.exists() and any(path.iterdir()):
            raise UserError(f"{path}: --out is not empty; choose a new folder")
        path.mkdir(parents=True, exist_ok=True)
        temporary = path / f".{CONFIG_FILE}"
        temporary.write_text(yaml.safe_dump(_record(config, clips, devices), sort_keys=False))
        os.replace(temporary, path / CONFIG_FILE)
    except OSError as error:
        raise UserError(
            f"{path}: --out cannot be written ({error.strerror}); choose another folder"
        ) from None


def _record(config: TrainConfig, clips: Clips, devices: int) -> dict[str, Any]:
    packages = ("mjx-mimic", "jax", "mujoco", "mujoco-mjx", "flax", "optax")
    return {
        "config": config_yaml.to_dict(config),
        "clips": [
            {"name": motion.name, "weight": weight, "digest": motion.digest}
            for motion, weight in zip(clips.motions, clips.weights, strict=True)
        ],
        "devices": devices,
        "platform": jax.default_backend(),
        "versions": {name: version(name) for name in packages},
    }


def check_resumable(path: Path, config: TrainConfig, clips: Clips, devices: int) -> None:
    """Holds a continued run to what it was; only its length may change.

    Raises:
        UserError: a setting, a clip's contents, or the number of devices is another.
    """
    stored = read_yaml(path / CONFIG_FILE)
    wanted = _record(config, clips, devices)
    past = config_yaml.from_dict(stored["config"], path / CONFIG_FILE)
    found = config_yaml.difference(replace(past, total_steps=config.total_steps), config)
    if found:
        raise UserError(
            f"{path / CONFIG_FILE}: {found}; leave the option out, or start anew with another --out"
        )
    before, now = stored["clips"], wanted["clips"]
    if len(before) != len(now):
        raise UserError(
            f"{path / CONFIG_FILE}: field 'clips' has {len(before)} clips there and {len(now)} here;"
            " restore them or start anew"
        )
    for old, new in zip(before, now, strict=True):
        if old["digest"] != new["digest"] or old.get("weight", new["weight"]) != new["weight"]:
            raise UserError(
                f"{path / CONFIG_FILE}: clip '{new['name']}' has changed since (contents or weight);"
                " restore it or start anew"
            )
    if stored["devices"] != devices:
        raise UserError(
            f"{path / CONFIG_FILE}: field 'devices' is {stored['devices']} there and {devices} here;"
            " resume on as many devices, or start anew"
        )


class Checkpoints:
    """Two orbax managers: `last` holds all of a training, `best` the policy with the best test return."""

    def __init__(self, path: Path) -> None:
        def manager(name: str) -> ocp.CheckpointManager:
            options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
            return ocp.CheckpointManager((path / "checkpoints" / name).absolute(), options=options)

        self.last, self.best = manager("last"), manager("best")

    def save(self, state: TrainState, progress: Progress, is_best: bool) -> None:
        step = int(first_device(state.iteration))
        items = {
            "policy": ocp.args.StandardSave(policy_of(state)),
            "progress": ocp.args.JsonSave(asdict(progress)),
        }
        if is_best:
            self.best.save(step, args=ocp.args.Composite(**items), force=True)
        training = ocp.args.StandardSave(to_host(state))
        self.last.save(step, args=ocp.args.Composite(training=training, **items), force=True)

    def restore_training(self, like: TrainState) -> tuple[TrainState, Progress]:
        """The last state, on the host, shaped like `like`; UserError if nothing was saved."""
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

    def restore_policy(self, which: str = "best") -> dict[str, Any]:
        """Actor and critic parameters and normaliser moments, as plain arrays; UserError if there is none."""
        manager = {"best": self.best, "last": self.last}[which]
        step = manager.latest_step()
        if step is None:
            raise UserError(f"{manager.directory}: no checkpoint there; train for longer")
        return manager.restore(step, args=ocp.args.Composite(policy=ocp.args.StandardRestore())).policy


def to_host(state: TrainState) -> TrainState:
    """All devices' arrays as NumPy, the key as plain numbers."""
    return jax.tree.map(np.asarray, replace(state, key=jax.random.key_data(state.key)))


def policy_of(state: TrainState) -> dict[str, Any]:
    """What acts, from the first device."""
    normalizer = first_device(state.normalizer)
    return {
        "actor": first_device(state.actor.params),
        "critic": first_device(state.critic.params),
        "normalizer": {"count": normalizer.count, "mean": normalizer.mean, "variance": normalizer.variance},
    }


class MetricLog:
    """`metrics.jsonl`, a row a report, and the same numbers for TensorBoard and Weights & Biases;
    `clips.json`, the last report's figures of each clip."""

    def __init__(
        self, path: Path, clips: Sequence[str], samples: int = 0, wandb_project: str | None = None
    ) -> None:
        """Continues the log at `samples`; rows beyond, written after the checkpoint, are dropped."""
        file = path / "metrics.jsonl"
        if file.exists():
            rows = file.read_text().splitlines(keepends=True)
            kept = [row for row in rows if row.endswith("\n") and json.loads(row)["samples"] <= samples]
            file.write_text("".join(kept))
        self._file = file.open("a", buffering=1)
        self._clips, self._clips_file = clips, path / "clips.json"
        self._board = SummaryWriter(str(path / "tb"), purge_step=samples or None)
        self._wandb = None
        if wandb_project:
            import wandb

            settings = read_yaml(path / CONFIG_FILE)
            self._wandb = wandb.init(
                project=wandb_project, name=path.name, dir=path, config=settings, id=path.name, resume="allow"
            )

    def write(self, row: Mapping[str, float], of_clips: Mapping[str, np.ndarray]) -> None:
        """Adds a report, with figures (C,) of each clip."""
        table: list[dict[str, Any]] = [{"name": name} for name in self._clips]
        for figure, values in of_clips.items():
            for clip, value in zip(table, values, strict=True):
                clip[figure] = None if np.isnan(value) else _short(float(value))
        with replacing(self._clips_file) as file:
            file.write(json.dumps({"samples": row["samples"], "clips": table}, indent=1).encode())
        if 1 < len(table) <= CURVES_OF_CLIPS:
            returns = {f"clip/{clip['name']}/train_return": clip["train_return"] for clip in table}
            row = {**row, **{name: value for name, value in returns.items() if value is not None}}
        self._file.write(json.dumps({name: _short(value) for name, value in row.items()}) + "\n")
        for name, value in row.items():
            self._board.add_scalar(name, value, row["samples"])
        if self._wandb:
            self._wandb.log(dict(row), step=int(row["samples"]))

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()
        if self._wandb:
            self._wandb.finish()


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")
