"""Find a motion that keeps its balance, from feet, posture, height and zero-moment point over one cycle.

1. The horizontal path of the centre of mass (CoM) follows from the wanted zero-moment point (ZMP) p:
   z x'' = (z'' + g) (x - p), the cart-table model with a height z that varies. In flight z'' = -g, so the
   path is straight: take-off and landing come out together, by solving the whole cycle at once.
2. Inverse kinematics places the legs under the pelvis, and the pelvis is moved until the CoM is where it is
   wanted.
3. Inverse dynamics of the whole body gives the floor's moment about the wanted ZMP, which ought to be 0. The
   path is corrected by the linear equation of step 1 with this moment on its right side. In flight the moment
   is the change of angular momentum, which no floor explains: the trunk tilts a little, as a jumper's does.

Steps 2 and 3 are a map from one pelvis path to a better one. `solve` finds its fixed point, to rounding.
So a clip depends on its specification alone, and not on the first guess or on how a processor rounds.

Cart-table: Kajita et al. 2003, "Biped walking pattern generation by using preview control of zero-moment
point". Conventions as in `periodic`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import mirrored_joints
from mjx_mimic.robot.constants import GRAVITY, LEGS, MIRROR_VECTOR, SIDES
from mjx_mimic.robot.kinematics import forward_kinematics, without_sign_flips
from mjx_mimic.robot.mjcf import plain_g1
from mjx_mimic.synthesis.fixed_point import NotConvergedError, fixed_point
from mjx_mimic.synthesis.joint_swings import swing_leg, swinging
from mjx_mimic.synthesis.leg_kinematics import legs
from mjx_mimic.synthesis.motion_spec import MotionSpec, Solution
from mjx_mimic.synthesis.periodic import (
    Array,
    Dynamics,
    derivative,
    half_cycle_later,
    inverse_dynamics,
    low_pass,
)

_TOLERANCE = 1e-10  # m and rad, by which a last step may still move the pelvis
_PELVIS_OVER_COM = 0.05  # m, first guess
_FIRST_STEPS = 4
_PATIENCE = 10  # evaluations in a row with a foot out of reach, before the solver gives up
_CORRECTION_WIDTH = 0.01  # s; of faster errors the cart-table is a poor guide
# How sharply they are cut off there. Far more, and the solution of the kick depends on noise too strongly.
_CORRECTION_ORDER = 6
_CARRIES = 0.6  # share of the weight from which on the floor is asked to balance the body alone
_TILT_INERTIA = np.array([3.0, 3.0, 0.8])  # kg m^2, about of the body that the pelvis turns in flight
_TILT_COST_STANDING = 0.1  # of a moment for tilting while a foot stands, relative to one missing in flight
_TILT_STIFFNESS = 5.0  # N m / rad, in the same sense: the tilt stays small


def solve(spec: MotionSpec, first_guess: Array | None = None) -> Solution:
    """Find the motion; see the module's docstring.

    Args:
        spec: what is wanted.
        first_guess: (N, 3) path of the pelvis to start from; the result does not depend on it.

    Raises:
        ValueError: the specification asks for what the legs cannot reach, or for what does not balance.
    """
    balance = _Balance(spec)
    root_pos = balance.first_guess() if first_guess is None else first_guess
    start = np.concatenate([root_pos, np.zeros_like(root_pos)], axis=1)
    try:
        found = fixed_point(balance.improved, start, _TOLERANCE)
    except NotConvergedError as error:
        raise ValueError(f"{spec.name}: no balanced motion found; {error}") from error
    return balance.solution(found)


class _Balance:
    """The map whose fixed point is a balanced motion.

    Its argument is (N, 6): the pelvis position, m, and the rotation vector, rad, by which it is tilted from
    the specified orientation.
    """

    def __init__(self, spec: MotionSpec) -> None:
        count = len(spec.com_z)
        self.spec = spec
        self.travel = spec.travel * np.arange(count)[:, None] / count
        self.second_derivative = second_derivative(count, spec.period)
        self.lift = self.second_derivative @ spec.com_z + GRAVITY
        self.lift[spec.flies] = 0.0
        # The equation of step 1 is cart @ (com - travel) = -lift * (zmp - travel).
        self.cart = spec.com_z[:, None] * self.second_derivative - np.diag(self.lift)
        self.cart_zmp = self.lift[:, None] * (spec.zmp - self.travel)
        self.cart_factors = lu_factor(self.cart)
        com_xy = self.travel - lu_solve(self.cart_factors, self.cart_zmp)
        self.cart_com = np.column_stack([com_xy, spec.com_z])
        # The less the floor carries, the less it can turn the body.
        carried = np.clip(self.lift / (_CARRIES * GRAVITY), 0.0, 1.0)
        self.carried = (carried**2 * (3.0 - 2.0 * carried))[:, None]
        self.tilt_gains = tilt_gains(self.carried, self.second_derivative) if spec.flies.any() else []
        self.swinging = swinging(spec)
        self.leg_angles: list[Array | None] = [None, None]  # of the last call, to start the next one from
        self.unreached = 0  # evaluations in a row with a foot out of reach

    def first_guess(self) -> Array:
        """(N, 3) path of the pelvis that roughly has the CoM of the cart-table model."""
        root_pos = self.cart_com + np.array([0.0, 0.0, _PELVIS_OVER_COM])
        root_quat = continuous_signs(self.spec.pelvis.as_quat(scalar_first=True))
        for _ in range(_FIRST_STEPS):
            dof_pos = self.posed(root_pos, root_quat)[0]
            qpos = np.concatenate([root_pos, root_quat, dof_pos], axis=1)
            com = forward_kinematics(plain_g1(), qpos).com_pos
            root_pos = self.admitted(root_pos + self.cart_com - com)
        return root_pos

    def improved(self, state: Array) -> Array:
        """Compute a better state: CoM and ZMP nearer to where they are wanted, less spin in flight.

        Raises:
            ValueError: a foot has been out of reach for several evaluations.
        """
        root_pos, tilt = np.hsplit(state, 2)
        solution, reached = self.moved(root_pos, tilt)
        self.unreached = 0 if reached.all() else self.unreached + 1
        if self.unreached == _PATIENCE:
            raise self.out_of_reach(reached)
        dynamics = solution.dynamics
        com = self.corrected_com(dynamics)
        if self.spec.flies.any():
            spin = dynamics.moment - np.cross(dynamics.com, dynamics.force)
            tilt = self.tilted(tilt, spin)
        return np.concatenate([self.admitted(root_pos + com - dynamics.com), tilt], axis=1)

    def solution(self, state: Array) -> Solution:
        """Return the motion of a state.

        Raises:
            ValueError: a foot is out of reach.
        """
        solution, reached = self.moved(*np.hsplit(state, 2))
        if not reached.all():
            raise self.out_of_reach(reached)
        return solution

    def out_of_reach(self, reached: NDArray[np.bool_]) -> ValueError:
        """Return the error that names the first time at which a foot is not `reached` (N,)."""
        at = np.argmin(reached) / len(reached) * self.spec.period
        return ValueError(f"{self.spec.name}: a foot is out of reach at {at:.3f} s")

    def moved(self, root_pos: Array, tilt: Array) -> tuple[Solution, NDArray[np.bool_]]:
        """Return the whole motion of a pelvis path, and (N,) whether the feet are reached."""
        spec = self.spec
        root_quat = continuous_signs((Rotation.from_rotvec(tilt) * spec.pelvis).as_quat(scalar_first=True))
        dof_pos, reached = self.posed(root_pos, root_quat)
        velocity = np.array([*spec.travel / spec.period, 0.0])
        dynamics = inverse_dynamics(plain_g1(), root_pos, root_quat, dof_pos, spec.period, velocity)
        return Solution(spec, root_pos, root_quat, dof_pos, dynamics), reached

    def posed(self, root_pos: Array, root_quat: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 29) joint angles with the feet on their paths, and (N,) whether they are reached."""
        spec = self.spec
        dof_pos = spec.dof_pos.copy()
        root_mat = Rotation.from_quat(root_quat, scalar_first=True).as_matrix()
        reached = np.ones(len(root_pos), dtype=bool)
        for side in range(len(SIDES)):
            on = ~self.swinging[:, side]
            foot = spec.feet[side]
            angles, reached_here = legs()[side].inverse(
                root_pos[on], root_mat[on], foot.pos[on], foot.mat[on], self.leg_angles[side]
            )
            self.leg_angles[side] = angles
            dof_pos[on, LEGS[side]] = angles
            reached[on] &= reached_here
        for swing in spec.swings:
            swing_leg(spec, swing, dof_pos)
        if spec.symmetric:
            dof_pos[:, LEGS[1]] = mirrored_joints(half_cycle_later(dof_pos))[:, LEGS[1]]
        return dof_pos, reached

    def corrected_com(self, dynamics: Dynamics) -> Array:
        """(N, 3) path of the CoM that has the wanted ZMP, if changes of it follow the cart-table model."""
        spec = self.spec
        floor = np.column_stack([spec.zmp, np.zeros(len(spec.zmp))])
        missing = dynamics.moment - np.cross(floor, dynamics.force)
        balanced = np.column_stack([missing[:, 1], -missing[:, 0]]) / plain_g1().body_mass.sum()
        alone = self.cart @ (dynamics.com[:, :2] - self.travel) + self.cart_zmp
        error = self.carried * balanced + (1.0 - self.carried) * alone
        away = dynamics.com[:, :2] - self.cart_com[:, :2] - lu_solve(self.cart_factors, error)
        com = self.cart_com.copy()
        com[:, :2] += self.slow_part(away)
        return com

    def slow_part(self, signal: Array) -> Array:
        """A periodic signal without what is too fast to be corrected."""
        width = _CORRECTION_WIDTH / self.spec.period
        fast = signal
        for _ in range(_CORRECTION_ORDER):
            fast = fast - low_pass(fast, width)
        return signal - fast

    def admitted(self, root_pos: Array) -> Array:
        """The path of the pelvis with the symmetry and the height that the specification demands."""
        travel = np.column_stack([self.travel, np.zeros(len(root_pos))])
        if self.spec.symmetric:
            away = root_pos - travel
            root_pos = travel + 0.5 * (away + half_cycle_later(away) * MIRROR_VECTOR)
        if self.spec.pelvis_z is not None:
            root_pos = np.column_stack([root_pos[:, :2], self.spec.pelvis_z(root_pos[:, :2])])
        return root_pos

    def tilted(self, tilt: Array, spin: Array) -> Array:
        """(N, 3) rotation vector by which the pelvis tilts so that little turns the body in flight.

        Args:
            tilt: (N, 3) so far, rad.
            spin: (N, 3) change of angular momentum that came of it, N m.
        """
        wanted = (self.second_derivative @ tilt - spin / _TILT_INERTIA) * (1.0 - self.carried)
        return np.stack(
            [gain @ column for gain, column in zip(self.tilt_gains, wanted.T, strict=True)], axis=1
        )


