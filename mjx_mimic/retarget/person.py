"""People in motion capture: which joint is the knee, which way is up, and where they are at any time.

Rest poses are not used: LAFAN1's has all its bones along one axis, and CMU's conversions differ. What matters
is taken from the joints' positions over the whole recording.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.retarget.bvh import Bvh

Array = NDArray[np.float64]

SIDES = ("left", "right")
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
_CUTOFF_HZ = 8.0  # people move slower than this; markers tremble faster
_FILTER_ORDER = 2


@dataclass(frozen=True, eq=False)
class Person:
    """A recorded person. World with z up, in the file's unit of length until `scaled`.

    Attributes:
        fps: frames per second.
        points: (T, 3) by role: "neck", "pelvis", and "left_" or "right_" hip, knee, ankle, toe, shoulder,
            elbow, wrist.
        turns: T rotations by role, "pelvis", "chest", "left_ankle" and "right_ankle": of the bone to the
            world, whatever the bone's axes are.
    """

    fps: float
    points: dict[str, Array]
    turns: dict[str, Rotation]

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.points["pelvis"])

    def leg_length(self) -> float:
        """Thigh and shin, mean of both sides."""
        bones = [
            (f"{side}_{a}", f"{side}_{b}") for side in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))
        ]
        return sum(np.median(np.linalg.norm(self.points[a] - self.points[b], axis=1)) for a, b in bones) / 2.0


def check(person: Person, name: str) -> None:
    """UserError if it is no motion, or if joints that tell directions are in one place."""
    if person.num_frames < 2:
        raise UserError(f"{name}: one frame is no motion; export the whole recording")
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
    """The skeleton's name, and the index of the joint of each role.

    Args:
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
    """Joint name by role, with sides."""
    named: dict[str, str] = {}
    for role, name in SKELETONS[kind].items():
        if "{}" in name:
            named |= {f"{side}_{role}": name.format(side.capitalize()) for side in SIDES}
        else:
            named[role] = name
    return named


def person_of(bvh: Bvh, index: dict[str, int], up: Literal["y", "z"]) -> Person:
    """The person with z up; from y up, the file's z becomes x and its x becomes y."""
    axes = {"y": [2, 0, 1], "z": [0, 1, 2]}[up]
    turned = Rotation.from_matrix(np.eye(3)[axes])
    points = {role: bvh.positions[:, joint][:, axes] for role, joint in index.items()}
    turns = {
        role: turned * Rotation.from_quat(bvh.rotations[:, index[role]], scalar_first=True)
        for role in ("pelvis", "chest", "left_ankle", "right_ankle")
    }
    return Person(bvh.fps, points, turns)


def starts_with_rest_pose(bvh: Bvh, index: dict[str, int]) -> bool:
    """Whether the first frame is a calibration pose before the recording, as in most CMU conversions: joints
    jump right after it, and then no more."""
    if bvh.num_frames < 3:
        return False
    joints = Rotation.from_quat(bvh.rotations[:3, list(index.values())].reshape(-1, 4), scalar_first=True)
    step = (joints[: -len(index)].inv() * joints[len(index) :]).magnitude().reshape(2, -1).max(axis=1)
    return bool(step[0] > _JUMP > step[1])


def unit_of(leg_length: float) -> tuple[str, float] | None:
    """Unit of length in which a person's leg is `leg_length` long, and its metres; None if there is none."""
    fits = [
        (name, metres) for name, metres in UNITS.items() if _LEGS_M[0] <= leg_length * metres <= _LEGS_M[1]
    ]
    return fits[0] if fits else None


def mostly_upright(person: Person) -> bool:
    """Whether hips to neck is, on the whole, more upwards than along the floor."""
    spine = np.median(np.abs(person.points["neck"] - person.points["pelvis"]), axis=0)
    return bool(spine[2] >= max(spine[:2]))


def without_first(person: Person) -> Person:
    """All frames but the first."""
    points = {role: values[1:] for role, values in person.points.items()}
    return Person(person.fps, points, {role: turns[1:] for role, turns in person.turns.items()})


def resampled(person: Person, fps: float) -> Person:
    """At another frame rate, without what moves faster than 8 Hz or than that rate can show."""
    length = (person.num_frames - 1) / person.fps
    times = np.arange(person.num_frames) / person.fps
    # Frame times are written with few digits: 0.0083333 for 1/120.
    wanted = np.minimum(np.arange(np.floor(length * fps + 1e-3) + 1) / fps, length)
    if len(wanted) < 2:
        raise UserError(f"option --fps: {fps:g} leaves one frame of a recording of {length:.3g} s; give more")
    cutoff = min(_CUTOFF_HZ, 0.45 * fps)
    points = {}
    for role, values in person.points.items():
        smooth = _low_pass(values, person.fps, cutoff)
        points[role] = np.stack([np.interp(wanted, times, column) for column in smooth.T], axis=1)
    turns = {}
    for role, turn in person.turns.items():
        quaternion = turn.as_quat()
        flips = np.where(np.sum(quaternion[1:] * quaternion[:-1], axis=1) < 0.0, -1.0, 1.0)
        quaternion[1:] *= np.cumprod(flips)[:, None]
        # By component and renormalised (as `from_quat` does): a weighted mean of neighbouring rotations.
        smooth = _low_pass(quaternion, person.fps, cutoff)
        turns[role] = Slerp(times, Rotation.from_quat(smooth))(wanted)
    return Person(fps, points, turns)


def _low_pass(values: Array, fps: float, cutoff_hz: float) -> Array:
    """(T, C) without delay; unchanged where the rate is too low to hold such vibrations."""
    from scipy.signal import butter, sosfiltfilt  # takes long to import

    if cutoff_hz >= 0.49 * fps or len(values) < 4:
        return values
    sections = butter(_FILTER_ORDER, cutoff_hz, fs=fps, output="sos")
    return sosfiltfilt(sections, values, axis=0, padlen=min(int(fps / cutoff_hz * 3), len(values) - 1))


def scaled(person: Person, scale: float) -> Person:
    """All lengths times `scale`."""
    points = {role: values * scale for role, values in person.points.items()}
    return Person(person.fps, points, person.turns)
