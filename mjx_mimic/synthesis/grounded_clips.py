"""Clips in which a foot always carries: squat, side step, turn in place, kick, punch, throw.

Each function returns a `MotionSpec`. Angles in degrees, lengths in m, times in s.
"""

import numpy as np

from mjx_mimic.synthesis.keyframes import Step, ease, flow, foot_path, joints, orientation, pressed
from mjx_mimic.synthesis.motion_spec import JointSwing, MotionSpec, cycle_times

WIDTH = 0.09  # half the distance of the feet in the stand
TOE_OUT = 6.0
STAND_COM = 0.722  # height of the CoM in the stand; the knees are at 14 degrees


def squat() -> MotionSpec:
    """Down with the arms forward for balance, a moment's hold, up."""
    period, sampling = 3.2, 2
    t = cycle_times(period, sampling)
    down = ease(t, period, [(0.25, 0.0), (1.4, 1.0), (1.6, 1.0), (2.8, 0.0)])
    arms = ease(t, period, [(0.1, 0.0), (1.2, 1.0), (1.7, 1.0), (2.9, 0.0)])
    feet = (foot_path(t, period, (0.0, 0.13, 14.0), ()), foot_path(t, period, (0.0, -0.13, -14.0), ()))
    pelvis = orientation(0.0, 3.0 + 23.0 * down, 0.0)
    dof_pos = joints(
        {
            "waist_pitch": 4.0 * down,
            "shoulder_pitch": 10.0 - 108.0 * arms,
            "shoulder_roll": 14.0 + 5.0 * arms,
            "elbow": 68.0 + 12.0 * arms,
        }
    )
    return MotionSpec(
        name="squat", period=period, sampling=sampling, travel=np.zeros(2), pelvis=pelvis, dof_pos=dof_pos,
        com_z=STAND_COM - 0.27 * down, zmp=pressed(feet, np.full_like(t, 0.5)), feet=feet,
    )  # fmt: skip


def side_step() -> MotionSpec:
    """To the left: the left foot steps out, the right one closes."""
    period, sampling, length = 1.1, 4, 0.16
    t = cycle_times(period, sampling)
    feet = (
        foot_path(t, period, (0.0, WIDTH, TOE_OUT), [Step(0.1, 0.46, 0.0, WIDTH + length, TOE_OUT)]),
        foot_path(t, period, (0.0, -WIDTH, -TOE_OUT), [Step(0.65, 1.01, 0.0, length - WIDTH, -TOE_OUT)]),
    )
    left = ease(t, period, [(0.1, 0.0), (0.46, 0.0), (0.65, 1.0), (1.01, 1.0)])
    apart = ease(t, period, [(0.0, 0.0), (0.55, 1.0)])
    pelvis = orientation(0.0, 3.0, flow(t, period, [(0.0, 0.0), (0.28, -2.5), (0.55, 0.0), (0.83, 2.5)]))
    sway = flow(t, period, [(0.0, -1.0), (0.55, 1.0)])
    dof_pos = joints(
        {
            "waist_pitch": 1.0,
            "waist_roll": flow(t, period, [(0.0, 0.0), (0.28, 2.5), (0.55, 0.0), (0.83, -2.5)]),
            "shoulder_pitch": 4.0,
            "shoulder_roll": 20.0 + 9.0 * apart,
            "elbow": 48.0 - 8.0 * apart,
            "waist_yaw": 3.0 * sway,
        }
    )
    return MotionSpec(
        name="side_step", period=period, sampling=sampling, travel=np.array([0.0, length]), pelvis=pelvis,
        dof_pos=dof_pos, com_z=0.715 - 0.012 * apart, zmp=pressed(feet, left), feet=feet,
    )  # fmt: skip


