"""Checks whether a clip is fit for training: one finding per check, with its figure, limit and remedy.

Training copes with a warning, as it has with clips that are known to work, but pays for it. An error is
something that no robot can follow, or a sign that the file was read with wrong units or joints.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips import orders
from mjx_mimic.clips.balance import apparent_gravity
from mjx_mimic.clips.editing import STILL, raised_from
from mjx_mimic.clips.findings import Finding, Report, graded
from mjx_mimic.clips.foot_contacts import foot_contacts, runs_of_true
from mjx_mimic.clips.ground_contacts import NEAR_FLOOR, needed_contacts
from mjx_mimic.clips.loop_closing import MAX_TURN
from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.constants import (
    G1_JOINTS,
    GRAVITY,
    JOINT_SPEED_LIMIT,
    SIDES,
    SOLE_GEOMS,
)
from mjx_mimic.robot.kinematics import beyond_limits, floor_clearance, self_clearance
from mjx_mimic.robot.mjcf import effort_limits, plain_g1

Array = NDArray[np.float64]

FLOOR_CONTACT = "floor contact beside soles"
"""Name of the check of which bodies are on the floor."""
CONTROL_STEP = 1.0 / 30.0
"""Time between two actions at the default `env.control_hz`, 1/30 s."""
SUNK = 0.001  # m; soft contacts give way by less, so a shape deeper than this is reported
_BURIED = 0.3  # m; a clip that is deeper in the floor than this may have another axis up
AIRBORNE = 0.03  # m; while nothing is lower than this, the robot flies
_JOINT_JUMP = (0.3, 0.8)  # rad, limits of a warning and of an error
_FILL_GAP = (
    "convert --end or --start cuts there; where both sides are needed, motion join --blend 0.3 joins them"
)


@dataclass(frozen=True, eq=False)
class _Changes:
    """Changes from each frame to the next, T - 1 of them."""

    root: Array  # (T - 1, 3) m
    turn: Array  # (T - 1, 3) rad, in the world
    joints: Array  # (T - 1, 29) rad


def validate(motion: Motion) -> Report:
    """Check a clip against the robot's limits, the floor, and what a smooth recording looks like."""
    model = plain_g1()
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    changes = _Changes(
        root=np.diff(motion.root_pos, axis=0),
        turn=(turn[1:] * turn[:-1].inv()).as_rotvec(),
        joints=np.diff(motion.dof_pos, axis=0),
    )
    order = _order(motion)
    on_floor, touching = _floor(motion, model, trusted=order.severity == "ok")
    findings = [
        _length(motion),
        _frame_rate(motion),
        order,
        _pace(motion, model),
        _joint_limits(motion, model),
        *_joint_changes(changes, motion.fps, model),
        *_root_jumps(changes, motion.fps),
        *on_floor,
        _self_penetration(motion, model),
        _foot_sliding(motion, model),
        _still_frames(motion, changes),
    ]
    if motion.cyclic:
        findings += _seam(motion, changes)
    return Report(motion.name, tuple(findings), touching)


def _length(motion: Motion) -> Finding:
    """Check the length: an episode on a clip shorter than a control step ends at its first step."""
    remedy = "give a longer part of the recording, or convert --loop wrap if it is a pose to hold"
    share = 100.0 * CONTROL_STEP / motion.length
    if motion.cyclic and _is_one_pose(motion):
        share = 0.0  # it is held for ever
    return graded("control step", share, (100.0, 100.0), "% of the clip", remedy)


def _order(motion: Motion) -> Finding:
    """Check whether the robot would move far better with the quaternion or the joints in another order."""
    doubt = orders.better_order(motion)
    if doubt is None:
        return graded("order", 0.0, (orders.SLIDE, orders.SLIDE), "m/s of slide", "")
    order, read, other = doubt.order, doubt.read, doubt.other
    what = "joints" if order == "breadth-first" else "quaternion"
    remedy = (
        f"what touches the floor would slide at {other.slide:.2f} m/s, {100 * other.gap:.0f} cm off it, with"
        f" the {what} {order}: convert --stored-as {order} reads it so; train --trust if it is right as it is"
    )
    figure, limit, unit = {
        "slide": (read.slide, orders.SLIDE, "m/s of slide"),
        "gap": (read.gap, orders.GAP, "m off the floor"),
        "upside down": (read.soles, orders.SOLES, "m from the floor up to the soles, upside down"),
    }[doubt.sign]
    return Finding("order", "error", figure, limit, unit, what, None, 1.0, remedy)


