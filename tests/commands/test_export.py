"""The exported policy against the flax one, the observation's parts, and the example that runs it."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from helpers.refusals import refusal
from helpers.robots import RigidRobot
from onnx import helper, numpy_helper
from scipy.spatial.transform import Rotation

from mjx_mimic import __version__, export
from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.editing import bent, with_loop
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig, NetworkConfig
from mjx_mimic.learning import networks
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.learning.policy import Policy
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.runs import load_policy, onnx_graph
from mjx_mimic.runs import onnx as onnx_model
from mjx_mimic.runs.checkpoints import Checkpoints
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.observation import LAYOUTS
from mjx_mimic.task.reflection import Reflection

EXAMPLE = Path(__file__).parents[2] / "docs" / "run_onnx.py"


@pytest.fixture(scope="module")
def walk():
    return load_motion("walk")


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "policy.onnx"
    options = ["--run", str(finished / "whole"), "--inputs", "observation"]
    assert export.main([*options, "--out", str(path)]) == 0
    return path


def controller_of(env: ImitationEnv) -> tuple[Policy, onnxruntime.InferenceSession]:
    """A policy of random weights, and its controller."""
    size = sum(env.observation_sizes().values())
    actor, _ = networks.make_networks(env, NetworkConfig((16,)))  # symmetric, as by default
    params = jax.tree.map(lambda x: 3.0 * x, actor.init(jax.random.key(0), jnp.zeros(size)))
    policy = Policy(params, Normalizer(np.ones(size), np.zeros(size), np.ones(size)), actor)
    session = onnxruntime.InferenceSession(onnx_model.controller(policy, env, {}).SerializeToString())
    return policy, session


def act(model: bytes | str, observation: np.ndarray) -> np.ndarray:
    (action,) = onnxruntime.InferenceSession(model).run(None, {"observation": observation})
    return action


def test_goal_and_skill_are_inputs_of_the_controller(walk, robot):
    """What is wanted is fed as it is observed, the skill as the clip's number."""
    config = EnvConfig(observation="onboard", goal="heading", clips="skills")
    env = make_env([walk, load_motion("kick")], config, robot=robot)
    policy, session = controller_of(env)
    wanted = [value.name for value in session.get_inputs()]
    assert "goal" in wanted
    assert not {"root_pos", "root_vel"} & set(wanted)

    @jax.jit
    def expected(clip, time):
        state = env.reset_to(clip, time, jax.random.key(clip))
        action = jnp.clip(policy.act(env.observe(state)), -1.0, 1.0)
        goal = jnp.concatenate([*env.goal.parts(state.goal, env.character(state)).values()])
        return state, goal, env.pd_target(state, action)

    for clip, time in ((0, 0.3), (1, 1.2)):
        state, goal, target = expected(jnp.int32(clip), jnp.float32(time))
        values = {"clip": state.clip, "time": state.start_time, "goal": goal, "last_action": state.action}
        values |= {"root_quat": state.qpos[3:7], "joint_pos": state.qpos[7:]}
        values |= {"gyro": state.qvel[3:6], "joint_vel": state.qvel[6:]}
        (found,) = session.run(["motor_target"], {name: np.asarray(values[name]) for name in wanted})
        np.testing.assert_allclose(found, target, atol=1e-4)


def test_a_times_rounding_chooses_no_other_frame(walk, robot):
    """Seconds in float32 against the trainer's whole control steps, which lie on the clip's frames."""
    env = make_env([walk], EnvConfig(observation="onboard"), robot=robot)
    policy, session = controller_of(env)
    start = env.reset_to(jnp.int32(0), jnp.float32(0.0))

    @jax.jit
    def expected(steps):
        state = replace(start, steps=steps)
        return env.pd_target(state, jnp.clip(policy.act(env.observe(state)), -1.0, 1.0))

    values = {"clip": start.clip, "last_action": start.action, "root_quat": start.qpos[3:7]}
    values |= {"joint_pos": start.qpos[7:], "gyro": start.qvel[3:6], "joint_vel": start.qvel[6:]}
    wanted = [value.name for value in session.get_inputs()]
    for step in range(1000, 1030):
        values["time"] = np.float32(step / 30.0)
        (found,) = session.run(["motor_target"], {name: np.asarray(values[name]) for name in wanted})
        np.testing.assert_allclose(found, expected(jnp.int32(step)), atol=1e-3)