def turn_in_place() -> MotionSpec:
    """A whole turn to the left in six pairs of steps, so that a cycle ends in the heading it began with."""
    pairs, pair, sampling = 6, 0.9, 2
    period, angle = pairs * pair, 360.0 / pairs
    t = cycle_times(period, sampling)
    left_steps, right_steps, left = [], [], []
    for k in range(pairs):
        heading, start = angle * (k + 1), pair * k
        x, y = -WIDTH * np.sin(np.radians(heading)), WIDTH * np.cos(np.radians(heading))
        left_steps.append(Step(start + 0.12, start + 0.44, x, y, heading + TOE_OUT, land=0.0, settle=0.09))
        right_steps.append(Step(start + 0.56, start + 0.88, -x, -y, heading - TOE_OUT, land=0.0, settle=0.09))
        left += [(start + 0.12, 0.0), (start + 0.44, 0.0), (start + 0.56, 1.0), (start + 0.88, 1.0)]
    feet = (
        foot_path(t, period, (0.0, WIDTH, TOE_OUT), left_steps),
        foot_path(t, period, (0.0, -WIDTH, -TOE_OUT), right_steps),
    )
    beat = 2.0 * np.pi * t / pair
    yaw = angle * t / pair + 4.0 * np.sin(beat)
    pelvis = orientation(yaw, 3.0, 1.5 * np.sin(beat))
    dof_pos = joints(
        {
            "waist_yaw": 9.0 - 3.0 * np.sin(beat),
            "waist_roll": -1.5 * np.sin(beat),
            "left_shoulder_pitch": 12.0 - 9.0 * np.cos(beat),
            "right_shoulder_pitch": 12.0 + 9.0 * np.cos(beat),
            "elbow": 55.0,
            "shoulder_roll": 22.0,
        }
    )
    return MotionSpec(
        name="turn_in_place", period=period, sampling=sampling, travel=np.zeros(2), pelvis=pelvis,
        dof_pos=dof_pos, com_z=0.708 + 0.006 * np.cos(2.0 * beat), zmp=pressed(feet, ease(t, period, left)),
        feet=feet,
    )  # fmt: skip


def kick() -> MotionSpec:
    """A front kick: weight over the left foot, the right knee comes up, the shank snaps out and back."""
    period, sampling = 3.2, 2
    t = cycle_times(period, sampling)
    feet = (
        foot_path(t, period, (0.0, WIDTH, TOE_OUT), ()),
        foot_path(
            t, period, (0.0, -WIDTH, -TOE_OUT), [Step(0.8, 2.2, 0.0, -WIDTH, -TOE_OUT, peel=16.0, land=6.0)]
        ),
    )
    swing = JointSwing(
        leg=1, start=0.8, end=2.2,
        via={
            0: ((0.92, -42.0), (1.16, -84.0), (1.4, -84.0), (1.6, -78.0), (2.05, -34.0)), 1: ((1.4, -2.0),),
            3: ((0.92, 72.0), (1.16, 102.0), (1.4, 14.0), (1.6, 88.0), (2.05, 50.0)),
            4: ((0.92, -14.0), (1.16, -8.0), (1.4, -12.0), (1.6, -5.0), (2.05, -16.0)),
        },
    )  # fmt: skip
    left = ease(t, period, [(0.05, 0.5), (0.75, 1.0), (2.25, 1.0), (2.95, 0.5)])
    guard = ease(t, period, [(0.1, 0.0), (0.8, 1.0), (2.2, 1.0), (3.0, 0.0)])
    lean = ease(t, period, [(0.7, 0.0), (1.38, 1.0), (2.2, 0.0)])
    pelvis = orientation(8.0 * lean, 3.0 - 12.0 * lean, 4.0 * lean)
    dof_pos = joints(
        {
            "waist_pitch": -2.0 * lean,
            "waist_yaw": -14.0 * lean,
            "waist_roll": -4.0 * lean,
            "left_shoulder_pitch": 10.0 - 45.0 * guard - 10.0 * lean,
            "right_shoulder_pitch": 10.0 - 40.0 * guard + 55.0 * lean,
            "shoulder_roll": 13.0 + 6.0 * guard + 8.0 * lean,
            "left_elbow": 68.0 - 78.0 * guard,
            "right_elbow": 68.0 - 78.0 * guard + 40.0 * lean,
        }
    )
    return MotionSpec(
        name="kick", period=period, sampling=sampling, travel=np.zeros(2), pelvis=pelvis, dof_pos=dof_pos,
        com_z=STAND_COM - 0.012 * guard + 0.035 * lean, zmp=pressed(feet, left), feet=feet, swings=(swing,),
    )  # fmt: skip


