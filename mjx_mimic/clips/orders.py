"""Whether a clip was stored with the quaternion's components or the joints in another order."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.sanity import breadth_first_joints, model
from mjx_mimic.robot.kinematics import forward_kinematics, sole_positions

Array = NDArray[np.float64]
Order = Literal["xyzw", "wxyz", "breadth-first"]
"""What a file may really hold: a quaternion xyzw where wxyz was read, the reverse, or IsaacLab's joints."""
ORDERS: tuple[Order, ...] = ("xyzw", "wxyz", "breadth-first")

_PAIRS = 24  # pairs of neighbouring frames that are examined
SLIDE = 0.2
"""Speed, m/s, below which a contact that slides proves nothing."""
_BETTER = 0.5  # share of the slide that is left, at most, when the clip is read as it should be
_STANDS = 1.2  # m/s; in a true reading contacts slide less, even a runner's
GAP = 0.15
"""Distance, m, from the floor below which a lowest point is on it."""


@dataclass(frozen=True)
class Support:
    """How the lowest point of the body moves: median slide, m/s, and median distance from the floor, m."""

    slide: float
    gap: float


@dataclass(frozen=True)
class Doubt:
    """Why a clip looks as if it were stored in another order.

    Attributes:
        order: that order.
        read, other: the support as it was read, and in that order.
        slides: whether the slide raises the doubt; else the gap does.
    """

    order: Order
    read: Support
    other: Support
    slides: bool


def reread(quaternion: Array, joints: Array, order: Order) -> tuple[Array, Array]:
    """Read quaternions (N, 4) and joints (N, 29) again, as stored in another order than was assumed."""
    if order == "breadth-first":
        return quaternion, joints[:, np.argsort(breadth_first_joints())]
    return np.roll(quaternion, 1 if order == "xyzw" else -1, axis=1), joints


def better_order(motion: Motion) -> Doubt | None:
    """Find an order in which the robot would move far better than it does.

    The part that carries the robot stays in place on the floor. So the lowest point of the body slides
    little in any true reading, and a lot in most false ones.

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
        return Support(float(np.median(slide)), float(np.median(np.abs(start[:, 2]))))

    read = motion.root_quat[frames], motion.dof_pos[frames]
    found = support(*read)
    if found.slide < SLIDE and found.gap < GAP:
        return None
    for order in ORDERS:
        other = support(*reread(*read, order))
        stands = (
            found.slide > SLIDE and other.slide < _BETTER * found.slide and other.gap < max(found.gap, GAP)
        )
        touches = other.gap < GAP < found.gap - GAP and other.slide <= found.slide
        if other.slide < _STANDS and (stands or touches):
            return Doubt(order, found, other, slides=stands)
    return None


def _surface_points(qpos: Array) -> Array:
    """Compute (N, P, 3) m in the world: the lowest points of the sole spheres, the origins of all bodies."""
    soles = sole_positions(model(), qpos).reshape(len(qpos), -1, 3)
    return np.concatenate([soles, forward_kinematics(model(), qpos).body_pos], axis=1)
