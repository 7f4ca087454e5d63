"""`python -m mjx_mimic.export`: a trained policy as ONNX, with what is needed to run it elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.runs.config_yaml import read_config

if TYPE_CHECKING:
    from onnx import ModelProto

    from mjx_mimic.clips.dataset import Clips
    from mjx_mimic.task.env import ImitationEnv

PROGRAM = "python -m mjx_mimic.export"
OPSET = 17
IR_VERSION = 8  # what ONNX Runtime has read since 1.11


@dataclass(frozen=True)
class ExportCommand:
    """Writes a run's policy as ONNX: observation (N, O) in, action (N, 29) out, normaliser inside."""

    run: Path
    """Run folder."""
    out: Path
    """ONNX file to write."""
    checkpoint: Literal["best", "last"] = "best"
    """The run's policy with the best test return, or its last one."""


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(ExportCommand, arguments, prog=PROGRAM)
    if command.out.suffix.lower() != ".onnx" or command.out.is_dir():
        raise UserError(f"option --out: {command.out} will not do; name a file that ends in .onnx")
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UserError('package onnx is missing; install it with pip install "mjx-mimic[onnx]"') from None
    cli.prepare_jax()
    from mjx_mimic.clips.dataset import load_clips
    from mjx_mimic.robot.model import load_robot
    from mjx_mimic.runs import folder
    from mjx_mimic.task.env import ImitationEnv
    from mjx_mimic.task.reference import make_library

    config = read_config(command.run)
    policy = folder.Checkpoints(command.run).restore_policy(command.checkpoint)
    clips = load_clips(config.motion, config.motion_weights)
    robot = load_robot(config.env.contacts, config.env.physics_hz)
    env = ImitationEnv(make_library(clips.motions, clips.weights), robot, config.env)
    model = policy_graph(policy, config.network.activation, about(env, clips))
    with replacing(command.out) as file:
        file.write(model.SerializeToString())
    print(f"{command.out}: {len(policy['normalizer']['mean'])} numbers in, {len(G1_JOINTS)} actions out")
    return 0


def about(env: "ImitationEnv", clips: "Clips") -> dict[str, Any]:
    """What a deployer must know: conventions, joints, motors, rates. Lengths in m, angles in rad, wxyz."""
    from mjx_mimic.task.observation import PARTS, TARGET_STEPS

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
        "observation_parts": PARTS[config.observation],
        "observation_frame": "world" if config.observation == "mimickit" else "heading of the root",
        "reference_steps_ahead": TARGET_STEPS[config.observation],
        "quaternion_order": "wxyz",
        "clips": [
            {"name": clip.name, "digest": clip.digest, "loop": clip.loop, "seconds": clip.length}
            for clip in clips.motions
        ],
    }


def policy_graph(policy: dict[str, Any], activation: str, metadata: dict[str, Any]) -> "ModelProto":
    """The normaliser and the actor's mean, clipped to [-1, 1], as an ONNX model.

    Args:
        policy: as `Checkpoints.restore_policy` gives it.
        activation: of the hidden layers, a name of `networks.ACTIVATIONS`.
        metadata: kept in the model's properties, each value as JSON.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from mjx_mimic.learning.normalizer import CLIP, MIN_STD

    layers = policy["actor"]["params"]["MLP_0"]
    moments = policy["normalizer"]
    std = np.maximum(np.sqrt(np.asarray(moments["variance"], np.float32)), np.float32(MIN_STD))
    constants = {"mean": moments["mean"], "std": std, "low": -CLIP, "high": CLIP, "least": -1.0, "most": 1.0}
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
            nodes += _activation(activation, f"sum_{i}", f"hidden_{i + 1}")
    nodes.append(helper.make_node("Clip", [f"sum_{len(layers) - 1}", "least", "most"], ["action"]))
    size, actions = len(moments["mean"]), len(layers[f"Dense_{len(layers) - 1}"]["bias"])
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
    """The nodes of an activation."""
    from onnx import helper

    if name == "silu":
        gate = f"{source}_gate"
        return [helper.make_node("Sigmoid", [source], [gate]), helper.make_node("Mul", [source, gate], [out])]
    return [helper.make_node({"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}[name], [source], [out])]


if __name__ == "__main__":
    cli.run(main)
