"""Cyclic walks along a straight line at three speeds, and along a circle to either side.

1. Pelvis turns, waist counter-turns and arm swing are sinusoids of the cycle.
2. The wanted zero-moment point (ZMP) rolls from heel to toe of the stance foot and crosses over in double
   support.
3. The stance foot turns about its heel, lies flat, turns about its toes. In swing the leg's angles are smooth
   curves.
4. The pelvis is as high as the stance leg allows, less a bob.

The second half of the cycle mirrors the first, so both feet, arms and turns are described by the left side's.
Here, `phase` counts cycles, 0 at the left heel strike.

A turning walk is a straight one whose floor is bent into a ring. A whole circle of it is solved, so that the
solver sees a motion that closes, and the clip is its first cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.synthesis.keyframes import FootPath, ease, joints, orientation, planted
from mjx_mimic.synthesis.leg_kinematics import legs
from mjx_mimic.synthesis.motion_spec import FPS, JointSwing, MotionSpec, cycle_times
from mjx_mimic.synthesis.periodic import Array, half_cycle_later, low_pass

SAMPLING = 4  # samples per frame of the clip
COM_HEIGHT = 0.68  # m, roughly; the pelvis' height decides


@dataclass(frozen=True)
class Recipe:
    """The style of a walk. Angles in degrees, lengths in m, phases in cycles from the left heel strike.

    The odd numbers come from a search for small joint accelerations, motor torques and yaw moments, with the
    posture of a walking person (knee, clearance, pelvis height) as side conditions; then they were rounded.
    """

    # Timing: each double support takes `toe_off - 0.5` of the cycle.
    flat: float = 0.084
    heel_off: float = 0.38
    toe_off: float = 0.605
    stride_at_0_9: float = 0.99  # stride length at 0.9 m/s; it grows with the root of the speed, as in people

    # Feet.
    strike_pitch: float = -15.0
    toe_off_pitch: float = 43.0
    strike_rate: float = 400.0  # deg per cycle
    toe_off_rate: float = 430.0
    # The leg in mid-swing and in late swing: phase, hip pitch, knee, ankle pitch.
    swing: tuple[float, float, float, float] = (0.754, -17.0, 57.0, -26.0)
    reach: tuple[float, float, float, float] = (0.92, -34.0, 13.0, 2.0)
    foot_y: float = 0.09  # half the step width
    toe_out: float = 4.0

    # Pelvis: turns towards the swinging leg, drops on its side, bobs twice a cycle.
    least_knee: float = 7.0  # the pelvis is as high as this knee angle allows
    bob: float = 0.0101  # amplitude, two waves a cycle
    bob_low: float = 0.013  # phase of its lowest point
    bob_cos2: float = 0.0004  # and four waves a cycle
    bob_sin2: float = -0.002
    pelvis_yaw: float = 5.5
    pelvis_list: float = 2.8
    list_phase: float = 0.31  # phase of the largest drop on the right
    pelvis_pitch: float = 3.0

    # Trunk and arms.
    torso_yaw: float = 4.0
    torso_pitch: float = 3.0  # lean of the trunk in the world
    shoulder_pitch: float = 12.0
    shoulder_swing: float = 21.0
    shoulder_roll: float = 15.0
    elbow: float = 58.0  # 90 is a straight arm
    elbow_swing: float = 12.0

    # ZMP under the stance foot, relative to its ankle.
    zmp_heel: float = 0.015
    zmp_toe: float = 0.111
    zmp_y: float = 0.085
    zmp_smoothing: float = 0.015


SLOW = Recipe(
    strike_pitch=-11.0,
    strike_rate=300.0,
    toe_off_pitch=37.0,
    toe_off_rate=380.0,
    swing=(0.754, -21.0, 62.0, -24.0),
    pelvis_yaw=4.0,
    torso_yaw=3.0,
    shoulder_swing=13.0,
    elbow_swing=8.0,
)
"""For 0.55 m/s: lower strikes and pushes, a knee that lifts the slow foot, quieter arms."""

FAST = Recipe(
    stride_at_0_9=0.9,
    toe_off_rate=500.0,
    least_knee=12.0,
    swing=(0.754, -20.0, 62.0, -25.0),
    torso_pitch=5.0,
    shoulder_swing=27.0,
    elbow_swing=15.0,
)
"""For 1.2 m/s: quicker steps, softer knees, a lean, wider arms."""

TURNING = Recipe(zmp_toe=0.114)
"""For 0.8 m/s along a circle: a push from farther in front, since the toes point out of its tangent."""


def walk() -> MotionSpec:
    """Walk at 0.9 m/s."""
    return walk_spec("walk", 0.9, Recipe())


def slow_walk() -> MotionSpec:
    """Walk at 0.55 m/s."""
    return walk_spec("slow_walk", 0.55, SLOW)


def fast_walk() -> MotionSpec:
    """Walk at 1.2 m/s."""
    return walk_spec("fast_walk", 1.2, FAST)


def turn_left() -> MotionSpec:
    """Walk at 0.8 m/s along a circle to the left, a twelfth of it in a cycle."""
    return turning_spec("turn_left", 0.8, TURNING, cycles=12)


def turn_right() -> MotionSpec:
    """The same to the right."""
    return turning_spec("turn_right", 0.8, TURNING, cycles=-12)


def turning_spec(name: str, speed: float, recipe: Recipe, cycles: int) -> MotionSpec:
    """Specify a walk along a circle that starts at the left heel strike.

    Args:
        name: of the clip.
        speed: in the middle between the feet, m/s.
        recipe: the style, of a straight walk.
        cycles: in a whole circle; negative: to the right.
    """
    straight, stride, count = walk_spec(name, speed, recipe), stride_length(speed, recipe), abs(cycles)
    turn = 2.0 * np.pi / cycles
    phase = cycle_times(straight.period, SAMPLING) / straight.period
    ahead = np.repeat(np.arange(count), len(phase))  # whole cycles before each sample

    def bent(x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Where (x, y) of the straight floor is on the ring, and by how much it is turned, rad."""
        angle, radius = x * turn / stride, stride / turn
        return (radius - y) * np.sin(angle), radius - (radius - y) * np.cos(angle), angle

    def ring(foot: Foothold) -> FootPath:
        x, y, angle = bent(np.tile(foot.x, count) + stride * ahead, np.full(len(ahead), foot.y))
        yaw, pitch, stands = foot.yaw + angle, np.tile(foot.pitch, count), np.tile(foot.stands, count)
        return planted(x, y, yaw, pitch, np.zeros_like(x), stands)

    left, right = (ring(foot) for foot in footholds(phase * straight.period, straight.period, stride, recipe))
    # The body is over the foot in the middle of its stance.
    body = turn * (np.tile(phase, count) + ahead - 0.5 * recipe.toe_off)
    pelvis = Rotation.from_euler("z", body[:, None]) * Rotation.concatenate([straight.pelvis] * count)
    zmp_x, zmp_y, _ = bent(*(np.tile(straight.zmp, (count, 1)) + np.outer(ahead, [stride, 0.0])).T)
    swings = [straight.swings[0]]
    for _ in range(2 * count - 1):
        swings.append(swings[-1].of_other_leg(0.5 * straight.period))

    def pelvis_z(root_xy: Array) -> Array:
        return pelvis_height(np.tile(phase, count), root_xy, pelvis, (left, right), recipe)

    return MotionSpec(
        name=name, period=count * straight.period, sampling=SAMPLING, travel=np.zeros(2), pelvis=pelvis,
        dof_pos=np.tile(straight.dof_pos, (count, 1)), com_z=np.full(len(ahead), COM_HEIGHT),
        zmp=np.column_stack([zmp_x, zmp_y]), feet=(left, right), swings=tuple(swings), pelvis_z=pelvis_z,
        strides=count,
    )  # fmt: skip


