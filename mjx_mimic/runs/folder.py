"""The run folder: what a training was asked for, and the policy that came of it."""

import contextlib
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from mjx_mimic import __version__, config_yaml
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing, unwritable, yaml_bytes
from mjx_mimic.config import EnvConfig, TrainConfig, Which
from mjx_mimic.config_yaml import CONFIG_FILE, FORMAT, read_run, record_digest
from mjx_mimic.learning.composite import AnyPolicy, BoltzmannChoice, CompositePolicy, Seats
from mjx_mimic.learning.networks import make_networks
from mjx_mimic.learning.policy import Policy, ValueFunction
from mjx_mimic.robot.constants import ContactSet
from mjx_mimic.runs import own_clips
from mjx_mimic.runs.checkpoints import Checkpoints
from mjx_mimic.runs.lock import LOCK_FILE, locked
from mjx_mimic.task.dynamics import Dynamics
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.goals import STATES
from mjx_mimic.task.making import make_env, with_contacts
from mjx_mimic.task.skills import SkillState
from mjx_mimic.task.states import EnvState

MAY_CHANGE = (
    "physics_impl",
    "total_steps",
    "eval_envs",
    "eval_interval",
    "video_interval",
    "keep_checkpoints",
)
"""Settings that may change when a run is resumed: what takes its physics steps, how long it trains, and when
it is evaluated, shown and saved."""

COMPOSITE = "composite"
"""Field of the record of a run that `compose` has made."""


def create(
    path: Path, config: TrainConfig, clips: Clips, devices: int, init_from: Mapping[str, Any] | None = None
) -> None:
    """Make a new run folder: its configuration, where its networks come from if they are not new, its clips.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    claim(path)
    with replacing(path / CONFIG_FILE) as file:
        file.write(yaml_bytes(record(config, clips, devices, init_from)))
    try:
        own_clips.write(path, clips)
    except BaseException:  # a full disk, an interrupt: without its clips it is no run
        (path / CONFIG_FILE).unlink()
        raise


@contextlib.contextmanager
def new_run(
    path: Path, config: TrainConfig, clips: Clips, devices: int, init_from: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Make a new run folder, held against other trainings before anything is written; see `create`.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    with claimed(path):
        create(path, config, clips, devices, init_from)
        yield


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Make the folder of a new run, and hold it against other trainings.

    A folder that was made here is removed again if it fails before there is a run in it.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    is_new = not os.path.exists(path)
    claim(path)
    with locked(path):
        claim(path)  # by nobody meanwhile
        try:
            yield
        except BaseException:
            if is_new and not os.path.exists(path / CONFIG_FILE):
                with contextlib.suppress(OSError):
                    (path / LOCK_FILE).unlink()
                    path.rmdir()
            raise


def claim(path: Path) -> None:
    """Make the folder of a new run.

    Raises:
        UserError: the folder is in use already or cannot be written.
    """
    if os.path.exists(path / CONFIG_FILE):
        raise UserError(
            f"{path}: holds a run already; choose another --out, or train --resume to continue it"
        )
    try:
        # What a killed start leaves behind is hidden.
        if os.path.exists(path) and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise UserError(f"{path}: --out is not empty; choose a new folder")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


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
    require_one_policy(path, stored, "trained further")
    if former := config_yaml.former_field(stored):
        raise UserError(
            f"{path / CONFIG_FILE}: '{former}' is no setting any more; start anew with"
            f" --init-from {path}:last"
        )
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
        if old["digest"] != new["digest"] or old["weight"] != new["weight"]:
            raise UserError(
                f"{path / CONFIG_FILE}: clip '{new['name']}' has changed since (contents or weight);"
                " restore it or start anew"
            )


def record_resumption(path: Path, config: TrainConfig, clips: Clips, devices: int) -> None:
    """Write what a continued run may change into its configuration, so that the next one goes on with it.

    And copies of its clips, where it was killed before it had any.
    """
    _, stored = read_run(path)
    if not (path / own_clips.FOLDER).is_dir():
        own_clips.write(path, clips)
    now = {"config": config_yaml.to_dict(config), "devices": devices, "platform": jax.default_backend()}
    updated = {**stored, **now}
    updated["digest"] = record_digest(updated)
    if updated != stored:
        with replacing(path / CONFIG_FILE) as file:
            file.write(yaml_bytes(updated))


def load_run_clips(run: str | Path) -> Clips:
    """Load the clips that a run was trained on: its copies, or the files themselves of one without copies.

    Raises:
        UserError: there is no run in this folder, or one of its clips cannot be read or is no longer the
            same.
    """
    config, stored = read_run(Path(run))
    if (Path(run) / own_clips.FOLDER).is_dir():
        return own_clips.read(Path(run), stored)
    clips = load_clips(config.motion, config.motion_weights, config.skip_bad)
    if not are_unchanged(clips, stored):
        raise UserError(f"{run}: a clip has changed since it was trained; restore the clip, or start anew")
    return clips


def are_unchanged(clips: Clips, stored: Mapping[str, Any]) -> bool:
    """Return whether clips are to the bit those of a run's record, in their order."""
    return [motion.digest for motion in clips.motions] == [clip["digest"] for clip in stored["clips"]]


