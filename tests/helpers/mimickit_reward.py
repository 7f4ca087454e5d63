"""MimicKit's reward, written out in float64 with NumPy and SciPy."""

import numpy as np
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.model import CharacterState

MIMICKIT_WEIGHTS = {
    "pose": 0.5,
    "velocity": 0.1,
    "root_pose": 0.15,
    "root_velocity": 0.1,
    "key_position": 0.15,
}
KEYS = (
    "left_ankle_roll_link",
    "right_ankle_roll_link",
    "head_link",
    "left_wrist_yaw_link",
    "right_wrist_yaw_link",
)
# The published weights by joint, in Unitree's order.
LEG, WAIST, ARM = [1.0, 1.0, 1.0, 0.6, 0.5, 0.5], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.6, 0.5, 0.5, 0.5]
JOINT_WEIGHT = np.array([*LEG, *LEG, *WAIST, *ARM, *ARM])


def rotation_of(state: CharacterState) -> Rotation:
    return Rotation.from_quat(state.root_quat, scalar_first=True)


def square(difference: np.ndarray) -> np.ndarray:
    return np.sum(np.square(difference), axis=-1)


def bodies(robot, state: CharacterState, names: tuple[str, ...]) -> np.ndarray:
    return state.body_pos[:, [robot.body_names.index(name) for name in names]]


def without_heading(robot, state: CharacterState) -> dict[str, np.ndarray | Rotation]:
    """Root rotation and velocities and key bodies relative to the root, turned by minus the yaw of the
    root's x axis."""
    turn = rotation_of(state)
    forward = turn.apply([1.0, 0.0, 0.0])
    level = Rotation.from_euler("z", -np.arctan2(forward[:, 1], forward[:, 0])[:, None])
    keys = bodies(robot, state, KEYS) - state.root_pos[:, None]
    return {
        "turn": level * turn,
        "vel": level.apply(state.root_vel),
        "ang_vel": level.apply(state.root_ang_vel),
        "keys": np.stack([level.apply(keys[:, k]) for k in range(len(KEYS))], axis=1),
    }


def in_world(robot, state: CharacterState) -> dict[str, np.ndarray | Rotation]:
    keys = bodies(robot, state, KEYS) - state.root_pos[:, None]
    return {"turn": rotation_of(state), "vel": state.root_vel, "ang_vel": state.root_ang_vel, "keys": keys}


def mimickit_terms(robot, state: CharacterState, reference: CharacterState, track_root: bool) -> dict:
    seen = in_world if track_root else without_heading
    own, aim = seen(robot, state), seen(robot, reference)
    offset = (reference.root_pos - state.root_pos) * ([1.0, 1.0, 1.0] if track_root else [0.0, 0.0, 1.0])
    turn = (own["turn"] * aim["turn"].inv()).magnitude()
    hinge = [
        # The angle of the rotation between two hinge positions, whatever the axis.
        (Rotation.from_euler("x", a[:, None]) * Rotation.from_euler("x", b[:, None]).inv()).magnitude()
        for a, b in zip(reference.dof_pos.T, state.dof_pos.T, strict=True)
    ]
    velocity = square(aim["vel"] - own["vel"]) + 0.1 * square(aim["ang_vel"] - own["ang_vel"])
    return {
        "pose": np.exp(-0.25 * np.square(np.stack(hinge, axis=-1)) @ JOINT_WEIGHT),
        "velocity": np.exp(-0.01 * np.square(reference.dof_vel - state.dof_vel) @ JOINT_WEIGHT),
        "root_pose": np.exp(-5.0 * (square(offset) + 0.1 * turn**2)),
        "root_velocity": np.exp(-velocity),
        "key_position": np.exp(-10.0 * square(aim["keys"] - own["keys"]).sum(-1)),
    }