def walk_spec(name: str, speed: float, recipe: Recipe) -> MotionSpec:
    """Specify a symmetric walk along +x that starts at the left heel strike.

    Args:
        name: of the clip.
        speed: mean forward speed, m/s; each recipe is made for one. Far from it, the foot skims the floor.
        recipe: the style.
    """
    stride = stride_length(speed, recipe)
    period = stride / speed
    t = cycle_times(period, SAMPLING)
    phase = t / period
    pelvis, dof_pos = upper_body(phase, recipe)
    feet = foot_paths(t, period, stride, recipe)

    def pelvis_z(root_xy: Array) -> Array:
        return pelvis_height(phase, root_xy, pelvis, feet[:1], recipe)

    return MotionSpec(
        name=name, period=period, sampling=SAMPLING, travel=np.array([stride, 0.0]), pelvis=pelvis,
        dof_pos=dof_pos, com_z=np.full_like(t, COM_HEIGHT), zmp=zmp_target(phase, stride, recipe), feet=feet,
        swings=joint_swings(period, recipe), pelvis_z=pelvis_z, symmetric=True,
    )  # fmt: skip


def stride_length(speed: float, recipe: Recipe) -> float:
    """Length of a cycle, m, of a whole number of frames in each half."""
    half_frames = round(FPS * recipe.stride_at_0_9 * (speed / 0.9) ** 0.5 / speed / 2.0)
    return speed * 2.0 * half_frames / FPS