def test_no_controller_chooses_the_best_of_several_clips(finished, tmp_path, monkeypatch):
    env = SimpleNamespace(config=EnvConfig(clips="best"))
    monkeypatch.setattr(onnx_model, "load_policy", lambda *_: (Policy(None, None, None), env))
    monkeypatch.setattr(onnx_model, "metadata", lambda *_: {})
    out = tmp_path / "policy.onnx"
    message = refusal(onnx_model.export_policy, finished / "whole", "best", out)
    assert message.endswith("export it with --inputs observation")
    assert not out.exists()


@pytest.mark.parametrize("is_symmetric", [False, True])
@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_the_graph_is_the_policy(activation, is_symmetric):
    """Random weights, moments over many magnitudes, inputs far outside; three hidden layers."""
    rng = np.random.default_rng(0)
    order, signs = np.random.default_rng(1).permutation(40), np.where(np.arange(40) % 3, 1.0, -1.0)
    reflection = Reflection(tuple(map(int, order)), tuple(map(float, signs))) if is_symmetric else None
    actor = networks.Actor(NetworkConfig((32, 24, 16), activation=activation), 29, reflection=reflection)
    params = actor.init(jax.random.key(0), jnp.zeros(40))
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(scale=0.3, size=x.shape), jnp.float32), params)
    variance = (10.0 ** rng.uniform(-8, 3, 40)).astype(np.float32)
    policy = Policy(
        params, Normalizer(np.full(40, 1e4, np.float32), np.float32(rng.normal(size=40)), variance), actor
    )
    observation = (rng.normal(size=(64, 40)) * 10.0 ** rng.uniform(-2, 2, 40)).astype(np.float32)
    expected = np.clip(policy.act(observation), -1.0, 1.0)
    assert (np.abs(expected) == 1.0).any()
    assert (np.abs(expected) < 0.9).any()
    model = onnx_model.policy_graph(policy, {"a": [1, 2]})
    found = act(model.SerializeToString(), observation)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert {prop.key: json.loads(prop.value) for prop in model.metadata_props} == {"a": [1, 2]}


def test_a_run_is_exported_with_its_normaliser_and_what_a_deployer_needs(exported, finished, robot):
    policy, _ = load_policy(finished / "whole", "best")
    observation = np.random.default_rng(1).normal(size=(5, 123)).astype(np.float32)
    expected = np.clip(policy.act(observation), -1.0, 1.0)
    np.testing.assert_allclose(act(str(exported), observation), expected, atol=1e-5)

    session = onnxruntime.InferenceSession(str(exported))
    about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    model = robot.model
    for joint, name in enumerate(about["joint_names"]):
        motor = model.actuator(name)
        assert about["kp"][joint] == pytest.approx(motor.gainprm[0])
        assert about["kd"][joint] == pytest.approx(-motor.biasprm[2])
        assert about["joint_range"][joint] == pytest.approx(model.joint(name).range)
        assert about["default_joint_pos"][joint] == model.key("stand").qpos[7 + joint]
        assert about["action_scale"][joint] == pytest.approx(
            EnvConfig().action_scale * about["effort_limit"][joint] / about["kp"][joint]
        )
    assert about["control_hz"] == 30.0
    assert about["run"] == str(finished / "whole")
    assert about["checkpoint"] == "best"
    assert about["samples"] == Checkpoints(finished / "whole").progress().best_samples
    assert about["mjx_mimic_version"] == __version__
    assert about["clips"][0]["digest"] == load_motion(finished / "sway.npz").digest
    assert sum(size for _, size in about["observation_parts"]) == 123


