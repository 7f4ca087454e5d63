"""Curves through keyframes for made motions: of single values, of joints by name, of feet on the floor.

All are periodic and C2 (position, velocity and acceleration are continuous), so that inverse dynamics of what
is built on them has finite forces. Conventions as in `periodic`; `times` (N,) are seconds in one cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BPoly, CubicSpline
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.constants import G1_JOINTS, MIRROR_INDEX, MIRROR_SIGN
from mjx_mimic.synthesis.leg_kinematics import sole
from mjx_mimic.synthesis.periodic import Array

_HEEL_UP = 1.2  # degrees, from which on the toes alone carry
MIDDLE = 0.035  # m, from the ankle forwards to the middle of the sole

Keys = Sequence[tuple[float, ...]]
"""(time, value), (time, value, rate) or (time, value, rate, acceleration), times rising, in one cycle."""


def ease(times: Array, period: float, keys: Keys) -> Array:
    """(N,) quintic from key to key, which rests at each unless the key gives a rate or an acceleration.

    A part between two keys that lie on one parabola, with its rates and accelerations, is that parabola:
    so a ballistic flight is two keys.
    """
    rows = [[*key[1:], *(0.0,) * (4 - len(key))] for key in keys]
    at = [key[0] for key in keys]
    curve = BPoly.from_derivatives([*at, at[0] + period], np.array([*rows, rows[0]]))
    return curve(at[0] + (times - at[0]) % period)


def flow(times: Array, period: float, keys: Keys) -> Array:
    """(N,) cubic spline that passes through the keys (time, value) without resting."""
    at, values = np.array(keys).T
    return CubicSpline([*at, at[0] + period], [*values, values[0]], bc_type="periodic")(
        at[0] + (times - at[0]) % period
    )


def joints(curves: dict[str, Array | float]) -> Array:
    """(N, 29) rad from curves in degrees, by name without "_joint"; joints not named are 0.

    A name with neither "left_" nor "right_" that exists on both sides means both, the right one mirrored:
    "elbow", "shoulder_roll". A later entry goes over an earlier one.
    """
    count = max(np.size(curve) for curve in curves.values())
    angles = np.zeros((count, len(G1_JOINTS)))
    for name, curve in curves.items():
        if f"{name}_joint" in G1_JOINTS:
            angles[:, G1_JOINTS.index(f"{name}_joint")] = np.radians(curve)
        else:
            left = G1_JOINTS.index(f"left_{name}_joint")
            angles[:, left] = np.radians(curve)
            angles[:, MIRROR_INDEX[left]] = MIRROR_SIGN[left] * np.radians(curve)
    return angles


@dataclass(frozen=True, eq=False)
class FootPath:
    """Where one foot is wanted over a cycle of N samples, as the ankle_roll frame.

    Attributes:
        pos: (N, 3) m.
        mat: (N, 3, 3).
        stands: (N,) whether the foot is on the floor, with the whole sole or its toes.
        tread: (N, 2) m, where it presses: the middle of the sole, the toes when the heel is up.
    """

    pos: Array
    mat: Array
    stands: NDArray[np.bool_]
    tread: Array


@dataclass(frozen=True)
class Step:
    """A foot's way through the air to its next place. Times in s, lengths in m, angles in degrees.

    Attributes:
        start, end: of the swing.
        x, y, yaw: where the foot lands: its ankle over the floor, and the direction of its toes.
        lift: height of the toes in the middle, over a straight way.
        peel: toes-down pitch at the start, for which the heel rises before.
        land: the same at the end; the heel sinks after. The toes touch first.
        settle: s that each of these takes while the toes stand.
    """

    start: float
    end: float
    x: float
    y: float
    yaw: float = 0.0
    lift: float = 0.06
    peel: float = 12.0
    land: float = 4.0
    settle: float = 0.12


def foot_path(
    times: Array, period: float, place: tuple[float, float, float], steps: Sequence[Step]
) -> FootPath:
    """A foot that stands at `place` (x, y, yaw in degrees) at the cycle's start and makes `steps`.

    The toes turn about a point that stands still, so nothing slides. The last step may end anywhere: the
    difference to `place` is the travel of a cycle.
    """
    x, y, yaw = (np.full(len(times), value) for value in place)
    lift, stands = np.zeros(len(times)), np.ones(len(times), dtype=bool)
    last = place
    pitch: list[tuple[float, ...]] = []
    for step in steps:
        share = np.clip((times - step.start) / (step.end - step.start), 0.0, 1.0)
        smooth, hump = swing_curves(share)
        for curve, value, before in zip((x, y, yaw), (step.x, step.y, step.yaw), last, strict=True):
            curve += smooth * (value - before)
        lift += step.lift * hump
        stands &= (times <= step.start) | (times >= step.end)
        rise, sink = 0.9 * step.peel / step.settle, -0.9 * step.land / step.settle
        pitch += [(step.start - step.settle, 0.0), (step.start, step.peel, rise)]
        pitch += [(step.end, step.land, sink), (step.end + step.settle, 0.0)]
        last = (step.x, step.y, step.yaw)
    angle = ease(times, period, pitch) if pitch else np.zeros(len(times))
    return planted(x, y, np.radians(yaw), np.radians(angle), lift, stands)


def swing_curves(share: Array) -> tuple[Array, Array]:
    """Return how far a foot is (N,) and how high (N,), both from 0 to 1, after a share (N,) of its swing."""
    return share**3 * (10.0 - 15.0 * share + 6.0 * share**2), 64.0 * share**3 * (1.0 - share) ** 3


def planted(x: Array, y: Array, yaw: Array, pitch: Array, lift: Array, stands: NDArray[np.bool_]) -> FootPath:
    """Place a foot whose ankle is over (x, y) when flat, turned by `pitch` about its toes, then lifted.

    Where `pitch` is negative, that is, toes up, the foot turns about its heel.
    """
    toe_x, toe_z = sole().toe
    heel_x, heel_z = sole().heel
    pivot_x, pivot_z = np.where(pitch < 0.0, heel_x, toe_x), np.where(pitch < 0.0, heel_z, toe_z)
    forward = pivot_x - np.cos(pitch) * pivot_x - np.sin(pitch) * pivot_z
    height = sole().radius + np.sin(pitch) * pivot_x - np.cos(pitch) * pivot_z
    pos = np.stack([x + np.cos(yaw) * forward, y + np.sin(yaw) * forward, height + lift], axis=1)
    up = np.clip(pitch / np.radians(_HEEL_UP), 0.0, 1.0)
    ahead = MIDDLE + (toe_x - MIDDLE) * up**2 * (3.0 - 2.0 * up)
    tread = np.stack([x + np.cos(yaw) * ahead, y + np.sin(yaw) * ahead], axis=1)
    turn = Rotation.from_euler("ZY", np.stack([yaw, pitch], axis=1))
    return FootPath(pos, turn.as_matrix(), stands, tread)


def pressed(feet: tuple[FootPath, FootPath], left_share: Array) -> Array:
    """(N, 2) m: zero-moment point when the left foot carries `left_share` (N,), the right one the rest."""
    return left_share[:, None] * feet[0].tread + (1.0 - left_share)[:, None] * feet[1].tread


def orientation(yaw: Array | float, pitch: Array | float, roll: Array | float) -> Rotation:
    """N orientations that turn about z, then the new y, then the new x; degrees, (N,) or one for all."""
    angles = np.broadcast_arrays(yaw, pitch, roll)
    return Rotation.from_euler("ZYX", np.stack(angles, axis=-1), degrees=True)
