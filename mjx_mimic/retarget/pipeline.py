"""Motion capture of people (BVH) made clips of the G1.

The robot's bones take the directions of the person's, with its own lengths (`targets`); its soles are held on
the floor while the person's feet stand (`footing`); inverse kinematics finds joints within their limits that
come nearest to all of it (`inverse`).
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from tyro.conf import Positional, arg

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError

if TYPE_CHECKING:
    import mujoco

    from mjx_mimic.clips.motion import Motion
    from mjx_mimic.retarget.body_targets import Targets
    from mjx_mimic.retarget.person import Person

Array = NDArray[np.float64]

_MAX_FRAMES = 100_000
_AT_LIMIT = 0.01  # rad


@dataclass(frozen=True)
class RetargetCommand:
    """Retargets motion capture of a person (BVH with the LAFAN1, Mixamo or CMU skeleton) to the G1."""

    file: Positional[Annotated[Path, arg(metavar="FILE")]]
    """BVH file."""
    out: Positional[Annotated[Path | None, cli.shown("[OUT]")]] = None
    """Clip to write; .npz native, .pkl MimicKit, .csv Unitree. Else FILE's name with .npz, in this folder."""
    skeleton: Literal["auto", "lafan1", "mixamo", "cmu"] = "auto"
    """Names of the joints; auto: by those in the file."""
    up: Literal["y", "z"] = "y"
    """The file's axis that points up."""
    start: Annotated[float | None, cli.shown("SECONDS")] = None
    """First moment to use, s."""
    end: Annotated[float | None, cli.shown("SECONDS")] = None
    """Last moment to use, s."""
    fps: float = 30.0
    """Frames/s of the clip."""
    loop: Literal["clamp", "wrap"] = "clamp"
    """What the clip does at its end; `convert --make-cyclic` closes a cycle."""
    name: Annotated[str | None, cli.shown("NAME")] = None
    """Name of the clip; else that of the file."""
    force: bool = False
    """Write over an existing file."""


@dataclass(frozen=True, eq=False)
class Retargeted:
    """A clip and how well it follows the person.

    Attributes:
        motion: the clip.
        errors: (T,) m by body, distance of its origin from where the scaled person has it. Of the feet, this
            includes what holding them on the floor displaces.
        standing: share of the frames in which a foot stands.
        slide: m, the farthest that a standing heel or toe gets from where it came to stand.
        lowest: m, height of the robot's lowest point over all frames.
        at_limit: share of the frames in which a joint is within 0.01 rad of its limit, most often first, by
            joint, without those that never are.
        margin: rad, by which the joint that comes nearest to a limit stays inside.
    """

    motion: "Motion"
    errors: dict[str, Array]
    standing: float
    slide: float
    lowest: float
    at_limit: dict[str, float]
    margin: float


def run(command: RetargetCommand) -> int:
    """Reads, retargets, writes, and prints the report."""
    from mjx_mimic.clips.formats import key_of, save_motion
    from mjx_mimic.retarget import bvh
    from mjx_mimic.retarget import person as persons

    _require_solver()
    out = command.out or Path(f"{command.file.stem}.npz")
    key = key_of(out)
    if out.exists() and not command.force:
        raise UserError(f"{out}: exists already; give --force to write over it, or another file")
    source = str(command.file)
    recording = bvh.read(command.file)
    kind, joints = persons.roles(recording, command.skeleton, source)
    person = persons.person_of(recording, joints, command.up)
    posed = persons.starts_with_rest_pose(recording, joints)
    if posed:
        person = persons.without_first(person)
    name = command.name or command.file.stem
    result = retarget(person, command.fps, name, command.loop, command.start or 0.0, command.end)
    save_motion(out, result.motion, key)

    legs = person.leg_length()
    unit = persons.unit_of(legs)
    found = f"taken as {unit[0]}: {legs * unit[1]:.2f} m" if unit else "in no unit that fits a person"
    print(f"{source}: {kind} skeleton, {recording.num_frames} frames at {recording.fps:.6g} frames/s")
    if posed:
        print("  without the first frame, a pose before the recording")
    print(f"  legs of {legs:.4g}, {found}")
    if not persons.mostly_upright(person):
        print(
            "  the body is more along the floor than upright; unless it lies or crawls, give the other --up"
        )
    _print_report(out, result)
    return 0


def _require_solver() -> None:
    """UserError if inverse kinematics is not installed."""
    try:
        for solver in ("mink", "daqp"):
            importlib.import_module(solver)
    except ImportError as error:
        raise UserError(
            f'retargeting needs mink and daqp ({error}); run: pip install "mjx-mimic[retarget]"'
        ) from error


def _print_report(out: Path, result: Retargeted) -> None:
    motion = result.motion
    size = f"{motion.num_frames} frames at {motion.fps:.6g} frames/s, {motion.length:.3f} s"
    print(f"{out}: {size}, {motion.loop}")
    print(f"  {'distance from the person, mm':30s} {'mean':>6s} {'max':>6s}")
    for body, error in result.errors.items():
        print(f"  {body:30s} {1e3 * error.mean():6.0f} {1e3 * error.max():6.0f}")
    print(f"  a foot stands in {100 * result.standing:.0f}% of the frames")
    print(f"  standing feet slide by {1e3 * result.slide:.1f} mm at most")
    print(f"  lowest point of the robot: {1e3 * result.lowest:+.1f} mm from the floor")
    limits = [f"{name.removesuffix('_joint')} {100 * share:.0f}%" for name, share in result.at_limit.items()]
    print(f"  joints at a limit, of the frames: {', '.join(limits[:5]) or 'none'}")
    print(f"  joints stay within their limits by {result.margin:.3f} rad")


