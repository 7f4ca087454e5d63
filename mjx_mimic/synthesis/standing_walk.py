"""From standing to walking and back: a motion that stands, walks a few steps and stands, and two cuts of it.

The strides in the middle are those of the walk, and both cuts are at a left heel strike, where the walk
begins. The solver needs a motion that closes, which this one does in the stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mjx_mimic.synthesis.keyframes import MIDDLE, FootPath, ease, planted, swing_curves
from mjx_mimic.synthesis.motion_spec import FPS, JointSwing, MotionSpec, cycle_times
from mjx_mimic.synthesis.periodic import Array, low_pass
from mjx_mimic.synthesis.walks import (
    COM_HEIGHT,
    SAMPLING,
    Recipe,
    pelvis_height,
    stride_length,
    upper_body,
)

RECIPE, SPEED = Recipe(), 0.9
"""Those of the walk; m/s."""
STRIDE = stride_length(SPEED, RECIPE)  # m
PERIOD = STRIDE / SPEED  # s, of a stride
STRIDES = 3
"""Left heel strikes; the left foot's next step ends beside the right one."""
FIRST, REST = 1.2, 0.85
"""Time of the first heel strike, a right one, and from the last step to the end of the cycle, s."""
HEEL_UP, SETTLING = 20.0, 0.2
"""Pitch of the foot that is the first to leave the stand, degrees, and the time that it takes, s."""
LIFT = 0.05
"""Height of the first and the last step over a straight way, m."""
SINKS = (0.04, 0.025)
"""How much lower the pelvis is in the first step and in the last one, where a leg reaches farther, m."""