def require_one_policy(run: Path, stored: Mapping[str, Any], what: str) -> None:
    """Refuse a composite run where only one policy of its own will do.

    Raises:
        UserError: the run's record `stored` is a composite's, which cannot be `what`.
    """
    if COMPOSITE in stored:
        raise UserError(
            f"{run}: is composed of several runs and cannot be {what}; name one of them, such as"
            f" {member_folder(run, 0)}"
        )


def member_folder(run: Path, number: int) -> Path:
    """Return where a composite run holds its member `number`, a run folder itself."""
    return run / "members" / str(number)


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
) -> tuple[AnyPolicy, ImitationEnv]:
    """Load a policy and the task that it was trained for.

    Args:
        run: the run folder.
        checkpoint: the policy with the best evaluation return, the last one, or that of the kept checkpoint
            with so many samples.
        clips: to act on instead of the run's own.

    Raises:
        UserError: there is no run in this folder, no such checkpoint, a clip cannot be read, or the clips are
            too few or too many.
    """
    run = Path(run)
    config, stored = read_run(run)
    clips = load_run_clips(run) if clips is None else clips
    if COMPOSITE in stored:
        return _load_composite(run, config, stored, checkpoint, clips)
    given, learned = len(clips.motions), len(stored["clips"])
    if config.env.clips == "skills" and given != learned:
        raise UserError(
            f"{run}: has learned {learned} skills, and {given} clips cannot stand for them; leave --motion"
            f" and --clip out, or name {learned} clips"
        )
    if config.env.clips == "best" and given == 1:
        raise UserError(f"{run}: imitates the best of several clips; leave --clip out, or name several clips")
    if not are_unchanged(clips, stored):
        _warn_of_contacts(run, config.env, clips)
    env = make_env(clips.motions, config.env, weights=clips.weights)
    return load_networks(run, checkpoint, env)[0], env


def _warn_of_contacts(run: Path, config: EnvConfig, clips: Clips) -> None:
    """Say where other clips than a run's own touch the floor with more than its robot does."""
    needed = with_contacts(replace(config, contacts="auto"), clips.motions).contacts
    sets = ("auto", *typing.get_args(ContactSet))
    if config.contacts != "auto" and sets.index(needed) > sets.index(config.contacts):
        print(
            f"warning: {run}: was trained with --env.contacts {config.contacts}, and these clips need"
            f" {needed}: with anything else on the floor the robot falls through it or counts as fallen"
        )


def load_networks(run: Path, checkpoint: Which, env: ImitationEnv) -> tuple[Policy, ValueFunction]:
    """Load what a run has learned of a task `env`.

    Raises:
        UserError: there is no run in this folder, or no such checkpoint.
    """
    config, _ = read_run(run)
    stored = Checkpoints(run).restore_policy(checkpoint)
    moments = replace(stored.normalizer, min_std=config.normalizer.min_std)
    actor, critic = make_networks(env, config.network)
    return (
        Policy(stored.actor, moments, actor),
        ValueFunction(stored.critic, moments, critic),
    )


def _load_composite(
    run: Path, config: TrainConfig, stored: Mapping[str, Any], checkpoint: Which, clips: Clips
) -> tuple[CompositePolicy, ImitationEnv]:
    """Load the members of a composite run, and the task in which their values choose the clips.

    Raises:
        UserError: a checkpoint by its samples, other clips than the members', or a member that is damaged.
    """
    if checkpoint not in ("best", "last"):
        raise UserError(
            f"option --checkpoint: {checkpoint} is of no run that {run} is composed of; use best or last"
        )
    if not are_unchanged(clips, stored):
        raise UserError(
            f"{run}: is composed of runs that act on their own clips only; leave --motion and --clip out, and"
            " restore clips that have changed"
        )
    counts = [member["clips"] for member in stored[COMPOSITE]["members"]]
    env = make_env(clips.motions, config.env, weights=clips.weights)
    inputs = sum(env.observation_sizes().values()) - env.library.num_clips
    seats = Seats(inputs, tuple(i for i, count in enumerate(counts) for _ in range(count)))
    alone = env.with_config(replace(config.env, clips="one"))
    networks = [load_networks(member_folder(run, i), checkpoint, alone) for i in range(len(counts))]
    policies, values = zip(*networks, strict=True)
    seen = sum((alone.observation_sizes() | alone.privileged_sizes()).values())
    for number, value in enumerate(values):
        if len(value.normalizer.mean) != seen:
            raise UserError(
                f"{member_folder(run, number)}: is of another version of mjx_mimic, whose value functions saw"
                " other things; compose runs of this one"
            )
    temperature = jnp.float32(stored[COMPOSITE]["temperature"])
    return CompositePolicy(policies, seats), replace(env, choice=BoltzmannChoice(values, temperature, seats))


def load_training_states(run: Path, checkpoint: Which = "last") -> EnvState:
    """Read where the environments (N, ...) of a run's training are at its newest checkpoint, or at another.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    config, stored = read_run(run)
    require_one_policy(run, stored, "evaluated from a training's states")
    found = Checkpoints(run).restore_env_states(checkpoint)
    try:
        goal = STATES[config.env.goal](**found["goal"]) if found.get("goal") else None
        skills = SkillState(**found["skills"]) if found.get("skills") else None
        parts = {"dynamics": Dynamics(**found.get("dynamics") or {}), "goal": goal, "skills": skills}
        return EnvState(**found | parts)
    except TypeError as error:
        raise UserError(
            f"{run}: the states of its training are those of another version of mjx_mimic ({error}); use that"
            " version, or another --start"
        ) from error
