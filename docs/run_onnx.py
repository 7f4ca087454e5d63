"""Run an exported policy in MuJoCo without jax: `python docs/run_onnx.py POLICY.onnx CLIP.npz SCENE.xml`."""

import json
import sys

import mujoco
import numpy as np
import onnxruntime
from scipy.spatial.transform import Rotation


def reference(clip, time):
    """Return phase, root position, rotation, joint angles, and their velocities (world frame) at `time` s."""
    fps, last = float(clip["fps"]), len(clip["root_pos"]) - 1
    turns = time * fps / last
    cycles = np.floor(turns) if str(clip["loop"]) == "wrap" else 0.0
    phase = np.clip(turns - cycles, 0.0, 1.0)
    i = min(int(phase * last), last - 1)
    part = phase * last - i
    pos, joints = clip["root_pos"], clip["dof_pos"]
    here, there = Rotation.from_quat(clip["root_quat"][i : i + 2], scalar_first=True)
    travel = cycles * (pos[-1] - pos[0]) * [1.0, 1.0, 0.0]
    step, turn, move = pos[i + 1] - pos[i], (there * here.inv()).as_rotvec(), joints[i + 1] - joints[i]
    pose = pos[i] + part * step + travel, Rotation.from_rotvec(part * turn) * here, joints[i] + part * move
    return phase, *pose, fps * step, fps * turn, fps * move


def tangent_normal(rotation):
    return rotation.as_matrix()[:, [0, 2]].T.ravel()


def observe(qpos, qvel, clip, time, dt):
    """Return the observation "compact": heading frame, the reference one control step ahead."""
    root = Rotation.from_quat(qpos[3:7], scalar_first=True)
    forward = root.apply([1.0, 0.0, 0.0])
    heading = Rotation.from_euler("z", np.arctan2(forward[1], forward[0])).inv()
    waves = 2.0 * np.pi * reference(clip, time)[0] * 2.0 ** np.arange(4)
    _, pos, rotation, joints, vel, ang_vel, _ = reference(clip, time + dt)
    own = [qpos[2:3], tangent_normal(heading * root), heading.apply(qvel[:3])]
    own += [heading.apply(root.apply(qvel[3:6])), qpos[7:], qvel[6:], np.sin(waves), np.cos(waves)]
    target = [heading.apply(pos - qpos[:3]), tangent_normal(root.inv() * rotation)]
    target += [heading.apply(vel), heading.apply(ang_vel), joints]
    return np.concatenate([*own, *target]).astype(np.float32)


def read(clip_file):
    """Read a clip of this project; a clip in another format has to be converted first."""
    try:
        clip = dict(np.load(clip_file))
    except (OSError, EOFError, TypeError, ValueError):  # no file, or one of another kind
        clip = {}
    if "format_version" not in clip:
        command = f"python -m mjx_mimic.motion convert {clip_file} clip.npz"
        sys.exit(f"{clip_file}: is no clip of mjx_mimic; convert it first: {command}")
    if str(clip["loop"]) == "turn":
        sys.exit(
            f"{clip_file}: turns on from cycle to cycle; motion convert --cycles 10 makes a clip that ends"
        )
    return clip


def main(policy, clip_file, scene):
    session = onnxruntime.InferenceSession(policy)
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert (about["observation_layout"], about["action_center"]) == ("compact", "reference")
    clip, model = read(clip_file), mujoco.MjModel.from_xml_path(scene)
    model.opt.timestep, dt = 1.0 / about["physics_hz"], 1.0 / about["control_hz"]
    data = mujoco.MjData(model)
    _, pos, rotation, joints, vel, ang_vel, joint_vel = reference(clip, 0.0)
    data.qpos[:] = np.concatenate([pos, rotation.as_quat(scalar_first=True), joints])
    data.qvel[:] = np.concatenate([vel, rotation.inv().apply(ang_vel), joint_vel])
    steps = 300  # or to the end of a clip that ends
    if str(clip["loop"]) == "clamp":
        steps = min(steps, int((len(clip["root_pos"]) - 1) / float(clip["fps"]) / dt))
    for step in range(steps):
        (action,) = session.run(
            None, {"observation": observe(data.qpos, data.qvel, clip, step * dt, dt)[None]}
        )
        data.ctrl[:] = reference(clip, (step + 1) * dt)[3] + about["action_scale"] * action[0]
        mujoco.mj_step(model, data, nstep=round(about["physics_hz"] * dt))
    off = np.linalg.norm(data.qpos[:3] - reference(clip, steps * dt)[1])
    print(f"after {steps} steps the pelvis is {data.qpos[2]:.3f} m high, {off:.3f} m off the reference")


if __name__ == "__main__":
    main(*sys.argv[1:])
