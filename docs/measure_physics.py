"""Compare ways to simulate the robot: how far from the truth, and how fast in MJX.

`python docs/measure_physics.py CLIP ... [--states 16] [--no-speed]` prints a table. Robots start on the
reference at random times and follow it under noise on their PD targets. The truth is MuJoCo in C at 3600
physics steps a second with a converged solver.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mjx_mimic.clips import load_clips
from mjx_mimic.evaluation.mujoco_engine import keep_broken_states
from mjx_mimic.robot.implicit_pd import shifted_target, step_with_motors, with_implicit_motors
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.quiet_mjx import mjx
from mjx_mimic.task import make_env, reference
from mjx_mimic.task.env import ImitationEnv

CONTROL_HZ = 30.0
STEPS = 10
"""Control steps, a third of a second."""
SHOWN = (1, 5, 10)
NOISE = 0.2
"""Of the actions, in the default action's units."""
ROBOTS = 128
"""Simulated at a time where the speed is measured."""


@dataclass(frozen=True)
class Way:
    """One way to simulate."""

    physics_hz: float
    implicit: bool = True
    iterations: int = 1
    line_search: int = 4
    solver: int = mujoco.mjtSolver.mjSOL_NEWTON
    cone: int = mujoco.mjtCone.mjCONE_PYRAMIDAL
    limits: bool = True

    def __str__(self) -> str:
        """Return the name in the table."""
        parts = [f"{self.physics_hz:g} Hz", "implicit" if self.implicit else "explicit"]
        parts += ["Newton" if self.solver == mujoco.mjtSolver.mjSOL_NEWTON else "CG"]
        parts += [f"{self.iterations}/{self.line_search}"]
        parts += ["elliptic"] if self.cone == mujoco.mjtCone.mjCONE_ELLIPTIC else []
        return " ".join(parts if self.limits else [*parts, "no joint limits"])

    def model(self) -> mujoco.MjModel:
        """Return the robot to simulate so."""
        model = load_mjcf("feet", self.physics_hz, visuals=False)
        model.opt.iterations, model.opt.ls_iterations = self.iterations, self.line_search
        model.opt.solver, model.opt.cone = self.solver, self.cone
        if not self.limits:
            model.jnt_limited[:] = 0
        if self.iterations > 10:
            model.opt.tolerance = 1e-12
        keep_broken_states(model)
        return with_implicit_motors(model) if self.implicit else model


TRUTH = Way(3600.0, implicit=False, iterations=100, line_search=50)
BEFORE = Way(180.0, implicit=False)
WAYS = (
    BEFORE,
    Way(120.0, implicit=False),
    *(Way(hz) for hz in (180.0, 120.0, 90.0, 60.0)),
    *(Way(hz, iterations=2) for hz in (120.0, 90.0, 60.0)),
    Way(90.0, iterations=100, line_search=50),
    Way(90.0, line_search=2),
    Way(90.0, line_search=8),
    *(Way(90.0, solver=mujoco.mjtSolver.mjSOL_CG, iterations=n) for n in (1, 2, 4)),
    Way(90.0, cone=mujoco.mjtCone.mjCONE_ELLIPTIC),
    Way(90.0, limits=False),
)


@dataclass(frozen=True)
class Starts:
    """N states, and PD targets for their control steps."""

    qpos: np.ndarray  # (N, 36)
    qvel: np.ndarray  # (N, 35)
    targets: np.ndarray  # (N, STEPS, 29) rad


def draw_starts(env: ImitationEnv, states: int) -> Starts:
    """Draw so many states in each clip, and the reference with noise as targets."""
    rng = np.random.default_rng(0)
    clips = np.repeat(np.arange(env.library.num_clips), states)
    first = rng.uniform(0.0, np.asarray(env.library.length)[clips])
    times = first[:, None] + np.arange(STEPS + 1) / CONTROL_HZ
    look = jax.jit(jax.vmap(jax.vmap(lambda c, t: reference.lookup(env.library, c, t), (None, 0))))
    qpos, qvel = (np.asarray(x, float) for x in look(clips, times.astype(np.float32)))
    noise = np.clip(NOISE * rng.normal(size=(len(clips), STEPS, env.num_actions)), -1.0, 1.0)
    return Starts(qpos[:, 0], qvel[:, 0], qpos[:, 1:, 7:] + noise * env.action_scale)


