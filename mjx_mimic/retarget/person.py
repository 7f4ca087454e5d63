"""People in motion capture: which joint is the knee, which way is up, and where the joints are over time.

Rest poses are not used: LAFAN1's has all its bones along one axis, and CMU's conversions differ. All that
matters is taken from the joints' positions over the whole recording.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.clips.filtering import low_pass
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.retarget.bvh import Bvh
from mjx_mimic.robot.constants import SIDES
from mjx_mimic.robot.kinematics import without_sign_flips

Array = NDArray[np.float64]

_LIMBS = {
    "hip": "{}UpLeg",
    "knee": "{}Leg",
    "ankle": "{}Foot",
    "shoulder": "{}Arm",
    "elbow": "{}ForeArm",
    "wrist": "{}Hand",
}
SKELETONS: dict[str, dict[str, str]] = {
    # https://github.com/ubisoft/ubisoft-laforge-animation-dataset
    "lafan1": {"pelvis": "Hips", "chest": "Spine2", "neck": "Neck", **_LIMBS, "toe": "{}Toe"},
    "mixamo": {"pelvis": "Hips", "chest": "Spine2", "neck": "Neck", **_LIMBS, "toe": "{}ToeBase"},
    # The BVH conversions of http://mocap.cs.cmu.edu by B. Hahne (cgspeed)
    "cmu": {"pelvis": "Hips", "chest": "Spine1", "neck": "Neck1", **_LIMBS, "toe": "{}ToeBase"},
}
"""Names of the joints by role; `{}` stands for Left or Right."""
UNITS = {"m": 1.0, "inches": 0.0254, "cm": 0.01, "mm": 0.001, "units of 1/0.45 inch": 0.0254 / 0.45}
"""Metres of each unit of length that is met; the last is that of the CMU conversions."""
_LEGS_M = (0.6, 1.1)  # thigh and shin of people from 1.3 to 2.2 m

_SHORTEST = 0.01  # of the legs; a bone shorter than this has no direction
_JUMP = np.deg2rad(30.0)  # between two frames no joint of a person turns farther
_CUTOFF_HZ = 8.0  # people move more slowly than this; markers tremble faster
_FILTER_ORDER = 2


@dataclass(frozen=True, eq=False)
class Person:
    """A recorded person. World with z up, in the file's unit of length until `scaled`.

    Attributes:
        fps: frames per second.
        points: (T, 3) by role: "neck", "pelvis", and "left_" or "right_" hip, knee, ankle, toe, shoulder,
            elbow, wrist.
        rotations: T rotations by role, "pelvis", "chest", "left_ankle" and "right_ankle": bone to world,
            whatever the bone's axes are.
    """

    fps: float
    points: dict[str, Array]
    rotations: dict[str, Rotation]

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return len(self.points["pelvis"])

    def leg_length(self) -> float:
        """Length of thigh and shin, mean of both sides."""
        bones = [
            (f"{side}_{a}", f"{side}_{b}") for side in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))
        ]
        return sum(np.median(np.linalg.norm(self.points[a] - self.points[b], axis=1)) for a, b in bones) / 2.0


def check(person: Person, name: str) -> None:
    """Raise UserError if there is no motion, or if joints that define a direction are in one place."""
    if person.num_frames < 2:
        raise UserError(f"{name}: one frame is not a motion; export the whole recording")
    legs = person.leg_length()
    apart = [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("pelvis", "neck")]
    for side in SIDES:
        chain = ("hip", "knee", "ankle", "toe"), ("shoulder", "elbow", "wrist")
        apart += [(f"{side}_{a}", f"{side}_{b}") for limb in chain for a, b in itertools.pairwise(limb)]
    for a, b in apart:
        bone = np.linalg.norm(person.points[a] - person.points[b], axis=1)
        if not bone.min() > _SHORTEST * legs:
            raise UserError(
                f"{name}: {a} and {b} are in one place at frame {bone.argmin()}; export the skeleton with the"
                " lengths of its bones"
            )


def roles(bvh: Bvh, skeleton: str, source: str) -> tuple[str, dict[str, int]]:
    """Find the skeleton's name, and the index of the joint of each role.

    Args:
        bvh: the recording.
        skeleton: a key of `SKELETONS`, or "auto": the first one whose names are all there.
        source: the file, named in the message.

    Raises:
        UserError: joints are missing.
    """
    names = [name.rpartition(":")[2] for name in bvh.names]  # some exporters put "person:" before each
    missing: dict[str, list[str]] = {}
    for kind in SKELETONS if skeleton == "auto" else (skeleton,):
        wanted = _spelled_out(kind)
        missing[kind] = [name for name in wanted.values() if name not in names]
        if not missing[kind]:
            return kind, {role: names.index(name) for role, name in wanted.items()}
    known = "; ".join(
        f"{kind} lacks {', '.join(gone[:4])}" + ", ..." * (len(gone) > 4) for kind, gone in missing.items()
    )
    raise UserError(
        f"{source}: unknown skeleton, its root is {quoted(bvh.names[0], 30)}: {known}; rename the joints, or"
        " export with one of these skeletons"
    )


def _spelled_out(kind: str) -> dict[str, str]:
    """List the joints' names by role, with sides."""
    named: dict[str, str] = {}
    for role, name in SKELETONS[kind].items():
        if "{}" in name:
            named |= {f"{side}_{role}": name.format(side.capitalize()) for side in SIDES}
        else:
            named[role] = name
    return named


