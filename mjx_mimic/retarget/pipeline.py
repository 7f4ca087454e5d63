"""Turns motion capture of people (BVH) into clips of the G1.

The robot's bones take the directions of the person's, with the robot's lengths (`body_targets`); its soles
are held on the floor while the person's feet stand (`foot_locking`); inverse kinematics finds joint angles
within their limits that come nearest to all of it (`inverse_kinematics`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import MAX_FPS, at_most, edited
from mjx_mimic.clips.foot_contacts import runs_of_true
from mjx_mimic.clips.formats import check_to_write, key_to_write, save_motion
from mjx_mimic.clips.motion import MIN_FPS, Motion, summary
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_yaml, require_writable
from mjx_mimic.retarget import body_targets, bvh, foot_locking, inverse_kinematics
from mjx_mimic.retarget import person as persons
from mjx_mimic.retarget.body_targets import Targets
from mjx_mimic.retarget.person import Person
from mjx_mimic.robot.constants import SIDES
from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics, heading, sole_positions
from mjx_mimic.robot.mjcf import joint_ranges, plain_g1

Array = NDArray[np.float64]

_MAX_FRAMES = 100_000  # of the clip
_MAX_RESAMPLED = 1_000_000  # of the whole recording, which take 1.6 kB each
_AT_LIMIT = 0.01  # rad


@dataclass(frozen=True, eq=False)
class Retargeted:
    """A clip and how well it follows the person.

    Attributes:
        motion: the clip.
        errors: (T,) m by body, distance of its origin from where the scaled person has it. For the feet, it
            includes the displacement by holding them on the floor.
        standing: share of the frames in which a foot stands.
        slide: m, the farthest that a standing heel or toe gets from where it came to stand.
        lowest: m, height of the robot's lowest point over all frames.
        at_limit: share of the frames in which a joint is within 0.01 rad of its limit, by joint, in
            descending order, without joints that never are.
        margin: rad, by which the joint that comes nearest to a limit stays inside.
    """

    motion: Motion
    errors: dict[str, Array]
    standing: float
    slide: float
    lowest: float
    at_limit: dict[str, float]
    margin: float

    def lines(self) -> list[str]:
        """Format the figures as text."""
        limits = [
            f"{name.removesuffix('_joint')} {100 * share:.0f}%" for name, share in self.at_limit.items()
        ]
        return [
            f"  {'distance from the person, mm':30s} {'mean':>6s} {'max':>6s}",
            *(
                f"  {body:30s} {1e3 * error.mean():6.0f} {1e3 * error.max():6.0f}"
                for body, error in self.errors.items()
            ),
            f"  a foot stands in {100 * self.standing:.0f}% of the frames",
            f"  standing feet slide by {1e3 * self.slide:.1f} mm at most",
            f"  lowest point of the robot: {1e3 * self.lowest:+.1f} mm from the floor",
            f"  joints at a limit, of the frames: {', '.join(limits[:5]) or 'none'}",
            f"  joints stay within their limits by {self.margin:.3f} rad",
        ]


def retarget_file(
    file: Path,
    out: Path,
    *,
    names: Path | None,
    up: Literal["y", "z"],
    start: float,
    end: float | None,
    fps: float,
    loop: str,
    name: str,
    force: bool,
) -> list[str]:
    """Retarget the BVH `file` and write the clip `out`.

    Args:
        file: motion capture of one person.
        out: clip to write, in the format of its ending.
        names: YAML file with names of joints by role, see `person.roles`; None: all are found.
        up: the file's axis that points up.
        start: s, see `retarget`.
        end: s, see `retarget`.
        fps: frames per second of the clip.
        loop: "wrap", "turn" or "clamp".
        name: of the clip.
        force: write over an existing file.

    Returns:
        Lines of text that describe the recording and how well the clip follows it.

    Raises:
        UserError: the file cannot be read or retargeted, or the clip cannot be written.
    """
    key = key_to_write(out, force)
    require_writable("OUT", out)
    _check_rate(fps)
    check_to_write(out, key, fps, loop)
    recording = bvh.read(file)
    joints = persons.roles(recording, str(file), read_names(names) if names else None)
    person = persons.person_of(recording, joints, up)
    rest_pose = persons.starts_with_rest_pose(recording, joints)
    if rest_pose:
        person = persons.without_first(person)
    result = retarget(person, fps, name, loop, start, end)
    save_motion(out, result.motion, key)

    legs = person.leg_length()
    unit = persons.unit_of(legs)
    length = f"taken as {unit[0]}: {legs * unit[1]:.2f} m" if unit else "in no unit that fits a person"
    frames = f"{recording.num_frames} frames at {recording.fps:.6g} frames/s"
    lines = [f"{file}: {len(recording.names)} joints, {frames}"]
    if rest_pose:
        lines.append("  without the first frame, a pose before the recording")
    lines.append(f"  legs of {legs:.4g}, {length}")
    if not persons.mostly_upright(person):
        lines.append(
            "  the body is more along the floor than upright; unless it lies or crawls, give the other --up"
        )
    return [*lines, f"{out}: {summary(result.motion)}", *result.lines()]


def read_names(path: Path) -> dict[str, str]:
    """Read names of joints by role, such as `left_knee: LeftShin`, one on a line.

    Raises:
        UserError: the file cannot be read, or is something else.
    """
    values = read_yaml(path)
    if not isinstance(values, dict) or not all(
        isinstance(text, str) for pair in values.items() for text in pair
    ):
        raise UserError(f"{path}: is no list of names; write lines such as 'left_knee: LeftShin'")
    return values


def list_joints(file: Path, names: Path | None) -> list[str]:
    """Return a line for each joint of the BVH `file`, with what it is found to be.

    Raises:
        UserError: a file cannot be read.
    """
    recording = bvh.read(file)
    given = read_names(names) if names else {}
    return persons.named_joints(recording, persons.find(recording, str(file), given))


def retarget(
    person: Person,
    fps: float,
    name: str,
    loop: str = "clamp",
    start: float = 0.0,
    end: float | None = None,
) -> Retargeted:
    """Turn the person's motion into a clip of the robot that starts at x = y = 0 heading along x.

    Args:
        person: in any unit of length; its legs become as long as the robot's.
        fps: frames/s of the clip.
        name: name of the clip.
        loop: "clamp", "wrap" or "turn", declared only.
        start: s; the recording before it, and after `end`, still shows how the person stands.
        end: s; None: the end of the recording.

    Raises:
        UserError: no two frames between `start` and `end`, too many frames, or bones without length.
    """
    _check_rate(fps)
    persons.check(person, name)
    length = (person.num_frames - 1) / person.fps
    if not 0.0 <= start < (length if end is None else end) <= length + 0.5 / fps:
        shown = f"start {start:g} s" + ("" if end is None else f" and end {end:g} s")
        raise UserError(
            f"{name}: {shown} is outside the recording; give 0 <= start < end <= {at_most(length)} s, its"
            " length"
        )
    part = (length if end is None else end) - start
    if part * fps > _MAX_FRAMES:
        raise UserError(
            f"{name}: {part:.6g} s at {fps:g} frames/s are over {_MAX_FRAMES} frames; give a lower --fps, or"
            " a shorter part with --start and --end"
        )
    if length * fps > _MAX_RESAMPLED:
        raise UserError(
            f"{name}: the whole recording, {length:.6g} s at {fps:g} frames/s, is over {_MAX_RESAMPLED}"
            " frames; give a lower --fps, or split the file"
        )
    model = plain_g1()
    build = body_targets.build_of(model)
    scale = (build.thigh + build.shin) / person.leg_length()
    person = persons.scaled(persons.resampled(person, fps), scale)
    feet = {side: (person.points[f"{side}_ankle"], person.points[f"{side}_toe"]) for side in SIDES}
    contacts = foot_locking.detect(feet, fps)
    last = person.num_frames - 1 if end is None else round(end * fps)
    wanted = body_targets.targets_of(person, contacts, build).cut(slice(round(start * fps), last + 1))
    if len(wanted.soles) < 2:
        raise UserError(f"{name}: from start to end there is one frame; leave at least {1.0 / fps:.3g} s")
    qpos = inverse_kinematics.solve(model, wanted, fps)
    motion = Motion.from_qpos(qpos, name=name, fps=fps, loop=loop)
    return _measured(model, motion, wanted)


def _check_rate(fps: float) -> None:
    """Raise UserError for frames/s that no clip can have."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise UserError(
            f"option --fps: {fps:g} is out of range; give a number from {MIN_FPS:g} to {MAX_FPS:g}"
        )


