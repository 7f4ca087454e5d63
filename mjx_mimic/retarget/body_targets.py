"""Positions and rotations of the robot's bodies that correspond to a recorded person.

The directions of the bones are the person's, their lengths the robot's.

World frame with z up, metres, quaternions wxyz; T is the number of frames.
"""

from dataclasses import dataclass
from typing import Self

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mjx_mimic.retarget import foot_locking
from mjx_mimic.retarget.foot_locking import HeelToeContacts
from mjx_mimic.retarget.person import Person
from mjx_mimic.robot.constants import SIDES, SOLE_GEOMS

Array = NDArray[np.float64]

_UPRIGHT_SHARE = 0.1  # share of the frames, the most upright ones, in which pelvis and chest are neutral
_HANGING_SHARE = 0.1  # share of the frames, where the forearm hangs most, in which the hand is neutral
_STRAIGHT_S = 0.2  # s, over which the elbow's hinge is averaged
_FORWARDS = 0.03  # squared sine of the bend that counts as much as the guess that the arm bends forwards
_LOWERED = 0.99  # of the person's hip height: a straight knee does not know which way to bend


@dataclass(frozen=True, eq=False)
class Targets:
    """Positions and rotations that the robot should take over T frames; world frame, z up, m.

    Attributes:
        positions: (T, 3) by body, origins of the bodies.
        rotations: T rotations by body, body to world.
        soles: (T, 2, 4, 3) centres of the sole spheres of the left and the right foot, in the order of
            `SOLE_GEOMS`: two under the heel, two under the toes.
        standing: (T, 2, 4) bool, whether the sphere is held on the floor.
    """

    positions: dict[str, Array]
    rotations: dict[str, Rotation]
    soles: Array
    standing: NDArray[np.bool_]

    def cut(self, frames: slice) -> Self:
        """Keep some of the frames."""
        positions = {body: position[frames] for body, position in self.positions.items()}
        rotations = {body: rotation[frames] for body, rotation in self.rotations.items()}
        return type(self)(positions, rotations, self.soles[frames], self.standing[frames])


@dataclass(frozen=True, eq=False)
class Build:
    """Lengths and positions (m) of the robot at joint angles of 0: the left side, mirrored on the right."""

    hip: Array  # (3,) in the pelvis frame
    thigh: float
    shin: float
    sole: dict[str, Array]  # (4, 3) by side, in the frame of the foot
    sole_radius: float
    waist: Array  # (3,) the torso's origin in the pelvis frame
    shoulder: Array  # (3,) in the torso frame
    head: Array  # (3,) in the torso frame
    upper_arm: float
    forearm: float

    @property
    def ankle_height(self) -> float:
        """Height of the foot's origin, m, when the sole is on the floor."""
        return float(self.sole_radius - self.sole["left"][0, 2])


def build_of(model: mujoco.MjModel) -> Build:
    """Measure the robot."""
    data = mujoco.MjData(model)
    data.qpos[:] = np.eye(model.nq)[3]
    mujoco.mj_kinematics(model, data)

    def at(body: str) -> Array:
        return data.body(body).xpos.copy()

    def apart(a: str, b: str) -> float:
        return float(np.linalg.norm(at(a) - at(b)))

    spheres = dict(zip(SIDES, SOLE_GEOMS, strict=True))
    return Build(
        hip=at("left_hip_roll_link"),
        thigh=apart("left_hip_roll_link", "left_knee_link"),
        shin=apart("left_knee_link", "left_ankle_roll_link"),
        sole={side: np.array([model.geom(name).pos for name in names]) for side, names in spheres.items()},
        sole_radius=float(model.geom(spheres["left"][0]).size[0]),
        waist=at("torso_link"),
        shoulder=at("left_shoulder_roll_link") - at("torso_link"),
        head=at("head_link") - at("torso_link"),
        upper_arm=apart("left_shoulder_roll_link", "left_elbow_link"),
        forearm=apart("left_elbow_link", "left_wrist_yaw_link"),
    )


def targets_of(person: Person, contacts: dict[str, HeelToeContacts], build: Build) -> Targets:
    """Find the positions and rotations of the robot's bodies that correspond to a scaled person.

    Hips are where the person's are; thighs, shins, upper arms and forearms point as the person's do. Pelvis,
    chest, feet and hands rotate as the person's do, from a neutral rotation that is taken from the recording
    itself: for pelvis and chest, their mean while the person is most upright, in line with hips, shoulders
    and neck; for a foot, level and along its toes while it is flat; for a hand, in line with the forearm
    while that hangs. The head of the robot is part of its trunk.

    Args:
        person: of the robot's size.
        contacts: of the person's feet, by side.
        build: the robot's.
    """
    pelvis, torso = _trunk_rotations(person)
    root = _root_positions(person, contacts, build, pelvis)
    waist = root + pelvis.apply(build.waist)
    positions = {"pelvis": root}
    rotations = {"pelvis": pelvis, "torso_link": torso}
    soles, standing = [], []
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        mirror = np.array([1.0, sign, 1.0])
        foot = contacts[side]
        hip = root + pelvis.apply(build.hip * mirror)
        knee, ankle = _leg(person, side, foot, build, hip)
        positions[f"{side}_knee_link"] = knee
        positions[f"{side}_ankle_roll_link"] = ankle

        shoulder = waist + torso.apply(build.shoulder * mirror)
        upper = _along(person.points, side, "shoulder", "elbow")
        fore = _along(person.points, side, "elbow", "wrist")
        elbow = shoulder + build.upper_arm * upper
        positions[f"{side}_elbow_link"] = elbow
        positions[f"{side}_wrist_yaw_link"] = elbow + build.forearm * fore
        forearm = _forearm(upper, fore, torso, person.fps)
        rotations[f"{side}_elbow_link"] = forearm
        hanging = np.argsort(fore[:, 2])[: max(round(_HANGING_SHARE * len(fore)), 1)]
        rotations[f"{side}_wrist_yaw_link"] = _calibrated(person.rotations[f"{side}_wrist"], forearm, hanging)

        sole = _foot_rotations(person, side, foot)
        corners = np.stack([ankle + sole.apply(corner) for corner in build.sole[side]], axis=1)
        soles.append(foot_locking.held(corners, foot, build.sole_radius))
        standing.append(np.stack([foot.heel, foot.heel, foot.toe, foot.toe], axis=1))
    positions["head_link"] = waist + torso.apply(build.head)
    return Targets(positions, rotations, np.stack(soles, axis=1), np.stack(standing, axis=1))


