"""Run an exported controller in MuJoCo without jax: `python docs/run_onnx.py POLICY.onnx SCENE.xml`.

It sees the simulated sensors alone: an inertial sensor in the pelvis and the encoders of the joints. Only a
policy that was trained to see its place gets that too. Options: `--clip NAME`, `--seconds 60`, `--rest`.
"""

import argparse
import json
import math
import os

import mujoco
import numpy as np
import onnxruntime

LEAST_PHYSICS_HZ = 500
"""Steps a second. MuJoCo's motors act by the beginning of a step, so the step has to be short."""


def load(scene, about, physics_hz):
    """Return the model with the sensors, and a function from its data to their readings by input's name.

    Links that touched each other in training do so here, unless the scene itself says what touches what.
    """
    spec, joints = mujoco.MjSpec.from_file(scene), about["joint_names"]
    if not spec.pairs and not spec.excludes:
        for first, second in about.get("self_collisions", []):
            if spec.geom(first) and spec.geom(second):
                spec.add_pair(geomname1=first, geomname2=second, condim=1)
    spec.option.timestep, spec.option.iterations, spec.option.ls_iterations = 1.0 / physics_hz, 100, 50
    if spec.body("pelvis") is None:
        raise ValueError("there is no body 'pelvis'")
    spec.body("pelvis").add_site(name="inertial sensor")
    kinds = {
        "root_quat": mujoco.mjtSensor.mjSENS_FRAMEQUAT,
        "gyro": mujoco.mjtSensor.mjSENS_GYRO,
        "root_pos": mujoco.mjtSensor.mjSENS_FRAMEPOS,
        "root_vel": mujoco.mjtSensor.mjSENS_FRAMELINVEL,
    }
    for name, kind in kinds.items():
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="inertial sensor")
    for joint in joints:
        for name, kind in (
            ("pos", mujoco.mjtSensor.mjSENS_JOINTPOS),
            ("vel", mujoco.mjtSensor.mjSENS_JOINTVEL),
        ):
            sensor = f"{joint} {name}"
            spec.add_sensor(name=sensor, type=kind, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=joint)

    def readings(data):
        found = {name: data.sensor(name).data for name in kinds}
        for name in ("pos", "vel"):
            found[f"joint_{name}"] = [data.sensor(f"{joint} {name}").data[0] for joint in joints]
        return {name: np.asarray(value, np.float32) for name, value in found.items()}

    return spec.compile(), readings


def put(model, data, joints, start):
    """Put the robot where the clip starts, each joint by its name; whatever else is in the scene stays."""
    root = model.body("pelvis").jntadr[0]
    place, speed = model.jnt_qposadr[root], model.jnt_dofadr[root]
    data.qpos[place : place + 7], data.qvel[speed : speed + 6] = start["qpos"][:7], start["qvel"][:6]
    for joint, angle, velocity in zip(joints, start["qpos"][7:], start["qvel"][6:], strict=True):
        data.qpos[model.joint(joint).qposadr], data.qvel[model.joint(joint).dofadr] = angle, velocity


def motors_of(model, about):
    """Return the motors' numbers in the joints' order; say where the scene is not that of the training."""
    joints = [model.joint(joint) for joint in about["joint_names"]]
    motors = [model.actuator(joint).id for joint in about["joint_names"]]
    if (model.actuator_biastype[motors] != mujoco.mjtBias.mjBIAS_AFFINE).any():
        raise ValueError("its motors take torques; give a scene with position motors of the metadata's gains")
    numbers, dofs = [joint.id for joint in joints], [joint.dofadr[0] for joint in joints]
    of_motors = np.where(model.actuator_forcelimited[motors], model.actuator_forcerange[motors, 1], np.inf)
    of_joints = np.where(model.jnt_actfrclimited[numbers], model.jnt_actfrcrange[numbers, 1], np.inf)
    here = {
        "kp": (model.actuator_gainprm[motors, 0], about["kp"]),
        "kd": (-model.actuator_biasprm[motors, 2], about["kd"]),
        "effort_limit": (np.minimum(of_motors, of_joints), about["effort_limit"]),
        "armature": (model.dof_armature[dofs], about["armature"]),
        "stiffness": (model.jnt_stiffness[numbers], 0.0),
        "damping": (model.dof_damping[dofs], 0.0),
    }
    for name, (values, wanted) in here.items():
        if not np.allclose(values, wanted, rtol=0.01):
            print(f"warning: {name} of the scene's joints is not what the policy was trained with")
    return motors


def opened(policy):
    """Return the session of a controller, and its metadata."""
    session = onnxruntime.InferenceSession(policy)
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    if "starts" not in about:
        raise SystemExit(f"{policy}: takes observations; export it without --inputs observation")
    if any(value.name == "goal" for value in session.get_inputs()):
        raise SystemExit(f"{policy}: pursues a goal, which nobody sets here; feed its input `goal` yourself")
    if about.get("contacts", "feet") != "feet":
        contacts = about["contacts"]
        print(
            f"warning: more than the soles met the floor in training (contacts {contacts}), as they must here"
        )
    return session, about


def main(policy, scene, clip, seconds, rest):
    session, about = opened(policy)
    clips = about["clips"]
    names = [c["name"] for c in clips]
    if clip and clip not in names:
        raise SystemExit(f"option --clip: {policy} has no clip {clip!r}; give one of {', '.join(names)}")
    number = names.index(clip) if clip else 0
    hz = about["control_hz"]
    substeps = math.ceil(LEAST_PHYSICS_HZ / hz)
    try:
        model, readings = load(scene, about, hz * substeps)
        motors = motors_of(model, about)
    except (ValueError, KeyError) as error:
        raise SystemExit(f"{scene}: is no G1 that this policy can drive ({error})") from None
    data = mujoco.MjData(model)
    put(model, data, about["joint_names"], about["starts"][number])
    if rest:
        data.qvel[:] = 0.0
    wanted = {value.name for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    if clips[number]["loop"] == "clamp":  # a clip that ends
        seconds = min(seconds, clips[number]["seconds"])
    memory = {"last_action": np.zeros(len(motors), np.float32)}
    if "first_history" in about:
        memory["history"] = np.array(about["first_history"][number], np.float32)
    lowest = np.inf
    for step in range(round(seconds * hz)):
        mujoco.mj_forward(model, data)  # so that the sensors show the state of now
        feeds = readings(data) | memory | {"clip": np.int32(number), "time": np.float32(step / hz)}
        given = {name: np.asarray(value) for name, value in feeds.items() if name in wanted}
        found = dict(zip(outputs, session.run(outputs, given), strict=True))
        memory = {"last_action": found["action"], "history": found.get("next_history")}
        data.ctrl[motors] = found["motor_target"]
        mujoco.mj_step(model, data, nstep=substeps)
        lowest = min(lowest, data.body("pelvis").xpos[2])
    height = data.body("pelvis").xpos[2]
    print(f"after {seconds:g} s the pelvis is {height:.3f} m high; its lowest was {lowest:.3f} m")
    if lowest < 0.3:
        print("it fell, or lay down; where only the soles meet the floor, the rest sinks into it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy")
    parser.add_argument("scene")
    parser.add_argument("--clip", help="name of one of the policy's clips")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rest", action="store_true", help="start in the clip's first pose, but at rest")
    options = parser.parse_args()
    if not (options.policy.endswith(".onnx") and options.scene.endswith(".xml")):
        parser.error("give POLICY.onnx and SCENE.xml; the clips are in the policy (--clip NAME)")
    for file in (options.policy, options.scene):
        if not os.path.isfile(file):
            parser.error(f"{file}: no such file")
    main(**vars(options))