def _frame_rate(motion: Motion) -> Finding:
    """Check the frame rate: velocities are differences of frames, and too few blur them."""
    remedy = (
        "export the clip with more frames/s; if the rate is wrong, convert --source-fps 60 states another"
    )
    return graded("frame interval", 1000.0 / motion.fps, (42.0, 101.0), "ms", remedy)


def _pace(motion: Motion, model: mujoco.MjModel) -> Finding:
    """Check the pace by gravity: a clip at half speed falls from foot to foot as if in slow motion."""
    apparent = apparent_gravity(model, motion)
    if apparent is None or apparent <= 0.0:
        return graded("pace", 1.0, (1.65, np.inf), "times too slow", "")
    slower = float(np.sqrt(GRAVITY / apparent))
    word, factor = ("slow", "2") if slower > 1.0 else ("fast", "0.5")
    remedy = (
        f"by gravity, the body falls too {word} from foot to foot: convert --source-fps 60 states the true"
        f" frame rate, or convert --speed {factor} changes the pace"
    )
    return graded("pace", max(slower, 1.0 / slower), (1.65, np.inf), f"times too {word}", remedy)


def _joint_limits(motion: Motion, model: mujoco.MjModel) -> Finding:
    """Check the joints' ranges: a policy cannot reach angles beyond them."""
    beyond = beyond_limits(model, motion.dof_pos)
    remedy = "retarget within the limits, or convert --clip-joints; over 0.8 rad, the order may be wrong"
    return graded("joint limits", beyond, (0.01, 0.8), "rad beyond", remedy, motion.fps, G1_JOINTS)


def joint_acceleration_limit(model: mujoco.MjModel) -> Array:
    """Compute the acceleration (29,), rad/s^2, that each motor's full torque gives its joint.

    The robot hangs in the air in its zero pose, and the other motors are idle. Jitter demands more, movements
    of people less than half of it.
    """
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inverse_mass = np.zeros((model.nv, model.nv))
    mujoco.mj_solveM(model, data, inverse_mass, np.eye(model.nv))
    return effort_limits(model) * np.diag(inverse_mass)[6:]


def _joint_changes(changes: _Changes, fps: float, model: mujoco.MjModel) -> list[Finding]:
    """Check speeds, accelerations and jumps of the joints.

    Single steps that stand out from their neighbours are gaps in the recording, and no speeds; differences
    of the other steps are accelerations.
    """
    jump = _outstanding(changes.joints)
    gap = jump > _JOINT_JUMP[0]
    speed = np.where(gap, 0.0, np.abs(changes.joints) * fps / JOINT_SPEED_LIMIT)
    too_fast = graded(
        check="joint speed",
        figures=speed,
        limits=(1.0, 2.0),
        unit="of the motor's limit",
        remedy="convert --speed 0.8 slows it down, --smooth 8 removes jitter; or the frame rate is wrong",
        fps=fps,
        names=G1_JOINTS,
    )

    between = np.abs(np.diff(changes.joints, axis=0)) * fps**2 / joint_acceleration_limit(model)
    between[gap[1:] | gap[:-1]] = 0.0
    none_yet = np.zeros((1, len(G1_JOINTS)))  # a row per step, also of a clip with a single step
    too_jerky = graded(
        check="joint acceleration",
        figures=np.concatenate([none_yet, between]),
        limits=(1.0, np.inf),
        unit="of what full torque gives",
        remedy="convert --smooth 8 removes jitter above 8 Hz; else look for a wrong frame rate",
        fps=fps,
        names=G1_JOINTS,
    )
    jumps = graded("joint jump", jump, _JOINT_JUMP, "rad per frame", _FILL_GAP, fps, G1_JOINTS)
    return [too_fast, too_jerky, jumps]


