"""A run's policy as an ONNX model: a whole controller, or normaliser and actor; the rest as metadata.

The controller is the task's own code, converted operation by operation (`onnx_graph`): observation, reference
lookup, normaliser, network and PD targets. Whatever runs it feeds sensors and the time.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mjx_mimic import __version__
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.config import Inputs, RandomizationConfig, Which
from mjx_mimic.config_yaml import read_run
from mjx_mimic.learning.normalizer import CLIP
from mjx_mimic.learning.policy import Policy
from mjx_mimic.robot import rotation
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import CharacterState, Robot, coordinates
from mjx_mimic.runs import onnx_graph
from mjx_mimic.runs.checkpoints import Checkpoints
from mjx_mimic.runs.folder import load_policy, load_run_clips, require_one_policy
from mjx_mimic.task import skills
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.reflection import JOINTS, Reflection
from mjx_mimic.task.states import EnvState

OFF_BOARD = ("its place", "its linear velocity")
"""What of a robot all layouts but `onboard` observe, and none of its own sensors shows."""


def export_policy(run: Path, checkpoint: Which, out: Path, inputs: Inputs = "sensors") -> None:
    """Write a run's policy as ONNX.

    Args:
        run: its folder.
        checkpoint: which policy of the run.
        out: file to write.
        inputs: `sensors`: see `controller`; `observation`: see `policy_graph`.

    Raises:
        UserError: no run, a composite run, no such checkpoint, a clip that cannot be read, or a file that
            cannot be written.
    """
    # The draw of the next clip needs what the whole robot would observe in each of them.
    require_one_policy(run, read_run(run)[1], "exported")
    clips = load_run_clips(run)
    policy, env = load_policy(run, checkpoint, clips)
    if inputs == "sensors" and env.config.clips == "best":
        raise UserError(
            f"{run}: which of its clips is the best is decided anew in every control step, and no controller"
            " does that; export it with --inputs observation"
        )
    assert isinstance(policy, Policy)
    about = metadata(env, clips) | origin(run, checkpoint)
    model = policy_graph(policy, about) if inputs == "observation" else controller(policy, env, about)
    with replacing(out) as file:
        file.write(model.SerializeToString())
    ins, outs = (
        ", ".join(
            f"{value.name} {tuple(d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim)}"
            for value in values
        )
        for values in (model.graph.input, model.graph.output)
    )
    print(f"{out}: {ins} in; {outs} out")
    if about["needs_off_board"]:
        print(
            f"warning: the policy needs {' and '.join(OFF_BOARD)}, which a robot's own sensors do not show;"
            " for a robot train with --preset deploy"
        )


def controller(policy: Policy, env: ImitationEnv, metadata: dict[str, Any]) -> onnx.ModelProto:
    """Build the whole way from sensors to motors of one robot as an ONNX model.

    Its inputs, as far as the observation needs them: `time` () s since the clip's start; `clip` () int;
    `root_quat` (4,), wxyz, pelvis to world; `gyro` (3,) rad/s in the pelvis; `joint_pos` and `joint_vel`
    (29,); `root_pos` (3,) m and `root_vel` (3,) m/s, world; `last_action` (29,) and `history` (K - 1, R),
    the outputs `action` and `next_history` of the step before; `goal` (G,), the parts of the observation that
    begin so. Its outputs: `motor_target` (29,) rad, `action`, `next_history`.

    Args:
        policy: on the host.
        env: its task.
        metadata: kept in the model's properties, each value as JSON.
    """
    config = replace(env.config, privileged_critic=False, randomization=RandomizationConfig())
    env = replace(env, robot=PlainRobot(**vars(env.robot)), config=config)
    start = jax.eval_shape(env.reset_to, jnp.int32(0), jnp.float32(0.0))

    def act(
        clip: jax.Array,
        time: jax.Array,
        root_pos: jax.Array,
        root_quat: jax.Array,
        root_vel: jax.Array,
        gyro: jax.Array,
        joint_pos: jax.Array,
        joint_vel: jax.Array,
        last_action: jax.Array,
        history: jax.Array | None = None,
        goal: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        if env.pursues and env.layout.readings is not None:  # neither place nor height is seen or needed
            root_pos = jnp.zeros(3)
        state = EnvState(
            qpos=jnp.concatenate([root_pos, root_quat, joint_pos]),
            qvel=jnp.concatenate([root_vel, gyro, joint_vel]),
            warm_start=jnp.zeros(start.warm_start.shape),
            clip=clip,
            # The next number of float32, lest a time that was rounded down lies in the frame before.
            start_time=time * (1.0 + 2.0**-23),
            steps=jnp.int32(0),
            episode_return=jnp.float32(0.0),
            action=last_action if start.action is not None else None,
            history=history,
        )
        # Goal and skill are at the end of an observation, and not in that of a state without them.
        seen = [env.observe(state)] if goal is None else [env.observe(state), goal]
        if start.skills is not None:
            seen += skills.parts(clip, env.library.num_clips).values()
        action = jnp.clip(policy.act(jnp.concatenate(seen)), -1.0, 1.0)
        following, target = env.command(state, action)
        found = {"motor_target": target, "action": action}
        return found if following.history is None else found | {"next_history": following.history}

    model = onnx_graph.to_onnx(act, _inputs(env, start), "mjx_mimic controller")
    first = [
        jax.device_get(env.reset_to(jnp.int32(i), jnp.float32(0.0))) for i in range(env.library.num_clips)
    ]
    starts = [{"qpos": state.qpos.tolist(), "qvel": state.qvel.tolist()} for state in first]
    history = {} if first[0].history is None else {"first_history": [s.history.tolist() for s in first]}
    properties = {**metadata, "starts": starts, **history}
    helper.set_model_props(model, {key: json.dumps(value) for key, value in properties.items()})
    return model


def _inputs(env: ImitationEnv, start: EnvState) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of all that a controller may take, by name; `start` is the shape of a state."""
    joints = (env.num_actions,)
    sizes = {
        "time": (),
        "root_pos": (3,),
        "root_quat": (4,),
        "root_vel": (3,),
        "gyro": (3,),
        "joint_pos": joints,
        "joint_vel": joints,
        "last_action": joints,
    }
    if start.history is not None:
        sizes["history"] = start.history.shape
    goal_size = sum(n for name, n in env.observation_sizes().items() if name.startswith("goal: "))
    if goal_size:
        sizes["goal"] = (goal_size,)
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in sizes.items()}
    return {"clip": jax.ShapeDtypeStruct((), jnp.int32), **shapes}