def test_the_origin_of_a_policy_is_its_run_and_how_long_it_was_trained(finished):
    run = finished / "whole"
    progress = Checkpoints(run).progress()
    assert onnx_model.origin(run, "best")["samples"] == progress.best_samples
    assert onnx_model.origin(run, "last")["samples"] == progress.samples
    assert onnx_model.origin(run, 96) | {"mjx_mimic_version": ""} == {
        "run": str(run),
        "checkpoint": "96",
        "samples": 96,
        "mjx_mimic_version": "",
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_listed_parts_of_an_observation_add_up_to_it(layout, walk, robot):
    env = make_env([walk], EnvConfig(observation=layout), robot=RigidRobot(**vars(robot)))
    state = jax.eval_shape(env.reset_to, jnp.int32(0), jnp.float32(0.0))
    about = onnx_model.metadata(env, Clips((walk,), (1.0,)))
    (size,) = jax.eval_shape(env.observe, state).shape
    assert sum(count for _, count in about["observation_parts"]) == size
    at = env.reset_to(jnp.int32(0), jnp.float32(0.4))
    parts, whole = jax.jit(lambda state: (env.observation_parts(state), env.observe(state)))(at)
    start = 0
    for name, count in about["observation_parts"]:  # in the order in which they are in the observation
        np.testing.assert_allclose(whole[start : start + count], parts[name], rtol=1e-6, err_msg=name)
        start += count


@pytest.mark.parametrize("action", ["mimickit", "reference"])
def test_action_scales_are_the_targets(action, walk, robot):
    env = make_env([walk], EnvConfig(action=action), robot=robot)
    state = env.reset_to(jnp.int32(0), jnp.float32(0.4))
    least, most = (env.pd_target(state, jnp.full(29, unit)) for unit in (-1.0, 1.0))
    np.testing.assert_allclose((most - least) / 2.0, env.action_scale, rtol=1e-5)


# The controller ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_controller_is_the_task_and_the_policy(layout, walk, robot):
    """Every layout, two clips where one policy can imitate two, one that turns, far off, over many cycles."""
    circle = with_loop(bent(walk, 1.0), "turn")
    clips = [walk] if layout == "paper" else [walk, circle]
    history = 3 if layout == "onboard" else 1
    env = make_env(clips, EnvConfig(observation=layout, history=history), robot=robot)
    policy, session = controller_of(env)
    wanted = [value.name for value in session.get_inputs()]
    assert {"root_pos", "root_vel"} <= set(wanted) or layout == "onboard"
    needed = onnx_model.metadata(env, Clips(tuple(clips), (1.0,) * len(clips)))["needs_off_board"]
    assert bool({"root_pos", "root_vel"} & set(wanted)) == bool(needed)

    @jax.jit
    def expected(state):
        return env.command(state, jnp.clip(policy.act(env.observe(state)), -1.0, 1.0))

    rng = np.random.default_rng(0)
    for episode in range(6):
        state = env.reset_to(jnp.int32(episode % len(clips)), jnp.float32(rng.uniform(0.0, 30.0)))
        turn = Rotation.from_rotvec(rng.normal(scale=2.0, size=3)).as_quat(scalar_first=True)
        qpos = np.concatenate([rng.normal(size=3), turn, rng.normal(scale=0.3, size=29)])
        state = replace(state, qpos=jnp.float32(qpos), qvel=jnp.float32(rng.normal(size=35)))
        if state.history is not None:
            state = replace(state, history=jnp.float32(rng.normal(size=state.history.shape)))
            state = replace(state, action=jnp.float32(rng.uniform(-1.0, 1.0, 29)))
        following, target = expected(state)
        values = {"clip": state.clip, "time": state.start_time, "history": state.history}
        values |= {"root_pos": state.qpos[:3], "root_quat": state.qpos[3:7], "joint_pos": state.qpos[7:]}
        values |= {"root_vel": state.qvel[:3], "gyro": state.qvel[3:6], "joint_vel": state.qvel[6:]}
        values["last_action"] = state.action
        outputs = [value.name for value in session.get_outputs()]
        found = session.run(outputs, {name: np.asarray(values[name]) for name in wanted})
        found = dict(zip(outputs, found, strict=True))
        np.testing.assert_allclose(found["motor_target"], target, atol=1e-4)
        if state.history is not None:
            np.testing.assert_allclose(found["action"], following.action, atol=1e-5)
            np.testing.assert_allclose(found["next_history"], following.history, atol=1e-6)


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_activations_and_angles_have_onnx_operators(activation):
    """Also the arc tangent in all quadrants and on the axes, which ONNX has for a quotient alone."""

    def function(x, y):
        return {"activation": networks.ACTIVATIONS[activation](x), "angle": jnp.arctan2(x, y)}

    shape = jax.ShapeDtypeStruct((8,), jnp.float32)
    model = onnx_graph.to_onnx(function, {"x": shape, "y": shape}, "test")
    x = np.array([0.0, 1.0, -1.0, 0.0, 2.0, -2.0, 3.0, -0.5], np.float32)
    y = np.array([1.0, 0.0, 0.0, -1.0, 1.0, 1.0, -1.0, -2.0], np.float32)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x, "y": y})
    np.testing.assert_allclose(found[0], function(x, y)["activation"], atol=1e-6)
    np.testing.assert_allclose(found[1], np.arctan2(x, y), atol=1e-6)


