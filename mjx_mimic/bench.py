"""`python -m mjx_mimic.bench`: what a training step costs over bare physics, in one run on one machine."""

import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mjx_mimic import launch
from mjx_mimic.config import PRESETS, sized

if TYPE_CHECKING:
    import jax

    from mjx_mimic.env import EnvState, ImitationEnv

PROGRAM = "python -m mjx_mimic.bench"


@dataclass(frozen=True)
class BenchCommand:
    """Samples per second of bare mjx.step, of the environment, and of the whole training step."""

    preset: Literal["default", "mimickit", "paper"] = "default"
    """Settings to measure."""
    motion: str = "walk"
    """Clip: a file, or the name of a shipped one."""
    num_envs: int = 0
    """Parallel environments; 0: the preset's, or sized for the machine."""
    repeats: int = 5
    """Timed repetitions, after one for compiling; the median counts."""
    json: Path | None = None
    """File for the figures."""


def main(arguments: Sequence[str]) -> int:
    command = launch.parse(BenchCommand, arguments, prog=PROGRAM)
    launch.prepare_jax()
    import jax

    from mjx_mimic.formats import load_motion
    from mjx_mimic.learner import make_learner

    devices = tuple(jax.local_devices())
    config = replace(PRESETS[command.preset], motion=(command.motion,))
    if command.num_envs:
        config = replace(config, num_envs=command.num_envs)
    config = sized(config, devices[0].platform, len(devices))
    learner = make_learner(config, [load_motion(command.motion)], devices)

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
    launch.run(main)