def simulated(way: Way, starts: Starts) -> tuple[np.ndarray, np.ndarray]:
    """Return qpos (N, STEPS, 36) and qvel (N, STEPS, 35) after each control step, in MuJoCo C."""
    model = way.model()
    data, found = mujoco.MjData(model), []
    for qpos, qvel, targets in zip(starts.qpos, starts.qvel, starts.targets, strict=True):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        for target in targets:
            for _ in range(round(way.physics_hz / CONTROL_HZ)):
                if way.implicit:
                    step_with_motors(model, data, target)
                else:
                    data.ctrl[:] = target
                    mujoco.mj_step(model, data)
            found.append(np.concatenate([data.qpos, data.qvel]))
    both = np.array(found).reshape(len(starts.qpos), STEPS, -1)
    return both[..., :36], both[..., 36:]


def errors(found: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]) -> str:
    """Return the cells of a row: joint angles, pelvis and joint speeds, median and 95th percentile."""
    joints = np.abs(found[0] - truth[0])[..., 7:].mean(-1)
    pelvis = np.linalg.norm((found[0] - truth[0])[..., :3], axis=-1)
    speeds = np.abs(found[1] - truth[1])[..., 6:].mean(-1)
    cells = []
    for error, unit in ((joints, 1e3), (pelvis, 1e3), (speeds, 1.0)):
        for step in SHOWN:
            middle, high = np.nanpercentile(unit * error[:, step - 1], (50, 95))
            cells.append(f"{middle:.3g}, {high:.3g}")
    return " | ".join([*cells, f"{np.nanmax(np.abs(found[1][..., 6:])):.0f}"])


def control_step(way: Way, starts: Starts) -> tuple[Callable[[], object], int]:
    """Return a compiled control step of many robots in MJX, and its constraint rows."""
    model = way.model()
    mjx_model = mjx.put_model(model)
    at_rest, dt = mjx.make_data(mjx_model), model.opt.timestep

    def physics_step(carry: tuple, target: jax.Array) -> tuple[tuple, None]:
        qpos, qvel, warm_start = carry
        target = shifted_target(target, qvel[6:], dt) if way.implicit else target
        data = at_rest.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warm_start, ctrl=target)
        data = mjx.step(mjx_model, data)
        return (data.qpos, data.qvel, data.qacc_warmstart), None

    def step(qpos: jax.Array, qvel: jax.Array, target: jax.Array) -> tuple:
        targets = jnp.broadcast_to(target, (round(way.physics_hz / CONTROL_HZ), *target.shape))
        return jax.lax.scan(physics_step, (qpos, qvel, jnp.zeros(35)), targets)[0]

    rows = np.resize(np.arange(len(starts.qpos)), ROBOTS)
    arguments = [jnp.asarray(x[rows], jnp.float32) for x in (starts.qpos, starts.qvel, starts.targets[:, 0])]
    compiled = jax.jit(jax.vmap(step)).lower(*arguments).compile()
    return lambda: jax.block_until_ready(compiled(*arguments)), at_rest._impl.efc_J.shape[0]


def speeds(ways: tuple[Way, ...], starts: Starts, rounds: int = 30) -> dict[Way, tuple[float, int]]:
    """Time one control step of each way in turn, in seconds of CPU: speed relative to `BEFORE`, and rows."""
    steps = {way: control_step(way, starts) for way in ways}
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, (run, _) in steps.items():
            start = time.process_time()
            run()
            if number:  # the first is warming up
                seconds[way].append(time.process_time() - start)
    before = statistics.median(seconds[BEFORE])
    return {way: (before / statistics.median(seconds[way]), steps[way][1]) for way in ways}


def main(clips: list[str], states: int, speed: bool) -> None:
    """Print the table."""
    env = make_env(load_clips(clips).motions)
    starts = draw_starts(env, states)
    truth = simulated(TRUTH, starts)
    fast = speeds(WAYS, starts) if speed else {}
    steps = " | ".join(f"{what} after {n}" for what in ("joints, mrad", "pelvis, mm", "rad/s") for n in SHOWN)
    print(f"| way | rows | speed | {steps} | fastest joint, rad/s |")
    print("|---" * (len(SHOWN) * 3 + 4) + "|")
    for way in WAYS:
        cells = "{1} | {0:.2f}".format(*fast[way]) if way in fast else " | "
        print(f"| {way} | {cells} | {errors(simulated(way, starts), truth)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--states", type=int, default=16, help="in each clip")
    parser.add_argument("--no-speed", dest="speed", action="store_false")
    main(**vars(parser.parse_args()))
