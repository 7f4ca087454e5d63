"""What a training step costs over bare physics, measured in one process on one machine."""

import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.files import replacing
from mjx_mimic.config import PRESETS, sized
from mjx_mimic.learning.devices import map_devices
from mjx_mimic.learning.learner import make_learner
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.model import load_robot
from mjx_mimic.task import reference, start_sampling
from mjx_mimic.task.env import EnvState, ImitationEnv, make_env

LOOKUPS = 2**16
"""Lookups at a time."""


def measure(preset: str, motion: str, num_envs: int, clips: int, repeats: int) -> dict[str, Any]:
    """Time bare physics, the environment, the whole training step, and lookups among many clips.

    Args:
        preset: a name of `config.PRESETS`.
        motion: the clip.
        num_envs: parallel environments; 0: the preset's, or sized for the machine.
        clips: in the largest library whose lookup is timed.
        repeats: timed repetitions; the median counts.
    """
    devices = tuple(jax.local_devices())
    config = replace(PRESETS[preset], motion=(motion,))
    if num_envs:
        config = replace(config, num_envs=num_envs)
    config = sized(config, devices[0].platform, len(devices))
    learner = make_learner(config, load_clips(config.motion), devices)

    start = time.perf_counter()
    state = jax.block_until_ready(learner.init(jax.random.key(0)))
    figures: dict[str, Any] = {
        "preset": preset,
        "num_envs": config.num_envs,
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "physics_steps_per_sample": round(config.env.physics_hz / config.env.control_hz),
        "init_s": time.perf_counter() - start,
    }
    physics = map_devices(devices, unrolled(bare_physics, config.unroll_length))
    environment = map_devices(devices, unrolled(env_step, config.unroll_length))
    steps: dict[str, tuple[Callable, Any]] = {
        "physics": (lambda states: physics(learner.placed_env, states), state.env),
        "environment": (lambda states: environment(learner.placed_env, states), state.env),
        "training_step": (lambda state: learner.train_step(state)[0], state),  # last: it donates
    }
    for name, (step, carry) in steps.items():
        compile_s, run_s = timed(step, carry, repeats)
        figures[f"{name}_compile_s"] = compile_s
        figures[f"{name}_samples_per_s"] = learner.samples_per_step / run_s
    for name in ("environment", "training_step"):
        share = figures[f"{name}_samples_per_s"] / figures["physics_samples_per_s"]
        figures[f"{name}_speed_over_bare_physics"] = share
    figures |= library_figures(clips, repeats)
    figures["sample_us"] = 1e6 / figures["training_step_samples_per_s"]  # what a lookup is a part of
    figures["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def report(figures: dict[str, Any], path: Path | None) -> None:
    """Print the figures, and write them to `path` as JSON if there is one."""
    for name, value in figures.items():
        print(f"{name:40s} {value:,.3g}" if isinstance(value, float) else f"{name:40s} {value}")
    if path:
        with replacing(path) as file:
            file.write((json.dumps(figures, indent=2) + "\n").encode())


def bare_physics(env: ImitationEnv, state: EnvState, action: jax.Array) -> EnvState:
    """Take a control step of nothing but `mjx.step`, as often as a sample needs it."""
    return env.simulate(state, env.pd_target(state, action))[0]


def env_step(env: ImitationEnv, state: EnvState, action: jax.Array) -> EnvState:
    """Take a control step with reference, reward, termination, reset and observation."""
    return env.step(state, action, jax.random.key(0))[0]


def library_figures(clips: int, repeats: int) -> dict[str, float]:
    """Time the lookups of starts among 1, 10, ... `clips` clips.

    Returns:
        Microseconds per start, seconds to put the last library on the device, and its size.
    """

    @jax.jit
    def start_poses(env: ImitationEnv, keys: jax.Array) -> jax.Array:
        """Look up qpos (N, 36) of N starts."""
        return jax.vmap(
            lambda key: reference.lookup(env.library, *start_sampling.sample(env.starts, key))[0]
        )(keys)

    keys = jax.random.split(jax.random.key(0), LOOKUPS)
    robot = load_robot()
    figures: dict[str, float] = {}
    for count in sorted({*(10**power for power in range(len(str(clips)))), clips}):
        motions = [noisy_clip(seed) for seed in range(count)]
        start = time.perf_counter()
        env = jax.block_until_ready(make_env(motions, robot=robot))
        made_s = time.perf_counter() - start
        _, seconds = timed(lambda _, env=env: start_poses(env, keys), None, repeats)
        figures[f"library_{count}_clips_lookup_us"] = 1e6 * seconds / LOOKUPS
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(env))
    return figures | {"library_make_s": made_s, "library_size_mb": size / 2**20}


def noisy_clip(seed: int) -> Motion:
    """Make 10 s at 30 frames/s of nothing in particular."""
    rng = np.random.default_rng(seed)
    quat = np.array([1.0, 0.0, 0.0, 0.0]) + 0.1 * rng.normal(size=(301, 4))
    return make_motion(
        name=f"noise {seed}",
        fps=30.0,
        root_pos=rng.normal(size=(301, 3)),
        root_quat=quat / np.linalg.norm(quat, axis=1, keepdims=True),
        dof_pos=0.1 * rng.normal(size=(301, len(G1_JOINTS))),
        joint_names=G1_JOINTS,
        loop="clamp",
        source="bench",
    )


def unrolled(step: Callable, length: int) -> Callable:
    """Return (env, states) -> states after `length` samples of every environment under random actions."""

    def advance(env: ImitationEnv, states: EnvState) -> EnvState:
        def one(states: EnvState, key: jax.Array) -> tuple[EnvState, None]:
            actions = 0.2 * jax.random.normal(key, (*states.clip.shape, env.num_actions))
            return jax.vmap(step, in_axes=(None, 0, 0))(env, states, actions), None

        return jax.lax.scan(one, states, jax.random.split(jax.random.key(1), length))[0]

    return advance


def timed(step: Callable, carry: Any, repeats: int) -> tuple[float, float]:
    """Time calls: seconds of the first one, compiling included, and the median of those after it."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        carry = jax.block_until_ready(step(carry))
        seconds.append(time.perf_counter() - start)
    return seconds[0], statistics.median(seconds[1:])