def _root_jumps(changes: _Changes, fps: float) -> list[Finding]:
    """Check for single steps of the root that stand out from their neighbours."""
    shift = np.linalg.norm(_outstanding(changes.root), axis=1)
    turn = np.linalg.norm(_outstanding(changes.turn), axis=1)
    return [
        graded("root jump", shift, (0.1, 0.3), "m per frame", _FILL_GAP, fps),
        graded("root turn jump", turn, (0.35, 1.0), "rad per frame", _FILL_GAP, fps),
    ]


def _outstanding(steps: Array) -> Array:
    """Measure how far each step (N, C) lies outside the range of the one before and the one after it."""
    if len(steps) < 2:
        return np.zeros_like(steps)
    before, after = np.concatenate([steps[1:2], steps[:-1]]), np.concatenate([steps[1:], steps[-2:-1]])
    above = steps - np.maximum(before, after)
    return np.maximum(np.maximum(above, np.minimum(before, after) - steps), 0.0)


def _floor(
    motion: Motion, model: mujoco.MjModel, trusted: bool
) -> tuple[list[Finding], tuple[tuple[str, float], ...]]:
    """Check depth, flights and contacts, and list the bodies on the floor as `Report.touching` does.

    An episode that starts in the floor is thrown out of it; one that starts above it falls. Lifting the clip
    is advised only where its order is `trusted` and z is its height.
    """
    shapes, clearance = floor_clearance(model, motion.qpos)
    soles = np.isin(shapes, SOLE_GEOMS)
    shapes = tuple(name.removesuffix("_collision") for name in shapes)
    others = np.array(shapes)[~soles]

    lowest = clearance.min(axis=1)
    with_y_up = lowest - motion.root_pos[:, 2] + motion.root_pos[:, 1]
    lift = lower = "convert --lift auto puts the lowest point on the floor"
    feet, rest = clearance[:, soles].min(), clearance[:, ~soles].min()
    if np.median(lowest) < -_BURIED and np.all(np.abs(with_y_up) < orders.GAP):
        lift = "with y as the height the robot would stand on the floor: export the clip with z up"
    elif not trusted:
        lift = lower = "mend the order first"
    elif rest < feet - AIRBORNE:  # one height for the whole clip cannot be right for both
        low = others[np.argmin(clearance[:, ~soles].min(axis=0))]
        if feet <= AIRBORNE:
            lift = f"{low} alone is so low, and --lift would raise the feet too: mend the clip, or leave it"
        else:
            lower = f"{low} alone comes to the floor: convert --lift {-feet:.3f} puts the feet on it"
    depth = graded("depth in the floor", -clearance, (0.01, 0.1), "m", lift, motion.fps, shapes)
    if depth.figure > SUNK:
        depth = replace(depth, remedy=lift)  # worth a hint even where it is harmless

    flight = np.zeros(motion.num_frames)  # s, of the flight that the frame belongs to
    for run in runs_of_true(lowest > AIRBORNE):
        flight[run] = (run.stop - run.start) / motion.fps
    limits = (0.8, 2.0) if np.any(lowest <= AIRBORNE) else (0.0, 0.0)
    flat = f"{lower}; a clip on stairs or boxes cannot be followed on a plane" if trusted else lower
    longest = graded("longest flight", flight, limits, "s", flat, motion.fps)

    touching = 100.0 * np.mean(clearance[:, ~soles] < NEAR_FLOOR, axis=0, keepdims=True)
    needed = contact_options(model, others[touching[0] > 0.0])
    remedy = f"train with {needed}, which the default preset does by itself"
    contact = graded(FLOOR_CONTACT, touching, (0.0, np.inf), "% of frames", remedy, names=tuple(others))
    bodies: dict[str, float] = {}
    for name, share in zip(others, touching[0], strict=True):
        body = model.body(model.geom(f"{name}_collision").bodyid[0]).name
        bodies[body] = max(bodies.get(body, 0.0), float(share))
    return [depth, longest, contact], tuple((body, share) for body, share in bodies.items() if share > 0.0)


