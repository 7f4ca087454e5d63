"""Turns a score (feet, posture, height and zero-moment point over one cycle) into a motion that balances.

1. The horizontal path of the centre of mass (CoM) follows from the zero-moment point (ZMP) p wished for:
   z x'' = (z'' + g) (x - p), the cart-table model with a height z that varies. In flight z'' = -g, so the
   path is straight: take-off and landing come out together, by solving the whole cycle at once.
2. Inverse kinematics places the pelvis and the legs: CoM and feet where they are wished.
3. Inverse dynamics of the whole body tells the floor's moment about the wished ZMP, which ought to be 0. The
   path is corrected by the linear equation of step 1 with this moment on its right side. In flight the moment
   is the change of angular momentum, which no floor explains: the trunk tilts a little, as a jumper's does.
4. Repeated, until it fits.

Cart-table: Kajita et al. 2003, "Biped walking pattern generation by using preview control of zero-moment
point". Conventions as in `gait`: periodic signals of N samples; right-handed world, z up.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import forward_kinematics
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.synthesis.keyframes import FootPath
from mjx_mimic.synthesis.periodic import (
    GRAVITY,
    LEFT_LEG,
    RIGHT_LEG,
    Array,
    Dynamics,
    derivative,
    inverse_dynamics,
    joined_curve,
    low_pass,
)

FPS = 60
LEGS = (LEFT_LEG, RIGHT_LEG)
FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
_GUESS = np.radians([-20.0, 0.0, 0.0, 40.0, -20.0, 0.0])  # of a leg's angles

_ITERATIONS = 16  # at most
_SETTLED = 2e-5  # m; a smaller correction is not worth another iteration
_IK_STEPS = 50
_IK_TOLERANCE = 1e-9  # m and rad
_CORRECTION_WIDTH = 0.01  # s; of faster errors the equation's model is a poor guide
_CARRIES = 0.6  # share of the weight from which on the floor is asked to balance the body alone
_TILT_INERTIA = np.array([3.0, 3.0, 0.8])  # kg m^2, about of the body that the pelvis turns in flight
_TILT_COST_STANDING = 0.1  # of a moment for tilting while a foot stands, relative to one missing in flight
_TILT_STIFFNESS = 5.0  # N m / rad, in the same sense: the tilt stays small


@dataclass(frozen=True)
class JointSwing:
    """A part of the cycle in which one leg follows curves of its joints, not its foot's path.

    Attributes:
        leg: 0 left, 1 right.
        start, end: s; the end may lie in the next cycle.
        via: (s, degrees) on the way, by column of the leg: 0 hip pitch, 1 hip roll, 3 knee, 4 ankle pitch.
    """

    leg: int
    start: float
    end: float
    via: dict[int, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, eq=False)
class Score:
    """What is wished of a cyclic motion, N equidistant samples without the closing one.

    Attributes:
        name: of the clip.
        period: s.
        sampling: samples a frame; the dynamics are computed at `sampling * FPS`.
        travel: (2,) m a cycle.
        pelvis: N orientations.
        dof_pos: (N, 29) rad; of the legs any.
        com_z: (N,) m.
        zmp: (N, 2) m, without meaning in flight.
        feet: left and right.
        swings: parts in which a leg swings by its joints.
    """

    name: str
    period: float
    sampling: int
    travel: Array
    pelvis: Rotation
    dof_pos: Array
    com_z: Array
    zmp: Array
    feet: tuple[FootPath, FootPath]
    swings: tuple[JointSwing, ...] = ()

    @property
    def flies(self) -> NDArray[np.bool_]:
        """(N,) whether neither foot stands."""
        return ~(self.feet[0].stands | self.feet[1].stands)


@dataclass(frozen=True, eq=False)
class Performance:
    """A motion that fits its score: root_pos (N, 3) m, root_quat (N, 4) wxyz, dof_pos (N, 29) rad."""

    score: Score
    root_pos: Array
    root_quat: Array
    dof_pos: Array
    com: Array
    dynamics: Dynamics

    def motion(self) -> Motion:
        """The clip at `FPS`, closed by its first pose one cycle's travel ahead."""

        def frames(signal: Array) -> Array:
            kept = signal[:: self.score.sampling]
            return np.concatenate([kept, kept[:1]])

        root_pos, root_quat = frames(self.root_pos), frames(self.root_quat)
        root_pos[-1, :2] += self.score.travel
        root_pos[:, :2] -= root_pos[0, :2]
        root_quat[-1] *= np.sign(root_quat[-1] @ root_quat[-2])
        return make_motion(
            name=self.score.name,
            fps=float(FPS),
            root_pos=root_pos,
            root_quat=root_quat,
            dof_pos=frames(self.dof_pos),
            joint_names=G1_JOINTS,
            loop="wrap",
            source=f"generated {self.score.name}",
        )


