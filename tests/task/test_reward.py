"""Both rewards against their definitions written out again in float64 with NumPy and SciPy."""

from collections.abc import Callable
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.mimickit_reward import (
    JOINT_WEIGHT,
    KEYS,
    MIMICKIT_WEIGHTS,
    bodies,
    mimickit_terms,
    rotation_of,
    square,
)
from scipy.spatial.transform import Rotation

from mjx_mimic.config import MimicKitRewardConfig
from mjx_mimic.presets import PRESETS
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.model import CharacterState
from mjx_mimic.task import reward, termination

STATES = 100
TOLERANCE = 2e-6

PAPER_WEIGHTS = {"pose": 0.65, "velocity": 0.1, "end_effector": 0.15, "centre_of_mass": 0.1, "root": 0.0}
RELEASED_WEIGHTS = {"pose": 0.5, "velocity": 0.05, "end_effector": 0.15, "centre_of_mass": 0.1, "root": 0.2}


def random_state(robot, seed: int) -> CharacterState:
    """Any orientation, velocities of a lively motion, bodies scattered about the root."""
    draw = np.random.default_rng(seed)
    joints, bodies = len(G1_JOINTS), len(robot.body_names)
    root_pos = draw.normal(size=(STATES, 3)) * 0.3 + [1.0, -2.0, 0.8]
    return CharacterState(
        root_pos=root_pos,
        root_quat=Rotation.random(STATES, rng=draw).as_quat(scalar_first=True),
        root_vel=draw.normal(size=(STATES, 3)),
        root_ang_vel=draw.normal(size=(STATES, 3)),
        dof_pos=draw.normal(size=(STATES, joints)),
        dof_vel=draw.normal(size=(STATES, joints)),
        body_pos=root_pos[:, None] + 0.5 * draw.normal(size=(STATES, bodies, 3)),
        body_quat=np.full((STATES, bodies, 4), np.nan),
        com_pos=root_pos + 0.1 * draw.normal(size=(STATES, 3)),
        sole_pos=np.full((STATES, 2, 4, 3), np.nan),
        clearance=draw.normal(size=(STATES, 17)),
    )


def off_by(state: CharacterState, share: np.ndarray, seed: int) -> CharacterState:
    """`state` with everything disturbed, by amounts in proportion to `share` (STATES,)."""
    draw = np.random.default_rng(seed)

    def moved(array: np.ndarray, scale: float) -> np.ndarray:
        return array + share.reshape(-1, *[1] * (array.ndim - 1)) * scale * draw.normal(size=array.shape)

    turn = Rotation.from_rotvec(share[:, None] * draw.normal(size=(STATES, 3)))
    return CharacterState(
        root_pos=moved(state.root_pos, 0.5),
        root_quat=(turn * rotation_of(state)).as_quat(scalar_first=True),
        root_vel=moved(state.root_vel, 1.0),
        root_ang_vel=moved(state.root_ang_vel, 1.0),
        dof_pos=moved(state.dof_pos, 0.4),
        dof_vel=moved(state.dof_vel, 2.0),
        body_pos=moved(state.body_pos, 0.2),
        body_quat=state.body_quat,
        com_pos=moved(state.com_pos, 0.3),
        sole_pos=state.sole_pos,
        clearance=moved(state.clearance, 1.0),
    )


@pytest.fixture(scope="module")
def pair(robot) -> tuple[CharacterState, CharacterState]:
    """Simulated states from right on to far off their reference, and the reference."""
    reference = random_state(robot, 0)
    return off_by(reference, np.linspace(0.01, 1.0, STATES), 1), reference


def as_f32(state: CharacterState) -> CharacterState:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), state)


@pytest.fixture(scope="module")
def rewards(robot) -> dict[str, Callable]:
    """The rewards by name, compiled once: (state, reference) to (total, terms by name)."""

    def named(function: Callable, **options) -> Callable:
        compiled = jax.jit(lambda state, reference: function(robot, state, reference, **options))

        def call(state: CharacterState, reference: CharacterState) -> tuple[np.ndarray, dict]:
            total, terms = compiled(as_f32(state), as_f32(reference))
            return np.asarray(total), {f.name: np.asarray(getattr(terms, f.name)) for f in fields(terms)}

        return call

    return {
        "mimickit": named(reward.mimickit_reward),
        "paper": named(reward.paper_reward),
        "released": named(reward.paper_reward, config=PRESETS["paper-released"].env.paper_reward),
        "tuned": named(reward.mimickit_reward, config=TUNED, joint_weights=np.arange(29.0)),
    }