def foot_paths(t: Array, period: float, stride: float, recipe: Recipe) -> tuple[FootPath, FootPath]:
    """Left and right foot, each from its heel strike to its toe-off; their swings have no meaning."""
    left, right = (
        planted(
            foot.x,
            np.full_like(t, foot.y),
            np.full_like(t, foot.yaw),
            foot.pitch,
            np.zeros_like(t),
            foot.stands,
        )
        for foot in footholds(t, period, stride, recipe)
    )
    return left, right


@dataclass(frozen=True, eq=False)
class Foothold:
    """Where a foot stands over a straight cycle of N samples, when flat."""

    x: Array  # (N,) m, of the ankle
    y: float  # m
    yaw: float  # rad
    pitch: Array  # (N,) rad, positive toes down
    stands: NDArray[np.bool_]  # (N,)


def footholds(t: Array, period: float, stride: float, recipe: Recipe) -> tuple[Foothold, Foothold]:
    """Left and right foot on the straight floor."""
    pitch = ease(
        t,
        period,
        [
            (0.0, recipe.strike_pitch, recipe.strike_rate / period),
            (recipe.flat * period, 0.0),
            (recipe.heel_off * period, 0.0),
            (recipe.toe_off * period, recipe.toe_off_pitch, recipe.toe_off_rate / period),
        ],
    )
    stands = t <= recipe.toe_off * period + 1e-9
    right_stands = np.roll(stands, -len(t) // 2)
    # The right foot is half a stride behind in the first double support, half a stride ahead in the second.
    right_x = np.where(t < 0.5 * recipe.toe_off * period, -0.5 * stride, 0.5 * stride)
    y, yaw = recipe.foot_y, np.radians(recipe.toe_out)
    left = Foothold(np.zeros_like(t), y, yaw, np.radians(pitch), stands)
    right = Foothold(right_x, -y, -yaw, np.radians(half_cycle_later(pitch)), right_stands)
    return left, right


def joint_swings(period: float, recipe: Recipe) -> tuple[JointSwing, JointSwing]:
    """The swing of either leg, from toe-off to the next strike."""
    knots = (recipe.swing, recipe.reach)
    via = {
        column: tuple((knot[0] * period, knot[entry]) for knot in knots)
        for entry, column in ((1, 0), (2, 3), (3, 4))  # hip pitch, knee, ankle pitch
    }
    left = JointSwing(0, recipe.toe_off * period, period, via)
    return left, left.of_other_leg(0.5 * period)


def pelvis_height(
    phase: Array,
    root_xy: Array,
    pelvis: Rotation,
    feet: Sequence[FootPath],
    recipe: Recipe,
    share: Array | float = 1.0,
    sink: Array | float = 0.0,
) -> Array:
    """(N,) m: a share of the recipe's bob less `sink` m, as high as the legs allow in stance.

    They allow a knee bent by `least_knee`. `feet` are the left one, and the right one if it does not do the
    same.
    """
    knee = np.radians(recipe.least_knee)
    angle = 4.0 * np.pi * (phase - recipe.bob_low)
    bob = recipe.bob_cos2 * np.cos(2 * angle) + recipe.bob_sin2 * np.sin(2 * angle)
    bob = share * (bob - recipe.bob * np.cos(angle)) - sink
    rooms = []
    for foot, leg in zip(feet, legs(), strict=False):
        hip_in_pelvis, thigh, shank, ankle_height = leg.hip_to_foot()
        on = foot.stands
        ankle = foot.pos[on] + foot.mat[on] @ [0.0, 0.0, ankle_height]
        hip = np.column_stack([root_xy[on], np.zeros(len(ankle))]) + pelvis[on].apply(hip_in_pelvis)
        reach_squared = thigh**2 + shank**2 + 2.0 * thigh * shank * np.cos(knee)
        aside = np.sum((hip - ankle)[:, :2] ** 2, axis=1)
        highest = ankle[:, 2] - hip[:, 2] + np.sqrt(reach_squared - aside)
        rooms.append(np.min(highest - bob[on]))
    return bob + min(rooms)


def upper_body(phase: Array, recipe: Recipe, share: Array | float = 1.0) -> tuple[Rotation, Array]:
    """Pelvis orientation in the world and (N, 29) joint angles, those of the legs still 0.

    A share of the swings: 0 is a stand.
    """
    stroke = share * np.cos(2.0 * np.pi * phase)  # 1 when the left leg is ahead
    drop = share * np.cos(2.0 * np.pi * (phase - recipe.list_phase))
    roll = recipe.pelvis_list * drop
    pelvis = orientation(-recipe.pelvis_yaw * stroke, recipe.pelvis_pitch, roll)
    dof_pos = joints(
        {
            "waist_yaw": (recipe.pelvis_yaw + recipe.torso_yaw) * stroke,
            "waist_roll": -roll,
            "waist_pitch": recipe.torso_pitch - recipe.pelvis_pitch,
            "left_shoulder_pitch": recipe.shoulder_pitch + recipe.shoulder_swing * stroke,
            "right_shoulder_pitch": recipe.shoulder_pitch - recipe.shoulder_swing * stroke,
            "shoulder_roll": recipe.shoulder_roll,
            "left_elbow": recipe.elbow + recipe.elbow_swing * stroke,
            "right_elbow": recipe.elbow - recipe.elbow_swing * stroke,
        }
    )
    return pelvis, dof_pos


def zmp_target(phase: Array, stride: float, recipe: Recipe) -> Array:
    """(N, 2) wanted zero-moment point x, y: heel to toe under one foot, then over to the other."""
    support = recipe.toe_off - 0.5  # share of the cycle of one double support
    step = 0.5 * stride
    # Once the heel is up, the toes alone carry.
    knots = np.array([0.0, support, recipe.heel_off, 0.5])
    x = np.array([recipe.zmp_toe - step, recipe.zmp_heel, recipe.zmp_toe, recipe.zmp_toe])
    y = recipe.zmp_y * np.array([-1.0, 1.0, 1.0, 1.0])
    knots, x, y = np.r_[knots, knots[1:] + 0.5], np.r_[x, x[1:] + step], np.r_[y, -y[1:]]
    travel = np.stack([stride * phase, np.zeros_like(phase)], axis=1)
    corners = np.stack([np.interp(phase, knots, x), np.interp(phase, knots, y)], axis=1)
    return travel + low_pass(corners - travel, recipe.zmp_smoothing)