def cycle_times(period: float, sampling: int) -> Array:
    """(N,) s: the samples of a cycle, whose period must be a whole number of frames."""
    count = round(period * FPS) * sampling
    assert abs(round(period * FPS) - period * FPS) < 1e-6
    return np.arange(count) * period / count


def perform(score: Score) -> Performance:
    """Finds the motion; see the module's text.

    Raises:
        ValueError: the score asks for what the legs cannot reach.
    """
    model = load_mjcf(visuals=False)
    count = len(score.com_z)
    travel = score.travel * np.arange(count)[:, None] / count
    velocity = np.array([*score.travel / score.period, 0.0])
    operator = second_derivative(count, score.period)
    lift = operator @ score.com_z + GRAVITY
    lift[score.flies] = 0.0
    cart = score.com_z[:, None] * operator - np.diag(lift)
    com_xy = travel - np.linalg.solve(cart, lift[:, None] * (score.zmp - travel))
    com = np.column_stack([com_xy, score.com_z])
    # The less the floor carries, the less it can turn the body.
    carried = np.clip(lift / (_CARRIES * GRAVITY), 0.0, 1.0)
    carried = (carried**2 * (3.0 - 2.0 * carried))[:, None]

    root_pos, off = com + np.array([0.0, 0.0, 0.05]), np.zeros((count, 3))  # off: of the CoM
    dof_pos, tilt = score.dof_pos.copy(), np.zeros((count, 3))
    for leg in LEGS:
        dof_pos[:, leg] = _GUESS
    for iteration in range(_ITERATIONS):
        pelvis = Rotation.from_rotvec(tilt) * score.pelvis
        root_quat = _without_jumps(pelvis.as_quat(scalar_first=True))
        for _ in range(4 if iteration == 0 else 1):
            root_pos = root_pos + off
            unreached = _stand(model, score, root_pos, root_quat, dof_pos, chained=iteration == 0)
            _swing(score, dof_pos)
            qpos = np.concatenate([root_pos, root_quat, dof_pos], axis=1)
            reached = forward_kinematics(model, qpos).com_pos
            off = com - reached
        dynamics = inverse_dynamics(model, root_pos, root_quat, dof_pos, score.period, velocity)
        missing = dynamics.moment - np.cross(np.column_stack([score.zmp, np.zeros(count)]), dynamics.force)
        balanced = np.column_stack([missing[:, 1], -missing[:, 0]]) / model.body_mass.sum()
        alone = cart @ (reached[:, :2] - travel) + lift[:, None] * (score.zmp - travel)
        error = carried * balanced + (1.0 - carried) * alone
        width = _CORRECTION_WIDTH / score.period
        correction = low_pass(off[:, :2], width) + np.linalg.solve(cart, low_pass(error, width))
        if np.abs(correction).max() < _SETTLED:
            break
        com[:, :2] -= correction
        off = com - reached
        if score.flies.any():
            spin = dynamics.moment - np.cross(reached, dynamics.force)
            tilt = _tilted(tilt, spin, carried, operator)
    if unreached.max() > _IK_TOLERANCE:
        at = unreached.argmax() / count * score.period
        raise ValueError(f"{score.name}: a foot is out of reach at {at:.3f} s")
    return Performance(score, root_pos, root_quat, dof_pos, reached, dynamics)


