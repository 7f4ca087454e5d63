"""Where the robot's bodies should be, for a recorded person: directions of bones kept, lengths the robot's.

World frame with z up, metres, quaternions wxyz; T is the number of frames.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mjx_mimic.retarget import foot_locking
from mjx_mimic.retarget.foot_locking import Contacts
from mjx_mimic.retarget.person import SIDES, Person
from mjx_mimic.robot.kinematics import Poses

Array = NDArray[np.float64]

_UPRIGHT_SHARE = 0.1  # of the frames, the most upright ones, in which pelvis and chest are taken as neutral
_STRAIGHT_S = 0.2  # s, over which the elbow's hinge is averaged
_FORWARDS = 0.03  # squared sine of the bend that counts as much as this guess
_LOWERED = 0.99  # of the person's hip height: a quite straight knee cannot tell which way to bend


@dataclass(frozen=True, eq=False)
class Targets:
    """Where the robot should be over T frames; world frame, z up, m.

    Attributes:
        places: (T, 3) by body, of the bodies' origins.
        turns: T rotations by body, body to world.
        soles: (T, 2, 4, 3) centres of the sole spheres, left and right foot, in the model's order: two under
            the heel, two under the toes.
        standing: (T, 2, 4) bool, whether the sphere is held on the floor.
    """

    places: dict[str, Array]
    turns: dict[str, Rotation]
    soles: Array
    standing: NDArray[np.bool_]

    def cut(self, frames: slice) -> "Targets":
        """Some of the frames."""
        places = {body: place[frames] for body, place in self.places.items()}
        turns = {body: turn[frames] for body, turn in self.turns.items()}
        return Targets(places, turns, self.soles[frames], self.standing[frames])


@dataclass(frozen=True, eq=False)
class Build:
    """Lengths (m) and places of the robot at joint angles of 0, of the left side; mirrored on the right."""

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
        """Of the foot's origin when the sole is on the floor."""
        return float(self.sole_radius - self.sole["left"][0, 2])


def build_of(model: mujoco.MjModel) -> Build:
    """What the person's proportions become."""
    data = mujoco.MjData(model)
    data.qpos[:] = np.eye(model.nq)[3]
    mujoco.mj_kinematics(model, data)

    def at(body: str) -> Array:
        return data.body(body).xpos.copy()

    def apart(a: str, b: str) -> float:
        return float(np.linalg.norm(at(a) - at(b)))

    spheres = {side: sole_geoms(model, side) for side in ("left", "right")}
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


def sole_geoms(model: mujoco.MjModel, side: str) -> list[str]:
    """Names of the foot's sole spheres: heel left, heel right, toe left, toe right."""
    names = [f"{side}_sole_{end}_{edge}" for end in ("heel", "toe") for edge in ("left", "right")]
    assert all(model.geom(name).id >= 0 for name in names)
    return names


def sole_paths(model: mujoco.MjModel, poses: Poses) -> Array:
    """(T, 2, 4, 3) centres of the sole spheres, as in `Targets.soles`."""
    feet = []
    for side in SIDES:
        row = poses.body_names.index(f"{side}_ankle_roll_link")
        turn = Rotation.from_quat(poses.body_quat[:, row], scalar_first=True)
        spheres = [model.geom(name) for name in sole_geoms(model, side)]
        feet.append(np.stack([poses.body_pos[:, row] + turn.apply(ball.pos) for ball in spheres], axis=1))
    return np.stack(feet, axis=1)