@dataclass(frozen=True)
class Swings:
    """One foot's swings: when they begin and end, s, and where the foot then stands, m."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    places: tuple[float, ...]


def start_walking() -> MotionSpec:
    """Stand, and walk at 0.9 m/s up to the second left heel strike, where `walk` begins."""
    left, _ = _swings()
    return _spec("start_walking", (0.0, left.ends[1]))


def stop_walking() -> MotionSpec:
    """Go on from a left heel strike, where `walk` ends, and stand."""
    left, _ = _swings()
    return _spec("stop_walking", (left.ends[STRIDES - 1], left.ends[STRIDES] + REST))


def _swings() -> tuple[Swings, Swings]:
    """Return those of the left and of the right foot."""
    r, half = RECIPE, 0.5 * PERIOD
    strikes = FIRST + PERIOD * np.arange(STRIDES + 1)
    right_starts = [FIRST - (1.0 - r.toe_off) * PERIOD, *(strikes[:-1] + r.toe_off * PERIOD)]
    left_starts = strikes + (r.toe_off - 0.5) * PERIOD
    steps = 0.5 * STRIDE * np.arange(2 * STRIDES + 2)
    left = Swings(tuple(left_starts), tuple(strikes + half), (*steps[2::2], steps[-1]))
    return left, Swings(tuple(right_starts), tuple(strikes), tuple(steps[1::2]))


def _spec(name: str, kept: tuple[float, float]) -> MotionSpec:
    """Specify the whole motion, of which a part is kept."""
    r, (left, right) = RECIPE, _swings()
    period = round((left.ends[-1] + REST) * FPS) / FPS
    t = cycle_times(period, SAMPLING)
    feet = _feet(t, period, left, right)
    lift = right.starts[0]
    moves = [
        (lift - 0.35, 0.0), (left.ends[0], 1.0),
        (left.ends[STRIDES - 1] + 0.1, 1.0), (left.ends[-1] + 0.35, 0.0),
    ]  # fmt: skip
    share = ease(t, period, moves)
    first = ease(t, period, [(lift - 0.3, 0.0), (FIRST - 0.05, 1.0), (FIRST + 0.45, 0.0)])
    stop = right.ends[-1]
    last = ease(t, period, [(stop - 0.25, 0.0), (stop + 0.1, 1.0), (left.ends[-1] + 0.5, 0.0)])
    sink = SINKS[0] * first + SINKS[1] * last
    phase = (t - left.ends[0]) / PERIOD
    pelvis, dof_pos = upper_body(phase, r, share)

    def pelvis_z(root_xy: Array) -> Array:
        return pelvis_height(phase, root_xy, pelvis, feet, r, share, sink)

    return MotionSpec(
        name=name, period=period, sampling=SAMPLING, travel=np.array([left.places[-1], 0.0]), pelvis=pelvis,
        dof_pos=dof_pos, com_z=np.full_like(t, COM_HEIGHT), zmp=_zmp(t, period, left, right), feet=feet,
        swings=_joint_swings(left, right), pelvis_z=pelvis_z, kept=kept,
    )  # fmt: skip


def _feet(t: Array, period: float, left: Swings, right: Swings) -> tuple[FootPath, FootPath]:
    r = RECIPE

    def strike(time: float) -> list[tuple[float, ...]]:
        return [(time, r.strike_pitch, r.strike_rate / PERIOD), (time + r.flat * PERIOD, 0.0)]

    def push(time: float) -> list[tuple[float, ...]]:
        rises = time - (r.toe_off - r.heel_off) * PERIOD
        return [(rises, 0.0), (time, r.toe_off_pitch, r.toe_off_rate / PERIOD)]

    leaves = right.starts[0]
    right_pitch = [(leaves - SETTLING, 0.0), (leaves, HEEL_UP, 0.9 * HEEL_UP / SETTLING)]
    left_pitch = push(left.starts[0])
    for ends, starts, pitch in (
        (left.ends, left.starts, left_pitch),
        (right.ends, right.starts, right_pitch),
    ):
        for strikes, leaves in zip(ends, starts[1:], strict=False):
            pitch += strike(strikes) + push(leaves)
    left_pitch.append((left.ends[-1], 0.0))  # flat, beside the other foot
    right_pitch += strike(right.ends[-1])
    return _foot(t, period, left, left_pitch, 1.0), _foot(t, period, right, right_pitch, -1.0)


def _foot(
    t: Array, period: float, swings: Swings, pitch: Sequence[tuple[float, ...]], side: float
) -> FootPath:
    """Place a foot on its side, 1 left and -1 right.

    The right one's first swing and the left one's last are paths through the air; others have no meaning.
    """
    x, lift, stands, before = np.zeros_like(t), np.zeros_like(t), np.ones(len(t), dtype=bool), 0.0
    for number, (start, end, place) in enumerate(zip(swings.starts, swings.ends, swings.places, strict=True)):
        stands &= (t <= start + 1e-9) | (t >= end - 1e-9)
        share = np.clip((t - start) / (end - start), 0.0, 1.0)
        if number == (STRIDES if side > 0.0 else 0):
            smooth, hump = swing_curves(share)
            x += (place - before) * smooth
            lift += LIFT * hump
        else:
            x[share > 0.5] = place
        before = place
    y, yaw = side * np.full_like(t, RECIPE.foot_y), side * np.full_like(t, np.radians(RECIPE.toe_out))
    return planted(x, y, yaw, np.radians(ease(t, period, pitch)), lift, stands)


def _joint_swings(left: Swings, right: Swings) -> tuple[JointSwing, ...]:
    """All swings but the first one, the right foot's, and the last one, the left foot's."""

    def swing(leg: int, start: float, end: float) -> JointSwing:
        via = {
            column: tuple(
                (end - (1.0 - knot[0]) * PERIOD, knot[entry]) for knot in (RECIPE.swing, RECIPE.reach)
            )
            for entry, column in ((1, 0), (2, 3), (3, 4))  # hip pitch, knee, ankle pitch
        }
        return JointSwing(leg, start, end, via)

    lefts = [swing(0, *times) for times in zip(left.starts[:-1], left.ends[:-1], strict=True)]
    rights = [swing(1, *times) for times in zip(right.starts[1:], right.ends[1:], strict=True)]
    return (*lefts, *rights)


def _zmp(t: Array, period: float, left: Swings, right: Swings) -> Array:
    """(N, 2) m: between the feet, then heel to toe under one after the other, then between the feet."""
    r, lift, end = RECIPE, right.starts[0], left.places[-1]
    rises = left.starts[0] - (r.toe_off - r.heel_off) * PERIOD  # the left heel
    knots = [
        (0.0, MIDDLE, 0.0), (lift - 0.45, MIDDLE, 0.0), (lift - 0.02, r.zmp_heel, 1.0),
        (rises, r.zmp_toe, 1.0), (FIRST, r.zmp_toe, 1.0),
    ]  # fmt: skip
    stances = [(time, x, -1.0) for time, x in zip(right.ends, right.places, strict=True)]
    stances += [(time, x, 1.0) for time, x in zip(left.ends[:-1], left.places[:-1], strict=True)]
    for time, x, side in sorted(stances):
        heel = 0.05 if x == end else r.zmp_heel  # the last one brakes
        knots += [
            (time + (r.toe_off - 0.5) * PERIOD, x + heel, side),
            (time + r.heel_off * PERIOD, x + r.zmp_toe, side), (time + 0.5 * PERIOD, x + r.zmp_toe, side),
        ]  # fmt: skip
    knots += [(left.ends[-1] + 0.25, end + MIDDLE, 0.0), (period, end + MIDDLE, 0.0)]
    times, x, y = np.array(knots).T
    travel = np.stack([end * t / period, np.zeros_like(t)], axis=1)
    corners = np.stack([np.interp(t, times, x), r.zmp_y * np.interp(t, times, y)], axis=1)
    return travel + low_pass(corners - travel, r.zmp_smoothing * PERIOD / period)
