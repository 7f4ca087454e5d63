"""Every fact about the Unitree G1 that the MJCF itself does not state, once.

Names are those of `assets/g1/g1.xml`. Joint order is Unitree's: each leg from hip to ankle, left before
right, then the waist, then each arm from shoulder to wrist.
"""

from typing import Literal

import numpy as np

SIDES = ("left", "right")

G1_JOINTS: tuple[str, ...] = (
    "left_hip_pitch_joint",
    "left_hip_roll_joint",
    "left_hip_yaw_joint",
    "left_knee_joint",
    "left_ankle_pitch_joint",
    "left_ankle_roll_joint",
    "right_hip_pitch_joint",
    "right_hip_roll_joint",
    "right_hip_yaw_joint",
    "right_knee_joint",
    "right_ankle_pitch_joint",
    "right_ankle_roll_joint",
    "waist_yaw_joint",
    "waist_roll_joint",
    "waist_pitch_joint",
    "left_shoulder_pitch_joint",
    "left_shoulder_roll_joint",
    "left_shoulder_yaw_joint",
    "left_elbow_joint",
    "left_wrist_roll_joint",
    "left_wrist_pitch_joint",
    "left_wrist_yaw_joint",
    "right_shoulder_pitch_joint",
    "right_shoulder_roll_joint",
    "right_shoulder_yaw_joint",
    "right_elbow_joint",
    "right_wrist_roll_joint",
    "right_wrist_pitch_joint",
    "right_wrist_yaw_joint",
)
"""The 29 hinges, in the order of the MJCF's joints and actuators, and of every array of joints."""

G1_BODIES: tuple[str, ...] = (
    "pelvis",
    *(name.replace("_joint", "_link") for name in G1_JOINTS[:14]),
    *("torso_link", "head_link"),
    *(name.replace("_joint", "_link") for name in G1_JOINTS[15:]),
)
"""All bodies, in the order of the MJCF; the waist's pitch moves the torso, and no joint the head."""

LEGS = (slice(0, 6), slice(6, 12))
"""Columns of the left and of the right leg in `G1_JOINTS`."""

MIRROR_SIGN = np.array([-1.0 if "_roll_" in name or "_yaw_" in name else 1.0 for name in G1_JOINTS])
"""(29,) sign of each hinge angle under reflection in the plane y = 0."""

MIRROR_VECTOR = np.array([1.0, -1.0, 1.0])
"""(3,) signs of a position or a velocity under that reflection."""
MIRROR_QUAT = np.array([1.0, -1.0, 1.0, -1.0])
"""(4,) signs of a quaternion, wxyz, under it; the last three are those of an angular velocity."""

_OTHER_SIDE = {"left": "right", "right": "left"}


def mirrored_name(name: str) -> str:
    """Return the joint or the body that one becomes under that reflection."""
    return "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))


MIRROR_INDEX = np.array([G1_JOINTS.index(mirrored_name(name)) for name in G1_JOINTS])
"""(29,) the hinge that each one becomes under that reflection."""

_SPEED_LIMITS = {  # one limit per motor type
    32.0: ("hip_pitch", "hip_yaw", "waist_yaw"),
    20.0: ("hip_roll", "knee"),
    30.0: ("ankle_pitch", "ankle_roll", "waist_roll", "waist_pitch"),
    37.0: ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll"),
    22.0: ("wrist_pitch", "wrist_yaw"),
}
GRAVITY = 9.81
"""m/s^2, as the MJCF has it."""
JOINT_SPEED_LIMIT = np.array(
    [
        limit
        for name in G1_JOINTS
        for limit, kinds in _SPEED_LIMITS.items()
        if any(kind in name for kind in kinds)
    ]
)
"""(29,) rad/s, the `velocity` limits of Unitree's g1_29dof_rev_1_0.urdf."""

FEET = tuple(f"{side}_ankle_roll_link" for side in SIDES)
"""Bodies of the left and the right foot."""

SOLE_GEOMS = tuple(
    tuple(f"{side}_sole_{end}_{edge}" for end in ("heel", "toe") for edge in SIDES) for side in SIDES
)
"""Spheres under the left and the right foot: heel left, heel right, toe left, toe right of each."""

END_EFFECTORS = (*FEET, "left_wrist_yaw_link", "right_wrist_yaw_link")
"""Feet and hands, the end effectors of the DeepMimic paper."""

KEY_BODIES = (*FEET, "head_link", "left_wrist_yaw_link", "right_wrist_yaw_link")
"""Bodies whose positions MimicKit observes and rewards, in its order."""

ContactSet = Literal["feet", "legs", "full", "body"]
ContactChoice = Literal["auto", "feet", "legs", "full", "body"]
"""A set, or the smallest one that the clips need."""

PhysicsImpl = Literal["jax", "warp"]
"""What takes physics steps: MJX's JAX code, or MJX-Warp."""

_LEG_GROUND = tuple(f"{side}_{link}_link" for side in SIDES for link in ("knee", "ankle_roll"))
_ARM_GROUND = tuple(
    f"{side}_{link}_link" for side in SIDES for link in ("elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
)
ALL_BODIES = ("all",)
"""Instead of a list of bodies: every body."""

GROUND_BODIES: dict[ContactSet, tuple[str, ...]] = {
    "feet": _LEG_GROUND,
    "legs": _LEG_GROUND,
    "full": _LEG_GROUND + _ARM_GROUND,
    "body": ALL_BODIES,
}
"""Bodies that may touch the floor without ending an episode, per contact set: MimicKit's `contact_bodies` for
the G1, its longer list for the cartwheel, and all."""

_LEG_CONTACTS = ("thigh", "shin", "linkage_brace")
_ARM_CONTACTS = ("shoulder_roll", "elbow_yaw", "wrist", "hand")
CONTACT_SHAPES: dict[ContactSet, tuple[str, ...]] = {
    "feet": (),
    "legs": _LEG_CONTACTS,
    "full": (*_LEG_CONTACTS, *_ARM_CONTACTS, "pelvis", "torso", "head"),
    "body": (*_LEG_CONTACTS, *_ARM_CONTACTS, "pelvis", "torso", "head", "hip", "shoulder_yaw"),
}
"""Collision shapes that touch the floor beside the soles, per contact set; of both sides, without "left_",
"right_" and "_collision"."""

SELF_COLLISIONS = (
    *((f"left_{part}", f"right_{part}") for part in ("thigh", "shin", "linkage_brace", "foot")),
    *((f"{side}_shin", f"{other}_linkage_brace") for side, other in (SIDES, SIDES[::-1])),
    *(
        (f"{side}_foot", f"{other}_{part}")
        for side, other in (SIDES, SIDES[::-1])
        for part in ("shin", "linkage_brace")
    ),
    *(
        (f"{side}_{arm}", trunk)
        for side in SIDES
        for arm in ("elbow_yaw", "wrist", "hand")
        for trunk in ("torso", "pelvis", f"{side}_thigh")
    ),
)
"""Pairs of collision shapes that touch each other with self-collision, without "_collision"."""