def person_of(bvh: Bvh, index: dict[str, int], up: Literal["y", "z"]) -> Person:
    """Pose the person with z up; from y up, the file's z becomes x and its x becomes y."""
    axes = {"y": [2, 0, 1], "z": [0, 1, 2]}[up]
    to_z_up = Rotation.from_matrix(np.eye(3)[axes])
    points = {role: bvh.positions[:, joint][:, axes] for role, joint in index.items()}
    rotations = {
        role: to_z_up * Rotation.from_quat(bvh.rotations[:, index[role]], scalar_first=True)
        for role in ("pelvis", "chest", "left_ankle", "right_ankle")
    }
    return Person(bvh.fps, points, rotations)


def starts_with_rest_pose(bvh: Bvh, index: dict[str, int]) -> bool:
    """Tell whether the first frame is a calibration pose before the recording, as in most CMU conversions.

    Joints jump right after it, and then no more.
    """
    if bvh.num_frames < 3:
        return False
    joints = Rotation.from_quat(bvh.rotations[:3, list(index.values())].reshape(-1, 4), scalar_first=True)
    step = (joints[: -len(index)].inv() * joints[len(index) :]).magnitude().reshape(2, -1).max(axis=1)
    return bool(step[0] > _JUMP > step[1])


def unit_of(leg_length: float) -> tuple[str, float] | None:
    """Find the unit in which a person's leg is `leg_length` long, and its metres; None if there is none."""
    fits = [
        (name, metres) for name, metres in UNITS.items() if _LEGS_M[0] <= leg_length * metres <= _LEGS_M[1]
    ]
    return fits[0] if fits else None


def mostly_upright(person: Person) -> bool:
    """Tell whether the line from hips to neck is mostly more upright than along the floor."""
    spine = np.median(np.abs(person.points["neck"] - person.points["pelvis"]), axis=0)
    return bool(spine[2] >= max(spine[:2]))


def without_first(person: Person) -> Person:
    """Drop the first frame."""
    points = {role: values[1:] for role, values in person.points.items()}
    rotations = {role: rotation[1:] for role, rotation in person.rotations.items()}
    return Person(person.fps, points, rotations)


def resampled(person: Person, fps: float) -> Person:
    """Resample to another frame rate, without what moves faster than 8 Hz or than that rate can show."""
    length = (person.num_frames - 1) / person.fps
    times = np.arange(person.num_frames) / person.fps
    # Frame times are written with few digits: 0.0083333 for 1/120.
    wanted = np.minimum(np.arange(np.floor(length * fps + 1e-3) + 1) / fps, length)
    if len(wanted) < 2:
        raise UserError(f"option --fps: {fps:g} leaves one frame of a recording of {length:.3g} s; give more")
    cutoff = min(_CUTOFF_HZ, 0.45 * fps)
    points = {}
    for role, values in person.points.items():
        smooth = _smooth(values, person.fps, cutoff)
        points[role] = np.stack([np.interp(wanted, times, column) for column in smooth.T], axis=1)
    rotations = {}
    for role, rotation in person.rotations.items():
        # By component and renormalised (as `from_quat` does): a weighted mean of neighbouring rotations.
        smooth = _smooth(without_sign_flips(rotation.as_quat()), person.fps, cutoff)
        rotations[role] = Slerp(times, Rotation.from_quat(smooth))(wanted)
    return Person(fps, points, rotations)


def _smooth(values: Array, fps: float, cutoff_hz: float) -> Array:
    """Filter `values` (T, C); they stay as they are where the rate is too low to hold such vibrations."""
    if cutoff_hz >= 0.49 * fps or len(values) < 4:
        return values
    return low_pass(values, fps, cutoff_hz, _FILTER_ORDER)


def scaled(person: Person, scale: float) -> Person:
    """Multiply all lengths by `scale`."""
    points = {role: values * scale for role, values in person.points.items()}
    return Person(person.fps, points, person.rotations)
