"""Clips that leave the floor: run, jump. In flight the centre of mass (CoM) falls freely.

Each function returns a `MotionSpec`. Angles in degrees, lengths in m, times in s.
"""

import numpy as np

from mjx_mimic.robot.constants import GRAVITY
from mjx_mimic.synthesis.grounded_clips import STAND_COM, TOE_OUT, WIDTH
from mjx_mimic.synthesis.keyframes import ease, joints, orientation, planted
from mjx_mimic.synthesis.motion_spec import JointSwing, MotionSpec, cycle_times
from mjx_mimic.synthesis.periodic import half_cycle_later


def run() -> MotionSpec:
    """Two steps a cycle, from left landing to left landing, each with a flight."""
    period, sampling, speed = 2.0 / 3.0, 4, 2.1
    step, stance, foot_y, toe_out = period / 2.0, 0.235, 0.065, 4.0
    t = cycle_times(period, sampling)
    phase = 2.0 * np.pi * t / period

    # The left foot: lands flat, its heel rises before the toes leave.
    heel_off, toe_off_pitch, toe_off_rate = 0.158, 36.0, 570.0
    toe_off = (stance, toe_off_pitch, toe_off_rate)
    pitch = ease(t, period, [(0.0, 0.0), (heel_off, 0.0), toe_off, (stance + 0.2, 0.0)])
    x = np.zeros_like(t)
    stands = t <= stance + 1e-9
    left = planted(x, x + foot_y, x + np.radians(toe_out), np.radians(pitch), x, stands)
    right = planted(
        x + speed * step, x - foot_y, x - np.radians(toe_out), np.radians(half_cycle_later(pitch)), x,
        np.roll(stands, -len(t) // 2),
    )  # fmt: skip

    # The floor pushes up as fast as the flight comes down.
    flight = step - stance
    rise = 0.33  # m/s at toe-off
    fall = GRAVITY * flight - rise
    drop = (fall**2 - rise**2) / (2.0 * GRAVITY)  # lands lower than it leaves
    low = 0.676
    keys = []
    for start in (0.0, step):
        keys += [(start, low, -fall, -GRAVITY), (start + stance, low + drop, rise, -GRAVITY)]
    com_z = ease(t, period, keys)

    tread = [
        (0.0, 0.02),
        (0.3 * stance, 0.03),
        (0.6 * stance, 0.045),
        (0.78 * stance, 0.115),
        (stance, 0.118),
    ]
    zmp_x = np.interp(t, [k[0] for k in tread], [k[1] for k in tread])
    ours = t < step
    zmp_x = np.where(ours, zmp_x, half_cycle_later(zmp_x) + speed * step)
    zmp = np.column_stack([zmp_x, np.where(ours, foot_y, -foot_y)])

    left_swing = JointSwing(
        leg=0, start=stance, end=period,
        via={
            0: ((0.4, -27.0), (0.555, -49.0)),
            3: ((0.4, 112.0), (0.555, 47.0)),
            4: ((0.4, -10.0), (0.555, -1.0)),
        },
    )  # fmt: skip
    stroke = np.cos(phase)  # 1 when the left leg is ahead
    pelvis = orientation(-11.0 * stroke, 8.0, 2.5 * np.sin(phase))
    dof_pos = joints(
        {
            "waist_yaw": 17.0 * stroke,
            "waist_roll": -2.5 * np.sin(phase),
            "waist_pitch": 2.0,
            "left_shoulder_pitch": 22.0 + 40.0 * stroke,
            "right_shoulder_pitch": 22.0 - 40.0 * stroke,
            "shoulder_roll": 18.0,
            "shoulder_yaw": -6.0,
            "left_elbow": 8.0 + 14.0 * stroke,
            "right_elbow": 8.0 - 14.0 * stroke,
        }
    )
    return MotionSpec(
        name="run", period=period, sampling=sampling, travel=np.array([speed * period, 0.0]), pelvis=pelvis,
        dof_pos=dof_pos, com_z=com_z, zmp=zmp, feet=(left, right),
        swings=(left_swing, left_swing.of_other_leg(step)),
    )  # fmt: skip


def jump() -> MotionSpec:
    """A jump forwards off both feet: crouch with the arms back, leap, land and give way, stand up."""
    period, sampling, length = 2.6, 2, 0.3
    leave, land = 1.0, 1.32
    t = cycle_times(period, sampling)
    flight = land - leave
    high, low = 0.777, 0.724
    rise = (low - high) / flight + GRAVITY * flight / 2.0
    com_z = ease(
        t, period,
        [
            (0.1, STAND_COM), (0.69, 0.525, 0.0, 3.2), (leave, high, rise, -GRAVITY),
            (land, low, rise - GRAVITY * flight, -GRAVITY), (1.66, 0.516, 0.0, 1.4), (2.45, STAND_COM),
        ],
    )  # fmt: skip
    pitch = ease(
        t, period, [(leave - 0.11, 0.0), (leave, 32.0, 410.0), (land, 8.7, -230.0), (land + 0.056, 0.0)]
    )
    stands = (t <= leave + 1e-9) | (t >= land - 1e-9)
    x = np.where(t <= 0.5 * (leave + land), 0.0, length)
    left, right = (
        planted(x, 0 * t + side * WIDTH, 0 * t + np.radians(side * TOE_OUT), np.radians(pitch), 0 * t, stands)
        for side in (1, -1)
    )
    middle = 0.5 * (leave + land)
    swings = tuple(
        JointSwing(leg, leave, land, {0: ((middle, -30.0),), 3: ((middle, 47.0),), 4: ((middle, -5.0),)})
        for leg in (0, 1)
    )
    lean = ease(t, period, [(0.1, 3.0), (0.66, 26.0), (leave, 5.4), (land, 5.5), (1.67, 18.0), (2.45, 3.0)])
    arm = ease(t, period, [(0.1, 10.0), (0.58, 43.5), (leave + 0.05, -88.0), (1.67, -14.0), (2.5, 10.0)])
    pelvis = orientation(0.0, lean, 0.0)
    dof_pos = joints(
        {
            "waist_pitch": ease(t, period, [(0.1, 0.0), (0.66, 0.0), (leave, -3.0), (1.7, 5.0), (2.45, 0.0)]),
            "shoulder_pitch": arm,
            "shoulder_roll": 18.0,
            "elbow": ease(t, period, [(0.1, 68.0), (0.66, 80.0), (leave, 45.0), (1.68, 55.0), (2.5, 68.0)]),
        }
    )
    return MotionSpec(
        name="jump", period=period, sampling=sampling, travel=np.array([length, 0.0]), pelvis=pelvis,
        dof_pos=dof_pos, com_z=com_z, zmp=0.5 * (left.tread + right.tread), feet=(left, right), swings=swings,
    )  # fmt: skip
