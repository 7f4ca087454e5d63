"""People in motion capture: which joint is the knee, which way is up, and where the joints are over time.

Rest poses are not used: LAFAN1's has all its bones along one axis, and CMU's conversions differ. All that
matters is taken from the joints' positions over the whole recording.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.clips.filtering import low_pass
from mjx_mimic.clips.formats.fields import words
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.retarget.bvh import Bvh
from mjx_mimic.robot.constants import SIDES
from mjx_mimic.robot.kinematics import without_sign_flips

Array = NDArray[np.float64]

NAMES = {
    "hip": ("upleg", "upperleg", "thigh", "thighbend", "hip", "femur", "leg"),
    "knee": ("shin", "calf", "tibia", "lowerleg", "lowleg", "leg", "knee"),
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toe", "toes", "toe0", "ball", "foot"),
    "shoulder": ("arm", "upperarm", "uparm", "uarm", "shldr", "shldrbend", "shoulder", "humerus"),
    "elbow": ("forearm", "forearmbend", "lowerarm", "lowarm", "farm", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
"""Names of the joints of a limb, the more telling first: a left arm goes before a left shoulder, which is a
collarbone beside it, a foot beyond an ankle is the toes, and a leg above a shin is the thigh. LAFAN1, Mixamo,
CMU, Rokoko, Noitom, Xsens, SMPL, SOMA, OptiTrack, Kinect, Poser, 3ds Max and Unreal Engine have
them, with the side before or after, as Left, left_ or l."""
_SUFFIXES = ("jnt", "bone", "bind")  # that say that a joint is one
_FOUND_BEFORE = {"hip": "knee", "toe": "ankle"}  # a leg that is the knee is no hip, and an ankle no toe
ROLES = ("pelvis", "chest", "neck", *(f"{side}_{joint}" for side in SIDES for joint in NAMES))
"""What a joint can be. The toes may be missing."""
UNITS = {"m": 1.0, "inches": 0.0254, "cm": 0.01, "mm": 0.001, "units of 1/0.45 inch": 0.0254 / 0.45}
"""Metres of each unit of length that is met; the last is that of the CMU conversions."""
_LEGS_M = (0.6, 1.1)  # thigh and shin of people from 1.3 to 2.2 m

_TOE_AHEAD, _TOE_BELOW = 0.35, 0.15  # of the shin: the ball of the foot from the ankle
_TINY = 1e-9
_SHORTEST = 0.01  # of the legs; a bone shorter than this has no direction
_JUMP = np.deg2rad(30.0)  # between two frames no joint of a person turns farther
_CUTOFF_HZ = 8.0  # people move more slowly than this; markers tremble faster
_FILTER_ORDER = 2


@dataclass(frozen=True, eq=False)
class Person:
    """A recorded person. World with z up, in the file's unit of length until `scaled`.

    Attributes:
        fps: frames per second.
        points: (T, 3) by role: "neck", "pelvis", "chest", and "left_" or "right_" hip, knee, ankle, toe,
            shoulder, elbow, wrist.
        rotations: T rotations by role, "pelvis", "chest", and "left_" or "right_" ankle and wrist: bone to
            world, whatever the bone's axes are.
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


