"""`python -m mjx_mimic.evaluate`: evaluates a trained policy, in MJX or in MuJoCo in C."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import require_writable
from mjx_mimic.config import MOST_DELAY, MOST_SEED, Direction, EngineName, Start, Which

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
    engine: EngineName = "mjx"
    """Physics engine: MJX as in training, or MuJoCo in C with the same model."""
    episodes: int = 0
    """Number of episodes, rounded up so that each clip, and with skills each pair of clips, has as many; 0:
    256 on a CPU, 4096 on an accelerator."""
    start: Start = "both"
    """Start episodes at random phases, at the clips' first frames (as few as there can be, if undisturbed and
    without a goal), or both; or where the training's environments were at the last checkpoint, or at that of
    --checkpoint SAMPLES."""
    seconds: float = 10.0
    """Length of an episode, s."""
    push: float = 0.0
    """Speed of a kick every 2 s in a random horizontal direction, m/s."""
    push_turn: float = 0.0
    """Turn that comes with a kick: up to this about each axis, rad/s."""
    force: float = 0.0
    """Force on the pelvis, once in each episode after 1 to 3 s, N."""
    direction: Direction = "forward"
    """Where the force points, as the robot sees it."""
    duration: float = 0.2
    """How long the force acts, s."""
    find_limit: bool = False
    """Find the largest force that 90% of the episodes survive, in each direction."""
    noise: tuple[float, ...] = ()
    """Noise on what the policy observes; 1 is about a real robot's. Of several numbers here and in the next
    three options, every combination is evaluated from random phases."""
    friction: tuple[float, ...] = ()
    """Coefficient of sliding friction between the robot and the floor; the model's is 1."""
    mass: tuple[float, ...] = ()
    """Masses of all links, relative to the model's."""
    delay: tuple[float, ...] = ()
    """Control steps, whole or not, until an action reaches the motors."""
    max_deviation: Annotated[float | None, cli.shown("METRES")] = None
    """How far a body may be from its reference before an episode has failed, by the run's own rule of what is
    compared; without this option the run's own --env.max-deviation, or 0.5 m where it has none."""
    beyond: float = 0.0
    """With the goals strike and throw: targets outside of training's ranges, by up to so many half widths."""
    transitions: Literal["each", "chosen"] = "each"
    """With a run of skills: episodes of every clip with every other one after it; or, with a composite run,
    the clips that its value functions choose."""
    grid: bool = False
    """Evaluate friction 0.4, 0.8 and 1.2, masses 0.9, 1 and 1.1, delays of 0 and 20 ms (2 control steps where
    these are shorter), and noise 0 and 1 in every combination, or the numbers of these options where they are
    given."""
    checkpoint: Which = "best"
    """The policy with the best evaluation return, the last one, or that of a kept checkpoint, by its
    samples."""
    self_collision: bool = False
    """Let the legs collide with each other, and the arms with trunk and thighs, also where they did not in
    training."""
    mjcf: Annotated[Path | None, cli.shown("FILE")] = None
    """With the engine mujoco: another G1 with the same joint names, in a scene of its own."""
    solver_iterations: int = 0
    """With the engine mujoco: most iterations of the contact solver in a physics step; with 100 it has
    converged. 0: as many as in training, or with --mjcf as the file says."""
    physics_hz: float = 0.0
    """With the engine mujoco: physics steps per second, a multiple of the control rate; 0: as in training."""
    seed: int = 0
    """Seed of start phases, pushes and noise."""
    json: Annotated[Path | None, cli.shown("FILE")] = None
    """JSON file for all metrics."""
    plot: Annotated[Path | None, cli.shown("FILE")] = None
    """PNG of errors, foot contacts and failures over the phase; of several combinations, a heat map of who
    survives."""
    record: Annotated[Path | None, cli.shown("FILE")] = None
    """Clip file for the first episode's simulated motion: .npz native, .pkl MimicKit, .csv Unitree."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate, print the table, and write what was asked for."""
    command = cli.parse(EvaluateCommand, arguments, prog=PROGRAM)
    check(command)
    cli.draw_nothing()
    cli.prepare_jax()
    from mjx_mimic import clips, evaluation, runs  # JAX and MuJoCo, after their settings

    found = clips.load_clips(command.motion) if command.motion else runs.load_run_clips(command.run)
    policy, env = runs.load_policy(command.run, command.checkpoint, found)
    if command.record:
        evaluation.check_recording(command.record, env.config.control_hz)
    env = changed(env, command)
    chooses = command.transitions == "chosen"
    if chooses and env.choice is None:
        raise UserError("option --transitions: chosen needs a run made by `compose`; leave it out")
    starts = (
        runs.load_training_states(command.run, command.checkpoint) if command.start == "training" else None
    )
    protocol = evaluation.Protocol(
        command.seconds, command.push, push_turn=command.push_turn, force_seconds=command.duration
    )
    whole = evaluation.Evaluation(env, policy, protocol, starts, chooses=chooses)
    if command.force:
        whole = whole.with_force(command.direction, command.force)
    grid = conditions(command, env.config.control_hz)
    engine = evaluation.Engine(
        command.engine, command.seed, command.mjcf, command.solver_iterations, command.physics_hz
    )
    options = {
        name: str(value) if isinstance(value, Path) else value for name, value in vars(command).items()
    }
    about = {"run": str(command.run), "checkpoint": command.checkpoint, "options": options}
    names = [motion.name for motion in found.motions]
    report: evaluation.Report | evaluation.Grid | evaluation.ForceLimits
    if command.find_limit:
        report = evaluation.find_limits(whole.under(grid[0]), engine)
    elif len(grid) > 1:
        report = evaluation.evaluate_grid(whole, names, grid, engine, command.episodes)
    else:
        report = evaluation.evaluate(
            whole.under(grid[0]),
            names,
            engine,
            episodes=command.episodes,
            start=command.start,
            record=command.record is not None,
        )
    report.show(str(command.run))
    if command.json:
        report.write_json(command.json, about)
    if command.plot and not isinstance(report, evaluation.ForceLimits):
        report.write_plot(command.plot)
    if command.record and isinstance(report, evaluation.Report):
        report.write_recording(command.record)
    return 0


