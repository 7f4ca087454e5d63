"""A run's policy as an ONNX model: the normaliser and the actor's mean in the graph, the rest as metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.files import replacing
from mjx_mimic.config import Which
from mjx_mimic.learning.normalizer import CLIP
from mjx_mimic.learning.policy import Policy
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.runs.folder import load_policy, load_run_clips
from mjx_mimic.task.env import ImitationEnv

OPSET = 17
IR_VERSION = 8  # what ONNX Runtime has read since 1.11


def export_policy(run: Path, checkpoint: Which, out: Path) -> None:
    """Write a run's policy as ONNX: observation (N, O) in, action (N, 29) in [-1, 1] out.

    Raises:
        UserError: no run, no such checkpoint, a clip that cannot be read, or a file that cannot be written.
    """
    clips = load_run_clips(run)
    policy, env = load_policy(run, checkpoint, clips)
    model = policy_graph(policy, metadata(env, clips))
    with replacing(out) as file:
        file.write(model.SerializeToString())
    size = sum(env.observation_sizes().values())
    print(f"{out}: {size} numbers in, {len(G1_JOINTS)} actions out")


def metadata(env: ImitationEnv, clips: Clips) -> dict[str, Any]:
    """Return what a deployer must know: conventions, joints, motors, rates.

    Lengths are in m, angles in rad, quaternions wxyz.
    """
    config, robot = env.config, env.robot
    centre = "reference" if config.action == "reference" else "zero"
    return {
        "joint_names": G1_JOINTS,
        "control_hz": config.control_hz,
        "physics_hz": config.physics_hz,
        "kp": robot.kp.tolist(),
        "kd": robot.kd.tolist(),
        "effort_limit": robot.effort_limit.tolist(),
        "armature": robot.model.dof_armature[6:].tolist(),
        "joint_range": robot.joint_range.tolist(),
        "default_joint_pos": load_mjcf().key("stand").qpos[7:].tolist(),
        "action_center": centre,
        "action_scale": env.action_scale.tolist(),
        "pd_target": f"{centre}{' joint angles one control step ahead' if centre == 'reference' else ''}"
        " + action_scale * action; action is clipped to [-1, 1] in the graph",
        "observation_layout": config.observation,
        "observation_parts": list(env.observation_sizes().items()),
        "observation_frame": env.layout.frame,
        "reference_steps_ahead": env.target_steps,
        "quaternion_order": "wxyz",
        "clips": [
            {"name": clip.name, "digest": clip.digest, "loop": clip.loop, "seconds": clip.length}
            for clip in clips.motions
        ],
    }


def policy_graph(policy: Policy, metadata: dict[str, Any]) -> onnx.ModelProto:
    """Build the normaliser and the actor's mean, clipped to [-1, 1], as an ONNX model.

    Args:
        policy: on the host.
        metadata: kept in the model's properties, each value as JSON.
    """
    layers, moments = policy.params["params"]["MLP_0"], policy.normalizer
    size = len(layers["Dense_0"]["kernel"])  # what only the value function sees follows
    std = np.maximum(np.sqrt(np.asarray(moments.variance, np.float32)), np.float32(moments.min_std))[:size]
    constants = {
        "mean": moments.mean[:size],
        "std": std,
        "low": -CLIP,
        "high": CLIP,
        "least": -1.0,
        "most": 1.0,
    }
    nodes = [
        helper.make_node("Sub", ["observation", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["hidden_0"]),
    ]
    for i in range(len(layers)):
        dense = layers[f"Dense_{i}"]
        constants |= {f"kernel_{i}": dense["kernel"], f"bias_{i}": dense["bias"]}
        nodes.append(helper.make_node("Gemm", [f"hidden_{i}", f"kernel_{i}", f"bias_{i}"], [f"sum_{i}"]))
        if i < len(layers) - 1:
            nodes += _activation(policy.network.activation, f"sum_{i}", f"hidden_{i + 1}")
    nodes.append(helper.make_node("Clip", [f"sum_{len(layers) - 1}", "least", "most"], ["action"]))
    actions = len(layers[f"Dense_{len(layers) - 1}"]["bias"])
    graph = helper.make_graph(
        nodes,
        "mjx_mimic policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", actions])],
        [numpy_helper.from_array(np.asarray(x, np.float32), name) for name, x in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="mjx_mimic")
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    return model


def _activation(name: str, source: str, out: str) -> list[Any]:
    """Build the nodes of an activation of `networks.ACTIVATIONS`."""
    if name == "silu":
        gate = f"{source}_gate"
        return [helper.make_node("Sigmoid", [source], [gate]), helper.make_node("Mul", [source, gate], [out])]
    return [helper.make_node({"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}[name], [source], [out])]