def _tilted(tilt: Array, spin: Array, carried: Array, operator: Array) -> Array:
    """(N, 3) rotation vector by which the pelvis tilts so that nothing turns the body in flight, or little.

    Args:
        tilt: (N, 3) so far, rad.
        spin: (N, 3) change of angular momentum that came of it, N m.
        carried: (N, 1) how far the floor can provide for it, 0 to 1.
        operator: (N, N) second derivative.
    """
    weighted = (1.0 - (1.0 - _TILT_COST_STANDING) * carried) * operator
    system, unit = weighted.T @ weighted, np.eye(len(tilt))
    wished = (operator @ tilt - spin / _TILT_INERTIA) * (1.0 - carried)
    stiffness = (_TILT_STIFFNESS / _TILT_INERTIA) ** 2
    columns = [
        np.linalg.solve(system + stiff * unit, weighted.T @ accelerations)
        for stiff, accelerations in zip(stiffness, wished.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def second_derivative(count: int, period: float) -> Array:
    """(N, N) matrix that differentiates a periodic signal twice, as `gait.derivative` does."""
    return derivative(derivative(np.eye(count), period), period)


def _without_jumps(quat: Array) -> Array:
    """Signs chosen so that neighbours are near each other, the first with w >= 0."""
    signs = np.sign(np.sum(quat[1:] * quat[:-1], axis=1))
    return quat * np.cumprod([1.0 if quat[0, 0] >= 0.0 else -1.0, *signs])[:, None]


def _swing(score: Score, dof_pos: Array) -> None:
    """Sets the legs that swing by their joints, smoothly between the poses in which they stand."""
    count = len(dof_pos)
    sample = score.period / count
    for swing in score.swings:
        first, last = round(swing.start / sample), round(swing.end / sample)
        inside = np.arange(first + 1, last)
        leg = LEGS[swing.leg]
        columns = {joint: zip(*via, strict=True) for joint, via in swing.via.items()}
        dof_pos[inside % count, leg] = joined_curve(
            dof_pos[np.arange(first - 3, first + 1) % count, leg],
            dof_pos[np.arange(last, last + 4) % count, leg],
            sample,
            (first * sample, last * sample),
            sample * inside.astype(np.float64),
            {joint: (np.array(at), np.radians(angles)) for joint, (at, angles) in columns.items()},
        )


def _swinging(score: Score) -> Array:
    """(N, 2) whether the left, the right leg swings by its joints."""
    count = len(score.com_z)
    swinging = np.zeros((count, 2), dtype=bool)
    for swing in score.swings:
        first, last = (round(time * count / score.period) for time in (swing.start, swing.end))
        swinging[np.arange(first + 1, last) % count, swing.leg] = True
    return swinging


def _stand(
    model: mujoco.MjModel, score: Score, root_pos: Array, root_quat: Array, dof_pos: Array, chained: bool
) -> Array:
    """Inverse kinematics of the legs that have a path, written to `dof_pos`.

    Each sample starts from what it is, or from its predecessor if `chained`.

    Returns:
        (N,) what is missing, m or rad.
    """
    data = mujoco.MjData(model)
    feet = [model.body(name).id for name in FEET]
    jacobian = np.zeros((6, model.nv))
    turn, turn_quat = np.zeros(3), np.zeros(4)
    swinging = _swinging(score)
    missing = np.zeros(len(root_pos))
    for i in range(len(root_pos)):
        legs = [side for side in (0, 1) if not swinging[i, side]]
        data.qpos[:3], data.qpos[3:7], data.qpos[7:] = root_pos[i], root_quat[i], dof_pos[i]
        if chained and i:
            for side in legs:
                data.qpos[7:][LEGS[side]] = dof_pos[i - 1, LEGS[side]]
        for _ in range(_IK_STEPS):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)  # the Jacobian refers to the centre of mass
            missing[i] = 0.0
            for side in legs:
                mat = score.feet[side].mat[i] @ data.xmat[feet[side]].reshape(3, 3).T
                mujoco.mju_mat2Quat(turn_quat, mat.ravel())
                mujoco.mju_quat2Vel(turn, turn_quat, 1.0)
                error = np.concatenate([score.feet[side].pos[i] - data.xpos[feet[side]], turn])
                missing[i] = max(missing[i], np.abs(error).max())
                mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], feet[side])
                columns = jacobian[:, 6:][:, LEGS[side]]
                # Damping as large as the error keeps the step finite where the leg is straight.
                damping = 0.1 * error @ error + 1e-10
                step = np.linalg.solve(columns.T @ columns + damping * np.eye(6), columns.T @ error)
                data.qpos[7:][LEGS[side]] += step
            if missing[i] < _IK_TOLERANCE:
                break
        dof_pos[i] = data.qpos[7:]
    return missing