TUNED = MimicKitRewardConfig(0.1, 0.0, 0.3, 0.4, 0.2, 1.0, 0.02, 3.0, 0.5, 5.0)

ALL = ("mimickit", "paper")


def paper_terms(robot, state: CharacterState, reference: CharacterState) -> dict:
    ends = tuple(name for name in KEYS if name != "head_link")
    turn = (rotation_of(state) * rotation_of(reference).inv()).magnitude()
    pose = square(reference.dof_pos - state.dof_pos) + turn**2
    velocity = square(reference.dof_vel - state.dof_vel) + square(reference.root_ang_vel - state.root_ang_vel)
    reach = bodies(robot, reference, ends) - bodies(robot, state, ends)
    root = square(reference.root_pos - state.root_pos) + 0.1 * turn**2
    root += 0.01 * square(reference.root_vel - state.root_vel)
    root += 0.001 * square(reference.root_ang_vel - state.root_ang_vel)
    return {
        "pose": np.exp(-2.0 * pose),
        "velocity": np.exp(-0.1 * velocity),
        "end_effector": np.exp(-40.0 * square(reach).sum(-1)),
        "centre_of_mass": np.exp(-10.0 * square(reference.com_pos - state.com_pos)),
        "root": np.exp(-5.0 * root),
    }


def assert_equal_rewards(actual: tuple[np.ndarray, dict], terms: dict, weights: dict) -> None:
    total, actual_terms = actual
    assert actual_terms.keys() == weights.keys()
    for name, term in terms.items():
        np.testing.assert_allclose(actual_terms[name], term, rtol=0.0, atol=TOLERANCE, err_msg=name)
    np.testing.assert_allclose(total, sum(weights[n] * terms[n] for n in terms), rtol=0.0, atol=TOLERANCE)


def test_mimickit_reward_is_its_definition(robot, rewards, pair):
    terms = mimickit_terms(robot, *pair, track_root=True)
    for term in terms.values():
        assert np.ptp(term) > 0.5  # the states are neither all good nor all bad
    assert_equal_rewards(rewards["mimickit"](*pair), terms, MIMICKIT_WEIGHTS)


@pytest.mark.parametrize(("name", "weights"), [("paper", PAPER_WEIGHTS), ("released", RELEASED_WEIGHTS)])
def test_paper_reward_is_its_definition(robot, rewards, pair, name, weights):
    terms = paper_terms(robot, *pair)
    for term in terms.values():
        assert np.ptp(term) > 0.5
    assert_equal_rewards(rewards[name](*pair), terms, weights)


