"""Whether a clip was stored with the quaternion's components or the joints in another order."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.sanity import breadth_first_joints
from mjx_mimic.robot.kinematics import forward_kinematics, sole_positions
from mjx_mimic.robot.mjcf import plain_g1

Array = NDArray[np.float64]
Order = Literal["xyzw", "wxyz", "breadth-first"]
"""What a file may really hold: a quaternion xyzw where wxyz was read, the reverse, or IsaacLab's joints."""
Sign = Literal["slide", "gap", "upside down"]
"""What shows that a clip is stored in another order."""
ORDERS: tuple[Order, ...] = ("xyzw", "wxyz", "breadth-first")

_PAIRS = 24  # pairs of neighbouring frames that are examined
SLIDE = 0.2
"""Speed, m/s, below which a contact that slides proves nothing."""
_SOLE_POINTS = 8  # four under each foot
_BETTER = 0.5  # share of the slide that is left, at most, when the clip is read as it should be
_STANDS = 1.2  # m/s; in a true reading contacts slide less, even a runner's
GAP = 0.15
"""Distance, m, from the floor below which a lowest point is on it."""
SOLES = 0.3
"""Height, m, above which the soles of a robot that is upside down raise a doubt."""


@dataclass(frozen=True)
class Support:
    """What carries the body; each figure is the median of the frames.

    Attributes:
        slide: m/s, of the lowest point.
        gap: m, from that to the floor.
        soles: m, height of the lower sole.
        up: height of the pelvis' vertical axis, -1 to 1; negative: it is upside down.
    """

    slide: float
    gap: float
    soles: float
    up: float


@dataclass(frozen=True)
class Doubt:
    """Why a clip looks as if it were stored in another order.

    Attributes:
        order: that order.
        read, other: the support as it was read, and in that order.
        sign: what raises the doubt: the slide, the gap, or that the robot is upside down.
    """

    order: Order
    read: Support
    other: Support
    sign: Sign


def reread(quaternion: Array, joints: Array, order: Order) -> tuple[Array, Array]:
    """Read quaternions (N, 4) and joints (N, 29) again, as stored in another order than was assumed."""
    if order == "breadth-first":
        return quaternion, joints[:, np.argsort(breadth_first_joints())]
    return np.roll(quaternion, 1 if order == "xyzw" else -1, axis=1), joints


def better_order(motion: Motion) -> Doubt | None:
    """Find the order in which the robot would move best, if that is far better than it does.

    The part that carries the robot stays in place on the floor. So the lowest point of the body slides
    little in any true reading, and a lot in most false ones. In those in which the robot stands on its head,
    the head may stay in place on the floor; but then it would stand on its soles in another order.

    Returns:
        The order and what shows it; None: there is no reason for doubt.
    """
    first = np.unique(np.linspace(0, motion.num_frames - 2, _PAIRS).astype(int))
    frames = np.stack([first, first + 1], axis=1).ravel()

    def support(quaternion: Array, joints: Array) -> Support:
        qpos = np.concatenate([motion.root_pos[frames], quaternion, joints], axis=1)
        points = _surface_points(qpos).reshape(len(first), 2, -1, 3)
        lowest = np.argmin(points[:, 0, :, 2], axis=1)
        start, end = points[np.arange(len(first)), :, lowest].transpose(1, 0, 2)
        slide = np.linalg.norm(end - start, axis=1) * motion.fps
        soles = points[:, 0, :_SOLE_POINTS, 2].min(axis=1)
        up = Rotation.from_quat(quaternion, scalar_first=True).apply([0.0, 0.0, 1.0])[:, 2]
        medians = np.median(slide), np.median(np.abs(start[:, 2])), np.median(soles), np.median(up)
        return Support(*map(float, medians))

    read = motion.root_quat[frames], motion.dof_pos[frames]
    found = support(*read)
    upside_down = found.up < -0.5 and found.soles > SOLES
    if found.slide < SLIDE and found.gap < GAP and not upside_down:
        return None
    doubts = []
    for order in ORDERS:
        other = support(*reread(*read, order))
        stands = (
            found.slide > SLIDE and other.slide < _BETTER * found.slide and other.gap < max(found.gap, GAP)
        )
        touches = other.gap < GAP < found.gap - GAP and other.slide <= found.slide
        upright = upside_down and other.up > 0.5 and abs(other.soles) < GAP
        if other.slide < _STANDS and (stands or touches or upright):
            sign: Sign = "slide" if stands else "gap" if touches else "upside down"
            doubts.append(Doubt(order, found, other, sign))
    return min(doubts, key=lambda doubt: doubt.other.slide + doubt.other.gap, default=None)


def _surface_points(qpos: Array) -> Array:
    """Compute (N, P, 3) m in the world: the lowest points of the sole spheres, the origins of all bodies."""
    soles = sole_positions(plain_g1(), qpos).reshape(len(qpos), _SOLE_POINTS, 3)
    return np.concatenate([soles, forward_kinematics(plain_g1(), qpos).body_pos], axis=1)
