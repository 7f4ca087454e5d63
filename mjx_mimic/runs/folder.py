"""The run folder: what a training was asked for, and the policy that came of it."""

import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import yaml

from mjx_mimic import config_yaml
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_yaml
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import CONFIG_FILE, read_config
from mjx_mimic.learning.networks import make_actor
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.checkpoints import Checkpoints, Which
from mjx_mimic.task.env import ImitationEnv, make_env

FORMAT = 2
"""Of a run folder; a run of another one cannot be resumed. 2: the log standard deviation is itself a
parameter, and evaluations are called so in the metrics."""


def create(path: Path, config: TrainConfig, clips: Clips, devices: int) -> None:
    """Make a new run folder with its configuration.

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
        "format": FORMAT,
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
    """Hold a continued run to what it was; only its length may change.

    Raises:
        UserError: a setting, a clip's contents, or the number of devices is another.
    """
    stored = read_yaml(path / CONFIG_FILE)
    if stored.get("format", 1) != FORMAT:
        raise UserError(
            f"{path / CONFIG_FILE}: the run was made by another version of mjx_mimic (format"
            f" {stored.get('format', 1)}, here {FORMAT}); resume it with that one, or start anew"
        )
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
            f"{path / CONFIG_FILE}: field 'clips' has {len(before)} clips in the run and {len(now)} here;"
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
            f"{path / CONFIG_FILE}: field 'devices' is {stored['devices']} in the run and {devices} here;"
            " resume on as many devices, or start anew"
        )


def load_run_clips(run: Path) -> Clips:
    """Load the clips that a run was trained on.

    Raises:
        UserError: there is no run in this folder, or one of its clips cannot be read.
    """
    config = read_config(run)
    return load_clips(config.motion, config.motion_weights)


def load_policy(
    run: Path, checkpoint: Which = "best", clips: Clips | None = None
) -> tuple[Policy, ImitationEnv]:
    """Load a policy and the task that it was trained for.

    Args:
        run: the run folder.
        checkpoint: the policy with the best evaluation return, or the last one.
        clips: to act on instead of the run's own.

    Raises:
        UserError: there is no run in this folder, no such checkpoint, or a clip cannot be read.
    """
    config = read_config(run)
    clips = load_run_clips(run) if clips is None else clips
    stored = Checkpoints(run).restore_policy(checkpoint)
    env = make_env(clips.motions, config.env, weights=clips.weights)
    actor = make_actor(config.network, env.num_actions)
    return Policy(stored.actor, stored.normalizer, actor), env
