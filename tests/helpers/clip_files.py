"""Files in other programs' layouts, written as those programs do it, without the code under test."""

import pickle
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.paths import assets_dir, motions_dir
from mjx_mimic.robot.constants import G1_JOINTS

# The joints of the G1 as IsaacLab reports them; its bodies are the pelvis and then the joints' links.
ISAACLAB_JOINTS = (
    *("left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint"),
    *("left_hip_roll_joint", "right_hip_roll_joint", "waist_roll_joint"),
    *("left_hip_yaw_joint", "right_hip_yaw_joint", "waist_pitch_joint"),
    *("left_knee_joint", "right_knee_joint", "left_shoulder_pitch_joint", "right_shoulder_pitch_joint"),
    *("left_ankle_pitch_joint", "right_ankle_pitch_joint"),
    *("left_shoulder_roll_joint", "right_shoulder_roll_joint"),
    *("left_ankle_roll_joint", "right_ankle_roll_joint"),
    *("left_shoulder_yaw_joint", "right_shoulder_yaw_joint", "left_elbow_joint", "right_elbow_joint"),
    *("left_wrist_roll_joint", "right_wrist_roll_joint", "left_wrist_pitch_joint", "right_wrist_pitch_joint"),
    *("left_wrist_yaw_joint", "right_wrist_yaw_joint"),
)
ORDERS = {"breadth": ISAACLAB_JOINTS, "depth": G1_JOINTS}


def walk(fps: float = 60.0, yaw: float = 0.7) -> Motion:
    """The bundled walk, started elsewhere, turned, with every joint off zero, and declared `fps`."""
    with np.load(motions_dir() / "walk.npz") as fields:
        turn = Rotation.from_euler("z", yaw)
        arms = np.where(np.arange(29) >= 15, 0.02 * (1.0 + np.arange(29) % 7), 0.0)
        quaternion = Rotation.from_quat(fields["root_quat"], scalar_first=True)
        return make_motion(
            name="clip",
            fps=fps,
            root_pos=turn.apply(fields["root_pos"]) + np.array([1.5, -2.0, 0.0]),
            root_quat=(turn * quaternion).as_quat(scalar_first=True),
            dof_pos=fields["dof_pos"] + arms,
            joint_names=G1_JOINTS,
            loop="clamp",
            source="the test's walk",
        )


def xyzw(motion: Motion) -> np.ndarray:
    """(T, 4) of the root."""
    return motion.root_quat[:, [1, 2, 3, 0]]


def column(name: str) -> int:
    """Index of a joint in `G1_JOINTS`."""
    return G1_JOINTS.index(name)


def link_of(joint: str) -> str:
    """The body that a joint moves."""
    return "torso_link" if joint == "waist_pitch_joint" else joint.replace("_joint", "_link")


def link_poses(motion: Motion, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(T, B, 3) and (T, B, 4) wxyz of the named bodies in the world, by MuJoCo."""
    model = mujoco.MjModel.from_xml_path(str(assets_dir() / "g1" / "scene.xml"))
    data = mujoco.MjData(model)
    bodies = [model.body(link).id for link in links]
    position, quaternion = [], []
    for frame in range(motion.num_frames):
        data.qpos = np.concatenate([motion.root_pos[frame], motion.root_quat[frame], motion.dof_pos[frame]])
        mujoco.mj_kinematics(model, data)
        position.append(data.xpos[bodies])
        quaternion.append(data.xquat[bodies])
    return np.array(position), np.array(quaternion)


def tracking(motion: Motion, joints: str, bodies: str) -> dict[str, Any]:
    """Fields of BeyondMimic's ("breadth", "breadth") and mjlab's ("depth", "depth") `csv_to_npz.py`."""
    links = ("pelvis", *map(link_of, ORDERS[bodies]))
    position, quaternion = link_poses(motion, links)
    dof_pos = motion.dof_pos[:, [column(name) for name in ORDERS[joints]]]
    return {
        "fps": np.array([motion.fps]),
        "joint_pos": dof_pos.astype(np.float32),
        "joint_vel": np.gradient(dof_pos, 1.0 / motion.fps, axis=0).astype(np.float32),
        "body_pos_w": position.astype(np.float32),
        "body_quat_w": quaternion.astype(np.float32),
        "body_lin_vel_w": np.gradient(position, 1.0 / motion.fps, axis=0).astype(np.float32),
        "body_ang_vel_w": np.zeros_like(position, dtype=np.float32),
    }


def gmr(motion: Motion) -> dict[str, Any]:
    """Fields of GMR's `bvh_to_robot.py`."""
    return {
        "fps": motion.fps,
        "root_pos": motion.root_pos,
        "root_rot": xyzw(motion),
        "dof_pos": motion.dof_pos,
        "local_body_pos": None,
        "link_body_list": None,
    }


def locomujoco(motion: Motion) -> dict[str, Any]:
    """Fields of a LocoMuJoCo `Trajectory`; `metadata`, which is None, becomes a pickled object."""
    return {
        "qpos": np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=1),
        "qvel": np.concatenate(
            [np.zeros((motion.num_frames, 6)), np.gradient(motion.dof_pos, 1 / motion.fps, axis=0)], axis=1
        ),
        "split_points": np.array([0, motion.num_frames]),
        "joint_names": np.array(["root", *G1_JOINTS]),
        "jnt_type": np.array([0] + [3] * 29),
        "njnt": np.array(30),
        "frequency": np.array(motion.fps),
        "metadata": np.array(None),
    }


