"""What a machine fills in where settings are 0, and which settings cannot be trained with."""

import math
import operator
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from mjx_mimic.common.cli import require_range
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import GoalName, RandomizationConfig, TrainConfig, Within
from mjx_mimic.robot.constants import G1_JOINTS, mirrored_name


@dataclass(frozen=True)
class Sizes:
    """What each device is given where the user names no number.

    All grow with the devices: what a policy learns follows from the number of its updates, which is thus the
    same on one device and on many.
    """

    num_envs: int
    total_steps: int
    eval_interval: int
    video_interval: int


PER_CORE = Sizes(128, 6_000_000, 250_000, 1_000_000)
# Evaluations come about as often as MimicKit's, every 100 iterations of 4096 x 32 samples.
PER_ACCELERATOR = Sizes(4096, 300_000_000, 13_000_000, 52_000_000)


def sized(config: TrainConfig, platform: str, devices: int) -> TrainConfig:
    """Fill in what is 0 for this machine, and check the result against it.

    Raises:
        UserError: a number that cannot be trained with.
    """
    each = PER_CORE if platform == "cpu" else PER_ACCELERATOR
    video_interval = config.video_interval
    config = replace(
        config,
        video_interval=each.video_interval * devices if video_interval is None else video_interval,
        num_envs=config.num_envs
        or _next_multiple(config.envs_per_accelerator * (1 if platform == "cpu" else devices), devices)
        or each.num_envs * devices,
        total_steps=config.total_steps or each.total_steps * devices,
        eval_interval=config.eval_interval or each.eval_interval * devices,
        eval_envs=_next_multiple(config.eval_envs, devices),
    )
    check(config, devices)
    return config