def punch() -> MotionSpec:
    """A straight punch with the right hand out of a guard: the trunk turns with it, and both come back."""
    period, sampling = 2.2, 2
    t = cycle_times(period, sampling)
    feet = (foot_path(t, period, (0.1, 0.11, 4.0), ()), foot_path(t, period, (-0.1, -0.11, -24.0), ()))
    guard = ease(t, period, [(0.0, 0.0), (0.6, 1.0), (1.4, 1.0), (2.1, 0.0)])
    out = ease(t, period, [(0.65, 0.0), (0.95, 1.0), (1.02, 1.0), (1.4, 0.0)])
    pelvis = orientation(-6.0 + 12.0 * out, 3.0 + 3.0 * out, 0.0)
    dof_pos = joints(
        {
            "waist_pitch": 1.0 + 3.0 * out,
            "waist_yaw": 6.0 - 10.0 * guard + 32.0 * out,
            "left_shoulder_pitch": 10.0 - 45.0 * guard + 5.0 * out,
            "right_shoulder_pitch": 10.0 - 40.0 * guard - 52.0 * out,
            "shoulder_roll": 13.0 + 4.0 * guard,
            "left_elbow": 68.0 - 78.0 * guard,
            "right_elbow": 68.0 - 76.0 * guard + 88.0 * out,
        }
    )
    left = 0.5 + 0.12 * ease(t, period, [(0.5, 0.0), (0.95, 1.0), (1.02, 1.0), (1.6, 0.0)])
    return MotionSpec(
        name="punch", period=period, sampling=sampling, travel=np.zeros(2), pelvis=pelvis, dof_pos=dof_pos,
        com_z=np.full_like(t, STAND_COM - 0.02), zmp=pressed(feet, left), feet=feet,
    )  # fmt: skip


def throw() -> MotionSpec:
    """An underhand throw with the right hand: the arm goes back, swings forward and up, and comes down."""
    period, sampling = 2.4, 2
    t = cycle_times(period, sampling)
    feet = (foot_path(t, period, (0.0, 0.12, 12.0), ()), foot_path(t, period, (0.0, -0.12, -12.0), ()))
    back = ease(t, period, [(0.1, 0.0), (0.8, 1.0), (1.2, 0.0)])
    through = ease(t, period, [(0.8, 0.0), (1.2, 1.0), (1.45, 1.0), (2.2, 0.0)])
    pelvis = orientation(0.0, 3.0 + 3.0 * through, 0.0)
    dof_pos = joints(
        {
            "waist_pitch": 1.0 + 2.0 * through,
            "waist_yaw": -3.0 * back,
            "left_shoulder_pitch": 10.0 - 14.0 * back + 10.0 * through,
            "right_shoulder_pitch": 10.0 + 40.0 * back - 120.0 * through,
            "shoulder_roll": 14.0,
            "left_elbow": 68.0,
            "right_elbow": 68.0 + 14.0 * back + 12.0 * through,
        }
    )
    return MotionSpec(
        name="throw", period=period, sampling=sampling, travel=np.zeros(2), pelvis=pelvis, dof_pos=dof_pos,
        com_z=np.full_like(t, STAND_COM - 0.02), zmp=pressed(feet, np.full_like(t, 0.5)), feet=feet,
    )  # fmt: skip
