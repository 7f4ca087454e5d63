"""Tools to build a cyclic gait: the foot in stance, the leg in swing, inverse kinematics and dynamics.

Conventions: metres, radians, seconds; world with x forward, y to the left, z up, floor at z = 0;
quaternions wxyz; `phase` counts cycles, 0 at the left heel strike. A *periodic signal* is an array whose
first axis is N equidistant samples of one cycle without the closing one.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BPoly, make_interp_spline
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

# In the ankle_roll frame: centres of the sole spheres, midway between left and right, (x, z).
HEEL = np.array([-0.05, -0.03])
TOE = np.array([0.12, -0.03])
SOLE_RADIUS = 0.005
GRAVITY = 9.81

LEFT_LEG, RIGHT_LEG = slice(0, 6), slice(6, 12)  # columns in G1_JOINTS

_IK_STEPS = 30
_IK_TOLERANCE = 1e-11  # m and rad


@dataclass(frozen=True)
class Stance:
    """The left foot from its heel strike (phase 0) to its toe-off, standing at x = y = 0.

    Contact goes heel (0 to `flat`), whole sole (to `heel_off`), toes (to `toe_off`).

    Attributes:
        flat, heel_off, toe_off: phases in cycles.
        strike_pitch, toe_off_pitch: pitch of the sole, positive toes down, rad.
        strike_rate, toe_off_rate: its rate there, rad / cycle.
        toe_out: yaw of the sole, outward, rad.
    """

    flat: float
    heel_off: float
    toe_off: float
    strike_pitch: float
    toe_off_pitch: float
    strike_rate: float
    toe_off_rate: float
    toe_out: float

    def __call__(self, phase: Array) -> tuple[Array, Array]:
        """Ankle_roll frame at `phase` (N,): position (N, 3), (0, 0, 0.035) when flat, and axes (N, 3, 3)."""
        times = [0.0, self.flat, self.heel_off, self.toe_off]
        values = [self.strike_pitch, 0.0, 0.0, self.toe_off_pitch]
        rates = [self.strike_rate, 0.0, 0.0, self.toe_off_rate]
        pitch = BPoly.from_derivatives(times, np.stack([values, rates, np.zeros(4)], axis=1))(phase)

        # The foot turns about the sphere centres of its heel or toes, which stand still.
        on_toes = phase > 0.5 * (self.flat + self.heel_off)
        x, z = -np.where(on_toes[:, None], TOE, HEEL).T
        cos, sin = np.cos(pitch), np.sin(pitch)
        forward, height = cos * x + sin * z - x, SOLE_RADIUS + cos * z - sin * x
        position = np.stack([np.cos(self.toe_out) * forward, np.sin(self.toe_out) * forward, height], axis=1)
        yaw = np.full_like(pitch, self.toe_out)
        return position, Rotation.from_euler("ZY", np.stack([yaw, pitch], axis=1)).as_matrix()


def swing_leg(stance: Array, sample: float, phase: Array, via: Array, via_angles: dict[int, Array]) -> Array:
    """(N, 6) leg angles at `phase` (N,) from toe-off to 1, joined smoothly (C2) to the stance around.

    Args:
        stance: (S, 6) leg angles from the strike, one a `sample`, to toe-off.
        sample: cycles.
        phase: where the angles are wanted.
        via: (V,) phases in swing.
        via_angles: angles (V,) rad there, by column of the leg; the other joints pass freely.
    """
    toe_off = (len(stance) - 1) * sample
    ways = {joint: (via, angles) for joint, angles in via_angles.items()}
    return joined_curve(stance[-4:], stance[:4], sample, (toe_off, 1.0), phase, ways)


def joined_curve(
    before: Array,
    after: Array,
    sample: float,
    ends: tuple[float, float],
    times: Array,
    via: dict[int, tuple[Array, Array]],
) -> Array:
    """(N, 6) leg angles at `times` (N,) in a swing, joined smoothly (C2) to the leg's stances around it.

    Curves of the foot instead of the joints would make the knee jerk where it is nearly straight.

    Args:
        before, after: (4, 6) leg angles up to the swing's start and from its end on, one a `sample`.
        sample: time between them, in the unit of `times`.
        ends: start and end of the swing.
        times: where the angles are wanted.
        via: by column of the leg, times (V,) between the ends and angles (V,) rad there; the other joints
            pass freely.
    """
    derivatives = []  # at the start and at the end: angle, rate, acceleration
    for step, (here, near, far, farther) in ((-sample, before[::-1]), (sample, after)):
        rate = (4.0 * near - 3.0 * here - far) / (2.0 * step)  # one-sided differences of second order
        derivatives.append((here, rate, (2.0 * here - 5.0 * near + 4.0 * far - farther) / step**2))
    angles = np.empty((len(times), before.shape[1]))
    for joint in range(before.shape[1]):
        (start, *leave), (end, *strike) = [[values[joint] for values in side] for side in derivatives]
        at, knots = list(ends), [start, end]
        if joint in via:
            at[1:1], knots[1:1] = (list(values) for values in via[joint])
        bounds = ([(1, leave[0]), (2, leave[1])], [(1, strike[0]), (2, strike[1])])
        angles[:, joint] = make_interp_spline(at, knots, k=5, bc_type=bounds)(times)
    return angles


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


def cart_table(zmp: Array, duration: float, com_height: float) -> Array:
    """The periodic centre-of-mass path that has the zero-moment point `zmp`, both (N, ...) m.

    Solves com - com_height / gravity * d2(com)/dt2 = zmp harmonic by harmonic, so nothing diverges.
    """
    rate = 2.0 * np.pi * _harmonics(zmp) / duration
    return _filtered(zmp, 1.0 / (1.0 + com_height / GRAVITY * rate**2))


def _harmonics(signal: Array) -> Array:
    """Orders of the harmonics of a periodic signal."""
    return np.arange(len(signal) // 2 + 1, dtype=np.float64)


def _filtered(signal: Array, gain: NDArray) -> Array:
    """Periodic signal with its harmonics multiplied by `gain`."""
    gain = gain.reshape((-1,) + (1,) * (signal.ndim - 1))
    return np.fft.irfft(np.fft.rfft(signal, axis=0) * gain, len(signal), axis=0)


def solve_left_leg(
    model: mujoco.MjModel, root_pos: Array, root_quat: Array, foot_pos: Array, foot_mat: Array, guess: Array
) -> Array:
    """(N, 6) left-leg angles that put the left ankle_roll frame at `foot_pos` with axes `foot_mat`.

    Args:
        model: the G1.
        root_pos: (N, 3) pelvis position.
        root_quat: (N, 4) pelvis orientation.
        foot_pos: (N, 3) ankle_roll position.
        foot_mat: (N, 3, 3) ankle_roll orientation.
        guess: (6,) angles to start the first sample from; the others start from their predecessor.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0
    foot = model.body("left_ankle_roll_link").id
    jacobian = np.zeros((6, model.nv))
    turn, turn_quat = np.zeros(3), np.zeros(4)
    angles = np.array(guess)
    solution = np.empty((len(root_pos), 6))
    for sample in range(len(root_pos)):
        data.qpos[:3], data.qpos[3:7] = root_pos[sample], root_quat[sample]
        for _ in range(_IK_STEPS):
            data.qpos[7:13] = angles
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)  # the Jacobian refers to the centre of mass
            current = data.xmat[foot].reshape(3, 3)
            mujoco.mju_mat2Quat(turn_quat, (foot_mat[sample] @ current.T).ravel())
            mujoco.mju_quat2Vel(turn, turn_quat, 1.0)
            error = np.concatenate([foot_pos[sample] - data.xpos[foot], turn])
            if np.abs(error).max() < _IK_TOLERANCE:
                break
            mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], foot)
            # A little damping keeps the step finite near a straight knee.
            leg = jacobian[:, 6:12]
            angles = angles + np.linalg.solve(leg.T @ leg + 1e-9 * np.eye(6), leg.T @ error)
        else:
            raise ValueError(f"the left foot is out of reach at sample {sample} of {len(root_pos)}")
        solution[sample] = angles
    return solution


