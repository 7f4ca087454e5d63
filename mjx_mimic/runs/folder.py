"""The run folder: what a training was asked for, and the policy that came of it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from mjx_mimic import __version__, config_yaml
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing, unwritable, yaml_bytes
from mjx_mimic.config import TrainConfig, Which
from mjx_mimic.config_yaml import CONFIG_FILE, FORMAT, read_run, record_digest
from mjx_mimic.learning.networks import make_actor
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.checkpoints import Checkpoints
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.env import EnvState, ImitationEnv, make_env
from mjx_mimic.task.goals import STATES
from mjx_mimic.task.skills import SkillState

MAY_CHANGE = ("total_steps", "eval_envs", "eval_interval", "video_interval", "keep_checkpoints")
"""Settings that may change when a run is resumed: how long it trains, and when it is evaluated, shown and
saved."""


def create(
    path: Path, config: TrainConfig, clips: Clips, devices: int, init_from: Mapping[str, Any] | None = None
) -> None:
    """Make a new run folder with its configuration, and where its networks come from if they are not new.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    if os.path.exists(path / CONFIG_FILE):
        raise UserError(f"{path}: holds a run already; add --resume to continue it, or choose another --out")
    try:
        # What a killed start leaves behind is hidden.
        if os.path.exists(path) and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise UserError(f"{path}: --out is not empty; choose a new folder")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    with replacing(path / CONFIG_FILE) as file:
        file.write(yaml_bytes(record(config, clips, devices, init_from)))


def record(
    config: TrainConfig, clips: Clips, devices: int, init_from: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what `config.yaml` holds: all that goes into a run."""
    packages = ("jax", "mujoco", "mujoco-mjx", "flax", "optax")
    found = {
        "format": FORMAT,
        "config": config_yaml.to_dict(config),
        "clips": [
            {"name": motion.name, "weight": weight, "digest": motion.digest}
            for motion, weight in zip(clips.motions, clips.weights, strict=True)
        ],
        "devices": devices,
        "platform": jax.default_backend(),
        "versions": {"mjx-mimic": __version__} | {name: version(name) for name in packages},
    }
    if init_from:
        found["init_from"] = init_from
    return found | {"digest": record_digest(found)}


def check_resumable(path: Path, config: TrainConfig, clips: Clips, devices: int) -> None:
    """Hold a continued run to what it was, but for what may change, and the devices.

    Raises:
        UserError: a setting or a clip's contents is another.
    """
    past, stored = read_run(path)
    wanted = record(config, clips, devices)
    found = config_yaml.difference(replace(past, **{n: getattr(config, n) for n in MAY_CHANGE}), config)
    if found:
        raise UserError(
            f"{path / CONFIG_FILE}: {found}; leave the option out, or start anew with another --out"
        )
    before, now = stored["clips"], wanted["clips"]
    if len(before) != len(now):
        raise UserError(
            f"{path / CONFIG_FILE}: field 'clips' has {len(before)} clips in the run and {len(now)} here;"
            " restore them or start anew"
        )
    for old, new in zip(before, now, strict=True):
        if old["digest"] != new["digest"] or old.get("weight", new["weight"]) != new["weight"]:
            raise UserError(
                f"{path / CONFIG_FILE}: clip '{new['name']}' has changed since (contents or weight);"
                " restore it or start anew"
            )


def record_resumption(path: Path, config: TrainConfig, devices: int) -> None:
    """Write what a continued run may change into its configuration, so that the next one goes on with it."""
    _, stored = read_run(path)
    now = {"config": config_yaml.to_dict(config), "devices": devices, "platform": jax.default_backend()}
    updated = {**stored, **now}
    updated["digest"] = record_digest(updated)
    if updated != stored:
        with replacing(path / CONFIG_FILE) as file:
            file.write(yaml_bytes(updated))


def load_run_clips(run: str | Path) -> Clips:
    """Load the clips that a run was trained on.

    Raises:
        UserError: there is no run in this folder, or one of its clips cannot be read.
    """
    config, _ = read_run(Path(run))
    return load_clips(config.motion, config.motion_weights, config.skip_bad)


def require_clip(clips: Clips, clip: int) -> None:
    """Hold the option `--clip` to the clips of a run.

    Raises:
        UserError: the run has no clip of this number.
    """
    last = len(clips.motions) - 1
    if not 0 <= clip <= last:
        raise UserError(f"option --clip: {clip} will not do; the run has clips 0 to {last}")


def load_policy(
    run: str | Path, checkpoint: Which = "best", clips: Clips | None = None
) -> tuple[Policy, ImitationEnv]:
    """Load a policy and the task that it was trained for.

    Args:
        run: the run folder.
        checkpoint: the policy with the best evaluation return, the last one, or that of the kept checkpoint
            with so many samples.
        clips: to act on instead of the run's own.

    Raises:
        UserError: there is no run in this folder, no such checkpoint, or a clip cannot be read.
    """
    run = Path(run)
    config, _ = read_run(run)
    clips = load_clips(config.motion, config.motion_weights, config.skip_bad) if clips is None else clips
    stored = Checkpoints(run).restore_policy(checkpoint)
    env = make_env(clips.motions, config.env, weights=clips.weights)
    actor = make_actor(config.network, env.num_actions, env.policy_inputs)
    moments = replace(stored.normalizer, min_std=config.normalizer.min_std)
    return Policy(stored.actor, moments, actor), env


def load_training_states(run: Path, checkpoint: Which = "last") -> EnvState:
    """Read where the environments (N, ...) of a run's training are at its newest checkpoint, or at another.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    config, _ = read_run(run)
    found = Checkpoints(run).restore_env_states(checkpoint)
    goal = STATES[config.env.goal](**found["goal"]) if found.get("goal") else None
    skills = SkillState(**found["skills"]) if found.get("skills") else None
    parts = {"dynamics": Dynamics(**found.get("dynamics") or {}), "goal": goal, "skills": skills}
    return EnvState(**found | parts)