def _measured(model: mujoco.MjModel, motion: Motion, wanted: Targets) -> Retargeted:
    """Measure how well the clip meets its targets, and move it to the origin."""
    poses = forward_kinematics(model, motion.qpos)
    errors = {
        body: np.linalg.norm(poses.of(body)[:, 0] - position, axis=1)
        for body, position in wanted.positions.items()
    }
    _, clearance = floor_clearance(model, motion.qpos)
    low, high = joint_ranges(model).T
    inside = np.minimum(motion.dof_pos - low, high - motion.dof_pos)
    at_limit = np.mean(inside < _AT_LIMIT, axis=0)
    often = [joint for joint in np.argsort(-at_limit) if at_limit[joint] > 0.0]
    return Retargeted(
        motion=_homed(motion),
        errors=errors,
        standing=float(np.any(wanted.standing, axis=(1, 2)).mean()),
        slide=_slide(sole_positions(model, motion.qpos), wanted.standing),
        lowest=float(clearance.min()),
        at_limit={motion.joint_names[joint]: float(at_limit[joint]) for joint in often},
        margin=float(inside.min()),
    )


def _slide(soles: Array, standing: NDArray[np.bool_]) -> float:
    """Find the farthest, m, that a heel or toe of `soles` (T, 2, 4, 3) gets from where it came to stand."""
    farthest = 0.0
    for foot, end in np.ndindex(2, 2):  # two spheres each under heel and toes
        path = soles[:, foot, 2 * end : 2 * end + 2, :2].mean(axis=1)
        for stance in runs_of_true(standing[:, foot, 2 * end]):
            distance = np.linalg.norm(path[stance] - path[stance.start], axis=1)
            farthest = max(farthest, float(distance.max()))
    return farthest


def _homed(motion: Motion) -> Motion:
    """Move the clip to start at x = y = 0, heading along x."""
    home = Rotation.from_rotvec([0.0, 0.0, -heading(motion.root_quat[0])])
    quaternion = (home * Rotation.from_quat(motion.root_quat, scalar_first=True)).as_quat(scalar_first=True)
    return edited(
        motion,
        root_pos=home.apply(motion.root_pos - motion.root_pos[0] * [1.0, 1.0, 0.0]),
        root_quat=quaternion * np.copysign(1.0, quaternion[0, 0]),
    )
