"""The run folder of a composite policy, made of separately trained runs.

It holds its members, each a run folder with its newest checkpoint, and a configuration: the members' task and
all their clips as skills.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mjx_mimic import config_yaml
from mjx_mimic.clips.dataset import Clips, told_apart
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import PARTIAL, replacing, unwritable, yaml_bytes
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import CONFIG_FILE, read_run, record_digest
from mjx_mimic.runs import folder, own_clips
from mjx_mimic.runs.checkpoints import FOLDER, Checkpoints

FREE = ("episode_seconds", "start")
"""Settings of the task in which members may differ: when training's episodes begin and end."""


def compose(runs: Sequence[Path], out: Path, temperature: float) -> list[str]:
    """Make a composite run.

    Args:
        runs: folders of its members, at least two.
        out: its folder.
        temperature: T, in units of the return.

    Returns:
        A line about each member, for people.

    Raises:
        UserError: a member is no trained run of one clip per episode, their tasks differ, a clip has changed,
            or the folder is in use or cannot be written.
    """
    members = [_read_member(run) for run in runs]
    first = members[0]
    for run, config in zip(runs, members, strict=True):
        found = config_yaml.difference(_comparable(config, first), first, f"in {runs[0]}")
        if found:
            raise UserError(f"{run}: {found}; compose runs of the same task")
    clips = [folder.load_run_clips(run) for run in runs]
    steps = [Checkpoints(run).newest_whole() for run in runs]
    config = replace(
        first,
        motion=tuple(name for member in members for name in member.motion),
        motion_weights=tuple(
            weight for member in members for weight in member.motion_weights or (1.0,) * len(member.motion)
        ),
        skip_bad=any(member.skip_bad for member in members),
        env=replace(first.env, clips="skills"),
    )
    joined = Clips(
        told_apart([motion for found in clips for motion in found.motions]),
        tuple(weight for found in clips for weight in found.weights),
    )
    record = folder.record(config, joined, devices=1)
    about = [
        {"run": str(run), "samples": int(step.name), "clips": len(found.motions)}
        for run, step, found in zip(runs, steps, clips, strict=True)
    ]
    record[folder.COMPOSITE] = {"temperature": float(temperature), "members": about}
    record["digest"] = record_digest(record)
    with folder.claimed(out):
        _write(out, runs, steps, clips, joined, record)
    return [
        f"{out}: {', '.join(motion.name for motion in found.motions)} of {run} ({step.name} samples)"
        for run, step, found in zip(runs, steps, clips, strict=True)
    ]


def _write(
    out: Path,
    runs: Sequence[Path],
    steps: Sequence[Path],
    clips: Sequence[Clips],
    joined: Clips,
    record: Mapping[str, Any],
) -> None:
    """Write the composite run's folder, or nothing.

    Args:
        out: the folder.
        runs: of the members.
        steps: checkpoint of each member.
        clips: of each member.
        joined: all of them.
        record: the configuration.

    Raises:
        UserError: the folder cannot be written.
    """
    parts = (folder.member_folder(out, 0).parent, out / own_clips.FOLDER)
    try:
        # Moved at the end, so that nothing half-made stays.
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=out) as partial:
            for number, (run, step, own) in enumerate(zip(runs, steps, clips, strict=True)):
                member = folder.member_folder(Path(partial), number)
                shutil.copytree(step, member / FOLDER / step.name)
                shutil.copy(run / CONFIG_FILE, member / CONFIG_FILE)
                own_clips.write(member, own)
            own_clips.write(Path(partial), joined)
            for part in parts:
                os.replace(Path(partial) / part.name, part)
        with replacing(out / CONFIG_FILE) as file:  # the last one: without it, the folder is no run
            file.write(yaml_bytes(record))
    except BaseException as error:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise unwritable(out, error) from None
        raise


def _read_member(run: Path) -> TrainConfig:
    """Read the settings of a run that can be a member.

    Raises:
        UserError: it is no run, composed itself, or goes through several clips in an episode.
    """
    config, stored = read_run(run)
    folder.require_one_policy(run, stored, "composed again")
    if config.env.clips != "one":
        raise UserError(
            f"{run}: an episode has several clips already (--env.clips {config.env.clips}); compose runs of"
            " --env.clips one"
        )
    return config


def _comparable(config: TrainConfig, first: TrainConfig) -> TrainConfig:
    """Return `first` with what a member must have in common with it: the task, and what values mean."""
    free = {name: getattr(first.env, name) for name in FREE}
    meaning = {name: getattr(config.ppo, name) for name in ("discount", "bootstrap_clip_end")}
    ppo = replace(first.ppo, **meaning)
    return replace(first, env=replace(config.env, **free), ppo=ppo)