def test_weights_and_scales_are_settings(rewards, pair):
    state, reference = pair
    total, terms = rewards["tuned"](state, reference)
    _, published = rewards["mimickit"](state, reference)
    for name, term in terms.items():
        scales = [getattr(config, f"{name}_scale") for config in (TUNED, MimicKitRewardConfig())]
        if name not in ("pose", "velocity"):  # whose joints have other weights
            np.testing.assert_allclose(term, published[name] ** (scales[0] / scales[1]), atol=1e-5)
    error = np.square(np.mod(reference.dof_pos - state.dof_pos + np.pi, 2 * np.pi) - np.pi) @ np.arange(29.0)
    np.testing.assert_allclose(terms["pose"], np.exp(-error), atol=1e-5)
    weights = [getattr(TUNED, f"{name}_weight") for name in terms]
    np.testing.assert_allclose(total, np.array(weights) @ np.array(list(terms.values())), atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_without_the_roots_place_termination_does_not_know_of_it(pair, shift):
    state, reference = pair
    away = moved(state, np.array([shift, -shift, 0.0]), np.pi / 2)
    for limit in (0.2, 0.4, 0.6):
        ended = [termination.has_deviated(*map(as_f32, (s, reference)), limit, False) for s in (state, away)]
        np.testing.assert_array_equal(*ended)
        assert 0 < ended[0].sum() < STATES
    assert termination.has_deviated(as_f32(away), as_f32(reference), 0.6).all()  # in the world


def test_without_the_roots_place_a_robot_that_leans_has_not_deviated(pair):
    """MimicKit with `global_obs` False turns all bodies by the inverse of the root's whole rotation."""
    state, _ = pair
    lean = Rotation.from_euler("xyz", [0.7, 1.2, -0.4])
    root = state.root_pos[:, None]
    leaning = replace(
        state,
        root_quat=(lean * rotation_of(state)).as_quat(scalar_first=True),
        body_pos=root + lean.apply((state.body_pos - root).reshape(-1, 3)).reshape(state.body_pos.shape),
    )
    assert not termination.has_deviated(as_f32(leaning), as_f32(state), 1e-3, False).any()
    assert termination.has_deviated(as_f32(leaning), as_f32(state), 0.3).all()  # in the world


def test_hinge_error_goes_the_short_way_round(robot, rewards):
    reference = random_state(robot, 2)
    state = replace(reference, dof_pos=reference.dof_pos + 2.0 * np.pi - 0.01)
    _, terms = rewards["mimickit"](state, reference)
    np.testing.assert_allclose(terms["pose"], np.exp(-0.25 * 0.01**2 * JOINT_WEIGHT.sum()), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_perfect_tracking_earns_1_in_total_and_in_every_term(robot, rewards, name):
    state = random_state(robot, 3)
    total, terms = rewards[name](state, state)
    np.testing.assert_array_equal(total, np.float32(1.0))
    for term in terms.values():
        np.testing.assert_array_equal(term, np.float32(1.0))


@pytest.mark.parametrize("name", ALL)
def test_quaternion_sign_does_not_matter(rewards, pair, name):
    state, reference = pair
    total, _ = rewards[name](state, reference)
    flipped, _ = rewards[name](replace(state, root_quat=-state.root_quat), reference)
    np.testing.assert_array_equal(total, flipped)


@pytest.mark.parametrize("name", ALL)
def test_every_term_lies_between_0_and_1(robot, rewards, pair, name):
    total, terms = rewards[name](*pair)
    for value in (total, *terms.values()):
        assert np.all(value >= 0.0)  # exp of a hopeless error is 0 in float32
        assert np.all(value[: STATES // 2] > 0.0)
        assert np.all(value <= 1.0)
    assert np.all(total > 0.0)
    total, _ = rewards[name](random_state(robot, 4), random_state(robot, 5))  # nothing in common
    assert np.all((total >= 0.0) & (total < 0.5))


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_earned_far_away(robot, rewards, name):
    reference = random_state(robot, 6)
    far = jax.tree.map(lambda x: x + 100.0, reference)
    # Bodies count from the root, and hinges turn at most half round.
    far = replace(
        far,
        root_quat=reference.root_quat,
        dof_pos=reference.dof_pos + 3.0,
        body_pos=reference.body_pos + 200.0,
    )
    total, terms = rewards[name](far, reference)
    for term in terms.values():
        np.testing.assert_allclose(term, 0.0, atol=1e-6)
    np.testing.assert_allclose(total, 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_states_are_paid_one_by_one_whatever_their_leading_axes(rewards, pair, name):
    flat, _ = rewards[name](*pair)
    for leading in ((), (2, 3)):
        count = int(np.prod(leading))
        few = jax.tree.map(lambda x, n=count, shape=leading: x[:n].reshape(*shape, *x.shape[1:]), pair)
        total, terms = rewards[name](*few)
        assert {total.shape, *(term.shape for term in terms.values())} == {leading}
        np.testing.assert_allclose(total.ravel(), flat[:count], rtol=0.0, atol=TOLERANCE)


def moved(state: CharacterState, shift: np.ndarray, yaw: float) -> CharacterState:
    """The state as it looks after walking off: turned about the world's vertical axis, then shifted."""
    turn = Rotation.from_euler("z", yaw)

    def place(points: np.ndarray) -> np.ndarray:
        return turn.apply(points.reshape(-1, 3)).reshape(points.shape) + shift

    return replace(
        state,
        root_pos=place(state.root_pos),
        root_quat=(turn * rotation_of(state)).as_quat(scalar_first=True),
        root_vel=turn.apply(state.root_vel),
        root_ang_vel=turn.apply(state.root_ang_vel),
        body_pos=place(state.body_pos),
        com_pos=place(state.com_pos),
    )


def changed_terms(rewards, name: str, state: CharacterState, reference: CharacterState) -> set[str]:
    """Terms that fall below 1 everywhere; the others must stay at 1."""
    _, terms = rewards[name](state, reference)
    lower = {term for term, value in terms.items() if np.all(value < 0.999)}
    for term in terms.keys() - lower:
        np.testing.assert_array_equal(terms[term], np.float32(1.0), err_msg=term)
    return lower


FIELDS = {
    "dof_pos": ({"pose"}, {"pose"}),
    "dof_vel": ({"velocity"}, {"velocity"}),
    "root_quat": ({"root_pose"}, {"pose", "root"}),
    "root_vel": ({"root_velocity"}, {"root"}),
    "root_ang_vel": ({"root_velocity"}, {"velocity", "root"}),
    "com_pos": (set(), {"centre_of_mass"}),
    "clearance": (set(), set()),
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_quantity_moves_its_own_term_alone(robot, rewards, field):
    reference = random_state(robot, 8)
    disturbed = off_by(reference, np.full(STATES, 2.0), 9)
    state = replace(reference, **{field: getattr(disturbed, field)})
    in_mimickit, in_paper = FIELDS[field]
    assert changed_terms(rewards, "mimickit", state, reference) == in_mimickit
    assert changed_terms(rewards, "paper", state, reference) == in_paper


@pytest.mark.parametrize("body", [*KEYS, "torso_link", "left_knee_link"])
def test_bodies_move_the_terms_they_are_key_to(robot, rewards, body):
    reference = random_state(robot, 10)
    body_pos = reference.body_pos.copy()
    body_pos[:, robot.body_names.index(body)] += [0.1, -0.1, 0.1]
    state = replace(reference, body_pos=body_pos)
    assert changed_terms(rewards, "mimickit", state, reference) == (
        {"key_position"} if body in KEYS else set()
    )
    ends = body in KEYS and body != "head_link"
    assert changed_terms(rewards, "paper", state, reference) == ({"end_effector"} if ends else set())


def test_a_shifted_robot_loses_on_root_pose_alone(robot, rewards):
    """Key bodies count relative to the root."""
    reference = random_state(robot, 11)
    state = moved(reference, np.array([0.3, 0.2, -0.1]), 0.0)
    total, terms = rewards["mimickit"](state, reference)
    np.testing.assert_allclose(terms["root_pose"], np.exp(-5.0 * 0.14), rtol=1e-5)
    np.testing.assert_allclose(terms["key_position"], 1.0, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(total, 0.85 + 0.15 * np.exp(-5.0 * 0.14), rtol=1e-5)


@pytest.mark.parametrize(
    ("joint", "weight"),
    [
        ("left_hip_yaw_joint", 1.0),
        ("left_knee_joint", 0.6),
        ("right_ankle_roll_joint", 0.5),
        ("right_elbow_joint", 0.6),
        ("left_wrist_yaw_joint", 0.5),
    ],
)
def test_a_single_joint_counts_by_its_weight(robot, rewards, joint, weight):
    reference = random_state(robot, 12)
    off = np.where(np.array(G1_JOINTS) == joint, 0.7, 0.0)
    state = replace(reference, dof_pos=reference.dof_pos + off, dof_vel=reference.dof_vel + 3.0 * off)
    _, terms = rewards["mimickit"](state, reference)
    np.testing.assert_allclose(terms["pose"], np.exp(-0.25 * weight * 0.7**2), rtol=1e-5)
    np.testing.assert_allclose(terms["velocity"], np.exp(-0.01 * weight * 2.1**2), rtol=1e-5)