class PlainRobot(Robot):
    """The same robot with its kinematics in plain operations, which ONNX has."""

    def joint_rotations(self, dof_pos: jax.Array) -> jax.Array:
        """Return the rotation of every body but the root in its parent, (B - 1, 4)."""
        hinges = self._hinges(dof_pos)
        identity = jnp.array([1.0, 0.0, 0.0, 0.0])
        return jnp.stack([hinges.get(body, identity) for body in range(1, len(self.body_names))])

    def _hinges(self, dof_pos: jax.Array) -> dict[int, jax.Array]:
        """Return the rotations (4,) of the joints by the row of the body that each moves."""
        turns = rotation.from_axis_angle(jnp.asarray(self.joint_axes, jnp.float32), dof_pos)
        return {int(body): turns[joint] for joint, body in enumerate(self.joint_bodies)}

    def character_state(self, qpos: jax.Array, qvel: jax.Array) -> CharacterState:
        """Return the state, unbatched; what no observation reads of it is 0."""
        model = self.model
        hinges = self._hinges(qpos[7:])
        positions, turns = [qpos[:3]], [qpos[3:7]]
        for body in range(2, model.nbody):
            parent = model.body_parentid[body] - 1
            offset, turn = (jnp.asarray(x[body], jnp.float32) for x in (model.body_pos, model.body_quat))
            turn = rotation.multiply(turns[parent], turn)
            if body - 1 in hinges:
                turn = rotation.multiply(turn, hinges[body - 1])
            positions.append(positions[parent] + rotation.rotate(turns[parent], offset))
            turns.append(turn)
        return CharacterState(
            **coordinates(qpos, qvel),
            body_pos=jnp.stack(positions),
            body_quat=jnp.stack(turns),
            com_pos=jnp.zeros(3),
            sole_pos=jnp.zeros((*self.sole_geoms.shape, 3)),
            clearance=jnp.zeros(len(self.guarded_geoms)),
        )


