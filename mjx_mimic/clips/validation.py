"""Is a clip fit for training? One finding a check, each with its figure, limit and remedy.

A warning is what training has coped with in clips that are known to work, but pays for; an error is what no
robot can follow, or what says that the file was read with wrong units or joints.
"""

from dataclasses import dataclass, replace
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.foot_contacts import FEET, foot_contacts, stretches
from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.constants import G1_JOINTS, JOINT_SPEED_LIMIT
from mjx_mimic.robot.kinematics import floor_clearance, qpos_of
from mjx_mimic.robot.mjcf import load_mjcf

Array = NDArray[np.float64]
Severity = Literal["ok", "warning", "error"]

NEAR_FLOOR = 0.01  # m; a shape lower than this is on the floor
SUNK = 0.001  # m; soft contacts give way by less, so a shape deeper than this is told to be in the floor
AIRBORNE = 0.03  # m; nothing lower than this is a flight
_STILL = 1e-9  # m and rad; a step smaller than this is none
_JOINT_JUMP = (0.3, 0.8)  # rad, of a warning and of an error


@dataclass(frozen=True)
class Finding:
    """What one check found, at its worst place.

    Attributes:
        check: its name.
        severity: "ok", "warning" or "error".
        figure: what was measured, in `unit`.
        limit: up to it, `figure` is "ok".
        unit: of both.
        where: joint, foot or shape; "" where it is the whole body.
        time: s since the first frame; None where it is the whole clip.
        share: of the frames (or steps between them) over the limit.
        remedy: what to do; "" if there is nothing to do.
    """

    check: str
    severity: Severity
    figure: float
    limit: float
    unit: str
    where: str
    time: float | None
    share: float
    remedy: str


@dataclass(frozen=True)
class Report:
    """The findings of all checks on the clip called `name`."""

    name: str
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Findings of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def fit(self) -> bool:
        """No finding is an error."""
        return self.count("error") == 0

    @property
    def verdict(self) -> str:
        """In words."""
        warnings = self.count("warning")
        if not self.fit:
            return "not fit for training"
        return f"usable, {warnings} warning{'s'[: warnings > 1]}" if warnings else "good"


@dataclass(frozen=True, eq=False)
class _Steps:
    """Changes from a frame to the next, T - 1 of them."""

    root: Array  # (T - 1, 3) m
    turn: Array  # (T - 1, 3) rad, in the world
    joints: Array  # (T - 1, 29) rad


def validate(motion: Motion) -> Report:
    """Holds a clip to the robot's limits, the floor, and what a smooth recording looks like."""
    model = load_mjcf(visuals=False)
    turn = Rotation.from_quat(motion.root_quat, scalar_first=True)
    steps = _Steps(
        np.diff(motion.root_pos, axis=0),
        (turn[1:] * turn[:-1].inv()).as_rotvec(),
        np.diff(motion.dof_pos, axis=0),
    )
    findings = [
        _frame_rate(motion),
        _joint_limits(motion, model),
        *_changes(motion, steps, model),
        *_floor(motion, model),
        _foot_sliding(motion, model),
        _still_frames(motion, steps),
    ]
    if motion.loop == "wrap":
        findings += _seam(motion, steps)
    return Report(motion.name, tuple(findings))


def _graded(
    check: str,
    figures: ArrayLike,
    limits: tuple[float, float],
    unit: str,
    remedy: str,
    fps: float | None = None,
    names: tuple[str, ...] = ("",),
) -> Finding:
    """The worst of `figures` (N, len(names)), or (N,), against the limits of a warning and of an error."""
    table = np.asarray(figures, np.float64).reshape(-1, len(names))
    row, column = np.unravel_index(np.argmax(table), table.shape)
    figure, (warning, error) = float(table[row, column]), limits
    severity: Severity = "error" if figure > error else "warning" if figure > warning else "ok"
    return Finding(
        check=check,
        severity=severity,
        figure=figure,
        limit=warning,
        unit=unit,
        where=names[column] if figure > 0.0 else "",
        time=float(row / fps) if fps is not None and figure > 0.0 else None,
        share=float(np.mean(np.any(table > warning, axis=1))),
        remedy="" if severity == "ok" else remedy,
    )


