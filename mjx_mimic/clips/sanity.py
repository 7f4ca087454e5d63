"""Mistakes that still give a well-formed clip: wrong units, wrong order of a quaternion or of joints, frames
that were repeated to fake a higher rate.

Each is recognised by what it does to the robot, and refused with the remedy. What a clip merely does badly
(a foot in the floor, a joint a little over its limit) is for `validation` to report.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]

LINK_TOLERANCE = 0.05
"""m, mean; a file's bodies farther than this from where its angles put them are in another order."""

_HIGHEST = 4.0  # m; no clip keeps the pelvis over this
_DEEPEST = -0.5  # m; the floor is at 0
_FARTHEST = 1e4  # m
_MILLIMETRES = 200.0  # a pelvis as high as this "metres" was in millimetres, a lower one in centimetres
_FAR_BEYOND = 1.0  # rad over a joint's limit; clips that are known to work have up to 0.5
_SLOWEST = 1.0  # frames/s
_REPEATED = 0.1  # runs of equal frames, a frame
_MANY_RUNS = 4

_PAIRS = 24  # of neighbouring frames that are looked at
_SLIDE = 0.2  # m/s; a contact that slides slower tells nothing
_BETTER = 0.5  # of the slide is left, at most, when the clip is read as it should be
_STANDS = 1.2  # m/s; a true reading slides less: a runner's sole does
_GAP = 0.15  # m; a lowest point nearer to the floor than that is on it


@dataclass(frozen=True)
class Terms:
    """What a format calls the parts of a clip, for messages, and which mistakes it leaves room for.

    Attributes:
        position: of the root.
        rotation: of the root.
        joints: the hinge angles.
        order: of the components of the root's quaternion in the file; None if it holds no quaternion.
        named: the file says which column is which joint.
    """

    position: str
    rotation: str
    joints: str
    order: Literal["wxyz", "xyzw"] | None
    named: bool


def check(motion: Motion, source: str | Path, terms: Terms) -> None:
    """UserError if the clip `motion` of the file `source` was clearly not stored as its format has it."""
    if motion.fps < _SLOWEST:
        raise UserError(
            f"{source}: fps is {motion.fps:.6g}, which looks like seconds a frame; give frames a second"
        )
    check_metres(motion.root_pos, terms.position, source)
    check_radians(motion.dof_pos, terms.joints, source)
    _check_repeats(motion, source)
    _check_orders(motion, source, terms)


def check_metres(root_pos: NDArray, field: str, source: str | Path) -> None:
    """UserError if `root_pos` (T, 3), the pelvis' position with z up, cannot be in metres from the floor."""
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
    """UserError if `dof_pos` (T, 29), in the order of `G1_JOINTS`, is in degrees or far beyond its limits."""
    beyond = _beyond_limits(dof_pos)
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
    """UserError if the velocities that a file stores belong to another frame rate than the one it states.

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
    """UserError if frames are repeated all along, as when a rate is raised without interpolation."""
    frames = np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=1)
    same = np.all(frames[1:] == frames[:-1], axis=1)
    runs = int(same[0]) + int(np.sum(same[1:] & ~same[:-1]))
    if runs >= max(_MANY_RUNS, _REPEATED * motion.num_frames):
        raise UserError(
            f"{source}: {int(same.sum())} of {motion.num_frames} frames repeat the one before, all along the"
            " clip; export it at the rate it was recorded at, or interpolate"
        )


def _check_orders(motion: Motion, source: str | Path, terms: Terms) -> None:
    """UserError if the robot moves far better with the quaternion's or the joints' columns in another order.

    What carries the robot stays where it is on the floor. So the lowest point of the body slides little in
    any true reading, and a lot in most false ones.
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
                f"{source}: {field} looks to be in another order: what stands on the floor slides at"
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
def model() -> "mujoco.MjModel":
    """The G1, compiled once. MuJoCo is imported here: not before whoever draws has chosen its GL library."""
    from mjx_mimic.robot.mjcf import load_mjcf

    return load_mjcf(visuals=False)


@functools.cache
def links() -> tuple[str, ...]:
    """Names of the pelvis and the 29 links that a hinge moves, depth-first, as MuJoCo has them."""
    g1 = model()
    return tuple(g1.body(body).name for body in range(1, g1.nbody) if g1.body_jntnum[body])


def breadth_first_joints() -> NDArray[np.intp]:
    """(29,) for each joint in IsaacLab's order its index in `G1_JOINTS`: nearest to the pelvis first."""
    g1 = model()
    depth = []
    for name in G1_JOINTS:
        body, links_up = g1.joint(name).bodyid[0], 0
        while body:
            body, links_up = g1.body_parentid[body], links_up + 1
        depth.append(links_up)
    return np.argsort(depth, kind="stable")


def _beyond_limits(dof_pos: NDArray) -> Array:
    """(T, 29) rad by which each joint is over its limit, or 0."""
    low, high = model().jnt_range[1:].T  # without the root
    return np.maximum(np.maximum(dof_pos - high, low - dof_pos), 0.0)


def link_positions(qpos: NDArray) -> Array:
    """(N, 30, 3) m, the origins of `links()` in the world at `qpos` (N, 36)."""
    from mjx_mimic.robot.kinematics import forward_kinematics

    return forward_kinematics(model(), qpos).of(*links())


def _surface_points(qpos: Array) -> Array:
    """(N, P, 3) m, the bottoms of the soles' spheres and the origins of all bodies, world frame."""
    import mujoco

    g1 = model()
    data = mujoco.MjData(g1)
    soles = [geom for geom in range(g1.ngeom) if "_sole_" in g1.geom(geom).name]
    points = np.empty((len(qpos), len(soles) + g1.nbody - 1, 3))
    for frame, positions in enumerate(qpos):
        data.qpos[:] = positions
        mujoco.mj_kinematics(g1, data)
        points[frame, : len(soles)] = data.geom_xpos[soles]
        points[frame, len(soles) :] = data.xpos[1:]
    points[:, : len(soles), 2] -= g1.geom_size[soles, 0]
    return points