def contact_options(model: mujoco.MjModel, shapes: Sequence[str]) -> str:
    """Return the options of `train` for a clip in which these collision shapes touch the floor.

    The smallest contact set that has the shapes, and the bodies that may be on the floor where that set's own
    are not enough.

    Args:
        model: the robot.
        shapes: names of geoms without "_collision".
    """
    contacts, bodies = needed_contacts(model, shapes)
    return f"--env.contacts {contacts}" + (f" --env.ground-bodies {' '.join(bodies)}" if bodies else "")


def _self_penetration(motion: Motion, model: mujoco.MjModel) -> Finding:
    """Check whether arms go through the trunk or the thighs, or legs through each other."""
    pairs, clearance = self_clearance(model, motion.qpos)
    remedy = (
        "on the robot they collide: retarget keeps recordings free of it, train --env.self-collision policies"
    )
    return graded(
        "links in one another", np.maximum(-clearance, 0.0), (0.03, np.inf), "m", remedy, motion.fps, pairs
    )


def _foot_sliding(motion: Motion, model: mujoco.MjModel) -> Finding:
    """Check how far a foot gets, at most, from where it came to stand, each time that it stands."""
    contacts = foot_contacts(model, motion)
    drift = np.zeros((motion.num_frames - 1, len(SIDES)))
    for foot in range(len(SIDES)):
        for stance in runs_of_true(contacts.standing[:, foot]):
            path = np.cumsum(contacts.slide[stance, foot], axis=0)
            drift[stance, foot] = np.linalg.norm(path, axis=1)
    remedy = "retarget with the feet held in place; friction will make the policy differ here"
    names = tuple(f"{side} foot" for side in SIDES)
    return graded("foot sliding", drift, (0.05, np.inf), "m per contact", remedy, motion.fps, names)


def _is_one_pose(motion: Motion) -> bool:
    """Tell whether no frame differs from the first."""
    return bool(np.all(np.abs(motion.qpos - motion.qpos[0]) < STILL))


def _still_frames(motion: Motion, changes: _Changes) -> Finding:
    """Check for repeated frames: from a rate that was raised by repeating, or a recording that froze.

    A clip that is one pose repeats nothing.
    """
    change = np.concatenate([changes.root, changes.turn, changes.joints], axis=1)
    still = np.all(np.abs(change) < STILL, axis=1)
    if still.all():
        still[:] = False
    remedy = (
        "the rate was raised by repeating frames: convert --drop-repeated gives the true one"
        if still.any() and raised_from(motion) is not None
        else "harmless where the robot rests; where a recording froze, convert --end or --start cuts there"
    )
    return graded("repeated frames", still * still.sum(), (0.0, np.inf), "frames", remedy, motion.fps)


def _seam(motion: Motion, changes: _Changes) -> list[Finding]:
    """Check what changes at once when a cyclic clip starts again."""
    mend = "convert --make-cyclic closes it, or convert --loop clamp ends the clip there"
    back = Rotation.from_euler("z", -motion.cycle_turn)
    turn = Rotation.from_quat(motion.root_quat[[0, -1]], scalar_first=True)
    angle = float((turn[0].inv() * back * turn[1]).magnitude())
    height = abs(float(motion.root_pos[-1, 2] - motion.root_pos[0, 2]))
    turning = mend
    if motion.loop == "wrap" and abs(replace(motion, loop="turn").cycle_turn) > MAX_TURN:
        turning = "the heading snaps back: convert --loop turn carries it over from cycle to cycle"
    fps = motion.fps
    joints = np.abs(motion.dof_pos[-1:] - motion.dof_pos[:1])
    joint_speed = np.abs(changes.joints[:1] - changes.joints[-1:]) * fps
    root_speed = float(np.linalg.norm(changes.root[0] - back.apply(changes.root[-1])) * fps)
    return [
        graded("seam: joints", joints, (0.05, 0.8), "rad", mend, names=G1_JOINTS),
        graded("seam: root height", height, (0.02, 0.2), "m", mend),
        graded("seam: root turn", angle, (0.05, 0.8), "rad", turning),
        graded("seam: joint speed", joint_speed, (5.0, np.inf), "rad/s", mend, names=G1_JOINTS),
        graded("seam: root speed", root_speed, (0.5, np.inf), "m/s", turning),
    ]
