"""What a cyclic clip demands of the floor and of the motors, by inverse dynamics: could a robot do it?

At the sole spheres that touch the floor, the analysis looks for forces within their friction cones that
explain the motion with little load on the motors. No floor can provide what these forces leave over.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.foot_contacts import runs_of_true
from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.constants import SOLE_GEOMS
from mjx_mimic.robot.mjcf import effort_limits
from mjx_mimic.synthesis.leg_kinematics import sole
from mjx_mimic.synthesis.periodic import Array, Dynamics, inverse_dynamics

TOUCH = 1e-3
"""Height of a sole sphere, m, under which it may press on the floor."""
FRICTION = 0.8
CARRYING = 0.3
"""Share of the weight that the floor must carry for its zero-moment point (ZMP) to be judged."""
# What 1 N, 1 N m missing and a motor at its limit count for.
_UNIT_FORCE, _UNIT_MOMENT, _FULL_TORQUE = 1.0, 5.0, 3.0
_SUM_WEIGHT = 1e3  # m; makes shares add up to 1


@dataclass(frozen=True, eq=False)
class Demands:
    """What the motion of N frames demands.

    Attributes:
        dynamics: of the whole body.
        soles: (N, 8, 3) m, lowest points of the sole spheres: left, then right foot.
        touching: (N, 8) which of them may press.
        torque: (N, 29) of the motors, N m.
        torque_share: (N, 29) its size over the motor's limit.
        missing: (N, 6) force, N, and moment, N m, at the pelvis that no admitted floor force gives.
        zmp_outside: (N,) m from the ZMP to the support; nan where less than `CARRYING` of the weight stands.
        slip: m, the farthest that a touching sphere gets from where it touched down.
    """

    dynamics: Dynamics
    soles: Array
    touching: NDArray[np.bool_]
    torque: Array
    torque_share: Array
    missing: Array
    zmp_outside: Array
    slip: float

    def summary(self) -> str:
        """Return the worst of each in one line."""
        speed = np.abs(self.dynamics.qvel[:, 6:]).max()
        force, moment = (np.linalg.norm(part, axis=1).max() for part in np.hsplit(self.missing, 2))
        return (
            f"slip {1e3 * self.slip:.1f} mm, joints to {speed:.1f} rad/s, torque to"
            f" {100.0 * self.torque_share.max():.0f}% of the limit, ZMP at most"
            f" {1e3 * np.nanmax(self.zmp_outside):.0f} mm outside, missing {force:.0f} N, {moment:.1f} N m"
        )


def demands(model: mujoco.MjModel, motion: Motion) -> Demands:
    """Compute what a cyclic clip demands of floor and motors; `model` is the G1.

    One that turns must make a whole circle in a whole number of cycles.
    """
    dynamics = _of_first_cycle(_dynamics(model, _whole_circle(motion)), motion.num_frames - 1)
    spheres = np.array([model.geom(name).id for foot in SOLE_GEOMS for name in foot])
    corners = [(np.cos(angle), np.sin(angle)) for angle in np.arange(4) * np.pi / 2]
    edges = np.array([(FRICTION * x, FRICTION * y, 1.0) for x, y in corners])
    effort = effort_limits(model)
    weight = np.concatenate([np.full(3, _UNIT_FORCE), np.full(3, _UNIT_MOMENT), _FULL_TORQUE / effort])
    carried = CARRYING * model.body_mass.sum() * -model.opt.gravity[2]

    count = len(dynamics.qpos)
    soles, touching = np.empty((count, len(spheres), 3)), np.zeros((count, len(spheres)), dtype=bool)
    left, outside = dynamics.generalised_force.copy(), np.full(count, np.nan)
    data, jacobian = mujoco.MjData(model), np.zeros((3, model.nv))
    for i, qpos in enumerate(dynamics.qpos):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        soles[i] = data.geom_xpos[spheres] - [0.0, 0.0, sole().radius]
        touching[i] = soles[i, :, 2] < TOUCH
        points = soles[i, touching[i]]
        if not len(points):
            continue
        columns = []
        for point, sphere in zip(points, spheres[touching[i]], strict=True):
            mujoco.mj_jac(model, data, jacobian, None, point, model.geom_bodyid[sphere])
            columns.append(jacobian.T @ edges.T)
        forces = np.concatenate(columns, axis=1)
        sizes, _ = nnls(weight[:, None] * forces, weight * left[i], maxiter=10_000)
        left[i] -= forces @ sizes
        if dynamics.force[i, 2] > carried:
            outside[i] = _distance(dynamics.zmp[i], points[:, :2])

    slip = max(
        float(np.linalg.norm(soles[stand, sphere, :2] - soles[stand.start, sphere, :2], axis=1).max())
        for sphere in range(len(spheres))
        for stand in runs_of_true(touching[:, sphere])
    )
    missing, torque = left[:, :6], left[:, 6:]
    return Demands(dynamics, soles, touching, torque, np.abs(torque) / effort, missing, outside, slip)


def _whole_circle(motion: Motion) -> Motion:
    """Return the clip, or as many cycles of one that turns as end in the heading that they began with."""
    if motion.loop != "turn":
        return motion
    cycles = round(2.0 * np.pi / abs(motion.cycle_turn))
    frames = np.arange(cycles * (motion.num_frames - 1) + 1)
    return Motion.from_qpos(
        sampled(motion, frames / motion.fps), name=motion.name, fps=motion.fps, loop="wrap"
    )


def _dynamics(model: mujoco.MjModel, motion: Motion) -> Dynamics:
    """Inverse dynamics of a clip with loop "wrap"."""
    cycle = slice(0, motion.num_frames - 1)
    travel = (motion.root_pos[-1] - motion.root_pos[0]) * [1.0, 1.0, 0.0]
    return inverse_dynamics(
        model,
        motion.root_pos[cycle],
        motion.root_quat[cycle],
        motion.dof_pos[cycle],
        motion.length,
        travel / motion.length,
    )


def _of_first_cycle(dynamics: Dynamics, count: int) -> Dynamics:
    """Return the first `count` samples."""
    return Dynamics(**{name: values[:count] for name, values in vars(dynamics).items()})


def _distance(point: Array, corners: Array) -> float:
    """Distance, m, from `point` (2,) to the convex hull of `corners` (C, 2); 0 inside."""
    away = (corners - point).T
    system = np.concatenate([away, np.full((1, len(corners)), _SUM_WEIGHT)])
    shares, _ = nnls(system, np.array([0.0, 0.0, _SUM_WEIGHT]), maxiter=10_000)
    return float(np.linalg.norm(away @ shares / shares.sum()))
