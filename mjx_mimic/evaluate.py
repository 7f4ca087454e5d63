"""`python -m mjx_mimic.evaluate`: evaluates a trained policy, in MJX or in MuJoCo in C."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import require_writable
from mjx_mimic.config import MOST_DELAY, Which

if TYPE_CHECKING:
    from mjx_mimic.task.env import ImitationEnv

PROGRAM = "python -m mjx_mimic.evaluate"


@dataclass(frozen=True)
class EvaluateCommand:
    """Evaluate a run's policy in many deterministic episodes."""

    run: Path
    """Run folder."""
    motion: tuple[str, ...] = ()
    """Clips to evaluate on, as for training; none: those of the run."""
    engine: Literal["mjx", "mujoco"] = "mjx"
    """Physics engine: MJX as in training, or MuJoCo in C with the same model."""
    episodes: int = 0
    """Number of episodes; 0: 256 on a CPU, 4096 on an accelerator. At least one per clip."""
    start: Literal["both", "random", "first", "training"] = "both"
    """Start episodes at random phases, at the clips' first frames (undisturbed, one per clip), or both; or
    where the training's environments were at the last checkpoint, or at that of --checkpoint SAMPLES."""
    seconds: float = 10.0
    """Length of an episode, s."""
    push: float = 0.0
    """Speed of a kick every 2 s in a random horizontal direction, m/s."""
    noise: float = 0.0
    """Noise on what the policy observes; 1 is about a real robot's."""
    friction: float | None = None
    """Coefficient of sliding friction between the robot and the floor; None: the model's, 1."""
    mass: float | None = None
    """Masses of all links, relative to the model's."""
    delay: float | None = None
    """Control steps, whole or not, until an action reaches the motors."""
    beyond: float = 0.0
    """With the goals strike and throw: targets outside of training's ranges, by up to so many half widths."""
    checkpoint: Which = "best"
    """The policy with the best evaluation return, the last one, or that of a kept checkpoint, by its
    samples."""
    mjcf: Annotated[Path | None, cli.shown("FILE")] = None
    """With the engine mujoco: another G1 with the same joint names."""
    solver_iterations: int = 0
    """With the engine mujoco: iterations of the contact solver; 0: as in training."""
    seed: int = 0
    """Seed of start phases, pushes and noise."""
    json: Annotated[Path | None, cli.shown("FILE")] = None
    """JSON file for all metrics."""
    plot: Annotated[Path | None, cli.shown("FILE")] = None
    """PNG of error and foot contacts over the phase."""
    record: Annotated[Path | None, cli.shown("FILE")] = None
    """Clip file for the first episode's simulated motion: .npz native, .pkl MimicKit, .csv Unitree."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate, print the table, and write what was asked for."""
    command = cli.parse(EvaluateCommand, arguments, prog=PROGRAM)
    check(command)
    cli.prepare_jax()
    from mjx_mimic import clips, evaluation, runs  # JAX and MuJoCo, after their settings

    found = clips.load_clips(command.motion) if command.motion else runs.load_run_clips(command.run)
    policy, env = runs.load_policy(command.run, command.checkpoint, found)
    if command.beyond:
        env = beyond(env, command.beyond)
    starts = (
        runs.load_training_states(command.run, command.checkpoint) if command.start == "training" else None
    )
    protocol = evaluation.Protocol(
        command.seconds, command.push, command.noise, command.friction, command.mass, command.delay
    )
    report = evaluation.evaluate(
        evaluation.Evaluation(env, policy, protocol, starts),
        [motion.name for motion in found.motions],
        engine=command.engine,
        episodes=command.episodes,
        start=command.start,
        seed=command.seed,
        mjcf=command.mjcf,
        solver_iterations=command.solver_iterations,
        record=command.record is not None,
    )
    report.show(str(command.run))
    if command.json:
        report.write_json(command.json, {"run": str(command.run), "checkpoint": command.checkpoint})
    if command.plot:
        report.write_plot(command.plot)
    if command.record:
        report.write_recording(command.record)
    return 0


def beyond(env: "ImitationEnv", share: float) -> "ImitationEnv":
    """Return a task whose targets are outside of the ranges of training.

    Raises:
        UserError: it has no targets.
    """
    name = env.config.goal
    if name not in ("strike", "throw"):
        raise UserError(f"option --beyond: the run's goal is {name}, which has no targets; leave it out")
    goal = replace(getattr(env.config, name), beyond=share)
    return env.with_config(replace(env.config, **{name: goal}))


def check(command: EvaluateCommand) -> None:
    """Refuse options that make no sense, before anything is compiled.

    Raises:
        UserError: with the option and a remedy.
    """
    if command.engine != "mujoco" and (command.mjcf or command.solver_iterations):
        raise UserError("options --mjcf and --solver-iterations: they need --engine mujoco")
    robots = {
        "--friction": (command.friction, 0.01, 10.0),
        "--mass": (command.mass, 0.1, 10.0),
        "--delay": (command.delay, 0.0, MOST_DELAY),
    }
    cli.require_range({name: (v, low, high) for name, (v, low, high) in robots.items() if v is not None})
    if command.mjcf and (command.friction is not None or command.mass is not None):
        raise UserError("option --mjcf: friction and masses are the file's; leave --friction and --mass out")
    if command.start == "training" and command.motion:
        raise UserError("option --start: training needs the run's own clips; leave --motion out")
    cli.require_range(
        {
            "--seconds": (command.seconds, 0.1, 600.0),
            "--episodes": (command.episodes, 0, 10**6),
            "--beyond": (command.beyond, 0.0, 10.0),
            "--push": (command.push, 0.0, 10.0),
            "--noise": (command.noise, 0.0, 10.0),
            "--solver-iterations": (command.solver_iterations, 0, 1000),
        }
    )
    for option, file in (("--json", command.json), ("--plot", command.plot), ("--record", command.record)):
        if file:
            require_writable(option, file)
    if command.record and command.record.suffix.lower() not in (".npz", ".pkl", ".csv"):
        raise UserError(f"option --record: {command.record} will not do; end the name in .npz, .pkl or .csv")


if __name__ == "__main__":
    cli.run(main)