def conditions(command: EvaluateCommand, control_hz: float) -> list[dict[str, float]]:
    """Return every combination of the numbers given for noise, friction, mass and delay, by name."""
    defaults = {
        "noise": (0.0, 1.0),
        "friction": (0.4, 0.8, 1.2),
        "mass": (0.9, 1.0, 1.1),
        "delay": (0.0, min(0.02 * control_hz, MOST_DELAY)),
    }
    given = {name: getattr(command, name) or (command.grid and values) for name, values in defaults.items()}
    axes = {name: values for name, values in given.items() if values}
    return [dict(zip(axes, found, strict=True)) for found in itertools.product(*axes.values())]


def changed(env: "ImitationEnv", command: EvaluateCommand) -> "ImitationEnv":
    """Return the task with the collisions, the distance of early termination and the targets asked for.

    Raises:
        UserError: the task has no targets.
    """
    if command.self_collision:
        from mjx_mimic.task.making import with_self_collision  # imports JAX

        env = with_self_collision(env)
    if command.max_deviation is not None:
        env = env.with_config(replace(env.config, max_deviation=command.max_deviation))
    return beyond(env, command.beyond) if command.beyond else env


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
    check_ranges(command)
    axes = (command.noise, command.friction, command.mass, command.delay)
    several = command.grid or any(len(values) > 1 for values in axes)
    one_report = not several and not command.find_limit
    elsewhere = command.start in ("first", "training")
    for option, is_wrong, why in (
        (
            "--mjcf",
            command.engine != "mujoco"
            and bool(command.mjcf or command.solver_iterations or command.physics_hz),
            "it, --solver-iterations and --physics-hz need --engine mujoco",
        ),
        (
            "--mjcf",
            bool(command.mjcf and (command.grid or command.friction or command.mass)),
            "friction and masses are the file's; leave --friction, --mass and --grid out",
        ),
        (
            "--mjcf",
            command.mjcf is not None and command.self_collision,
            "contacts are the file's; leave --self-collision out",
        ),
        (
            "--start",
            command.start == "training" and bool(command.motion),
            "training needs the run's own clips; leave --motion out",
        ),
        (
            "--start",
            elsewhere and not one_report,
            "a grid and --find-limit start at random phases; leave it out",
        ),
        (
            "--find-limit",
            several and command.find_limit,
            "it needs one noise, friction, mass and delay; leave --grid out",
        ),
        (
            "--find-limit",
            command.find_limit and command.force > 0.0,
            "it looks for the force; leave --force out",
        ),
        (
            "--find-limit",
            command.find_limit and command.push > 0.0,
            "robots that a kick fells would count against the force; leave --push out",
        ),
        (
            "--find-limit",
            command.find_limit and (command.episodes > 0 or command.direction != "forward"),
            "it takes its own number of episodes in each of the four directions; leave --episodes and"
            " --direction out",
        ),
        (
            "--seconds",
            command.find_limit and command.seconds < 4.0 + command.duration,
            "--find-limit has a force after 1 to 3 s, for --duration, and a second after it; give at least"
            f" {4.0 + command.duration:g}",
        ),
        (
            "--plot",
            command.find_limit and command.plot is not None,
            "--find-limit draws nothing; leave one of them out",
        ),
        (
            "--record",
            not one_report and command.record is not None,
            "a grid and --find-limit record nothing; leave it out",
        ),
        ("--push-turn", command.push_turn > 0.0 and command.push == 0.0, "it comes with kicks; add --push"),
        (
            "--direction",
            command.direction != "forward" and command.force == 0.0 and not command.find_limit,
            "it is of a force; add --force",
        ),
        (
            "--duration",
            command.duration != EvaluateCommand.duration and command.force == 0.0 and not command.find_limit,
            "it is of a force; add --force or --find-limit",
        ),
    ):
        if is_wrong:
            raise UserError(f"option {option}: {why}")
    for option, file in (("--json", command.json), ("--plot", command.plot), ("--record", command.record)):
        if file:
            require_writable(option, file)
    if command.record and command.record.suffix.lower() not in (".npz", ".pkl", ".csv"):
        raise UserError(f"option --record: {command.record} will not do; end the name in .npz, .pkl or .csv")
    if command.plot and command.plot.suffix.lower() != ".png":
        raise UserError(f"option --plot: {command.plot} will not do; end the name in .png")


