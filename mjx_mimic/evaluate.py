"""`python -m mjx_mimic.evaluate`: the test of a trained policy, in MJX or in MuJoCo in C."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mjx_mimic import launch
from mjx_mimic.config_file import read_config
from mjx_mimic.errors import UserError
from mjx_mimic.files import replacing

if TYPE_CHECKING:
    from mjx_mimic.evaluation import Judge

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
    """Episodes of each kind; 0: 256 on a CPU, 4096 on an accelerator, at least one a clip."""
    start: Literal["both", "random", "first"] = "both"
    """Episodes from random phases, from the clips' first frames, or both kinds."""
    seconds: float = 10.0
    """Length of an episode, s."""
    push: float = 0.0
    """Kick the robot every 2 s by this, m/s, in a random horizontal direction."""
    noise: float = 0.0
    """Noise on what the policy observes; 1: about a real robot's."""
    checkpoint: Literal["best", "last"] = "best"
    """The run's policy with the best test return, or its last one."""
    mjcf: Path | None = None
    """With the engine mujoco: another G1 with the same joint names."""
    solver_iterations: int = 0
    """With the engine mujoco: iterations of the contact solver; 0: as in training."""
    seed: int = 0
    """Seed of start phases, pushes and noise."""
    json: Path | None = None
    """File for the figures."""
    plot: Path | None = None
    """PNG of error and foot contacts over the phase."""


def main(arguments: Sequence[str]) -> int:
    command = launch.parse(EvaluateCommand, arguments, prog=PROGRAM)
    check(command)
    launch.prepare_jax()
    import jax

    from mjx_mimic import run, scores
    from mjx_mimic.dataset import load_clips
    from mjx_mimic.evaluation import Judge, Protocol
    from mjx_mimic.learner import make_learner

    config = read_config(command.run)
    if command.motion:
        config = replace(config, motion=command.motion, motion_weights=())
    clips = load_clips(config.motion, config.motion_weights)
    policy = run.Checkpoints(command.run).restore_policy(command.checkpoint)
    learner = make_learner(config, clips, jax.local_devices())
    default = 256 if jax.default_backend() == "cpu" else 4096
    episodes = command.episodes or max(default, len(clips.motions))
    kinds: tuple[Literal["random", "first"], ...] = (
        ("random", "first") if command.start == "both" else (command.start,)
    )
    names = [motion.name for motion in clips.motions]
    results: dict[str, Any] = {"run": str(command.run), "engine": command.engine, "episodes": episodes}
    results |= {"push": command.push, "noise": command.noise, "seed": command.seed}
    found = {}
    for kind in kinds:
        protocol = Protocol(kind, command.seconds, command.push, command.noise)
        start = time.monotonic()
        episode, figures = play(command, Judge(learner.env, learner, protocol), policy, episodes)
        found[kind] = scores.scores(episode, learner.env.control_dt)
        clip = episode.index % len(names)
        results[kind] = {"seconds": time.monotonic() - start, **scores.table(found[kind], clip, names)}
    show(results, kinds, found)
    if command.json:
        with replacing(command.json) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
    if command.plot:
        from mjx_mimic.evaluation_plot import plot_phases

        plot_phases(command.plot, figures, names)  # of the last kind
    return 0


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
    for option, file in (("--json", command.json), ("--plot", command.plot)):
        if file and (file.is_dir() or not file.parent.is_dir()):
            raise UserError(f"option {option}: {file} cannot be written; name a file in a folder that exists")


def play(command: EvaluateCommand, judge: "Judge", policy: dict[str, Any], episodes: int) -> tuple:
    """The episodes, by the engine asked for."""
    from mjx_mimic import c_engine, evaluation

    if command.engine == "mjx":
        return evaluation.run_on_devices(judge, policy, episodes, command.seed)
    robot = judge.env.robot
    model = c_engine.load_other(command.mjcf, robot) if command.mjcf else robot.model
    if command.solver_iterations:
        model.opt.iterations = command.solver_iterations
        model.opt.ls_iterations = 50
    return c_engine.run_in_c(judge, policy, episodes, command.seed, model)


def show(results: dict[str, Any], kinds: Sequence[str], found: Mapping[Any, tuple]) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    headings = {"random": "from random phases", "first": "from the first frame"}
    seconds = " + ".join(f"{results[kind]['seconds']:.0f} s" for kind in kinds)
    title = f"{results['run']}: {results['episodes']} episodes in {results['engine']} ({seconds})"
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "unit", *(headings[kind] for kind in kinds), "meaning"):
        table.add_column(heading, justify="right" if heading in headings.values() else "left")
    for row, score in enumerate(found[kinds[0]]):
        cells = []
        for kind in kinds:
            summary = found[kind][row].summary()
            cells.append("-" if summary["mean"] is None else f"{summary['mean']:.4g} ± {summary['std']:.2g}")
        table.add_row(score.name, score.unit, *cells, score.meaning)
    Console(width=130).print(table)
    for kind in kinds:
        for clip in results[kind].get("clips", ()):
            told = ", ".join(
                f"{name} {clip[name]['mean']:.4g}"
                for name in ("test_return", "survived", "success_0.5m", "mpjpe_global")
                if clip[name]["mean"] is not None
            )
            print(f"{headings[kind]}, {clip['name']}: {told}")


if __name__ == "__main__":
    launch.run(main)