def _frame_rate(motion: Motion) -> Finding:
    """Velocities are differences of frames: too few blur them. The control rate is 30 Hz."""
    remedy = "export the clip again with more frames/s; resampling makes up none"
    return _graded("frame interval", 1000.0 / motion.fps, (42.0, 101.0), "ms", remedy)


def _joint_limits(motion: Motion, model: mujoco.MjModel) -> Finding:
    """How far beyond the MJCF's ranges; a policy cannot follow there."""
    low, high = model.jnt_range[[model.joint(name).id for name in G1_JOINTS]].T
    beyond = np.maximum(np.maximum(motion.dof_pos - high, low - motion.dof_pos), 0.0)
    remedy = "retarget within the limits; over 0.8 rad, look for a wrong joint order or degrees"
    return _graded("joint limits", beyond, (0.01, 0.8), "rad beyond", remedy, motion.fps, G1_JOINTS)


def joint_acceleration_limit(model: mujoco.MjModel) -> Array:
    """(29,) rad/s^2 that each motor's full torque gives its joint when the robot hangs in the air in its zero
    pose, the other motors idle. Jitter asks for more; movements of people for less than half of it."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inverse_mass = np.zeros((model.nv, model.nv))
    mujoco.mj_solveM(model, data, inverse_mass, np.eye(model.nv))
    return model.jnt_actfrcrange[1:, 1] * np.diag(inverse_mass)[6:]


def _changes(motion: Motion, steps: _Steps, model: mujoco.MjModel) -> list[Finding]:
    """Single steps that stand out from their neighbours are gaps in the recording; the others are speeds, and
    their differences accelerations."""
    fps = motion.fps
    gap = "cut the frames before or after it, or fill the gap"
    jump = _outstanding(steps.joints)
    speed = np.abs(steps.joints) * fps / JOINT_SPEED_LIMIT
    gaps = jump > _JOINT_JUMP[0]
    slow = "slow the clip down, smooth it, or look for a wrong frame rate"
    # A row a frame, so that the first one, which has none, comes too.
    acceleration = np.zeros_like(steps.joints)
    acceleration[1:] = np.abs(np.diff(steps.joints, axis=0)) * fps**2 / joint_acceleration_limit(model)
    acceleration[1:][gaps[1:] | gaps[:-1]] = 0.0
    calm = "convert --smooth 8 takes out jitter over 8 Hz; else look for a wrong frame rate"
    root, turn = (np.linalg.norm(_outstanding(values), axis=1) for values in (steps.root, steps.turn))
    return [
        _graded(
            "joint speed",
            np.where(gaps, 0.0, speed),
            (1.0, 2.0),
            "of the motor's limit",
            slow,
            fps,
            G1_JOINTS,
        ),
        _graded(
            "joint acceleration",
            acceleration,
            (1.0, np.inf),
            "of what full torque gives",
            calm,
            fps,
            G1_JOINTS,
        ),
        _graded("joint jump", jump, _JOINT_JUMP, "rad a frame", gap, fps, G1_JOINTS),
        _graded("root jump", root, (0.1, 0.3), "m a frame", gap, fps),
        _graded("root turn jump", turn, (0.35, 1.0), "rad a frame", gap, fps),
    ]


def _outstanding(steps: Array) -> Array:
    """(N, C) by how much each step lies outside the range of the one before and the one after it."""
    if len(steps) < 2:
        return np.zeros_like(steps)
    before, after = np.concatenate([steps[1:2], steps[:-1]]), np.concatenate([steps[1:], steps[-2:-1]])
    above = steps - np.maximum(before, after)
    return np.maximum(np.maximum(above, np.minimum(before, after) - steps), 0.0)


def _floor(motion: Motion, model: mujoco.MjModel) -> list[Finding]:
    """An episode that starts inside the floor is thrown out of it, one that starts over it falls."""
    shapes, clearance = floor_clearance(model, qpos_of(motion))
    soles = np.array(["_sole_" in name for name in shapes])
    shapes = tuple(name.removesuffix("_collision") for name in shapes)
    others = tuple(np.array(shapes)[~soles])
    lowest = clearance.min(axis=1)
    flight = np.zeros(motion.num_frames)  # s, of the flight that the frame belongs to
    for stretch in stretches(lowest > AIRBORNE):
        flight[stretch] = (stretch.stop - stretch.start) / motion.fps
    limits = (0.8, 2.0) if np.any(lowest <= AIRBORNE) else (0.0, 0.0)
    lift = "convert --lift auto puts the lowest point on the floor"
    flat = f"{lift}; a clip on stairs or boxes cannot be followed on a plane"
    touching = 100.0 * np.mean(clearance[:, ~soles] < NEAR_FLOOR, axis=0, keepdims=True)
    on_hands = "train with --env.contacts full"
    depth = _graded("depth in the floor", -clearance, (0.01, 0.1), "m", lift, motion.fps, shapes)
    if depth.figure > SUNK:
        depth = replace(depth, remedy=lift)  # told even where it is harmless
    return [
        depth,
        _graded("longest flight", flight, limits, "s", flat, motion.fps),
        _graded("floor contact beside soles", touching, (0.0, np.inf), "% of frames", on_hands, names=others),
    ]


def _foot_sliding(motion: Motion, model: mujoco.MjModel) -> Finding:
    """How far a foot gets, at most, from where it first stood, each time that it stands."""
    contacts = foot_contacts(model, motion)
    drift = np.zeros((motion.num_frames - 1, len(FEET)))
    for foot in range(len(FEET)):
        for stand in stretches(contacts.standing[:, foot]):
            drift[stand, foot] = np.linalg.norm(np.cumsum(contacts.slide[stand, foot], axis=0), axis=1)
    remedy = "retarget with the feet held in place; friction will make the policy differ here"
    names = tuple(f"{side} foot" for side in FEET)
    return _graded("foot sliding", drift, (0.05, np.inf), "m a contact", remedy, motion.fps, names)


def _still_frames(motion: Motion, steps: _Steps) -> Finding:
    """Repeated frames: a clip that was given more frames/s by repeating, or a recording that froze."""
    change = np.concatenate([steps.root, steps.turn, steps.joints], axis=1)
    still = np.all(np.abs(change) < _STILL, axis=1)
    remedy = "cut them, or export the clip at its true frame rate"
    return _graded("repeated frames", still * still.sum(), (0.0, np.inf), "frames", remedy, motion.fps)


def _seam(motion: Motion, steps: _Steps) -> list[Finding]:
    """What changes at once when a cyclic clip starts again."""
    mend = "convert --make-cyclic closes it, or use loop 'clamp'"
    turn = Rotation.from_quat(motion.root_quat[[0, -1]], scalar_first=True)
    angle = float((turn[0].inv() * turn[1]).magnitude())
    height = abs(float(motion.root_pos[-1, 2] - motion.root_pos[0, 2]))
    fps = motion.fps
    joints = np.abs(motion.dof_pos[-1:] - motion.dof_pos[:1])
    joint_speed = np.abs(steps.joints[:1] - steps.joints[-1:]) * fps
    root_speed = float(np.linalg.norm(steps.root[0] - steps.root[-1]) * fps)
    return [
        _graded("seam: joints", joints, (0.05, 0.8), "rad", mend, names=G1_JOINTS),
        _graded("seam: root height", height, (0.02, 0.2), "m", mend),
        _graded("seam: root turn", angle, (0.05, 0.35), "rad", mend),
        _graded("seam: joint speed", joint_speed, (5.0, np.inf), "rad/s", mend, names=G1_JOINTS),
        _graded("seam: root speed", root_speed, (0.5, np.inf), "m/s", mend),
    ]
