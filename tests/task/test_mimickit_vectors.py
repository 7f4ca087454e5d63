"""Lookup, reward, observations and returns against vectors that MimicKit itself computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.learning import ppo
from mjx_mimic.robot.model import CharacterState, Robot
from mjx_mimic.task import observation, reference, reward

CLIPS = ("g1_walk", "g1_run", "g1_spinkick")
TOLERANCE = 1e-4


def wxyz(xyzw) -> np.ndarray:
    return np.roll(np.asarray(xyzw), 1, axis=-1)


@pytest.fixture(scope="session", params=CLIPS)
def case(request, shared, anchors, robot, at):
    """(the vectors, library, clip's reference at their times, simulated state, robot)."""
    clip = request.param
    vectors = anchors["clips"][clip]
    library = reference.make_library([load_motion(shared / "motions" / "mimickit" / f"{clip}.pkl")])
    times = jnp.asarray(vectors["reference"]["time"], jnp.float32)
    target = at(library, times)
    return vectors, library, target, simulated(vectors["state"], robot), robot


@pytest.fixture(scope="session")
def at(robot):
    """(library, times (N,)) -> the reference states of its first clip; compiled once."""
    kinematics = jax.jit(jax.vmap(robot.character_state))

    def states(library, times: jax.Array) -> CharacterState:
        return kinematics(*reference.lookup(library, jnp.zeros(times.shape, jnp.int32), times))

    return states


def simulated(vector: dict, robot: Robot) -> CharacterState:
    fields = {name: jnp.asarray(values, jnp.float32) for name, values in vector.items()}
    key_body_pos = fields.pop("key_body_pos")
    count = len(key_body_pos)
    body_pos = jnp.full((count, len(robot.body_names), 3), jnp.nan).at[:, robot.key_bodies].set(key_body_pos)
    return CharacterState(
        root_quat=jnp.asarray(wxyz(fields.pop("root_rot"))),
        body_pos=body_pos,
        com_pos=jnp.full((count, 3), jnp.nan),
        clearance=jnp.full((count, 1), jnp.nan),
        **fields,
    )


def test_bodies_and_weights_have_mimickits_order(anchors, robot):
    convention = anchors["convention"]
    assert list(robot.body_names) == convention["body_names"]
    assert [robot.body_names[i] for i in robot.key_bodies] == convention["key_bodies"]
    np.testing.assert_allclose(reward.JOINT_WEIGHT, convention["dof_err_w"], atol=1e-6)


def test_phase_and_lookup(case):
    vectors, library, target, _, _ = case
    truth = vectors["reference"]
    times = jnp.asarray(truth["time"], jnp.float32)
    phase = reference.phase(library, jnp.zeros(len(times), jnp.int32), times)
    np.testing.assert_allclose(phase, truth["phase"], atol=TOLERANCE)
    for name in ("root_pos", "root_vel", "root_ang_vel", "dof_pos", "dof_vel", "body_pos"):
        np.testing.assert_allclose(getattr(target, name), truth[name], atol=TOLERANCE, err_msg=name)
    quat, true_quat = np.asarray(target.root_quat), wxyz(truth["root_rot"])
    same_sign = np.where(np.sum(quat * true_quat, axis=-1, keepdims=True) < 0.0, -quat, quat)
    np.testing.assert_allclose(same_sign, true_quat, atol=0.5 * TOLERANCE)


def test_reward(case):
    vectors, _, target, state, robot = case
    total, _ = reward.mimickit_reward(robot, state, target)
    np.testing.assert_allclose(total, vectors["reward_track_root"], atol=TOLERANCE)
    total, _ = reward.mimickit_reward(robot, state, target, track_root=False)
    np.testing.assert_allclose(total, vectors["reward_no_track_root"], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (observation.mimickit, "obs_global_target"),
        (observation.mimickit_local, "obs_local_target_phase"),
        (observation.paper, "obs_local_phase_only"),
    ],
)
def test_observation(case, at, layout, key):
    vectors, library, _, state, robot = case
    times = jnp.asarray(vectors["reference"]["time"], jnp.float32)
    # In float32, as MimicKit multiplies: some targets lie on a frame, where the last bit picks the interval.
    ahead = np.float32(vectors["control_dt"]) * np.array(vectors["target_steps"], np.float32)
    targets = tuple(at(library, times + step) for step in ahead)
    phase = reference.phase(library, jnp.zeros(len(times), jnp.int32), times)
    seen, truth = np.asarray(layout(robot, state, targets, phase)), np.array(vectors[key])
    own = 237 + 9 * (layout is not observation.mimickit)
    np.testing.assert_allclose(seen[:, :own], truth[:, :own], atol=TOLERANCE)
    # MimicKit's float32 slerp leaves quaternions of fast joints up to 1e-4 off unit norm, and so the joint
    # rotations and key bodies of its targets by a little more: 5 numbers of 30,564 are over 1e-4.
    np.testing.assert_allclose(seen[:, own:], truth[:, own:], atol=1.3e-4)
    assert np.mean(np.abs(seen - truth) > TOLERANCE) < 1e-3


def test_td_lambda(anchors):
    vector = anchors["td_lambda"]
    returns = ppo.td_lambda_return(
        jnp.asarray(vector["reward"]),
        jnp.asarray(vector["next_value"]),
        jnp.asarray(vector["done"], jnp.float32),
        vector["discount"],
        vector["td_lambda"],
    )
    np.testing.assert_allclose(returns, vector["returns"], atol=TOLERANCE)
