"""`python -m mjx_mimic.train`: trains a policy to imitate clips."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from mjx_mimic import mimickit_files
from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError, one_line
from mjx_mimic.common.processes import Cluster, is_first, joined
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_yaml import read_config, read_run
from mjx_mimic.display import gl
from mjx_mimic.presets import PRESETS, Preset

PROGRAM = "python -m mjx_mimic.train"


@dataclass(frozen=True)
class TrainCommand:
    """Train a Unitree G1 to imitate motion clips; without arguments, the bundled walk."""

    preset: Annotated[Preset | None, cli.shown("|".join(PRESETS))] = None
    """Settings to start from; every other option overrides them."""
    config: Annotated[Path | None, cli.shown("PATH")] = None
    """YAML file or run folder to start from instead of a preset."""
    arg_file: Annotated[Path | None, cli.shown("FILE")] = None
    """MimicKit's argument file, such as args/deepmimic_g1_ppo_args.txt, to start from: it and the YAML files
    that it names are translated."""
    out: Annotated[Path | None, cli.shown("FOLDER")] = None
    """New run folder; without it runs/<clip>-<date>."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    init_from: Annotated[str | None, cli.shown("RUN[:best|last|SAMPLES]")] = None
    """Start a new run from the networks and the normaliser of another one, by default its best policy. The
    standard deviation comes along where it is learned; optimisers, counters and environments start anew."""
    trust: bool = False
    """Train also on clips that `motion validate` finds unfit for training."""
    video: bool = True
    """Write videos: of the best policy at the end, and of the training on its way (--video-interval)."""
    wandb: Annotated[str | None, cli.shown("PROJECT")] = None
    """Weights & Biases project to log to as well; needs the extra `wandb`."""
    distributed: bool = False
    """Train with the other processes that Slurm, Open MPI, or a TPU pod has started with this one."""
    coordinator: Annotated[str | None, cli.shown("HOST:PORT")] = None
    """Train with other processes, which have the same options and see the same files: where they reach the
    first one."""
    num_processes: Annotated[int | None, cli.shown("N")] = None
    """With --coordinator: how many processes there are."""
    process_id: Annotated[int | None, cli.shown("I")] = None
    """With --coordinator: the number of this one, from 0; the first one writes and prints."""
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)
    """The settings of the training."""


def parse(arguments: Sequence[str]) -> TrainCommand:
    """Parse the command line over a preset, a YAML file, MimicKit's files, or the run to resume.

    MimicKit's own options are translated too; what of its files is not is printed.

    Raises:
        UserError: options that contradict each other, or a configuration that cannot be read.
    """
    arguments, theirs = mimickit_files.split(arguments)
    # What to start from decides the defaults of all other options, so it is read first.
    first = cli.parse_first(TrainCommand, arguments, PROGRAM)
    translation = _translation(first, arguments, theirs)
    if [first.preset, first.config, translation].count(None) < 2:
        raise UserError("options --preset, --config and --arg-file: cannot be joined; choose one of them")
    if translation and first.out is None:
        first = replace(first, out=translation.out)
    if first.resume and first.init_from:
        raise UserError("option --init-from: cannot be joined with --resume, which goes on from --out")
    if first.resume and first.out is None:
        raise UserError("option --resume: needs --out, the run folder to continue")
    if translation:
        start = translation.config
    elif first.config:
        start = read_config(first.config)
    elif first.resume and not first.preset:
        start, _ = read_run(first.out)
    else:
        start = PRESETS[first.preset or "default"]
    command = cli.parse(TrainCommand, arguments, default=replace(first, train=start), prog=PROGRAM)
    if translation:
        print(translation.report, flush=True)
    return command


def _translation(
    first: TrainCommand, arguments: Sequence[str], theirs: Mapping[str, list[str]]
) -> mimickit_files.Translation | None:
    """Translate MimicKit's files, if any are named."""
    if first.arg_file or "env_config" in theirs:
        motion_is_given = any(argument.partition("=")[0] == "--motion" for argument in arguments)
        return mimickit_files.translate(first.arg_file, theirs, motion_is_given, first.train.num_envs)
    mimickit_files.check_options(theirs)
    return None


def main(arguments: Sequence[str]) -> int:
    """Train, and write a video of the best policy."""
    command = parse(arguments)
    cluster = Cluster(command.coordinator, command.num_processes, command.process_id, command.distributed)
    cluster.check()
    # MuJoCo reads its choice of GL library when it is first imported, so this comes before it.
    backend = gl.choose_gl_backend() if command.video else None
    if command.video and backend is None:
        print(f"no video: {gl.why_none()}", flush=True)
    if backend is None:
        cli.draw_nothing()
    cli.prepare_jax(warp=command.train.physics_impl == "warp")
    with joined(cluster):
        from mjx_mimic import runs  # JAX and MuJoCo, after their settings

        if backend:
            from mjx_mimic.display import episode_video  # only where something can draw

        finished, out = runs.train_run(
            command.train,
            command.out,
            command.resume,
            command.wandb,
            command.init_from,
            episode_video.write_draft_video if backend else None,
            command.trust,
        )
        is_writer = is_first()
    if not is_writer:
        return 0 if finished else cli.INTERRUPTED
    if not finished:
        print(f"interrupted; to resume: {_resume_command(command, out)}")
        return cli.INTERRUPTED
    best = runs.Checkpoints(out).progress().best_eval_return
    if best is not None:
        following = f"python -m mjx_mimic.evaluate --run {shlex.quote(str(out))}"
        print(f"complete, best evaluation return {best:.1f}; next: {following}")
    if backend:
        try:
            episode_video.write_episode_video(*runs.load_policy(out), out / "videos" / "final.mp4")
        except Exception as error:  # whatever a machine may lack: what was asked for is trained
            print(f"no video of the trained policy: {one_line(str(error))}", flush=True)
    return 0


def _resume_command(command: TrainCommand, out: Path) -> str:
    """Return what to type to go on, with the options that no run folder keeps."""
    parts = ["python", "-m", "mjx_mimic.train", "--out", str(out), "--resume"]
    for option, value in (
        ("--wandb", command.wandb),
        ("--coordinator", command.coordinator),
        ("--num-processes", command.num_processes),
        ("--process-id", command.process_id),
    ):
        parts += [option, str(value)] if value is not None else []
    parts += ["--distributed"] * command.distributed + ["--no-video"] * (not command.video)
    return shlex.join(parts)


if __name__ == "__main__":
    cli.run(main)