def check_ranges(command: EvaluateCommand) -> None:
    """Hold every number to its bounds.

    Raises:
        UserError: with the option and its bounds.
    """
    for option, values, low, high in (
        ("--noise", command.noise, 0.0, 10.0),
        ("--friction", command.friction, 0.01, 10.0),
        ("--mass", command.mass, 0.1, 10.0),
        ("--delay", command.delay, 0.0, MOST_DELAY),
    ):
        for value in values:
            cli.require_range({option: (value, low, high)})
    cli.require_range(
        {
            "--seconds": (command.seconds, 0.1, 600.0),
            "--episodes": (command.episodes, 0, 10**6),
            "--seed": (command.seed, 0, MOST_SEED),
            "--beyond": (command.beyond, 0.0, 10.0),
            "--max-deviation": (1.0 if command.max_deviation is None else command.max_deviation, 0.01, 1e6),
            "--push": (command.push, 0.0, 10.0),
            "--push-turn": (command.push_turn, 0.0, 10.0),
            "--force": (command.force, 0.0, 1e4),
            "--duration": (command.duration, 0.001, 10.0),
            "--solver-iterations": (command.solver_iterations, 0, 1000),
            "--physics-hz": (command.physics_hz, 0.0, 1e5),
        }
    )


if __name__ == "__main__":
    cli.run(main)
