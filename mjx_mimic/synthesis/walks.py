"""Cyclic walks along a straight line at three speeds, from scratch.

1. Pelvis turns, waist counter-turns and arm swing are sinusoids of the cycle.
2. A zero-moment point (ZMP) is wished for, which rolls from heel to toe of the stance foot and crosses over
   in double support. The cart-table model gives a pelvis path that has it, roughly.
3. The stance foot turns about its heel, lies flat, turns about its toes; inverse kinematics gives the left
   leg's angles. In swing they are smooth curves of the joints. The right leg is the left one mirrored, half
   a cycle later, so the clip is exactly symmetric.
4. Inverse dynamics of the whole body gives the ZMP that this motion needs; the pelvis path is corrected and
   steps 3 and 4 repeated until it is the wished one.

No random numbers and no recorded motion: the same recipe always gives the same clip.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import mirrored_joints
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.paths import assets_dir
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.synthesis.periodic import (
    LEFT_LEG,
    RIGHT_LEG,
    Array,
    Dynamics,
    Stance,
    cart_table,
    half_cycle_later,
    inverse_dynamics,
    low_pass,
    solve_left_leg,
    swing_leg,
)

FPS = 60
OVERSAMPLING = 4  # the dynamics are computed at 240 Hz, the clip keeps every fourth sample
ZMP_ITERATIONS = 12
COM_HEIGHT = 0.68  # m, of the cart-table model; the iteration makes up for the difference
HIP = np.array([0.0, 0.1185, -0.1027])  # left hip in the pelvis frame, m
ANKLE_PITCH = np.array([0.0, 0.0, 0.017558])  # ankle pitch axis in the ankle_roll frame, m
THIGH, SHANK = 0.3366, 0.3  # m, hip to knee to ankle pitch axis; straight at knee angle 0


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
    strike_rate: float = 400.0  # deg a cycle
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


@dataclass(frozen=True)
class Walk:
    """One cycle, N samples at `OVERSAMPLING * FPS`, without the closing sample.

    Attributes:
        duration: s.
        stride: m.
        root_pos, root_quat, dof_pos: (N, 3) m, (N, 4) wxyz, (N, 29) rad.
        zmp_target: (N, 2) the wished zero-moment point, m; that of `dynamics` is the one reached.
        dynamics: of the whole body.
    """

    duration: float
    stride: float
    root_pos: Array
    root_quat: Array
    dof_pos: Array
    zmp_target: Array
    dynamics: Dynamics

    def motion(self, name: str) -> Motion:
        """The clip at FPS, closed by its first pose one stride ahead."""

        def frames(signal: Array) -> Array:
            kept = signal[::OVERSAMPLING]
            return np.concatenate([kept, kept[:1]])

        root_pos = frames(self.root_pos)
        root_pos[-1, 0] += self.stride
        root_pos[:, 0] -= root_pos[0, 0]
        return make_motion(
            name=name,
            fps=float(FPS),
            root_pos=root_pos,
            root_quat=frames(self.root_quat),
            dof_pos=frames(self.dof_pos),
            joint_names=G1_JOINTS,
            loop="wrap",
            source="generated walk",
        )


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


def build_walk(speed: float = 0.9, recipe: Recipe = Recipe()) -> Walk:
    """A symmetric cyclic walk along +x that starts at the left heel strike.

    Args:
        speed: mean forward speed, m/s; each recipe is made for one, farther off the foot skims the floor.
        recipe: the style.
    """
    model = mujoco.MjModel.from_xml_path(str(assets_dir() / "g1" / "scene.xml"))
    half_frames = round(FPS * recipe.stride_at_0_9 * (speed / 0.9) ** 0.5 / speed / 2.0)
    duration = 2.0 * half_frames / FPS
    stride = speed * duration
    phase = np.arange(2 * half_frames * OVERSAMPLING) / (2 * half_frames * OVERSAMPLING)

    root_turn, dof_pos = upper_body(phase, recipe)
    root_quat = root_turn.as_quat(scalar_first=True)
    root_quat *= np.sign(root_quat[:, :1])
    travel = np.stack([stride * phase, np.zeros_like(phase)], axis=1)
    velocity = np.array([speed, 0.0, 0.0])

    target = zmp_target(phase, stride, recipe)
    root_xy = travel + cart_table(target - travel, duration, COM_HEIGHT)
    for _ in range(ZMP_ITERATIONS):
        height = pelvis_height(phase, root_xy, root_turn, recipe)
        root_pos = np.column_stack([root_xy, height])
        dof_pos[:, LEFT_LEG] = left_leg(model, phase, root_pos, root_quat, recipe)
        dof_pos[:, RIGHT_LEG] = mirrored_joints(half_cycle_later(dof_pos))[:, RIGHT_LEG]
        dynamics = inverse_dynamics(model, root_pos, root_quat, dof_pos, duration, velocity)
        error = symmetric(target - dynamics.zmp)
        root_xy = root_xy + cart_table(error, duration, COM_HEIGHT)
    return Walk(duration, stride, root_pos, root_quat, dof_pos, target, dynamics)


def left_leg(model: mujoco.MjModel, phase: Array, root_pos: Array, root_quat: Array, recipe: Recipe) -> Array:
    """(N, 6) angles of the left leg: inverse kinematics in stance, a smooth curve in swing."""
    count, end = len(phase), round(recipe.toe_off * len(phase))
    foot_pos, foot_mat = left_stance(recipe)(phase[: end + 1])
    foot_pos[:, 1] += recipe.foot_y
    guess = np.radians([-25.0, 0.0, 0.0, 15.0, -5.0, 0.0])
    stance = solve_left_leg(model, root_pos[: end + 1], root_quat[: end + 1], foot_pos, foot_mat, guess)

    via, hip, knee, ankle = np.transpose([recipe.swing, recipe.reach])
    via_angles = {0: np.radians(hip), 3: np.radians(knee), 4: np.radians(ankle)}
    free = swing_leg(stance, 1.0 / count, phase[end + 1 :], via, via_angles)
    return np.concatenate([stance, free])


def left_stance(recipe: Recipe) -> Stance:
    """The recipe's foot in stance."""
    return Stance(
        flat=recipe.flat,
        heel_off=recipe.heel_off,
        toe_off=recipe.toe_off,
        strike_pitch=np.radians(recipe.strike_pitch),
        toe_off_pitch=np.radians(recipe.toe_off_pitch),
        strike_rate=np.radians(recipe.strike_rate),
        toe_off_rate=np.radians(recipe.toe_off_rate),
        toe_out=np.radians(recipe.toe_out),
    )