def metadata(env: ImitationEnv, clips: Clips) -> dict[str, Any]:
    """Return what a deployer must know: conventions, joints, motors, rates.

    Lengths are in m, angles in rad, quaternions wxyz.
    """
    config, robot, model = env.config, env.robot, env.robot.model
    centre = "reference" if config.action == "reference" else "zero"
    return {
        "joint_names": G1_JOINTS,
        "control_hz": config.control_hz,
        "physics_hz": config.physics_hz,
        "kp": robot.kp.tolist(),
        "kd": robot.kd.tolist(),
        "effort_limit": robot.effort_limit.tolist(),
        "armature": model.dof_armature[6:].tolist(),
        "joint_range": robot.joint_range.tolist(),
        "default_joint_pos": load_mjcf().key("stand").qpos[7:].tolist(),
        "action_center": centre,
        "action_scale": env.action_scale.tolist(),
        "pd_target": f"{centre}{' joint angles one control step ahead' if centre == 'reference' else ''}"
        " + action_scale * action; action is clipped to [-1, 1] in the graph",
        "observation_layout": config.observation,
        "observation_parts": list(env.observation_sizes().items()),
        "observation_frame": env.layout.frame,
        "needs_off_board": OFF_BOARD if env.layout.readings is None else (),
        "reference_steps_ahead": env.target_steps,
        "quaternion_order": "wxyz",
        "contacts": config.contacts,
        "self_collisions": [
            [model.geom(shape).name for shape in pair]
            for pair in zip(model.pair_geom1, model.pair_geom2, strict=True)
        ],
        "imitates": config.clips,
        "clips": [
            {"name": clip.name, "digest": clip.digest, "loop": clip.loop, "seconds": clip.length}
            for clip in clips.motions
        ],
    }


def origin(run: Path, checkpoint: Which) -> dict[str, Any]:
    """Return where a policy comes from: its run, which checkpoint of it, its samples, and who exports it."""
    is_count = isinstance(checkpoint, int)
    samples = checkpoint if is_count else Checkpoints(run).progress().samples_of(checkpoint)
    return {
        "run": str(run.absolute()),
        "checkpoint": str(checkpoint),
        "samples": samples,
        "mjx_mimic_version": __version__,
    }


def policy_graph(policy: Policy, metadata: dict[str, Any]) -> onnx.ModelProto:
    """Build the normaliser and the actor's mean, clipped to [-1, 1], as an ONNX model.

    A symmetric network is run on the observation and on its reflection, as `networks.Actor` does.

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
        helper.make_node("Clip", ["scaled", "low", "high"], ["seen"]),
    ]
    for i in range(len(layers)):
        dense = layers[f"Dense_{i}"]
        constants |= {f"kernel_{i}": dense["kernel"], f"bias_{i}": dense["bias"]}

    def run(source: str, prefix: str) -> str:
        """Add the layers to the nodes, and return what comes out of them."""
        for i in range(len(layers)):
            out = f"{prefix}sum_{i}"
            nodes.append(helper.make_node("Gemm", [source, f"kernel_{i}", f"bias_{i}"], [out]))
            if i < len(layers) - 1:
                source = f"{prefix}hidden_{i + 1}"
                nodes.extend(_activation(policy.network.config.activation, out, source))
        return out

    mean, reflection = run("seen", ""), policy.network.reflection
    if reflection is not None:
        reflected, signs = _reflected("seen", reflection, "seen_reflected")
        nodes += reflected
        constants |= signs | {"half": 0.5}
        reflected, signs = _reflected(run("seen_reflected", "reflected_"), JOINTS, "reflected_mean")
        constants |= signs
        nodes += [
            *reflected,
            helper.make_node("Add", [mean, "reflected_mean"], ["both"]),
            helper.make_node("Mul", ["both", "half"], ["mean_of_both"]),
        ]
        mean = "mean_of_both"
    nodes.append(helper.make_node("Clip", [mean, "least", "most"], ["action"]))
    actions = len(layers[f"Dense_{len(layers) - 1}"]["bias"])
    graph = helper.make_graph(
        nodes,
        "mjx_mimic policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", size])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", actions])],
        [numpy_helper.from_array(np.asarray(x, np.float32), name) for name, x in constants.items()],
    )
    model = onnx_graph.checked(graph)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    return model


def _reflected(source: str, reflection: Reflection, out: str) -> tuple[list[Any], dict[str, Any]]:
    """Build the nodes of a reflection of the last axis, and their constants."""
    order, signs = f"{out}_order", f"{out}_signs"
    nodes = [
        helper.make_node("Constant", [], [order], value_ints=list(reflection.index)),
        helper.make_node("Gather", [source, order], [f"{out}_ordered"], axis=1),
        helper.make_node("Mul", [f"{out}_ordered", signs], [out]),
    ]
    return nodes, {signs: reflection.sign}


def _activation(name: str, source: str, out: str) -> list[Any]:
    """Build the nodes of an activation of `networks.ACTIVATIONS`."""
    if name == "silu":
        gate = f"{source}_gate"
        return [helper.make_node("Sigmoid", [source], [gate]), helper.make_node("Mul", [source, gate], [out])]
    return [helper.make_node({"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}[name], [source], [out])]
