"""Periodic signals, smooth joins between parts of a cycle, and inverse dynamics of a periodic motion.

Conventions: metres, radians, seconds; world with x forward, y to the left, z up, floor at z = 0; quaternions
wxyz. A *periodic signal* is an array whose first axis is N equidistant samples of one cycle without the
closing one.
"""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Via:
    """Angles (V,) rad that a joint passes at times (V,) in a swing."""

    times: Array
    angles: Array


def joined_curves(
    before: Array, after: Array, sample: float, start: float, end: float, times: Array, via: dict[int, Via]
) -> Array:
    """Compute leg angles in a swing that join the leg's stances around it smoothly (C2).

    Curves of the foot instead of the joints would make the knee jerk where it is nearly straight.

    Args:
        before: (4, 6) rad, leg angles up to the swing's start, one per `sample`.
        after: (4, 6) rad, the same from the swing's end on.
        sample: time between them, in the unit of `times`.
        start: of the swing.
        end: of the swing.
        times: (N,) where the angles are wanted.
        via: what joints pass on the way, by column of the leg; the others are not guided.

    Returns:
        (N, 6) rad.
    """
    at_start = _end_derivatives(before[::-1], -sample)
    at_end = _end_derivatives(after, sample)
    nothing = Via(np.empty(0), np.empty(0))
    columns = []
    for joint in range(before.shape[1]):
        guide = via.get(joint, nothing)
        knot_times = np.concatenate([[start], guide.times, [end]])
        knot_angles = np.concatenate([[before[-1, joint]], guide.angles, [after[0, joint]]])
        ends = ([(order, values[joint]) for order, values in at_start.items()],
                [(order, values[joint]) for order, values in at_end.items()])  # fmt: skip
        columns.append(make_interp_spline(knot_times, knot_angles, k=5, bc_type=ends)(times))
    return np.stack(columns, axis=1)


def _end_derivatives(samples: Array, step: float) -> dict[int, Array]:
    """Estimate first and second derivative at the first of four samples, `step` apart, to second order."""
    here, near, far, farther = samples
    return {
        1: (4.0 * near - 3.0 * here - far) / (2.0 * step),
        2: (2.0 * here - 5.0 * near + 4.0 * far - farther) / step**2,
    }


def half_cycle_later(signal: Array) -> Array:
    """Periodic `signal` shifted by half a cycle."""
    return np.roll(signal, -len(signal) // 2, axis=0)


def derivative(signal: Array, duration: float) -> Array:
    """Time derivative of a periodic signal, per s; `duration` of the cycle in s."""
    order = _harmonics(signal)
    order[-1] = 0.0  # the highest harmonic of an even number of samples has no derivative
    return _filtered(signal, 2j * np.pi * order / duration)


def low_pass(signal: Array, width: float) -> Array:
    """Periodic signal convolved with a Gaussian of standard deviation `width` in cycles."""
    return _filtered(signal, np.exp(-0.5 * (2.0 * np.pi * _harmonics(signal) * width) ** 2))


def _harmonics(signal: Array) -> Array:
    """Orders of the harmonics of a periodic signal."""
    return np.arange(len(signal) // 2 + 1, dtype=np.float64)


def _filtered(signal: Array, gain: NDArray) -> Array:
    """Periodic signal with its harmonics multiplied by `gain`."""
    gain = gain.reshape((-1,) + (1,) * (signal.ndim - 1))
    return np.fft.irfft(np.fft.rfft(signal, axis=0) * gain, len(signal), axis=0)


@dataclass(frozen=True)
class Dynamics:
    """What the floor and the joints must do for a periodic motion to happen.

    Attributes:
        qpos, qvel, qacc: (N, 36), (N, 35), (N, 35) in MuJoCo's generalised coordinates.
        generalised_force: (N, 35) by inverse dynamics without any contact.
        com: (N, 3) centre of mass of the whole body, m.
        force: (N, 3) total floor reaction, N.
        moment: (N, 3) its moment about the world's origin, N m.
        zmp: (N, 2) zero-moment point x, y on the floor, m; without meaning in flight.
    """

    qpos: Array
    qvel: Array
    qacc: Array
    generalised_force: Array
    com: Array
    force: Array
    moment: Array
    zmp: Array


def inverse_dynamics(
    model: mujoco.MjModel, root_pos: Array, root_quat: Array, dof_pos: Array, duration: float, velocity: Array
) -> Dynamics:
    """Inverse dynamics of a periodic motion that travels at `velocity` (3,) m/s on average.

    Args:
        model: the G1; left unchanged.
        root_pos: (N, 3), periodic but for the travel.
        root_quat: (N, 4), without sign jumps; after a whole turn it may come back with the other sign.
        dof_pos: (N, 29).
        duration: of the cycle, s.
        velocity: of the travel, world frame.
    """
    count = len(root_pos)
    travel = velocity * duration * np.arange(count)[:, None] / count
    root_vel = derivative(root_pos - travel, duration) + velocity
    qpos = np.concatenate([root_pos, root_quat, dof_pos], axis=1)
    qvel = np.concatenate([root_vel, _body_rate(root_quat, duration), derivative(dof_pos, duration)], axis=1)
    qacc = derivative(qvel, duration)

    generalised, com, pelvis_mat = _inverse_dynamics_of_samples(model, qpos, qvel, qacc)
    force = generalised[:, :3]  # in the world frame; the torque that follows it is in the pelvis frame
    torque = np.einsum("nij,nj->ni", pelvis_mat, generalised[:, 3:6])
    moment = torque + np.cross(root_pos, force)
    with np.errstate(divide="ignore", invalid="ignore"):
        zmp = np.stack([-moment[:, 1], moment[:, 0]], axis=1) / force[:, 2:]
    return Dynamics(qpos, qvel, qacc, generalised, com, force, moment, zmp)


def _inverse_dynamics_of_samples(
    model: mujoco.MjModel, qpos: Array, qvel: Array, qacc: Array
) -> tuple[Array, Array, Array]:
    """Run MuJoCo's inverse dynamics without any constraint on each of N samples.

    Returns:
        Generalised forces (N, 35), centres of mass (N, 3), and orientations of the pelvis (N, 3, 3).
    """
    model = copy.copy(model)  # `plain_g1` is everyone's
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    pelvis = model.body("pelvis").id
    generalised, com, mat = np.empty_like(qvel), np.empty((len(qpos), 3)), np.empty((len(qpos), 9))
    data = mujoco.MjData(model)
    for i in range(len(qpos)):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[i], qvel[i], qacc[i]
        mujoco.mj_inverse(model, data)
        generalised[i], com[i], mat[i] = data.qfrc_inverse, data.subtree_com[0], data.xmat[pelvis]
    return generalised, com, mat.reshape(-1, 3, 3)


def _body_rate(quat: Array, duration: float) -> Array:
    """(N, 3) angular velocity in the body frame of a periodic orientation, rad/s."""
    if quat[0] @ quat[-1] < 0.0:
        rate = derivative(np.concatenate([quat, -quat]), 2.0 * duration)[: len(quat)]
    else:
        rate = derivative(quat, duration)
    w, v = quat[:, :1], quat[:, 1:]
    return 2.0 * (w * rate[:, 1:] - rate[:, :1] * v - np.cross(v, rate[:, 1:]))