def pelvis_height(phase: Array, root_xy: Array, root_turn: Rotation, recipe: Recipe) -> Array:
    """(N,) m: the recipe's bob, as high as the left leg allows in stance, the knee bent by `least_knee`."""
    stance = phase <= recipe.toe_off
    foot_pos, foot_mat = left_stance(recipe)(phase[stance])
    ankle = foot_pos + foot_mat @ ANKLE_PITCH + [0.0, recipe.foot_y, 0.0]
    hip = np.column_stack([root_xy[stance], np.zeros(len(ankle))]) + root_turn[stance].apply(HIP)
    knee = np.radians(recipe.least_knee)
    reach_squared = THIGH**2 + SHANK**2 + 2.0 * THIGH * SHANK * np.cos(knee)
    aside = np.sum((hip - ankle)[:, :2] ** 2, axis=1)
    highest = ankle[:, 2] - hip[:, 2] + np.sqrt(reach_squared - aside)
    angle = 4.0 * np.pi * (phase - recipe.bob_low)
    bob = recipe.bob_cos2 * np.cos(2 * angle) + recipe.bob_sin2 * np.sin(2 * angle)
    bob -= recipe.bob * np.cos(angle)
    return bob + np.min(highest - bob[stance])


def upper_body(phase: Array, recipe: Recipe) -> tuple[Rotation, Array]:
    """Pelvis orientation in the world and (N, 29) joint angles, those of the legs still 0."""
    stroke = np.cos(2.0 * np.pi * phase)  # 1 when the left leg is ahead
    drop = np.cos(2.0 * np.pi * (phase - recipe.list_phase))
    yaw, roll = -recipe.pelvis_yaw * stroke, recipe.pelvis_list * drop
    pitch = np.full_like(phase, recipe.pelvis_pitch)
    turn = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1), degrees=True)

    angles: dict[str, Array | float] = {
        "waist_yaw": (recipe.pelvis_yaw + recipe.torso_yaw) * stroke,
        "waist_roll": -roll,
        "waist_pitch": recipe.torso_pitch - pitch,
        "left_shoulder_pitch": recipe.shoulder_pitch + recipe.shoulder_swing * stroke,
        "right_shoulder_pitch": recipe.shoulder_pitch - recipe.shoulder_swing * stroke,
        "left_shoulder_roll": recipe.shoulder_roll,
        "right_shoulder_roll": -recipe.shoulder_roll,
        "left_elbow": recipe.elbow + recipe.elbow_swing * stroke,
        "right_elbow": recipe.elbow - recipe.elbow_swing * stroke,
    }
    dof_pos = np.zeros((len(phase), len(G1_JOINTS)))
    for joint, degrees in angles.items():
        dof_pos[:, G1_JOINTS.index(f"{joint}_joint")] = np.radians(degrees)
    return turn, dof_pos


def zmp_target(phase: Array, stride: float, recipe: Recipe) -> Array:
    """(N, 2) wished zero-moment point x, y: heel to toe under one foot, then over to the other."""
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


def symmetric(signal: Array) -> Array:
    """(N, 2) x, y without the part that differs between the left and the right step."""
    return 0.5 * (signal + half_cycle_later(signal) * [1.0, -1.0])