def roles(bvh: Bvh, source: str, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Find the index of the joint of each role, as `find` does.

    Raises:
        UserError: joints other than toes are missing, or there are no joints of the given names.
    """
    found = find(bvh, source, given or {})
    missing = [role for role in ROLES if role not in found and "toe" not in role]
    if missing:
        raise UserError(
            f"{source}: no joint is known to be {', '.join(missing)}; retarget --list prints the file's"
            " joints, and --names FILE says what they are"
        )
    return found


def find(bvh: Bvh, source: str, given: Mapping[str, str]) -> dict[str, int]:
    """Find the index of the joint of each role, as far as they are known.

    Limbs are found by their names. The pelvis is where the legs part, and the chest where the arms part, or
    the joint before it as in 3ds Max. The neck is the joint below the head, or the head itself where that is
    the chest.

    Args:
        bvh: the recording.
        source: the file, named in messages.
        given: names of joints by role, which go before all that is found.

    Raises:
        UserError: there are no joints of the given names.
    """
    found = {role: _index(bvh, name, role, source) for role, name in given.items()}
    endings = [_endings(name) for name in bvh.names]

    def named(*words: str) -> int | None:
        fits = [
            (endings[index].index(word), index)  # the whole name goes before its end
            for word in words
            for index in range(len(endings))
            if word in endings[index]
        ]
        return min(fits)[1] if fits else None

    for side in SIDES:
        for joint in sorted(NAMES, key=lambda joint: joint in _FOUND_BEFORE):
            candidates = (named(*_spellings(side, stem)) for stem in NAMES[joint])
            known = [index for index in candidates if index is not None]
            taken = found.get(f"{side}_{_FOUND_BEFORE[joint]}") if joint in _FOUND_BEFORE else None
            if known and known[0] != taken:
                found.setdefault(f"{side}_{joint}", known[0])
    for role, joint in (("pelvis", "hip"), ("chest", "shoulder")):
        if {f"{side}_{joint}" for side in SIDES} <= set(found):
            index = _common_parent(bvh, found[f"left_{joint}"], found[f"right_{joint}"])
            above = int(bvh.parents[index])
            taken = found.get("pelvis") if role == "chest" else None
            if above not in (-1, taken) and _hangs_too_high(role, endings[index], endings[above]):
                index = above
            found.setdefault(role, index)
    head = named("head")
    if head is not None and "chest" in found:
        below = int(bvh.parents[head])
        found.setdefault("neck", head if below == found["chest"] else below)
    neck = named("neck1") if head is None else None  # CMU's first one is the chest's
    neck = named("neck") if neck is None else neck
    if neck is not None:
        found.setdefault("neck", neck)
    return found


def _index(bvh: Bvh, name: str, role: str, source: str) -> int:
    """Find a joint by its name; raises UserError if there is none."""
    if role not in ROLES:
        raise UserError(f"option --names: there is no {quoted(role)}; use {', '.join(ROLES)}")
    if name not in bvh.names:
        raise UserError(f"option --names: {source} has no joint {quoted(name)}; retarget --list prints them")
    return bvh.names.index(name)


def _endings(name: str) -> list[str]:
    """List what a name ends in, word by word, the longest first, in lower case: of J_Bip_L_Hand, also lhand.

    At last without its numbers, as in upperleg01.L.
    """
    lower = [word.lower() for word in words(name)]
    lower = lower[:-1] if len(lower) > 1 and lower[-1] in _SUFFIXES else lower
    endings = ["".join(lower[first:]) for first in range(len(lower))]
    bare = [word for word in lower if not word.isdigit()]
    return endings + ["".join(bare[first:]) for first in range(len(bare))]


def _spellings(side: str, stem: str) -> tuple[str, ...]:
    """List how a joint of a side may be spelt: leftarm, armleft, larm, arml."""
    return (f"{side}{stem}", f"{stem}{side}", f"{side[0]}{stem}", f"{stem}{side[0]}")


def _hangs_too_high(role: str, name: Sequence[str], above: Sequence[str]) -> bool:
    """Tell by the endings of names whether a joint from which both limbs hang is not what it should be.

    In 3ds Max's biped, the legs hang from the spine above the pelvis, and the arms from the neck.
    """
    if role == "chest":
        return "neck" in name
    return "spine" in name and not {"pelvis", "hips"}.isdisjoint(above)


def _common_parent(bvh: Bvh, first: int, second: int) -> int:
    """Find the joint nearest to two others that both hang from."""
    above = set()
    while first >= 0:
        above.add(first)
        first = int(bvh.parents[first])
    while second not in above:
        second = int(bvh.parents[second])
    return second


def named_joints(bvh: Bvh, found: Mapping[str, int]) -> list[str]:
    """List the joints of a file, each with its depth as spaces and what it was found to be."""
    lines, depths = [], list[int]()
    roles_of = {index: role for role, index in found.items()}
    for index, (name, parent) in enumerate(zip(bvh.names, bvh.parents, strict=True)):
        depths.append(0 if parent < 0 else depths[parent] + 1)
        lines.append(f"{'  ' * depths[index] + name:40s} {roles_of.get(index, '')}".rstrip())
    return lines


def person_of(bvh: Bvh, index: dict[str, int], up: Literal["y", "z"]) -> Person:
    """Pose the person with z up; from y up, the file's z becomes x and its x becomes y."""
    axes = {"y": [2, 0, 1], "z": [0, 1, 2]}[up]
    to_z_up = Rotation.from_matrix(np.eye(3)[axes])
    points = {role: bvh.positions[:, joint][:, axes] for role, joint in index.items()}
    rotations = {
        role: to_z_up * Rotation.from_quat(bvh.rotations[:, index[role]], scalar_first=True)
        for role in (
            "pelvis",
            "chest",
            *(f"{side}_{joint}" for side in SIDES for joint in ("ankle", "wrist")),
        )
    }
    for side in SIDES:
        if f"{side}_toe" not in points:
            points[f"{side}_toe"] = _toe(points, rotations[f"{side}_ankle"], side)
    return Person(bvh.fps, points, rotations)


def _toe(points: dict[str, Array], foot: Rotation, side: str) -> Array:
    """Place the toe (T, 3) of a foot without one: fixed to it, ahead of the ankle where that is lowest."""
    ankle = points[f"{side}_ankle"]
    shin = np.median(np.linalg.norm(ankle - points[f"{side}_knee"], axis=1))
    across = (points["left_hip"] - points["right_hip"]) * [1.0, 1.0, 0.0]
    ahead = np.cross(across, [0.0, 0.0, 1.0])
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), _TINY)
    lowest = np.argsort(ankle[:, 2])[: max(len(ankle) // 5, 1)]
    toe = shin * (_TOE_AHEAD * ahead - np.array([0.0, 0.0, _TOE_BELOW]))
    return ankle + foot.apply(foot[lowest].inv().apply(toe[lowest]).mean(axis=0))


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
    # A length may miss a whole number of frames by what its frame time was rounded.
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