def _next_multiple(count: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def check_physics_rate(option: str, physics_hz: float, control_hz: float) -> None:
    """Refuse a physics rate of which control steps do not take a whole number of steps.

    Raises:
        UserError: with the option and a remedy.
    """
    substeps = physics_hz / control_hz
    if round(substeps) < 1 or not math.isclose(substeps, round(substeps), rel_tol=1e-6):
        remedy = f"use a multiple of {control_hz:g}, the control rate"
        raise UserError(f"option {option}: {physics_hz:g} will not do; {remedy}")


def check(config: TrainConfig, devices: int) -> None:
    """Refuse settings that contradict each other or the machine.

    Raises:
        UserError: with the option and a remedy.
    """
    check_bounds(config)
    env, ppo = config.env, config.ppo

    remedy = f"use a multiple of {devices}, the number of devices"
    _require(config.num_envs > 0 and config.num_envs % devices == 0, "--num-envs", config.num_envs, remedy)
    batch = config.num_envs // devices * config.unroll_length
    remedy = f"use a divisor of {batch}, the samples per device and update"
    _require(batch % ppo.actor_minibatches == 0, "--ppo.actor-minibatches", ppo.actor_minibatches, remedy)
    _require(batch % ppo.critic_minibatches == 0, "--ppo.critic-minibatches", ppo.critic_minibatches, remedy)
    _require(ppo.min_rate <= ppo.max_rate, "--ppo.min-rate", ppo.min_rate, "use one up to --ppo.max-rate")
    check_physics_rate("--env.physics-hz", env.physics_hz, env.control_hz)
    remedy = f"use at least {1.0 / env.control_hz:.3g}, one control step"
    steps = round(env.episode_seconds * env.control_hz)
    _require(steps >= 1, "--env.episode-seconds", env.episode_seconds, remedy)
    delay = env.randomization.delay
    remedy = f"use less than the {steps} control steps of an episode"
    _require(max(delay) < steps, "--env.randomization.delay", delay, remedy)
    _require(
        env.start == "random" or config.start_sampling == "uniform",
        "--start-sampling",
        config.start_sampling,
        "use uniform with --env.start first",
    )
    remedy = f"give {len(G1_JOINTS)}, one for each joint, not all 0"
    joints_do = len(env.joint_weights) == len(G1_JOINTS) and any(env.joint_weights)
    _require(joints_do or not env.joint_weights, "--env.joint-weights", env.joint_weights, remedy)
    for part in ("randomization", "heading", "location", "strike", "throw"):
        for name, value in vars(getattr(env, part)).items():
            ascends = not isinstance(value, tuple) or (len(value) == 2 and value[0] <= value[1])
            option = f"--env.{part}.{name}".replace("_", "-")
            _require(ascends, option, value, "give the lowest and the highest value, in this order")
    rewards = env.goal == "none" or env.imitation_weight + env.goal_weight > 0.0
    _require(rewards, "--env.goal-weight", 0, "give it or --env.imitation-weight a number over 0")
    terms = env.mimickit_reward if env.reward == "mimickit" else env.paper_reward
    weights_do = any(value > 0 for name, value in vars(terms).items() if name.endswith("_weight"))
    option = f"--env.{env.reward}-reward"
    _require(weights_do, option, "all weights 0", "give one term a weight over 0")
    remedy = "use 1; only the observation onboard is of sensor readings"
    _require(env.history == 1 or env.observation == "onboard", "--env.history", env.history, remedy)
    _require(
        config.push > 0.0 or config.push_turn == 0.0,
        "--push-turn",
        config.push_turn,
        "add --push, the speed of the kicks",
    )
    remedy = "add --env.self-collision, without which nothing touches the robot but the floor"
    touches = env.self_collision or env.penalty.self_contact == 0.0
    _require(touches, "--env.penalty.self-contact", env.penalty.self_contact, remedy)
    shows = _sees_reference(config) or env.phase is not False
    remedy = "the observation would show neither phase nor reference; add --env.target-steps 1"
    _require(shows, "--env.phase", env.phase, remedy)
    both_sides = set(map(mirrored_name, env.key_bodies)) == set(env.key_bodies)
    has_mirror_image = both_sides or not _shows_key_bodies(config) or not _sees_reference(config)
    remedy = "name the bodies of both sides, or add --network.no-symmetric"
    _require(has_mirror_image or not config.network.symmetric, "--env.key-bodies", env.key_bodies, remedy)
    _require(len(config.motion) > 0, "--motion", "no clip", "name at least one")
    weights, count = config.motion_weights, len(config.motion)
    remedy = f"give {count}, one for each --motion"
    _require(len(weights) in (0, count), "--motion-weights", weights, remedy)
    _require(not weights or sum(weights) > 0, "--motion-weights", weights, "use numbers from 0, not all 0")


def _require(condition: bool, option: str, value: Any, remedy: str) -> None:
    if not condition:
        raise UserError(f"option {option}: {value} will not do; {remedy}")


def _has_goal(name: str) -> Callable[[TrainConfig], bool]:
    return lambda config: config.env.goal == name


def _shows_phase(config: TrainConfig) -> bool:
    env = config.env
    return env.observation != "mimickit" if env.phase is None else env.phase


def _shows_place(config: TrainConfig) -> bool:
    return config.env.observation != "onboard" or config.env.goal in ("location", "strike", "throw")


def _shows_key_bodies(config: TrainConfig) -> bool:
    return config.env.observation not in ("compact", "onboard")


def _sees_reference(config: TrainConfig) -> bool:
    return config.env.observation != "paper" or bool(config.env.target_steps)


def _counts_key_bodies(config: TrainConfig) -> bool:
    return config.env.reward == "mimickit" or _shows_key_bodies(config)


_EFFECTS: dict[str, tuple[Callable[[TrainConfig], bool], str]] = {
    **{f"env.{name}": (_has_goal(name), f"--env.goal {name}") for name in typing.get_args(GoalName)[1:]},
    **{
        f"env.{name}_weight": (lambda config: config.env.goal != "none", "--env.goal")
        for name in ("imitation", "goal")
    },
    "env.mimickit_reward": (lambda config: config.env.reward == "mimickit", "--env.reward mimickit"),
    "env.joint_weights": (lambda config: config.env.reward == "mimickit", "--env.reward mimickit"),
    "env.paper_reward": (lambda config: config.env.reward == "paper", "--env.reward paper"),
    "env.action_scale": (lambda config: config.env.action == "reference", "--env.action reference"),
    "env.phase_frequencies": (_shows_phase, "--env.phase"),
    "env.noise": (lambda config: config.noise > 0.0, "--noise"),
    "env.noise.position": (_shows_place, "another --env.observation"),
    "env.noise.velocity": (lambda config: config.env.observation != "onboard", "another --env.observation"),
    "env.key_bodies": (_counts_key_bodies, "--env.reward mimickit"),
    "motion_share": (lambda config: config.env.clips == "one", "--env.clips one"),
    "ppo.bootstrap_clip_end": (lambda config: config.env.clips != "skills", "another --env.clips"),
    "ppo.entropy_weight": (lambda config: config.network.learn_std, "--network.learn-std"),
    **{
        f"ppo.{name}": (lambda config: config.ppo.target_kl is not None, "--ppo.target-kl")
        for name in ("final_kl", "min_rate", "max_rate")
    },
}
"""Settings and sections that do something only under a condition: it, and the option that meets it."""


def without_effect(config: TrainConfig) -> Iterator[str]:
    """Yield a warning for each setting that is not its default and does nothing in a training.

    They are not refused: presets, and files that several trainings share, may hold them.
    """
    default = TrainConfig()
    for path, (counts, needed) in _EFFECTS.items():
        if not counts(config):
            value, usual = (operator.attrgetter(path)(settings) for settings in (config, default))
            for name in _changed(path, value, usual):
                option = f"--{name}".replace("_", "-")
                yield f"warning: option {option}: has no effect in training without {needed}"


def _changed(name: str, value: Any, usual: Any) -> list[str]:
    """Return the dotted names of what differs from the usual value, in a section each of its fields."""
    if not is_dataclass(value):
        return [name] if value != usual else []
    parts = ((f"{name}.{f.name}", getattr(value, f.name), getattr(usual, f.name)) for f in fields(value))
    return [found for part in parts for found in _changed(*part)]


def check_effects(config: TrainConfig) -> None:
    """Refuse settings of a new training that make no sense, and warn of those without effect.

    Raises:
        UserError: with the option and a remedy.
    """
    for warning in without_effect(config):
        print(warning)
    env, ppo = config.env, config.ppo
    if ppo.target_kl is not None:
        _require(ppo.min_rate > 0.0, "--ppo.min-rate", ppo.min_rate, "use one over 0, from which it can rise")
        remedy = "use one from --ppo.min-rate to --ppo.max-rate, or --ppo.target-kl None, which keeps it"
        _require(ppo.min_rate <= ppo.actor_rate <= ppo.max_rate, "--ppo.actor-rate", ppo.actor_rate, remedy)
        # The divergence is measured before each step, so that before the only one it would be 0.
        remedy = "use None, or more than one step an update (--ppo.actor-epochs, --ppo.actor-minibatches)"
        _require(ppo.actor_epochs * ppo.actor_minibatches > 1, "--ppo.target-kl", ppo.target_kl, remedy)
    ramp = config.disturbance_ramp
    moves = config.push or config.noise or env.randomization != RandomizationConfig()
    remedy = "add what it lets grow: --push, --noise or --env.randomization"
    _require(bool(moves) or not ramp, "--disturbance-ramp", ramp, remedy)
    network = config.network
    floor, final = network.min_std, network.final_std
    remedy = "use None; a fixed standard deviation does not fall"
    _require(network.learn_std or final is None, "--network.final-std", final, remedy)
    remedy = "it falls from --network.min-std; use as much there or more, or None here"
    _require(final is None or final <= floor, "--network.final-std", final, remedy)
    remedy = "use 0; a fixed standard deviation needs no floor"
    _require(network.learn_std or not floor, "--network.min-std", floor, remedy)
    remedy = "use one from --network.min-std, at which it would begin anyway"
    begins = not network.learn_std or network.initial_std >= floor
    _require(begins, "--network.initial-std", network.initial_std, remedy)
    remedy = "use one or skills; the clips' cycles end at different times"
    counts_cycles = env.goal in ("strike", "throw")
    _require(env.clips != "best" or not counts_cycles, "--env.clips", env.clips, remedy)


def check_bounds(config: Any, prefix: str = "") -> None:
    """Hold every number of a configuration to the bounds of its field.

    Raises:
        UserError: with the option and its bounds.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for name in (f.name for f in fields(config)):
        value, hint = getattr(config, name), hints[name]
        if is_dataclass(value):
            check_bounds(value, f"{prefix}{name}.")
        bounds = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Within)]
        numbers = value if isinstance(value, tuple) else () if value in (None, "all") else (value,)
        for bound in bounds:
            for number in numbers:
                option = f"--{prefix}{name}".replace("_", "-")
                require_range({option: (number, bound.low, bound.high)})