def mimickit(motion: Motion) -> dict[str, Any]:
    """Fields of a MimicKit `Motion`."""
    turn = Rotation.from_quat(xyzw(motion)).as_rotvec()
    frames = np.concatenate([motion.root_pos, turn, motion.dof_pos], axis=1)
    return {"loop_mode": 0, "fps": int(motion.fps), "frames": frames.tolist()}


def native(motion: Motion) -> dict[str, Any]:
    """Fields of the project's own file."""
    return {
        "format_version": np.int64(1),
        "name": np.array(motion.name),
        "fps": np.float64(motion.fps),
        "loop": np.array(motion.loop),
        "joint_names": np.array(motion.joint_names),
        "root_pos": motion.root_pos,
        "root_quat": motion.root_quat,
        "dof_pos": motion.dof_pos,
    }


def unitree(motion: Motion) -> list[list[float]]:
    """Rows of Unitree's retargeted LAFAN1 files."""
    return np.concatenate([motion.root_pos, xyzw(motion), motion.dof_pos], axis=1).tolist()


PROTOMOTIONS_COLUMNS = (
    "Frame",
    *(f"root_translate{axis}" for axis in "XYZ"),
    *(f"root_rotate{axis}" for axis in "XYZ"),
    *(f"{name}_dof" for name in G1_JOINTS),
)


def protomotions(motion: Motion) -> list[list[float]]:
    """Rows of BONES-SEED's files, below `PROTOMOTIONS_COLUMNS`."""
    euler = Rotation.from_quat(xyzw(motion)).as_euler("xyz", degrees=True)  # extrinsic: lower case
    numbers = np.arange(motion.num_frames)[:, None]
    table = [numbers, 100.0 * motion.root_pos, euler, np.degrees(motion.dof_pos)]
    return np.concatenate(table, axis=1).tolist()


def write_npz(path: Path, fields: dict[str, Any]) -> Path:
    np.savez(path, **fields)
    return path


def write_pickle(path: Path, fields: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(fields, protocol))
    return path


def write_joblib(path: Path, fields: object) -> Path:
    """Write as joblib does: the bytes of each array after the frame that describes it, on 16 bytes."""
    module = types.ModuleType("joblib.numpy_pickle")

    class NumpyArrayWrapper:
        __module__ = "joblib.numpy_pickle"
        __qualname__ = "NumpyArrayWrapper"

    module.NumpyArrayWrapper = NumpyArrayWrapper  # type: ignore[attr-defined]

    class Pickler(pickle._Pickler):
        def save(self, obj: object, save_persistent_id: bool = True) -> None:
            if not isinstance(obj, np.ndarray):
                super().save(obj, save_persistent_id)
                return
            order = "C" if obj.flags.c_contiguous else "F"
            wrapper = NumpyArrayWrapper()
            wrapper.__dict__ = {
                "subclass": np.ndarray,
                "shape": obj.shape,
                "order": order,
                "dtype": obj.dtype,
                "allow_mmap": True,
                "numpy_array_alignment_bytes": 16,
            }
            super().save(wrapper)
            self.framer.commit_frame(force=True)  # type: ignore[attr-defined]
            padding = 16 - (file.tell() + 1) % 16
            file.write(bytes([padding]) + padding * b"\xff" + obj.tobytes(order))

    modules = {"joblib": types.ModuleType("joblib"), module.__name__: module}
    with mock.patch.dict(sys.modules, modules), open(path, "wb") as file:
        Pickler(file, 4).dump(fields)
    return path


def write_csv(path: Path, rows: list[list[float]], names: tuple[str, ...] = ()) -> Path:
    lines = [",".join(names)] * bool(names) + [",".join(f"{cell:.9f}" for cell in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path
