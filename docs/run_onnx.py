"""Run an exported controller in MuJoCo without jax: `python docs/run_onnx.py POLICY.onnx SCENE.xml`.

It sees the simulated sensors alone: an inertial sensor in the pelvis and the encoders of the joints. Only a
policy that was trained to see its place gets that too. Options: `--clip NAME`, `--seconds 60`, `--rest`.
"""

import argparse
import json
import math
import os
import sys

import mujoco
import numpy as np
import onnxruntime

LEAST_PHYSICS_HZ = 500
"""Steps a second. MuJoCo's motors act by the beginning of a step, so the step has to be short."""
METADATA = ("joint_names", "control_hz", "kp", "kd", "effort_limit", "armature", "clips")
"""Keys of an exported model that are read here."""


def refuse(message):
    """Say in one line what is wrong with the input and what to do, and end with exit code 2."""
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


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
    pelvis = spec.body("pelvis")
    if pelvis is None or [joint.type for joint in pelvis.joints] != [mujoco.mjtJoint.mjJNT_FREE]:
        raise ValueError("there is no body 'pelvis' with a free joint")
    pelvis.add_site(name="inertial sensor")
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
        "frictionloss": (model.dof_frictionloss[dofs], 0.0),
        "limit of targets": (model.actuator_ctrllimited[motors], 0),
    }
    for name, (values, wanted) in here.items():
        if not np.allclose(values, wanted, rtol=0.01):
            print(f"warning: {name} of the scene's joints is not what the policy was trained with")
    return motors


def opened(policy):
    """Return the session of a controller, and its metadata."""
    try:
        session = onnxruntime.InferenceSession(policy)
        about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    except Exception as error:  # ONNX Runtime's own types, and ValueError for metadata that are no JSON
        refuse(f"{policy}: is no model of `mjx-mimic export` ({error}); export it again")
    missing = [key for key in METADATA if key not in about]
    if missing:
        refuse(f"{policy}: its metadata lack {', '.join(missing)}; use a model of `mjx-mimic export`")
    if "starts" not in about:
        refuse(f"{policy}: takes observations; export it without --inputs observation")
    if any(value.name == "goal" for value in session.get_inputs()):
        refuse(f"{policy}: pursues a goal, which nobody sets here; feed its input `goal` yourself")
    if about.get("contacts", "feet") != "feet":
        contacts = about["contacts"]
        print(
            f"warning: more than the soles met the floor in training (contacts {contacts}), as they must here"
        )
    return session, about


def first_memory(about, number, rest):
    """Return what the first step is told of those before it; at rest, that nothing has moved."""
    memory = {"last_action": np.zeros(len(about["joint_names"]), np.float32)}
    if "first_history" in about:
        memory["history"] = np.array(about["first_history"][number], np.float32)
        if rest:  # gravity 3, gyro 3, angles 29, velocities 29, last action 29
            memory["history"][:, 3:6] = memory["history"][:, 35:64] = 0.0
    return memory


def main(policy, scene, clip, seconds, rest):
    session, about = opened(policy)
    clips = about["clips"]
    names = [c["name"] for c in clips]
    if clip and clip not in names:
        refuse(f"option --clip: {policy} has no clip {clip!r}; give one of {', '.join(names)}")
    number = names.index(clip) if clip else 0
    hz = about["control_hz"]
    substeps = math.ceil(LEAST_PHYSICS_HZ / hz)
    try:
        model, readings = load(scene, about, hz * substeps)
        motors = motors_of(model, about)
        data = mujoco.MjData(model)
        put(model, data, about["joint_names"], about["starts"][number])
    except (ValueError, KeyError) as error:
        refuse(f"{scene}: is no G1 that this policy can drive ({error}); use one like assets/g1/scene.xml")
    if rest:
        data.qvel[:] = 0.0
    wanted = {value.name for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    if clips[number]["loop"] == "clamp":  # a clip that ends
        seconds = min(seconds, clips[number]["seconds"])
    memory = first_memory(about, number, rest)
    lowest = np.inf
    for step in range(max(1, round(seconds * hz))):
        mujoco.mj_forward(model, data)  # so that the sensors show the state of now
        feeds = readings(data) | memory | {"clip": np.int32(number), "time": np.float32(step / hz)}
        given = {name: np.asarray(value) for name, value in feeds.items() if name in wanted}
        try:
            found = dict(zip(outputs, session.run(outputs, given), strict=True))
            memory = {"last_action": found["action"], "history": found.get("next_history")}
            data.ctrl[motors] = found["motor_target"]
        except Exception as error:  # ONNX Runtime's own types for inputs, ValueError and KeyError for outputs
            refuse(f"{policy}: its inputs or outputs are no controller's ({error}); export it again")
        mujoco.mj_step(model, data, nstep=substeps)
        # MuJoCo puts a state that is not finite back to the scene's first one, and goes on.
        if data.warning.number[mujoco.mjtWarning.mjWARN_BADQPOS :].any():
            raise SystemExit(
                f"error: the simulation blew up within {(step + 1) / hz:.2f} s (a number is not finite or far"
                " too large); compare the scene's joints and motors with the metadata"
            )
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
    if not (options.policy.lower().endswith(".onnx") and options.scene.lower().endswith(".xml")):
        parser.error("give POLICY.onnx and SCENE.xml; the clips are in the policy (--clip NAME)")
    for file in (options.policy, options.scene):
        if not os.path.isfile(file):
            parser.error(f"{file}: no such file")
    if not 0.0 < options.seconds <= 1e6:
        parser.error(f"option --seconds: {options.seconds} will not do; use a number above 0, at most 1e6")
    main(**vars(options))