def targets_of(person: Person, contacts: dict[str, Contacts], build: Build) -> Targets:
    """Places and rotations of the robot's bodies that a scaled person stands for.

    Hips are where the person's are; thighs, shins, upper arms and forearms point as the person's do. Pelvis,
    chest and feet turn as the person's do, from a neutral rotation that is taken from the recording itself:
    of pelvis and chest, their mean while the person is most upright, in line with hips, shoulders and neck;
    of a foot, level and along its toes while it is flat.
    """
    points = person.points
    middle = 0.5 * (points["left_hip"] + points["right_hip"])
    spine = points["neck"] - middle
    upright = _upright_frames(points, spine)
    across = points["left_hip"] - points["right_hip"]
    pelvis = _calibrated(person.turns["pelvis"], _facing(across, spine), upright)
    across = points["left_shoulder"] - points["right_shoulder"]
    torso = _calibrated(person.turns["chest"], _facing(across, spine), upright)

    floor = np.mean([contacts[side].ankle_height for side in SIDES])
    hips = middle.copy()
    hips[:, 2] = (middle[:, 2] - floor) * _LOWERED + build.ankle_height
    root = hips - pelvis.apply(build.hip * [1.0, 0.0, 1.0])
    waist = root + pelvis.apply(build.waist)
    places, turns = {"pelvis": root}, {"pelvis": pelvis, "torso_link": torso}
    soles, standing = [], []
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        mirror = [1.0, sign, 1.0]
        knee = root + pelvis.apply(build.hip * mirror) + build.thigh * _along(points, side, "hip", "knee")
        ankle = knee + build.shin * _along(points, side, "knee", "ankle")
        foot = contacts[side]
        ankle[:, 2] = points[f"{side}_ankle"][:, 2] - foot.ankle_height + build.ankle_height
        elbow = waist + torso.apply(build.shoulder * mirror)
        upper, fore = _along(points, side, "shoulder", "elbow"), _along(points, side, "elbow", "wrist")
        elbow = elbow + build.upper_arm * upper
        places[f"{side}_knee_link"] = knee
        places[f"{side}_ankle_roll_link"] = ankle
        places[f"{side}_elbow_link"] = elbow
        places[f"{side}_wrist_yaw_link"] = elbow + build.forearm * fore
        turns[f"{side}_elbow_link"] = _forearm(upper, fore, torso, person.fps)

        toes = points[f"{side}_toe"] - points[f"{side}_ankle"]
        level = _facing(np.cross([0.0, 0.0, 1.0], toes), np.tile([0.0, 0.0, 1.0], (len(toes), 1)))
        flat = np.flatnonzero(foot.flat)
        if not len(flat):  # the lowest frames come nearest to it
            flat = np.argsort(points[f"{side}_toe"][:, 2])[: max(len(toes) // 20, 1)]
        turn = _calibrated(person.turns[f"{side}_ankle"], level, flat)
        corners = np.stack([ankle + turn.apply(corner) for corner in build.sole[side]], axis=1)
        soles.append(foot_locking.held(corners, foot, build.sole_radius))
        standing.append(np.stack([foot.heel, foot.heel, foot.toe, foot.toe], axis=1))
    places["head_link"] = waist + torso.apply(build.head)
    return Targets(places, turns, np.stack(soles, axis=1), np.stack(standing, axis=1))


def _along(points: dict[str, Array], side: str, start: str, end: str) -> Array:
    """(T, 3) unit vectors along a bone."""
    bone = points[f"{side}_{end}"] - points[f"{side}_{start}"]
    return bone / np.maximum(np.linalg.norm(bone, axis=1, keepdims=True), 1e-9)


def _upright_frames(points: dict[str, Array], spine: Array) -> NDArray[np.int64]:
    """The tenth of the frames in which back and thighs come nearest to vertical."""
    thighs = [_along(points, side, "knee", "hip")[:, 2] for side in ("left", "right")]
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

    Without it, an arm that has once been straight may go on bending the wrong way. A straight arm takes the
    hinge of the moments around it, or one that would bend it forwards.
    """
    bend = np.cross(fore, upper)
    bend *= np.linalg.norm(bend, axis=1, keepdims=True)  # little bent, or overstretched, it tells little
    hinge = gaussian_filter1d(bend, _STRAIGHT_S * fps, axis=0, mode="nearest")
    hinge += _FORWARDS * np.cross(torso.apply([1.0, 0.0, 0.3]), upper)
    hinge -= np.sum(hinge * fore, axis=1, keepdims=True) * fore
    return _facing(hinge, np.cross(fore, hinge))


def _calibrated(bone: Rotation, wanted: Rotation, frames: NDArray[np.int64]) -> Rotation:
    """`bone` (T) in other axes fixed in it, such that its mean over `frames` is that of `wanted` (T)."""
    return bone * (bone[frames].inv() * wanted[frames]).mean()
