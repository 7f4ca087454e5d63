"""Print, as JSON, how far MJX-Warp is from MJX. A program of its own, because Warp must be imported first."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import warp
from mujoco.mjx.third_party.mujoco_warp._src import types as mujoco_warp

from mjx_mimic.config import RandomizationConfig
from mjx_mimic.robot.mjx_warp import WarpPhysics
from mjx_mimic.robot.model import PhysicsState, Robot, load_robot
from mjx_mimic.robot.quiet_mjx import mjx
from mjx_mimic.task import dynamics

ROBOTS = 12
DT = 1.0 / 90.0
RANDOM = RandomizationConfig(
    friction=(0.3, 1.0),
    mass=(0.8, 1.3),
    trunk_com=0.05,
    joint_damping=(0.5, 1.0),
    armature=(1.5, 2.0),
    kp=(0.7, 0.9),
    kd=(1.1, 1.3),
    motor_strength=(0.1, 0.9),
    gravity_tilt=0.1,
)


def converging(robot: Robot) -> Robot:
    """Let the constraint solver find its solution, which is unique; after one iteration it has not."""
    model = robot.model
    model.opt.iterations, model.opt.ls_iterations = 30, 30
    device = jax.local_devices()[0]
    mjx_model = mjx.put_model(model, device=device, impl="jax")
    data = mjx.make_data(mjx_model, device=device, impl="jax")
    return replace(robot, mjx_model=mjx_model, mjx_data=data, warp=WarpPhysics.make(model, data, device))


def standing(robot: Robot) -> PhysicsState:
    """Return robots that stand and lie about on the floor."""
    rng = np.random.default_rng(0)
    qpos = np.tile(robot.model.key("stand").qpos, (ROBOTS, 1))
    qpos[:, 7:] += 0.1 * rng.normal(size=(ROBOTS, 29))
    qpos[::3, 3:7] = [np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0]  # face down
    qpos[::3, 2] = 0.15
    for joint in ("left_shoulder_roll_joint", "right_shoulder_roll_joint"):  # arms through the trunk
        low, high = robot.model.joint(joint).range
        qpos[1::3, robot.model.joint(joint).qposadr[0]] = low if joint.startswith("left") else high
    qvel = 0.3 * rng.normal(size=(ROBOTS, 35))
    return PhysicsState(*(jnp.asarray(x, jnp.float32) for x in (qpos, qvel, np.zeros((ROBOTS, 35)))))


def moved(robot: Robot, states: PhysicsState, drawn: dynamics.Dynamics, steps: int, nested: bool = False):
    """Return states and depths after physics steps under a force, with each robot's own dynamics."""

    def one(state: PhysicsState, drawn: dynamics.Dynamics):
        fields = dynamics.simulated_fields(robot, drawn, DT)
        force = jnp.array([40.0, -20.0, 10.0])
        ctrl = state.qpos[7:]
        step = lambda state, _: robot.physics_step(fields, state, ctrl, force)  # noqa: E731
        return jax.lax.scan(step, state, None, length=steps)

    if not nested:
        return jax.jit(jax.vmap(one))(states, drawn)
    rows = jax.tree.map(lambda x: x.reshape(3, -1, *x.shape[1:]), (states, drawn))
    result = jax.jit(jax.vmap(jax.vmap(one)))(*rows)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), result)


def difference(first, second) -> float:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return float(max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs))


def main() -> None:
    warp.config.log_level = warp.LOG_ERROR
    warp.config.optimization_level = 0  # compiles in less time than it runs
    robot = converging(load_robot("body", self_collision=True, impl="jax"))
    states = standing(robot)
    drawn = jax.vmap(lambda key: dynamics.draw(RANDOM, robot, key))(
        jax.random.split(jax.random.key(0), ROBOTS)
    )
    figures = {}
    ours, ours_depth = moved(robot, states, drawn, 5)
    theirs, their_depth = moved(replace(robot, warp=None), states, drawn, 5)
    apart = np.asarray(their_depth).max(axis=1) == 0.0
    figures["apart"] = int(apart.sum())
    figures["positions"] = difference(ours.qpos[apart], theirs.qpos[apart])
    figures["velocities"] = difference(ours.qvel[apart], theirs.qvel[apart])
    figures["depths"] = difference(ours_depth[:, 0], their_depth[:, 0])
    figures["deepest"] = float(their_depth.max())
    nested, _ = moved(robot, states, drawn, 5, nested=True)
    figures["nested"] = difference(nested.qpos, ours.qpos)
    at_rest = robot.warp.data(ROBOTS)
    stepped = jax.jit(
        jax.vmap(lambda qpos: mjx.step(robot.warp.mjx_model, at_rest.replace(qpos=qpos))._impl.overflow)
    )(states.qpos)
    kinds = mujoco_warp.OverflowType  # a solver that has not converged is none of these
    buffers = kinds.NEFC | kinds.NJMAX_NNZ | kinds.BROADPHASE | kinds.NARROWPHASE
    figures["overflow"] = np.bitwise_or.reduce(np.asarray(stepped).ravel()).item() & buffers
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
