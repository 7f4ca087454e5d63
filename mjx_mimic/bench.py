"""`python -m mjx_mimic.bench`: what a training step costs over bare physics, in one run on one machine."""

import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mjx_mimic.common import cli
from mjx_mimic.config import PRESETS, sized

if TYPE_CHECKING:
    import jax

    from mjx_mimic.clips.motion import Motion
    from mjx_mimic.task.env import EnvState, ImitationEnv
    from mjx_mimic.task.reference import MotionLibrary

PROGRAM = "python -m mjx_mimic.bench"
LOOKUPS = 2**16
"""Lookups at a time."""


@dataclass(frozen=True)
class BenchCommand:
    """Samples per second of bare mjx.step, of the environment, and of the whole training step."""

    preset: Literal["default", "mimickit", "paper"] = "default"
    """Settings to measure."""
    motion: str = "walk"
    """Clip: a file, or the name of a shipped one."""
    num_envs: int = 0
    """Parallel environments; 0: the preset's, or sized for the machine."""
    clips: int = 1000
    """Clips of 10 s in the largest library whose lookup is timed; 1, 10, 100, ... before it."""
    repeats: int = 5
    """Timed repetitions, after one for compiling; the median counts."""
    json: Annotated[Path | None, cli.shown("FILE")] = None
    """File for the figures."""


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(BenchCommand, arguments, prog=PROGRAM)
    cli.prepare_jax()
    import jax

    from mjx_mimic.clips.dataset import load_clips
    from mjx_mimic.learning.learner import make_learner

    devices = tuple(jax.local_devices())
    config = replace(PRESETS[command.preset], motion=(command.motion,))
    if command.num_envs:
        config = replace(config, num_envs=command.num_envs)
    config = sized(config, devices[0].platform, len(devices))
    learner = make_learner(config, load_clips(config.motion), devices)

    start = time.perf_counter()
    state = jax.block_until_ready(learner.init(jax.random.key(0)))
    figures: dict[str, Any] = {
        "preset": command.preset,
        "num_envs": config.num_envs,
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "physics_steps_per_sample": round(config.env.physics_hz / config.env.control_hz),
        "init_s": time.perf_counter() - start,
    }
    physics = learner.map(unrolled(bare_physics, config.unroll_length))
    environment = learner.map(unrolled(env_step, config.unroll_length))
    steps: dict[str, tuple[Callable, Any]] = {
        "physics": (lambda states: physics(learner.placed_env, states), state.env),
        "environment": (lambda states: environment(learner.placed_env, states), state.env),
        "training_step": (lambda state: learner.train_step(state)[0], state),  # last: it donates
    }
    for name, (step, carry) in steps.items():
        compile_s, run_s = timed(step, carry, command.repeats)
        figures[f"{name}_compile_s"] = compile_s
        figures[f"{name}_samples_per_s"] = learner.samples_per_step / run_s
    for name in ("environment", "training_step"):
        share = figures[f"{name}_samples_per_s"] / figures["physics_samples_per_s"]
        figures[f"{name}_speed_over_bare_physics"] = share
    figures |= library_figures(command.clips, command.repeats)
    figures["sample_us"] = 1e6 / figures["training_step_samples_per_s"]  # what a lookup is a part of
    figures["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for name, value in figures.items():
        print(f"{name:40s} {value:,.3g}" if isinstance(value, float) else f"{name:40s} {value}")
    if command.json:
        command.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def bare_physics(env: "ImitationEnv", state: "EnvState", action: "jax.Array") -> "EnvState":
    """Nothing but `mjx.step`, as often as a sample needs it."""
    return env.simulate(state, env.pd_target(state, action))


def env_step(env: "ImitationEnv", state: "EnvState", action: "jax.Array") -> "EnvState":
    """With reference, reward, termination, reset and observation."""
    import jax

    return env.step(state, action, jax.random.key(0))[0]


def library_figures(clips: int, repeats: int) -> dict[str, float]:
    """Microseconds of a start and its lookup among 1, 10, ... `clips` clips; seconds to put the last library
    on the device, and its size."""
    import jax

    from mjx_mimic.task import reference, start_sampling

    @jax.jit
    def starts(library: "MotionLibrary", keys: "jax.Array") -> "jax.Array":
        """qpos (N, 36) of N starts."""
        return jax.vmap(
            lambda key: reference.lookup(library, *start_sampling.sample(library.starts, key))[0]
        )(keys)

    keys = jax.random.split(jax.random.key(0), LOOKUPS)
    figures: dict[str, float] = {}
    for count in sorted({*(10**power for power in range(len(str(clips)))), clips}):
        motions = [noisy_clip(seed) for seed in range(count)]
        start = time.perf_counter()
        library = jax.block_until_ready(reference.make_library(motions))
        made_s = time.perf_counter() - start
        _, seconds = timed(lambda _, library=library: starts(library, keys), None, repeats)
        figures[f"library_{count}_clips_lookup_us"] = 1e6 * seconds / LOOKUPS
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(library))
    return figures | {"library_make_s": made_s, "library_size_mb": size / 2**20}


def noisy_clip(seed: int) -> "Motion":
    """10 s at 30 frames/s of nothing in particular."""
    import numpy as np

    from mjx_mimic.clips.motion import make_motion
    from mjx_mimic.robot.constants import G1_JOINTS

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
    """(env, states) -> states after `length` samples of every environment under random actions."""
    import jax

    def advance(env: "ImitationEnv", states: "EnvState") -> "EnvState":
        def one(states: "EnvState", key: "jax.Array") -> tuple["EnvState", None]:
            actions = 0.2 * jax.random.normal(key, (*states.clip.shape, env.num_actions))
            return jax.vmap(step, in_axes=(None, 0, 0))(env, states, actions), None

        return jax.lax.scan(one, states, jax.random.split(jax.random.key(1), length))[0]

    return advance


def timed(step: Callable, carry: Any, repeats: int) -> tuple[float, float]:
    """Seconds of the first call, compiling included, and the median of the calls after it."""
    import jax

    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        carry = jax.block_until_ready(step(carry))
        seconds.append(time.perf_counter() - start)
    return seconds[0], statistics.median(seconds[1:])


if __name__ == "__main__":
    cli.run(main)
