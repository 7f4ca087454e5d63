"""Making the task of clips and settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from mjx_mimic.clips.ground_contacts import needed_contacts, touching_shapes
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.constants import ALL_BODIES, GROUND_BODIES, ContactSet, PhysicsImpl
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import Robot, load_robot
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.goals import make_goal
from mjx_mimic.task.reference import make_library
from mjx_mimic.task.start_sampling import make_starts


def with_contacts(config: EnvConfig, motions: Sequence[Motion]) -> EnvConfig:
    """Return settings whose contacts are no longer `auto`, but the smallest set that the clips need.

    So are the bodies that may be on the floor, unless the settings name some. Where a robot may lie on the
    floor, every shape meets it.
    """
    if config.contacts != "auto":
        return config
    model = load_mjcf("body", config.physics_hz, visuals=False)
    shapes = {shape for motion in motions for shape in touching_shapes(model, motion)}
    contacts, bodies = needed_contacts(model, sorted(shapes))
    bodies = config.ground_bodies or bodies
    if not config.fall_ends or config.ground_bodies == ALL_BODIES:
        # What a fall is, stays: evaluations count falls where they do not end an episode.
        contacts, bodies = "body", bodies or GROUND_BODIES[contacts]
    return replace(config, contacts=contacts, ground_bodies=bodies)


def make_env(
    motions: Sequence[Motion],
    config: EnvConfig | None = None,
    *,
    weights: Sequence[float] | None = None,
    segment_seconds: float | None = None,
    robot: Robot | None = None,
    impl: PhysicsImpl = "jax",
) -> ImitationEnv:
    """Make the task of imitating clips.

    Args:
        motions: the clips.
        config: observation, action, reward, termination, rates, contacts; None: the defaults.
        weights: how often episodes start in each clip, relative to the others; None: equally.
        segment_seconds: see `start_sampling.make_starts`.
        robot: one with other fields than `load_robot` gives; None: the G1 with the contacts of `config`.
        impl: what takes the physics steps of the G1.

    Raises:
        UserError: a body of `config` that the robot does not have, or an observation that does not show which
            of several clips is to be imitated.
    """
    config = EnvConfig() if config is None else config
    if robot is None:
        config = with_contacts(config, motions)
        robot = _make_robot(config, impl)
    library = make_library(motions)
    weights = [1.0] * len(motions) if weights is None else weights
    lengths = [float(length) for length in np.asarray(library.length)]
    starts = make_starts(lengths, [motion.cyclic for motion in motions], weights, segment_seconds)
    env = ImitationEnv(library, starts, robot, config)
    make_goal(config, robot)  # refuses bodies that the robot does not have
    if len(motions) > 1 and config.clips == "one" and not env.target_steps:
        raise UserError(
            f"option --env.observation: {config.observation} shows neither clip nor reference, so one policy"
            f" cannot imitate {len(motions)} clips; add --env.target-steps 1, or name one clip"
        )
    if len(motions) == 1 and config.clips != "one":
        raise UserError(f"option --env.clips: {config.clips} needs several clips; name more with --motion")
    return env


def with_self_collision(env: ImitationEnv) -> ImitationEnv:
    """Return the same task for a robot that collides with itself; see `EnvConfig.self_collision`."""
    config = replace(env.config, self_collision=True)
    return replace(env, config=config, robot=_make_robot(config))


def _make_robot(config: EnvConfig, impl: PhysicsImpl = "jax") -> Robot:
    """Load the G1 as settings, whose contacts are no longer `auto`, have it."""
    return load_robot(
        cast(ContactSet, config.contacts),
        config.physics_hz,
        ground_bodies=config.ground_bodies,
        key_bodies=config.key_bodies,
        self_collision=config.self_collision,
        impl=impl,
    )