def _trunk_rotations(person: Person) -> tuple[Rotation, Rotation]:
    """Rotations of the robot's pelvis and torso, T each."""
    points = person.points
    spine = points["neck"] - 0.5 * (points["left_hip"] + points["right_hip"])
    upright = _upright_frames(points, spine)
    hips = points["left_hip"] - points["right_hip"]
    shoulders = points["left_shoulder"] - points["right_shoulder"]
    return (
        _calibrated(person.rotations["pelvis"], _facing(hips, spine), upright),
        _calibrated(person.rotations["chest"], _facing(shoulders, spine), upright),
    )


def _root_positions(
    person: Person, contacts: dict[str, HeelToeContacts], build: Build, pelvis: Rotation
) -> Array:
    """Positions (T, 3) of the pelvis: hips in the person's place, at the person's height above the ankles."""
    hips = 0.5 * (person.points["left_hip"] + person.points["right_hip"])
    hips[:, 2] = (hips[:, 2] - contacts[SIDES[0]].ankle_height) * _LOWERED + build.ankle_height
    return hips - pelvis.apply(build.hip * [1.0, 0.0, 1.0])


def _leg(person: Person, side: str, foot: HeelToeContacts, build: Build, hip: Array) -> tuple[Array, Array]:
    """Positions (T, 3) of knee and ankle below the hip (T, 3); the ankle as high as the person's."""
    knee = hip + build.thigh * _along(person.points, side, "hip", "knee")
    ankle = knee + build.shin * _along(person.points, side, "knee", "ankle")
    ankle[:, 2] = person.points[f"{side}_ankle"][:, 2] - foot.ankle_height + build.ankle_height
    return knee, ankle


def _foot_rotations(person: Person, side: str, foot: HeelToeContacts) -> Rotation:
    """Rotations of the robot's foot, T of them."""
    ankle, toe = person.points[f"{side}_ankle"], person.points[f"{side}_toe"]
    forwards = toe - ankle
    up = np.tile([0.0, 0.0, 1.0], (len(toe), 1))
    level = _facing(np.cross(up, forwards), up)
    flat = np.flatnonzero(foot.flat)
    if not len(flat):  # the lowest frames come nearest to it, of heel and toes: at toe-off toes are low too
        flat = np.argsort(ankle[:, 2] + toe[:, 2])[: max(len(toe) // 20, 1)]
    return _calibrated(person.rotations[f"{side}_ankle"], level, flat)


def _along(points: dict[str, Array], side: str, start: str, end: str) -> Array:
    """Unit vectors (T, 3) along a bone."""
    bone = points[f"{side}_{end}"] - points[f"{side}_{start}"]
    return bone / np.maximum(np.linalg.norm(bone, axis=1, keepdims=True), 1e-9)


def _upright_frames(points: dict[str, Array], spine: Array) -> NDArray[np.int64]:
    """Find the tenth of the frames in which back and thighs come nearest to vertical."""
    thighs = [_along(points, side, "knee", "hip")[:, 2] for side in SIDES]
    score = 2.0 * spine[:, 2] / np.linalg.norm(spine, axis=1) + sum(thighs)
    return np.argsort(-score)[: max(round(_UPRIGHT_SHARE * len(score)), 1)]


def _facing(left: Array, up: Array) -> Rotation:
    """Rotations whose y axis is `left` (T, 3) and whose z axis comes nearest to `up` (T, 3)."""
    y = left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-9)
    x = np.cross(y, up)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))


def _forearm(upper: Array, fore: Array, torso: Rotation, fps: float) -> Rotation:
    """Rotation of the forearm: x along it, y the hinge of the elbow.

    Without it, an arm that has once been straight may continue to bend the wrong way. A straight arm takes
    the hinge of the frames around it, or one that would bend it forwards.
    """
    bend = np.cross(fore, upper)
    bend *= np.linalg.norm(bend, axis=1, keepdims=True)  # an almost straight arm hardly shows its hinge
    hinge = gaussian_filter1d(bend, _STRAIGHT_S * fps, axis=0, mode="nearest")
    hinge += _FORWARDS * np.cross(torso.apply([1.0, 0.0, 0.3]), upper)
    hinge -= np.sum(hinge * fore, axis=1, keepdims=True) * fore
    return _facing(hinge, np.cross(fore, hinge))


def _calibrated(bone: Rotation, wanted: Rotation, frames: NDArray[np.int64]) -> Rotation:
    """Express `bone` (T) in other axes fixed in it, whose mean over `frames` is that of `wanted` (T)."""
    return bone * (bone[frames].inv() * wanted[frames]).mean()
