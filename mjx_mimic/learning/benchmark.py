"""What a training step costs over bare physics, how physics is best looped over, and how exact it is."""

import itertools
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.cli import cores
from mjx_mimic.common.files import write_json
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.learning.devices import map_devices
from mjx_mimic.learning.learner import Learner, TrainState, make_learner
from mjx_mimic.robot.constants import CONTACT_SHAPES, G1_JOINTS
from mjx_mimic.robot.model import load_robot
from mjx_mimic.task import reference, start_sampling
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.states import EnvState

LOOKUPS = 2**16
"""Lookups at a time."""
COMPARED_STATES = 16
"""States whose physics is compared with the host's."""

Figures = dict[str, Any]
Step = Callable[[ImitationEnv, EnvState, jax.Array, jax.Array], tuple[EnvState, Any]]
"""(env, state, action, key of a reset) -> the state after it, and what a training keeps of the step."""


def measure(
    config: TrainConfig,
    sizes: Sequence[int],
    *,
    clips: int,
    repeats: int,
    loops: bool,
    contacts: bool = False,
    path: Path | None = None,
) -> None:
    """Time bare physics, the environment, the whole training step, and lookups among many clips.

    Everything is compiled at the beginning and side by side, because compiling takes most of the time.
    The figures are printed as they come.

    Args:
        config: of the training.
        sizes: numbers of parallel environments; 0: sized for the machine.
        clips: in the largest library whose lookup is timed; 0: no lookups.
        repeats: timed repetitions; the median counts.
        loops: whether to time other loops over the physics steps than the training's too, at the first size.
        contacts: whether to time bare physics with each set of contacts too, at the first size.
        path: JSON file for the figures, written again after every part; None: none.
    """
    figures: Figures = {}

    def report(part: Figures, prefix: str = "") -> None:
        for name, value in part.items():
            figures[prefix + name] = value
            text = f"{value:,.3g}" if isinstance(value, float) else str(value)
            print(f"{prefix + name:50s} {text}", flush=True)
        if path:
            write_json(path, figures)

    devices = tuple(jax.local_devices())
    report({"devices": f"{len(devices)} x {devices[0].device_kind}"})
    with ThreadPoolExecutor(cores()) as pool:
        learners: list[tuple[Learner, TrainState, dict[str, Future]]] = []
        for size in sizes:
            settings = sized(replace(config, num_envs=size), devices[0].platform, len(devices))
            learner = make_learner(
                settings, load_clips(config.motion, config.motion_weights, config.skip_bad), devices
            )
            state = learner.init(jax.random.key(0))
            learners.append(
                (learner, state, compile_programs(pool, learner, state, loops and size == sizes[0]))
            )
        for _, _, programs in learners:
            for program in programs.values():
                program.result()  # nothing may compile beside what is timed
        for learner, state, programs in learners:
            report(program_figures(learner, state, programs, repeats), f"{learner.config.num_envs}_envs_")
    report(physics_error(learners[0][0].env))
    if contacts:
        report(contact_figures(learners[0][0], repeats))
    if clips:
        report(library_figures(clips, repeats))
    report({"peak_host_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20})


def compile_programs(
    pool: ThreadPoolExecutor, learner: Learner, state: TrainState, loops: bool
) -> dict[str, Future]:
    """Begin to compile what is timed for one number of environments, by name.

    `physics`, `environment` and `training_step` are as in the training: a scan over the control steps of an
    unroll, and in each a scan over its physics steps. The loops beside them: `physics_unrolled`, the physics
    steps of a control step written out; `control_steps`, a call from Python for each control step;
    `physics_steps`, a call for each physics step.
    """
    env, length = learner.placed_env, learner.config.unroll_length
    steps: dict[str, tuple[Step, int]] = {
        "physics": (bare_physics, length),
        "environment": (env_step, length),
    }
    if loops:
        steps |= {
            "physics_unrolled": (unrolled_physics, length),
            "control_steps": (bare_physics, 1),
            "physics_steps": (physics_step, 1),
        }
    functions = {
        name: map_devices(learner.devices, repeated(step, count)).lower(  # type: ignore[attr-defined]
            env, state.env
        )
        for name, (step, count) in steps.items()
    }
    training = learner.compile_train_step()
    functions["training_step"] = training.lower(env, learner.placed_updates, state)  # type: ignore[attr-defined]
    return {name: pool.submit(timed, function.compile) for name, function in functions.items()}


def program_figures(
    learner: Learner, state: TrainState, programs: dict[str, Future], repeats: int
) -> Figures:
    """Time the compiled programs of one number of environments, the training step last: it donates."""
    figures: Figures = {}
    env, length = learner.placed_env, learner.config.unroll_length
    calls = {"control_steps": length, "physics_steps": length * learner.env.substeps}

    for name, program in programs.items():
        compile_s, function = program.result()
        is_training = name == "training_step"
        given: tuple = (env, learner.placed_updates) if is_training else (env,)
        carry: Any = state if is_training else state.env

        def run(
            carry: Any,
            function: Callable = function,
            given: tuple = given,
            count: int = calls.get(name, 1),
        ) -> Any:
            for _ in range(count):
                carry, _ = function(*given, carry)
            return carry

        seconds = []
        for _ in range(repeats + 1):  # the first is warming up
            run_s, carry = timed(run, carry)
            seconds.append(run_s)
        figures[f"{name}_compile_s"] = compile_s
        figures[f"{name}_samples_per_s"] = learner.samples_per_step / statistics.median(seconds[1:])
        if name != "physics":
            share = figures[f"{name}_samples_per_s"] / figures["physics_samples_per_s"]
            figures[f"{name}_speed_over_physics"] = share
    memory = programs["training_step"].result()[1].memory_analysis()
    return figures | {"training_step_memory_mb": memory.temp_size_in_bytes / 2**20} if memory else figures


def contact_figures(learner: Learner, repeats: int) -> Figures:
    """Time bare physics with each set of shapes that touch the floor, without and with self-collision."""
    figures: Figures = {}
    states = learner.init(jax.random.key(0)).env  # which know nothing of contacts
    for contacts, self_collision in itertools.product(CONTACT_SHAPES, (False, True)):
        config = replace(learner.env.config, contacts=contacts, self_collision=self_collision)
        robot = load_robot(
            contacts,
            config.physics_hz,
            self_collision=self_collision,
            impl=learner.config.physics_impl,
        )
        other = replace(learner, env=replace(learner.env, robot=robot, config=config))
        run = map_devices(other.devices, repeated(bare_physics, other.config.unroll_length))
        seconds = median_seconds(repeats, run, other.placed_env, states)
        name = f"physics_{contacts}{'_and_self_collision' if self_collision else ''}"
        figures[f"{name}_samples_per_s"] = other.samples_per_step / seconds
        figures[f"{name}_rows"] = robot.mjx_data._impl.efc_J.shape[0]
    feet = figures["physics_feet_samples_per_s"]
    speeds = {name: value for name, value in figures.items() if name.endswith("_samples_per_s")}
    return figures | {
        name.replace("samples_per_s", "speed_over_feet"): value / feet for name, value in speeds.items()
    }


def timed(function: Callable, *arguments: Any) -> tuple[float, Any]:
    """Call a function: the seconds until its result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start, result


def median_seconds(repeats: int, function: Callable, *arguments: Any) -> float:
    """Return the median time of so many calls after one that warms up."""
    return statistics.median([timed(function, *arguments)[0] for _ in range(repeats + 1)][1:])


def bare_physics(env: ImitationEnv, state: EnvState, action: jax.Array, _: jax.Array) -> tuple[EnvState, Any]:
    """Take a control step of nothing but `mjx.step`, as often as a sample needs it."""
    return env.simulate(state, env.pd_target(state, action))[0], None


def unrolled_physics(
    env: ImitationEnv, state: EnvState, action: jax.Array, _: jax.Array
) -> tuple[EnvState, Any]:
    """Take a control step of `mjx.step` without a loop."""
    return env.simulate(state, env.pd_target(state, action), unroll=True)[0], None


def physics_step(env: ImitationEnv, state: EnvState, action: jax.Array, _: jax.Array) -> tuple[EnvState, Any]:
    """Take one physics step."""
    return env.simulate(state, env.pd_target(state, action), substeps=1)[0], None


def env_step(env: ImitationEnv, state: EnvState, action: jax.Array, key: jax.Array) -> tuple[EnvState, Any]:
    """Take a control step with reference, reward, termination, reset and observation."""
    state, result = env.step(state, action, key)
    kept = (result.observation, result.final_observation, result.reward, result.penalty, result.reward_terms)
    return state, kept


def repeated(step: Step, length: int) -> Callable[[ImitationEnv, EnvState], tuple[EnvState, Any]]:
    """Return (env, states) -> states after `length` steps of every environment under random actions.

    What each step keeps is returned too: the compiler leaves out what nobody gets to see.
    """

    def advance(env: ImitationEnv, states: EnvState) -> tuple[EnvState, Any]:
        def one(states: EnvState, key: jax.Array) -> tuple[EnvState, Any]:
            action_key, reset_key = jax.random.split(key)
            actions = 0.2 * jax.random.normal(action_key, (*states.clip.shape, env.num_actions))
            keys = jax.random.split(reset_key, states.clip.shape)
            return jax.vmap(step, in_axes=(None, 0, 0, 0))(env, states, actions, keys)

        if length == 1:
            return one(states, jax.random.key(1))
        return jax.lax.scan(one, states, jax.random.split(jax.random.key(1), length))

    return advance


def physics_error(env: ImitationEnv) -> Figures:
    """Compare a control step on this device with MJX's own on the host, from states of the reference.

    Returns:
        The largest differences of coordinates after it, m or rad and m/s or rad/s.
    """

    def control_step(env: ImitationEnv) -> tuple[jax.Array, jax.Array]:
        times = jnp.linspace(0.0, env.library.length[0], COMPARED_STATES, endpoint=False)
        state = jax.vmap(lambda time: env.reset_to(jnp.int32(0), time))(times)
        state, _ = jax.vmap(env.simulate)(state, state.qpos[:, 7:])
        return state.qpos, state.qvel

    host = jax.devices("cpu")[0]
    with jax.default_device(host):
        plain = replace(env, robot=replace(env.robot, warp=None))
        expected = jax.jit(control_step)(jax.device_put(plain, host))
    pairs = zip(("positions", "velocities"), jax.jit(control_step)(env), expected, strict=True)
    return {
        f"error_of_{name}": float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
        for name, ours, theirs in pairs
    }


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
        seconds = median_seconds(repeats, start_poses, env, keys)
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