def tilt_gains(carried: Array, operator: Array) -> list[Array]:
    """Compute for each axis the (N, N) matrix from angular accelerations that are missing to the tilt.

    The tilt has nearly these accelerations, in the sense of least squares, and stays small: least squares of
    the stacked system, since the normal equations would lose half of the digits.

    Args:
        carried: (N, 1) how far the floor can provide for them, 0 to 1.
        operator: (N, N) second derivative.
    """
    unit = np.eye(len(operator))
    weighted = (1.0 - (1.0 - _TILT_COST_STANDING) * carried) * operator
    gains = []
    for stiffness in _TILT_STIFFNESS / _TILT_INERTIA:
        q, r = np.linalg.qr(np.concatenate([weighted, stiffness * unit]))
        gains.append(np.linalg.solve(r, q[: len(unit)].T))
    return gains


def second_derivative(count: int, period: float) -> Array:
    """(N, N) matrix that differentiates a periodic signal twice, as `periodic.derivative` does."""
    return derivative(derivative(np.eye(count), period), period)


def continuous_signs(quat: Array) -> Array:
    """Quaternions (N, 4) with signs such that neighbours are near each other, the first with w >= 0."""
    return without_sign_flips(quat) * (1.0 if quat[0, 0] >= 0.0 else -1.0)
