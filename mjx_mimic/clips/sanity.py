"""Refusal of clips with a mistake that leaves them well-formed.

Such mistakes are wrong units, a wrong order of a quaternion's components or of the joints, and frames that
were repeated to fake a higher rate. Each is recognised by what it does to the robot, and refused with the
remedy. What a clip merely does badly (a foot in the floor, a joint slightly beyond its limit) is for
`validation` to report.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import beyond_limits, forward_kinematics, sole_positions
from mjx_mimic.robot.mjcf import load_mjcf

Array = NDArray[np.float64]

LINK_TOLERANCE = 0.05
"""Mean distance, m, above which a file's bodies are not where its angles put them."""

_HIGHEST = 4.0  # m; no clip keeps the pelvis above this
_DEEPEST = -0.5  # m; the floor is at 0
_FARTHEST = 1e4  # m
_MILLIMETRES = 200.0  # a pelvis above this many "metres" was in millimetres, a lower one in centimetres
_FAR_BEYOND = 1.0  # rad beyond a joint's limit; clips that are known to work go up to 0.5
_SLOWEST, _FASTEST = 1.0, 1000.0  # frames/s
_REPEATED = 0.1  # runs of equal frames per frame
_MANY_RUNS = 4

_PAIRS = 24  # pairs of neighbouring frames that are examined
_SLIDE = 0.2  # m/s; a contact that slides more slowly proves nothing
_BETTER = 0.5  # share of the slide that is left, at most, when the clip is read as it should be
_STANDS = 1.2  # m/s; in a true reading contacts slide less, even a runner's
_GAP = 0.15  # m; a lowest point nearer to the floor than this is on it


@dataclass(frozen=True)
class Terms:
    """Names that a format gives to the parts of a clip, for messages, and which mistakes it leaves room for.

    Attributes:
        position: name of the root's position.
        rotation: name of the root's rotation.
        joints: name of the hinge angles.
        order: order of the root's quaternion components in the file; None if it holds no quaternion.
        named: whether the file says which column is which joint.
    """

    position: str
    rotation: str
    joints: str
    order: Literal["wxyz", "xyzw"] | None
    named: bool


def check(motion: Motion, source: str | Path, terms: Terms) -> None:
    """Raise UserError if the clip `motion` of the file `source` clearly breaks the rules of its format."""
    if motion.fps < _SLOWEST:
        raise UserError(
            f"{source}: fps is {motion.fps:.6g}, which looks like seconds per frame; give frames per second"
        )
    if motion.fps > _FASTEST:
        raise UserError(
            f"{source}: fps is {motion.fps:.6g}, over {_FASTEST:g}; give frames per second, not more of them"
        )
    check_metres(motion.root_pos, terms.position, source)
    check_radians(motion.dof_pos, terms.joints, source)
    _check_repeats(motion, source)
    _check_orders(motion, source, terms)


def check_metres(root_pos: NDArray, field: str, source: str | Path) -> None:
    """Raise UserError if the pelvis' position `root_pos` (T, 3) cannot be in metres above the floor, z up."""
    farthest = float(np.abs(root_pos).max())
    if farthest > _FARTHEST:
        raise UserError(
            f"{source}: {field} goes {farthest:.4g} m from the origin; give metres, and start near it"
        )
    height = float(np.median(root_pos[:, 2]))
    if height > _HIGHEST:
        unit = "millimetres" if height > _MILLIMETRES else "centimetres"
        raise UserError(
            f"{source}: {field} has the pelvis {height:.4g} m high (median), which looks like {unit}; give"
            " metres"
        )
    if height < _DEEPEST:
        raise UserError(
            f"{source}: {field} has the pelvis {-height:.4g} m under the floor (median); give metres, with z"
            " up from the floor"
        )


def check_radians(dof_pos: NDArray, field: str, source: str | Path) -> None:
    """Raise UserError if `dof_pos` (T, 29), in G1_JOINTS' order, is in degrees or far beyond the limits."""
    beyond = beyond_limits(model(), dof_pos)
    frame, joint = np.unravel_index(np.argmax(beyond), beyond.shape)
    angle, over = float(dof_pos[frame, joint]), float(beyond[frame, joint])
    where = f"{source}: {field}: {G1_JOINTS[joint]} is {angle:.4g} rad at frame {frame}"
    if over > 0.0 and np.abs(dof_pos).max() > 2.0 * np.pi:
        raise UserError(f"{where}, more than a turn, which looks like degrees; give radians")
    if over > _FAR_BEYOND:
        raise UserError(
            f"{where}, {over:.2g} rad beyond its limit; put the joints in the format's order, or retarget the"
            " clip to the 29-joint G1"
        )