def retarget(
    person: "Person",
    fps: float,
    name: str,
    loop: str = "clamp",
    start: float = 0.0,
    end: float | None = None,
) -> Retargeted:
    """The person's motion as a clip of the robot that starts at x = y = 0 heading along x.

    Args:
        person: in any unit of length; its legs become as long as the robot's.
        fps: of the clip, frames/s.
        name: of the clip.
        loop: "clamp" or "wrap", declared only.
        start: s; what is before it still tells how the person stands, as does what is after `end`.
        end: s; None: all the rest.

    Raises:
        UserError: no two frames between `start` and `end`, too many frames, or bones without length.
    """
    from mjx_mimic.clips.motion import make_motion
    from mjx_mimic.retarget import body_targets, foot_locking, inverse_kinematics
    from mjx_mimic.retarget import person as persons
    from mjx_mimic.robot.constants import G1_JOINTS
    from mjx_mimic.robot.mjcf import load_mjcf

    if not 0.0 < fps <= 1000.0:
        raise UserError(f"option --fps: {fps:g} will not do; give a number over 0, 1000 at most")
    persons.check(person, name)
    length = (person.num_frames - 1) / person.fps
    if not 0.0 <= start < (length if end is None else end) <= length + 0.5 / fps:
        shown = f"start {start:g} s" + ("" if end is None else f" and end {end:g} s")
        raise UserError(f"{name}: {shown} will not do; give 0 <= start < end <= {length:.4g} s, its length")
    if length * fps > _MAX_FRAMES:
        raise UserError(f"{name}: over {_MAX_FRAMES} frames at {fps:g} frames/s; split the file")
    model = load_mjcf(visuals=False)
    build = body_targets.build_of(model)
    scale = (build.thigh + build.shin) / person.leg_length()
    person = persons.scaled(persons.resampled(person, fps), scale)
    contacts = {
        side: foot_locking.detect(person.points[f"{side}_ankle"], person.points[f"{side}_toe"], fps)
        for side in persons.SIDES
    }
    last = person.num_frames - 1 if end is None else round(end * fps)
    wanted = body_targets.targets_of(person, contacts, build).cut(slice(round(start * fps), last + 1))
    if len(wanted.soles) < 2:
        raise UserError(f"{name}: from start to end there is one frame; leave at least {1.0 / fps:.3g} s")
    qpos = inverse_kinematics.solve(model, wanted, fps)
    motion = make_motion(
        name=name,
        fps=fps,
        root_pos=qpos[:, :3],
        root_quat=qpos[:, 3:7],
        dof_pos=qpos[:, 7:],
        joint_names=G1_JOINTS,
        loop=loop,
        source=name,
    )
    return _measured(model, motion, wanted)


def _measured(model: "mujoco.MjModel", motion: "Motion", wanted: "Targets") -> Retargeted:
    """The clip, moved to the origin, and its figures."""
    from mjx_mimic.clips.foot_contacts import stretches
    from mjx_mimic.retarget.body_targets import sole_paths
    from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics, qpos_of

    poses = forward_kinematics(model, qpos_of(motion))
    errors = {
        body: np.linalg.norm(poses.of(body)[:, 0] - place, axis=1) for body, place in wanted.places.items()
    }
    soles = sole_paths(model, poses)
    _, clearance = floor_clearance(model, qpos_of(motion))
    slide = 0.0
    for foot, end in np.ndindex(2, 2):
        path = soles[:, foot, 2 * end : 2 * end + 2, :2].mean(axis=1)
        for stand in stretches(wanted.standing[:, foot, 2 * end]):
            away = np.linalg.norm(path[stand] - path[stand.start], axis=1)
            slide = max(slide, float(away.max()))
    low, high = model.jnt_range[1:].T
    inside = np.minimum(motion.dof_pos - low, high - motion.dof_pos)
    at_limit = np.mean(inside < _AT_LIMIT, axis=0)
    often = [joint for joint in np.argsort(-at_limit) if at_limit[joint] > 0.0]
    return Retargeted(
        motion=_homed(motion),
        errors=errors,
        standing=float(np.any(wanted.standing, axis=(1, 2)).mean()),
        slide=slide,
        lowest=float(clearance.min()),
        at_limit={motion.joint_names[joint]: float(at_limit[joint]) for joint in often},
        margin=float(inside.min()),
    )


def _homed(motion: "Motion") -> "Motion":
    """The clip from x = y = 0, heading along x."""
    from scipy.spatial.transform import Rotation

    from mjx_mimic.clips.editing import edited

    turns = Rotation.from_quat(motion.root_quat, scalar_first=True)
    ahead = turns[0].apply([1.0, 0.0, 0.0])
    home = Rotation.from_euler("z", -np.arctan2(ahead[1], ahead[0]))
    quaternion = (home * turns).as_quat(scalar_first=True)
    return edited(
        motion,
        root_pos=home.apply(motion.root_pos - motion.root_pos[0] * [1.0, 1.0, 0.0]),
        root_quat=quaternion * np.copysign(1.0, quaternion[0, 0]),
    )
