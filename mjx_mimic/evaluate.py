"""`python -m mjx_mimic.evaluate`: the test of a trained policy, in MJX or in MuJoCo in C."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.formats import key_of, save_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.runs.config_yaml import read_config

if TYPE_CHECKING:
    from mjx_mimic.evaluation.episodes import Judge, Outcome
    from mjx_mimic.evaluation.recording import Recording

PROGRAM = "python -m mjx_mimic.evaluate"


@dataclass(frozen=True)
class EvaluateCommand:
    """Figures of many deterministic episodes of a run's policy."""

    run: Path
    """Run folder."""
    motion: tuple[str, ...] = ()
    """Clips to test on, as for training; none: those of the run."""
    engine: Literal["mjx", "mujoco"] = "mjx"
    """Physics: MJX as in training, or MuJoCo in C with the same model."""
    episodes: int = 0
    """Episodes; 0: 256 on a CPU, 4096 on an accelerator. At least one a clip."""
    start: Literal["both", "random", "first"] = "both"
    """Episodes from random phases, from the clips' first frames (undisturbed, one a clip), or both kinds."""
    seconds: float = 10.0
    """Length of an episode, s."""
    push: float = 0.0
    """Kick the robot every 2 s by this, m/s, in a random horizontal direction."""
    noise: float = 0.0
    """Noise on what the policy observes; 1: about a real robot's."""
    checkpoint: Literal["best", "last"] = "best"
    """The run's policy with the best test return, or its last one."""
    mjcf: Annotated[Path | None, cli.shown("FILE")] = None
    """With the engine mujoco: another G1 with the same joint names."""
    solver_iterations: int = 0
    """With the engine mujoco: iterations of the contact solver; 0: as in training."""
    seed: int = 0
    """Seed of start phases, pushes and noise."""
    json: Annotated[Path | None, cli.shown("FILE")] = None
    """File for the figures."""
    plot: Annotated[Path | None, cli.shown("FILE")] = None
    """PNG of error and foot contacts over the phase."""
    record: Annotated[Path | None, cli.shown("FILE")] = None
    """Clip file for the first episode's simulated motion: .npz native, .pkl MimicKit, .csv Unitree."""


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(EvaluateCommand, arguments, prog=PROGRAM)
    check(command)
    cli.prepare_jax()
    import jax

    from mjx_mimic.clips.dataset import load_clips
    from mjx_mimic.evaluation import summary
    from mjx_mimic.evaluation.episodes import Judge, Protocol
    from mjx_mimic.learning.learner import make_learner
    from mjx_mimic.runs import folder

    config = read_config(command.run)
    if command.motion:
        config = replace(config, motion=command.motion, motion_weights=())
    clips = load_clips(config.motion, config.motion_weights)
    policy = folder.Checkpoints(command.run).restore_policy(command.checkpoint)
    learner = make_learner(config, clips, jax.local_devices())
    names = [motion.name for motion in clips.motions]
    default = 256 if jax.default_backend() == "cpu" else 4096
    episodes = max(command.episodes or default, len(names))
    disturbed = command.push > 0 or command.noise > 0
    # Undisturbed episodes from a clip's first frame are all alike.
    from_first = 0 if command.start == "random" else episodes if disturbed else len(names)
    from_random = 0 if command.start == "first" else episodes
    at_first = np.arange(from_first + from_random) < from_first
    protocol = Protocol(command.seconds, command.push, command.noise)
    start = time.monotonic()
    outcome = play(command, Judge(learner.env, learner, protocol), policy, at_first)
    results: dict[str, Any] = {"run": str(command.run), "checkpoint": command.checkpoint}
    results |= {"engine": command.engine, "seconds": time.monotonic() - start}
    results |= {"push": command.push, "noise": command.noise, "seed": command.seed}
    found = {}
    for kind, chosen in (("random", ~at_first), ("first", at_first)):
        if chosen.any():
            episode = jax.tree.map(lambda x, chosen=chosen: x[: len(at_first)][chosen], outcome.episode)
            found[kind] = summary.scores(episode, learner.env.control_dt)
            told = summary.table(found[kind], episode.index % len(names), names)
            results[kind] = {"episodes": int(chosen.sum()), **told}
    show(results, found)
    if command.json:
        with replacing(command.json) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
    if command.plot:
        from mjx_mimic.evaluation.plot import plot_phases

        plot_phases(command.plot, outcome.figures, names)
    if command.record:
        recording = outcome.recordings[0]
        save_recording(command.record, recording, names[recording.clip])
    return 0