@dataclass(frozen=True)
class Dynamics:
    """What the floor and the joints must do for a periodic motion to happen.

    Attributes:
        qpos, qvel, qacc: (N, 36), (N, 35), (N, 35) in MuJoCo's generalised coordinates.
        generalised_force: (N, 35) by inverse dynamics without any contact.
        force: (N, 3) total floor reaction, N.
        moment: (N, 3) its moment about the world's origin, N m.
        zmp: (N, 2) zero-moment point x, y on the floor, m; without meaning in flight.
    """

    qpos: Array
    qvel: Array
    qacc: Array
    generalised_force: Array
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

    data = mujoco.MjData(model)
    flags = model.opt.disableflags
    model.opt.disableflags = flags | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    try:
        generalised = np.empty((count, model.nv))
        force, moment = np.empty((count, 3)), np.empty((count, 3))
        for i in range(count):
            data.qpos[:], data.qvel[:], data.qacc[:] = qpos[i], qvel[i], qacc[i]
            mujoco.mj_inverse(model, data)
            generalised[i] = data.qfrc_inverse
            force[i] = generalised[i, :3]  # world frame; the torque is in the pelvis frame
            torque = data.xmat[model.body("pelvis").id].reshape(3, 3) @ generalised[i, 3:6]
            moment[i] = torque + np.cross(root_pos[i], force[i])
    finally:
        model.opt.disableflags = flags
    with np.errstate(divide="ignore", invalid="ignore"):
        zmp = np.stack([-moment[:, 1], moment[:, 0]], axis=1) / force[:, 2:]
    return Dynamics(qpos, qvel, qacc, generalised, force, moment, zmp)


def _body_rate(quat: Array, duration: float) -> Array:
    """(N, 3) angular velocity in the body frame of a periodic orientation, rad/s."""
    if quat[0] @ quat[-1] < 0.0:
        rate = derivative(np.concatenate([quat, -quat]), 2.0 * duration)[: len(quat)]
    else:
        rate = derivative(quat, duration)
    w, v = quat[:, :1], quat[:, 1:]
    return 2.0 * (w * rate[:, 1:] - rate[:, :1] * v - np.cross(v, rate[:, 1:]))
