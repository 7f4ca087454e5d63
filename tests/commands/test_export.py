"""The exported policy against the flax one, the observation's parts, and the example that runs it."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic import export
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.formats import load_motion, native
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig
from mjx_mimic.learning import networks
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs import load_policy
from mjx_mimic.runs import onnx as onnx_model
from mjx_mimic.task.env import make_env
from mjx_mimic.task.observation import LAYOUTS

EXAMPLE = Path(__file__).parents[2] / "docs" / "run_onnx.py"


@pytest.fixture(scope="module")
def walk():
    return load_motion("walk")


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "policy.onnx"
    assert export.main(["--run", str(finished / "whole"), "--out", str(path)]) == 0
    return path


def act(model: bytes | str, observation: np.ndarray) -> np.ndarray:
    (action,) = onnxruntime.InferenceSession(model).run(None, {"observation": observation})
    return action


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
def test_the_graph_is_the_policy(activation):
    """Random weights, moments over many magnitudes, inputs far outside; three hidden layers."""
    rng = np.random.default_rng(0)
    actor = networks.Actor((32, 24, 16), 29, activation, 0.2, learn_std=True)
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
    assert about["clips"][0]["digest"] == load_motion(finished / "sway.npz").digest
    assert sum(size for _, size in about["observation_parts"]) == 123


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_listed_parts_of_an_observation_add_up_to_it(layout, walk, robot):
    env = make_env([walk], EnvConfig(observation=layout), robot=robot)
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


# The example -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_onnx", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_observation_is_ours(example, robot, walk, tmp_path):
    native.write(tmp_path / "walk.npz", walk)
    clip = dict(np.load(tmp_path / "walk.npz"))
    env = make_env([walk], EnvConfig(), robot=robot)
    observe = jax.jit(lambda state: (env.observe(state), env.reference_coordinates(state)))
    rng = np.random.default_rng(2)
    start = 0.004  # between frames: on one, float32 may take the velocities of the frame before
    for steps in (0, 20, 45, 170):
        state = env.reset_to(jnp.int32(0), jnp.float32(start))
        turn = Rotation.from_rotvec(rng.normal(scale=0.5, size=3)).as_quat(scalar_first=True)
        qpos = np.concatenate([rng.normal(size=3), turn, rng.normal(scale=0.3, size=29)])
        qvel = rng.normal(size=35)
        state = replace(state, qpos=jnp.float32(qpos), qvel=jnp.float32(qvel), steps=jnp.int32(steps))
        expected, (wanted_pos, wanted_vel) = observe(state)
        time = start + steps / 30.0
        found = example.observe(qpos, qvel, clip, time, 1.0 / 30.0)
        np.testing.assert_allclose(found, expected, atol=2e-3)  # MimicKit's slerp sticks; the example's not
        assert np.median(np.abs(found - expected)) < 1e-5
        _, pos, rotation, joints, vel, ang_vel, joint_vel = example.reference(clip, time)
        np.testing.assert_allclose(
            np.concatenate([pos, joints]), np.delete(wanted_pos, slice(3, 7)), atol=2e-3
        )
        np.testing.assert_allclose(
            np.concatenate([vel, joint_vel]), np.delete(wanted_vel, slice(3, 6)), atol=1e-3
        )
        np.testing.assert_allclose(rotation.inv().apply(ang_vel), wanted_vel[3:6], atol=5e-3)


def test_the_example_runs_a_policy_without_jax(example, exported, walk, tmp_path, capsys, monkeypatch):
    native.write(tmp_path / "walk.npz", walk)
    example.main(str(exported), str(tmp_path / "walk.npz"), str(paths.assets_dir() / "g1" / "scene.xml"))
    assert "the pelvis is" in capsys.readouterr().out
    text = EXAMPLE.read_text()
    assert "jax" not in text.split('"""')[2]
    assert "mjx_mimic" not in text.split('"""')[2]
    assert len([line for line in text.splitlines() if line.strip()]) <= 75


# Bad input ---------------------------------------------------------------------------------------------


def test_bad_input_is_refused_in_a_line(finished, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export.main(["--run", str(finished / "whole"), "--out", str(tmp_path / "policy.pt")])
    with pytest.raises(UserError, match="nowhere"):
        export.main(["--run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.onnx")])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"mjx-mimic\[onnx\]"):
        export.main(["--run", str(finished / "whole"), "--out", str(tmp_path / "a.onnx")])
    assert list(tmp_path.iterdir()) == []