def save_recording(path: Path, recording: "Recording", name: str) -> None:
    """Writes the simulated motion of an episode as a clip."""
    motion = Motion.from_qpos(recording.qpos, name=f"{name} simulated", fps=recording.fps, source=path)
    save_motion(path, motion, key_of(path))
    print(f"{path}: {name}, {motion.num_frames} simulated frames at {motion.fps:g} frames/s")


def check(command: EvaluateCommand) -> None:
    """UserError for options that make no sense, before anything is compiled."""
    if command.engine != "mujoco" and (command.mjcf or command.solver_iterations):
        raise UserError("options --mjcf and --solver-iterations: they need --engine mujoco")
    bounds = {"--seconds": (command.seconds, 0.1, 600.0), "--episodes": (command.episodes, 0, 10**6)}
    bounds |= {"--push": (command.push, 0.0, 10.0), "--noise": (command.noise, 0.0, 10.0)}
    bounds |= {"--solver-iterations": (command.solver_iterations, 0, 1000)}
    for option, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise UserError(f"option {option}: {value} will not do; use a number from {low:g} to {high:g}")
    for option, file in (("--json", command.json), ("--plot", command.plot), ("--record", command.record)):
        if file and (file.is_dir() or not file.parent.is_dir()):
            raise UserError(f"option {option}: {file} cannot be written; name a file in a folder that exists")
    if command.record:
        key_of(command.record)


def play(
    command: EvaluateCommand, judge: "Judge", policy: dict[str, Any], at_first: NDArray[np.bool_]
) -> "Outcome":
    """The episodes, by the engine asked for."""
    from mjx_mimic.evaluation import mjx_engine, mujoco_engine

    recorded = 1 if command.record else 0
    if command.engine == "mjx":
        return mjx_engine.run_in_mjx(judge, policy, at_first, command.seed, recorded)
    robot = judge.env.robot
    model = mujoco_engine.load_other(command.mjcf, robot) if command.mjcf else robot.model
    if command.solver_iterations:
        model.opt.iterations = command.solver_iterations
        model.opt.ls_iterations = 50
    return mujoco_engine.run_in_c(judge, policy, at_first, command.seed, model, recorded)


def show(results: dict[str, Any], found: Mapping[str, tuple]) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    headings = {"random": "from random phases", "first": "from the first frame"}
    counts = ", ".join(f"{results[kind]['episodes']} {headings[kind]}" for kind in found)
    title = f"{results['run']}, {results['engine']}: episodes {counts}; {results['seconds']:.0f} s"
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "unit", *(headings[kind] for kind in found), "meaning"):
        table.add_column(heading, justify="right" if heading in headings.values() else "left", no_wrap=True)
    for rows in zip(*found.values(), strict=True):
        cells = []
        for summary in (score.summary() for score in rows):
            spread = f" ± {summary['std']:.2g}" if summary["count"] > 1 else ""
            cells.append("-" if summary["mean"] is None else f"{summary['mean']:.4g}{spread}")
        table.add_row(rows[0].name, rows[0].unit, *cells, rows[0].meaning)
    Console(width=max(150, Console().width)).print(table)
    for kind in found:
        for clip in results[kind].get("clips", ()):
            told = ", ".join(
                f"{name} {clip[name]['mean']:.4g}"
                for name in ("test_return", "survived", "success_0.5m", "mpjpe_global")
                if clip[name]["mean"] is not None
            )
            print(f"{headings[kind]}, {clip['name']}: {told}")


if __name__ == "__main__":
    cli.run(main)