def test_an_operation_without_a_rule_is_named():
    shape = jax.ShapeDtypeStruct((8,), jnp.float32)
    with pytest.raises(NotImplementedError, match="sort"):
        onnx_graph.to_onnx(lambda x: {"y": jnp.sort(x)}, {"x": shape}, "test")


def test_who_exports_is_told_what_a_robot_does_not_have(finished, tmp_path, capsys):
    path = tmp_path / "controller.onnx"
    assert export.main(["--run", str(finished / "whole"), "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "needs its place and its linear velocity" in printed
    assert "motor_target (29,)" in printed
    about = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    (start,) = json.loads(about["starts"])
    np.testing.assert_allclose(start["qpos"], load_motion(finished / "sway.npz").qpos[0], atol=1e-6)
    assert json.loads(about["needs_off_board"]) == ["its place", "its linear velocity"]
    options = ["--run", str(finished / "whole"), "--inputs", "observation"]
    assert export.main([*options, "--out", str(path)]) == 0  # whoever makes observations needs them no less
    assert "needs its place and its linear velocity" in capsys.readouterr().out


# The example -------------------------------------------------------------------------------------------


def test_the_example_runs_a_controller_from_sensors_without_jax(finished, tmp_path):
    """In a process of its own, where jax cannot be imported."""
    path = tmp_path / "controller.onnx"
    assert export.main(["--run", str(finished / "whole"), "--out", str(path)]) == 0
    (tmp_path / "jax.py").write_text("raise ImportError")
    scene = str(paths.assets_dir() / "g1" / "scene.xml")
    command = [sys.executable, str(EXAMPLE), str(path), scene, "--clip", "sway", "--seconds", "0.5"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    height = float(done.stdout.split("the pelvis is ")[1].split()[0])
    assert 0.6 < height < 0.9
    # Beside another free body, with other rotors, the joints are found by their names.
    robot = (paths.assets_dir() / "g1" / "g1.xml").read_text()
    ball = '<worldbody><body><freejoint/><geom size="0.1" pos="3 0 0.1"/></body></worldbody>'
    heavy, nameless = re.sub(r'armature="[^"]*"', 'armature="0.02"', robot), robot.replace("pelvis", "hips")
    for name, text in {"heavy": heavy, "nameless": nameless}.items():
        (tmp_path / f"{name}_robot.xml").write_text(text)
        include = f'<include file="{name}_robot.xml"/>'
        text = Path(scene).read_text().replace('<include file="g1.xml"/>', ball + include)
        (tmp_path / f"{name}.xml").write_text(text)
    command[3:] = [str(tmp_path / "heavy.xml"), "--seconds", "0.5", "--rest"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.6 < float(done.stdout.split("the pelvis is ")[1].split()[0]) < 0.9
    assert "warning: armature of the scene's joints" in done.stdout
    command[3] = str(tmp_path / "nameless.xml")
    done = subprocess.run(command, capture_output=True, text=True)
    assert "there is no body 'pelvis'" in done.stderr
    assert "Traceback" not in done.stderr
    assert export.main(["--run", str(finished / "whole"), "--out", str(path), "--inputs", "observation"]) == 0
    for arguments, words in (
        ([str(path), scene], "--inputs observation"),
        (["no.onnx", scene], "no such file"),
    ):
        done = subprocess.run([sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert words in done.stderr
    text = EXAMPLE.read_text()
    assert "mjx_mimic" not in text
    assert len([line for line in text.splitlines() if line.strip()]) <= 180


def test_the_example_follows_any_clip_at_any_rate_with_a_history(walk, robot, example):
    """A squat at 50 Hz, the second of two clips, by targets that are the reference itself."""
    squat = load_motion("squat")
    config = EnvConfig(observation="onboard", history=3, control_hz=50.0, physics_hz=100.0)
    env = make_env([walk, squat], config, robot=robot)
    policy, _ = controller_of(env)
    still = replace(policy, params=jax.tree.map(jnp.zeros_like, policy.params))
    about = onnx_model.metadata(env, Clips((walk, squat), (1.0, 1.0)))
    code, printed = example(
        onnx_model.controller(still, env, about).SerializeToString(),
        SCENE,
        "--clip",
        "squat",
        "--seconds",
        "1",
    )
    assert code == 0
    height = float(printed.split("the pelvis is ")[1].split()[0])
    wanted = float(env.reference(env.reset_to(jnp.int32(1), jnp.float32(1.0))).root_pos[2])
    assert wanted < squat.qpos[0, 2] - 0.1  # it is on its way down
    assert height == pytest.approx(wanted, abs=0.04)


def test_from_a_standstill_the_example_remembers_that_nothing_moved():
    first_memory = runpy.run_path(str(EXAMPLE))["first_memory"]
    rows = 1.0 + np.arange(3 * 93).reshape(1, 3, 93)  # gravity, gyro, angles, velocities, last action
    about = {"joint_names": G1_JOINTS, "first_history": rows.tolist()}
    moving, resting = (first_memory(about, 0, rest)["history"] for rest in (False, True))
    np.testing.assert_array_equal(moving, rows[0])
    np.testing.assert_array_equal(np.flatnonzero(resting[0] == 0.0), [3, 4, 5, *range(35, 64)])
    np.testing.assert_array_equal(resting[resting != 0.0], moving[resting != 0.0])


def test_links_touch_in_the_example_as_in_training(walk):
    load = runpy.run_path(str(EXAMPLE))["load"]
    scene = str(paths.assets_dir() / "g1" / "scene.xml")
    for config in (EnvConfig(), EnvConfig(self_collision=True)):
        env = make_env([walk], config)
        model, _ = load(scene, json.loads(json.dumps(onnx_model.metadata(env, load_clips(["walk"])))), 500)
        assert model.npair == env.robot.model.npair
        np.testing.assert_array_equal(model.pair_dim, env.robot.model.pair_dim)


SCENE = str(paths.assets_dir() / "g1" / "scene.xml")
ABOUT = {
    "joint_names": G1_JOINTS,
    "control_hz": 50.0,
    **{name: [1.0] * 29 for name in ("kp", "kd", "effort_limit", "armature")},
    "clips": [{"name": "sway", "loop": "wrap", "seconds": 1.0}],
    "starts": [{"qpos": [0.0, 0.0, 0.79, 1.0] + [0.0] * 32, "qvel": [0.0] * 35}],
}


def constant_controller(
    about: dict[str, Any], joints: int = 29, target: float = 0.0, inputs: tuple = ()
) -> bytes:
    """A model with this metadata, whose targets (joints,) are all `target`."""
    float32 = onnx.TensorProto.FLOAT
    values = numpy_helper.from_array(np.full(joints, target, np.float32))
    outputs = ("motor_target", "action")
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=values) for name in outputs],
        "controller",
        [helper.make_tensor_value_info(name, float32, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, float32, [joints]) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    return model.SerializeToString()


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Runs the example on a model and a scene in this process; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)  # for MuJoCo's log

    def call(model: bytes, scene: str = SCENE, *options: str) -> tuple[Any, str]:
        Path("policy.onnx").write_bytes(model)
        arguments = [str(EXAMPLE), "policy.onnx", scene, *(options or ("--seconds", "0.1"))]
        monkeypatch.setattr(sys, "argv", arguments)
        try:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                return 1, end.code
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    return call


def test_the_example_names_a_file_that_is_no_controller(example):
    def without(name):
        return {key: value for key, value in ABOUT.items() if key != name}

    foreign = onnx.load_from_string(constant_controller({}))
    helper.set_model_props(foreign, {"author": "somebody"})
    for model, words in (
        (b"", "is no model of `mjx-mimic export`"),
        (b"no model", "is no model of `mjx-mimic export`"),
        (foreign.SerializeToString(), "is no model of `mjx-mimic export`"),
        (constant_controller({}), "its metadata lack joint_names, control_hz"),
        (constant_controller(without("armature")), "its metadata lack armature; "),
        (constant_controller(without("starts")), "export it without --inputs observation"),
        (constant_controller(ABOUT, joints=28), "its inputs or outputs are no controller's"),
        (constant_controller(ABOUT, inputs=[("camera", [3])]), "its inputs or outputs are no controller's"),
        (constant_controller(ABOUT, inputs=[("gyro", [4])]), "its inputs or outputs are no controller's"),
        (constant_controller(ABOUT, inputs=[("goal", [2])]), "pursues a goal"),
    ):
        code, printed = example(model)
        assert code == 2, printed
        assert printed.startswith("error: policy.onnx: ")
        assert len(printed.splitlines()) == 1
        assert words in printed


def test_the_example_names_a_scene_that_has_no_such_robot(example):
    robot = (paths.assets_dir() / "g1" / "g1.xml").read_text()
    free = '<freejoint name="root"/>'
    assert free in robot
    Path("free.xml").write_text(robot)
    assert example(constant_controller(ABOUT), "free.xml")[0] == 0
    bad = (
        robot.replace(free, ""),
        robot.replace(free, '<joint type="slide"/>'),
        "<mujoco><nothing/></mujoco>",
        "text",
    )
    for text in (*bad, "<mujoco/>", robot.replace("waist_yaw", "hip")):
        Path("bad.xml").write_text(text)
        code, printed = example(constant_controller(ABOUT), "bad.xml")
        assert code == 2, printed
        assert printed.startswith("error: bad.xml: is no G1 that this policy can drive (")
        assert len(printed.splitlines()) == 1
        assert ("with a free joint" in printed) == (text in (*bad[:2], "<mujoco/>"))


def test_a_simulation_that_blows_up_is_no_fall(example):
    """MuJoCo resets such a state by itself, and goes on."""
    fast = {**ABOUT, "starts": [{**ABOUT["starts"][0], "qvel": [1e11] * 35}]}
    for model in (constant_controller(fast), constant_controller(ABOUT, target=np.nan)):
        code, printed = example(model)
        assert code == 1, printed
        assert printed.startswith("error: the simulation blew up within 0.02 s")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_the_example_refuses_what_is_no_duration(seconds, example):
    code, printed = example(constant_controller(ABOUT), SCENE, "--seconds", seconds)
    assert code == 2
    assert "option --seconds" in printed


# Bad input ---------------------------------------------------------------------------------------------


def test_bad_input_is_refused_in_a_line(finished, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export.main(["--run", str(finished / "whole"), "--out", str(tmp_path / "policy.pt")])
    with pytest.raises(UserError, match="nowhere"):
        export.main(["--run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.onnx")])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install -e \".\[onnx\]\""):
        export.main(["--run", str(finished / "whole"), "--out", str(tmp_path / "a.onnx")])
    assert list(tmp_path.iterdir()) == []