def check_rate(positions: NDArray, velocities: NDArray, fps: float, field: str, source: str | Path) -> None:
    """Raise UserError if the velocities that a file stores belong to another frame rate than it states.

    Args:
        positions: (T, N) of joints.
        velocities: (T, N), the same, per second.
        fps: frames per second, as stated.
        field: what the file calls its velocities.
        source: the file, for the message.
    """
    if len(positions) < 3:
        return
    central = 0.5 * (positions[2:] - positions[:-2])  # a frame
    stored = velocities[1:-1]
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers so large that nothing is clear
        size = float(np.sum(central * central))
        if size < 1e-8:  # it hardly moves
            return
        rate = float(np.sum(stored * central)) / size  # least squares for stored = rate * central
        left = float(np.sum((stored - rate * central) ** 2))
        clear = left < 0.1 * float(np.sum(stored * stored))  # or the velocities are not those of these joints
    if clear and not 0.8 < rate / fps < 1.25:
        raise UserError(
            f"{source}: fps is {fps:.6g}, but {field} is that of {rate:.3g} frames/s; state the rate at which"
            " the frames were taken"
        )


def _check_repeats(motion: Motion, source: str | Path) -> None:
    """Raise UserError if frames are repeated all along, as when a rate is raised without interpolation."""
    qpos = motion.qpos
    same = np.all(qpos[1:] == qpos[:-1], axis=1)
    runs = int(same[0]) + int(np.sum(same[1:] & ~same[:-1]))
    if runs >= max(_MANY_RUNS, _REPEATED * motion.num_frames):
        raise UserError(
            f"{source}: {int(same.sum())} of {motion.num_frames} frames repeat the one before, all along the"
            " clip; export it at the rate it was recorded at, or interpolate"
        )


def _check_orders(motion: Motion, source: str | Path, terms: Terms) -> None:
    """Raise UserError if the robot moves far better with the quaternion or the joints in another order.

    The part that carries the robot stays in place on the floor. So the lowest point of the body slides
    little in any true reading, and a lot in most false ones.
    """
    first = np.unique(np.linspace(0, motion.num_frames - 2, _PAIRS).astype(int))
    frames = np.stack([first, first + 1], axis=1).ravel()
    quaternion, joints = motion.root_quat[frames], motion.dof_pos[frames]

    def support(quaternion: Array, joints: Array) -> tuple[float, float]:
        qpos = np.concatenate([motion.root_pos[frames], quaternion, joints], axis=1)
        points = _surface_points(qpos).reshape(len(first), 2, -1, 3)
        lowest = np.argmin(points[:, 0, :, 2], axis=1)
        start, end = points[np.arange(len(first)), :, lowest].transpose(1, 0, 2)
        slide = np.linalg.norm(end - start, axis=1) * motion.fps
        return float(np.median(slide)), float(np.median(np.abs(start[:, 2])))

    slide, gap = support(quaternion, joints)
    if slide < _SLIDE and gap < _GAP:
        return
    for field, remedy, other in _other_readings(quaternion, joints, terms):
        other_slide, other_gap = support(*other)
        stands = slide > _SLIDE and other_slide < _BETTER * slide and other_gap < max(gap, _GAP)
        touches = other_gap < _GAP < gap - _GAP and other_slide <= slide
        if other_slide < _STANDS and (stands or touches):
            raise UserError(
                f"{source}: {field} looks to be in another order: what touches the floor slides at"
                f" {slide:.2f} m/s, {100 * gap:.0f} cm off it, and would at {other_slide:.2f} m/s,"
                f" {100 * other_gap:.0f} cm; {remedy}"
            )


def _other_readings(
    quaternion: Array, joints: Array, terms: Terms
) -> Iterator[tuple[str, str, tuple[Array, Array]]]:
    """Field, remedy, and quaternions and joints (N, 4) and (N, 29) for each order they may really be in."""
    if terms.order is not None:
        found, shift = ("xyzw", 1) if terms.order == "wxyz" else ("wxyz", -1)
        remedy = f"it holds {found}, write {terms.order}"
        yield terms.rotation, remedy, (np.roll(quaternion, shift, axis=1), joints)
    if not terms.named:
        remedy = "it holds IsaacLab's breadth-first order, write Unitree's"
        yield terms.joints, remedy, (quaternion, joints[:, np.argsort(breadth_first_joints())])


@functools.cache
def model() -> mujoco.MjModel:
    """Compile the G1, once."""
    return load_mjcf(visuals=False)


@functools.cache
def links() -> tuple[str, ...]:
    """List the names of the pelvis and the 29 links that a hinge moves, depth-first as in MuJoCo."""
    g1 = model()
    return tuple(g1.body(body).name for body in range(1, g1.nbody) if g1.body_jntnum[body])


def breadth_first_joints() -> NDArray[np.intp]:
    """Index in `G1_JOINTS` of each joint in IsaacLab's order (29,): nearest to the pelvis first."""
    g1 = model()
    depth = []
    for name in G1_JOINTS:
        body, links_up = g1.joint(name).bodyid[0], 0
        while body:
            body, links_up = g1.body_parentid[body], links_up + 1
        depth.append(links_up)
    return np.argsort(depth, kind="stable")


def link_positions(qpos: NDArray) -> Array:
    """Compute the origins (N, 30, 3), m, of `links()` in the world at `qpos` (N, 36)."""
    return forward_kinematics(model(), qpos).of(*links())


def _surface_points(qpos: Array) -> Array:
    """Compute (N, P, 3) m in the world: the lowest points of the sole spheres, the origins of all bodies."""
    soles = sole_positions(model(), qpos).reshape(len(qpos), -1, 3)
    return np.concatenate([soles, forward_kinematics(model(), qpos).body_pos], axis=1)
