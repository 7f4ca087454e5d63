"""The evaluation of a policy with MuJoCo in C: the same episodes and figures, other physics code."""

import copy
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.cli import cores
from mjx_mimic.common.errors import UserError
from mjx_mimic.evaluation.episode import Episode, Outcome, PhaseFigures
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.recording import Snapshot, StepRecord, recordings, snapshot
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.implicit_pd import step_with_motors, with_implicit_motors
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import Robot
from mjx_mimic.task import tracking_errors
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.states import EnvState

FLOOR_SIZE = (0.0, 0.0, 1.0)


class Simulations:
    """N robots in MuJoCo, stepped by one thread per core.

    Coordinates are the G1's; whatever else a model may hold is left alone.
    """

    def __init__(self, model: mujoco.MjModel, qpos: NDArray, qvel: NDArray) -> None:
        """Put N robots at `qpos` (N, 36) with velocities `qvel` (N, 35)."""
        self._model = model = with_implicit_motors(model)
        keep_broken_states(model)
        self._positions, self._velocities, self._controls = addresses(model)
        self._pelvis = int(model.jnt_bodyid[free_joint(model)])
        self._data = [mujoco.MjData(model) for _ in qpos]
        for data, positions, velocities in zip(self._data, qpos, qvel, strict=True):
            data.qpos[self._positions], data.qvel[self._velocities] = positions, velocities
        self._threads = ThreadPoolExecutor(cores())

    def step(self, qvel: NDArray, targets: NDArray, forces: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """Take a control step from the current positions with velocities `qvel` (N, 35).

        Args:
            qvel: (N, 35).
            targets: (N, S, 29) rad, PD targets of S physics steps.
            forces: (N, 3) N on the pelvises, world frame; None: no forces.

        Returns:
            qpos (N, S + 1, 36) and qvel (N, S + 1, 35) before the first and after each physics step.
        """
        count, substeps = targets.shape[:2]
        positions, velocities = np.empty((count, substeps + 1, 36)), np.empty((count, substeps + 1, 35))

        def advance(robots: range) -> None:
            for robot in robots:
                data = self._data[robot]
                data.qvel[self._velocities] = qvel[robot]
                if forces is not None:
                    data.xfrc_applied[self._pelvis, :3] = forces[robot]
                for step in range(substeps + 1):
                    if step:
                        target = targets[robot, step - 1]
                        step_with_motors(self._model, data, target, self._controls, self._velocities[6:])
                    positions[robot, step] = data.qpos[self._positions]
                    velocities[robot, step] = data.qvel[self._velocities]

        list(self._threads.map(advance, [range(first, count, cores()) for first in range(cores())]))
        return positions, velocities


def keep_broken_states(model: mujoco.MjModel) -> None:
    """Let a state that is not finite show, instead of silently becoming the initial one."""
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def model_to_watch(env: ImitationEnv, visuals: bool = False) -> mujoco.MjModel:
    """Load the robot for episodes that somebody will look at.

    All shapes meet the floor: on soles alone, what fell would sink into it, and until then the others touch
    nothing.
    """
    config = env.config
    return load_mjcf("body", config.physics_hz, visuals=visuals, self_collision=config.self_collision)


def run_in_mujoco(
    evaluation: Evaluation,
    at_first: NDArray[np.bool_],
    seed: int,
    model: mujoco.MjModel,
    recorded: int = 0,
) -> Outcome:
    """Run episodes with MuJoCo in C as physics; policy and figures stay in JAX.

    Args:
        evaluation: task, policy and protocol.
        at_first: (N,) which episodes start at their clip's first frame, the others at random phases.
        seed: of phases, pushes and noise.
        model: the robot that is simulated.
        recorded: episodes to record, the first ones.
    """
    index = jnp.arange(len(at_first))
    evaluation = jax.device_put(evaluation)
    state, episode, figures = _begin(evaluation, index, jnp.asarray(at_first), seed=seed)
    simulations = Simulations(model, np.asarray(state.qpos, float), np.asarray(state.qvel, float))
    env = evaluation.env
    track = [_snapshots(env, state, recorded)] if recorded else []
    for number in range(1, evaluation.steps + 1):
        state, action, targets, forces = _act(evaluation, state, episode, index, jnp.int32(number), seed=seed)
        qpos, qvel = simulations.step(
            np.asarray(state.qvel, float),
            np.asarray(targets, float),
            None if forces is None else np.asarray(forces, float),
        )
        coordinates = (qpos.astype(np.float32), qvel.astype(np.float32))
        state, episode, figures, record = _measure(
            evaluation, episode, figures, state, action, targets, coordinates
        )
        if recorded:
            track.append(_snapshots(env, state, recorded, record))
    episode = jax.tree.map(np.asarray, episode)
    found = []
    if recorded:
        joined = jax.tree.map(lambda *steps: np.stack(steps), *track)
        kept = jax.tree.map(lambda x: x[:recorded], episode)
        found = recordings(joined, kept.horizon, env.config.control_hz)
    return Outcome(episode, jax.tree.map(np.asarray, figures), found)


# Compiled once for all policies of a task: the videos of a training show one after another.
_begin = jax.jit(Evaluation.begin_all, static_argnames="seed")


@functools.partial(jax.jit, static_argnames="seed")
def _act(
    evaluation: Evaluation,
    state: EnvState,
    episode: Episode,
    index: jax.Array,
    number: jax.Array,
    *,
    seed: int,
) -> tuple[EnvState, jax.Array, jax.Array, jax.Array | None]:
    """Return states, actions (N, J), targets (N, S, J) rad of the physics steps, forces (N, 3) N if any."""
    env = evaluation.env
    state, action, pd_target = evaluation.act_all(state, episode, index, number, seed)
    targets, state = jax.vmap(lambda s, t: env.motor_targets(s, t, env.substeps))(state, pd_target)
    if targets is None:
        targets = jnp.repeat(pd_target[:, None], env.substeps, axis=1)
    return state, action, targets, evaluation.forces_all(state, episode, index)


@jax.jit
def _measure(
    evaluation: Evaluation,
    episode: Episode,
    figures: PhaseFigures,
    state: EnvState,
    action: jax.Array,
    targets: jax.Array,
    coordinates: tuple[jax.Array, jax.Array],
) -> tuple[EnvState, Episode, PhaseFigures, StepRecord]:
    """Put N robots where the physics steps of a control step have led, and add it to the figures."""
    qpos, qvel = coordinates
    next_state = replace(state, qpos=qpos[:, -1], qvel=qvel[:, -1], steps=state.steps + 1)
    joints = (qpos[:, 1:, 7:], qvel[:, 1:, 6:])  # by whose end the motors act
    spent = tracking_errors.effort(evaluation.env.robot, targets, *joints)
    spent = jax.tree.map(lambda x: x.mean(axis=1), spent)
    return evaluation.measure_all(episode, figures, next_state, action, spent)


@functools.partial(jax.jit, static_argnames="recorded")
def _snapshots(
    env: ImitationEnv, state: EnvState, recorded: int, record: StepRecord | None = None
) -> Snapshot:
    first = jax.tree.map(lambda x: x[:recorded], (state, record))
    return jax.vmap(snapshot, (None, 0, 0))(env, *first)


def free_joint(model: mujoco.MjModel) -> int:
    """Return the first joint of the robot, its free one: other things may have some too. -1: it has none."""
    hip = model.joint(G1_JOINTS[0])
    return int(model.body_jntadr[model.body_rootid[model.jnt_bodyid[hip.id]]])


def addresses(model: mujoco.MjModel) -> tuple[NDArray, NDArray, NDArray]:
    """Return where the root and the joints of `G1_JOINTS` are in qpos (36,), qvel (35,) and ctrl (29,)."""
    root = free_joint(model)
    joints = [model.joint(name).id for name in G1_JOINTS]
    positions = [*range(model.jnt_qposadr[root], model.jnt_qposadr[root] + 7), *model.jnt_qposadr[joints]]
    velocities = [*range(model.jnt_dofadr[root], model.jnt_dofadr[root] + 6), *model.jnt_dofadr[joints]]
    return np.array(positions), np.array(velocities), np.array([model.actuator(n).id for n in G1_JOINTS])


def with_fields(model: mujoco.MjModel, fields: Mapping[str, Any]) -> mujoco.MjModel:
    """Return a copy of a model with other fields, by their names; see `dynamics.model_fields`."""
    model = copy.deepcopy(model)
    for name, value in fields.items():
        *parents, last = name.split(".")
        getattr(getattr(model, parents[0]) if parents else model, last)[:] = np.asarray(value)
    return model


def load_other(path: Path, robot: Robot) -> mujoco.MjModel:
    """Load another G1 from an MJCF, with our PD gains and limits, on a floor, at our timestep.

    Solver, contacts, masses and shapes are the file's. Its motors go, and with them what refers to them
    (keyframes, sensors), and so do springs and dampers of the joints: MimicKit's file has its gains there.
    The integrator is Euler's: others would add the motors' damping a second time (`implicit_pd`).

    Raises:
        UserError: not an MJCF, or without a free root or one of the 29 joints.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except (ValueError, FileNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: --mjcf cannot be read ({reason}); give an MJCF file") from None
    names = {joint.name for joint in spec.joints}
    missing = [name for name in G1_JOINTS if name not in names]
    if missing:
        raise UserError(
            f"{path}: --mjcf has no joint {missing[0]} ({len(missing)} missing); give a 29-joint G1"
        )
    for part in [*spec.actuators, *spec.keys, *spec.sensors]:
        spec.delete(part)
    for joint, name in enumerate(G1_JOINTS):
        passive = spec.joint(name)
        passive.stiffness, passive.damping = np.zeros(3), np.zeros(3)
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_position(kp=float(robot.kp[joint]), kv=float(robot.kd[joint]))
        limit = float(robot.effort_limit[joint])
        motor.ctrllimited, motor.forcelimited, motor.forcerange = 0, 1, [-limit, limit]
    if not any(geom.type == mujoco.mjtGeom.mjGEOM_PLANE for geom in spec.geoms):
        spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=FLOOR_SIZE)
    spec.option.timestep = robot.model.opt.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    try:
        model = spec.compile()
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: --mjcf cannot be compiled ({reason}); mend the model") from None
    root = free_joint(model)
    if root < 0 or model.jnt_type[root] != mujoco.mjtJoint.mjJNT_FREE:
        raise UserError(f"{path}: --mjcf has no free joint of the robot; give a model whose pelvis floats")
    return model
