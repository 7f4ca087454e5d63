"""Facts about the G1's legs and soles, read from its compiled model, and inverse kinematics of whole clips.

Conventions: metres, radians; N poses at once; the *foot* is the ankle_roll frame; leg angles are the columns
`constants.LEGS` of `G1_JOINTS`: hip pitch, roll, yaw, knee, ankle pitch, roll.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.constants import SIDES
from mjx_mimic.robot.mjcf import plain_g1

Array = NDArray[np.float64]

_LINKS = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_GUESS = np.radians([-20.0, 0.0, 0.0, 40.0, -20.0, 0.0])
_KNEE = 3  # column of a leg
_LEAST_KNEE = np.radians(1.0)  # keeps to the solutions whose knee bends as a person's does
_IK_STEPS = 50
_IK_TOLERANCE = 1e-9  # m and rad; the step from there leaves an error of the size of rounding


@dataclass(frozen=True, eq=False)
class Sole:
    """The four equal spheres under each foot, in the foot's frame; the same for both feet.

    Attributes:
        heel, toe: (2,) x and z of the centres, midway between the left and the right sphere.
        radius: of the spheres.
    """

    heel: Array
    toe: Array
    radius: float


@functools.cache
def sole() -> Sole:
    """The G1's soles."""

    def centre(end: str) -> Array:
        spheres = [plain_g1().geom(f"left_sole_{end}_{edge}") for edge in SIDES]
        return np.mean([sphere.pos for sphere in spheres], axis=0)[[0, 2]]

    return Sole(centre("heel"), centre("toe"), float(plain_g1().geom("left_sole_heel_left").size[0]))


@dataclass(frozen=True, eq=False)
class Leg:
    """One leg as a chain of six hinges from the pelvis to the foot.

    Attributes:
        offset: (6, 3) origin of each link in its parent's frame; its hinge goes through it.
        turn: (6, 3, 3) orientation of each link in its parent's frame at angle 0.
        axis: (6, 3) of each hinge in its link's frame.
    """

    offset: Array
    turn: Array
    axis: Array

    def hip_to_foot(self) -> tuple[Array, float, float, float]:
        """Measure the leg with all its angles at 0, seen from the side.

        Returns:
            The hip, (3,) in the pelvis frame, on the hip's pitch axis in the plane of knee and ankle; the
            lengths of thigh and shank between the pitch axes of hip, knee and ankle; and the height of the
            ankle's pitch axis over the foot's origin.
        """
        orientation = np.eye(3)
        origins, place = [], np.zeros(3)
        for offset, turn in zip(self.offset, self.turn, strict=True):
            place = place + orientation @ offset
            orientation = orientation @ turn
            origins.append(place)
        hip, knee, ankle, foot = (origins[link] for link in (0, 3, 4, 5))
        sagittal = [0, 2]
        thigh = float(np.linalg.norm((knee - hip)[sagittal]))
        shank = float(np.linalg.norm((ankle - knee)[sagittal]))
        return np.array([hip[0], ankle[1], hip[2]]), thigh, shank, float(ankle[2] - foot[2])

    def forward(self, root_pos: Array, root_mat: Array, angles: Array) -> tuple[Array, Array, Array]:
        """Compute where the foot is, and how it moves with the angles.

        Args:
            root_pos: (N, 3) pelvis position.
            root_mat: (N, 3, 3) pelvis orientation.
            angles: (N, 6).

        Returns:
            Foot positions (N, 3), orientations (N, 3, 3), and Jacobians (N, 6, 6), whose rows are the foot's
            linear and angular velocity in the world frame.
        """
        pos, mat = root_pos, root_mat
        anchors, axes = [], []
        for joint in range(len(self.axis)):
            pos = pos + mat @ self.offset[joint]
            mat = mat @ self.turn[joint]
            anchors.append(pos)
            axes.append(mat @ self.axis[joint])
            mat = mat @ _turn_about(self.axis[joint], angles[:, joint])
        columns = [
            np.hstack([np.cross(axis, pos - at), axis]) for at, axis in zip(anchors, axes, strict=True)
        ]
        return pos, mat, np.stack(columns, axis=2)

    def inverse(
        self, root_pos: Array, root_mat: Array, foot_pos: Array, foot_mat: Array, guess: Array | None = None
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Find the angles that put the foot at a pose, by damped Gauss-Newton steps for all poses at once.

        Args:
            root_pos: (N, 3) m, of the pelvis.
            root_mat: (N, 3, 3), of the pelvis.
            foot_pos: (N, 3) wanted position of the foot.
            foot_mat: (N, 3, 3) wanted orientation.
            guess: (N, 6) to start from; by default a slightly bent leg.

        Returns:
            Angles (N, 6), and whether each pose was reached, (N,).
        """
        angles = np.tile(_GUESS, (len(root_pos), 1)) if guess is None else guess
        for _ in range(_IK_STEPS):
            pos, mat, jacobian = self.forward(root_pos, root_mat, angles)
            error = np.hstack([foot_pos - pos, _turn_between(mat, foot_mat)])
            size = np.abs(error).max(axis=1)
            transposed = jacobian.swapaxes(1, 2)
            # Damping as large as the error keeps the step finite where the leg is straight.
            damping = 0.1 * np.sum(error**2, axis=1)[:, None, None] * np.eye(6)
            step = np.linalg.solve(transposed @ jacobian + damping, transposed @ error[:, :, None])
            angles = angles + step[:, :, 0]
            angles[:, _KNEE] = np.maximum(angles[:, _KNEE], _LEAST_KNEE)
            if (size < _IK_TOLERANCE).all():
                break
        return angles, size < _IK_TOLERANCE


@functools.cache
def legs() -> tuple[Leg, Leg]:
    """The G1's left and right leg."""
    return _leg("left"), _leg("right")


def _leg(side: str) -> Leg:
    """Read one leg from the compiled model."""
    model = plain_g1()
    bodies = [model.body(f"{side}_{link}_link").id for link in _LINKS]
    hinges = [model.joint(f"{side}_{link}_joint").id for link in _LINKS]
    assert not model.jnt_pos[hinges].any()
    turn = Rotation.from_quat(model.body_quat[bodies], scalar_first=True).as_matrix()
    return Leg(model.body_pos[bodies], turn, model.jnt_axis[hinges])


def _turn_about(axis: Array, angle: Array) -> Array:
    """Rotation matrices (N, 3, 3) about the unit `axis` (3,) by `angle` (N,), by Rodrigues' formula."""
    cross = np.cross(np.eye(3), axis)  # cross @ v is axis x v
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sin * cross + (1.0 - cos) * (cross @ cross)


def _turn_between(mat: Array, wanted: Array) -> Array:
    """Rotation vectors (N, 3), in the world frame, from orientations `mat` to `wanted`; exact to first order.

    For a turn by theta the length is sin(theta), which is enough for Newton's method.
    """
    return 0.5 * np.cross(mat, wanted, axis=1).sum(axis=2)
