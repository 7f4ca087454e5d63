"""Lookup, reward, observations, tracking errors and returns against vectors that MimicKit itself computed.

On two clips of this project, which are shipped with the tests, and on three of MimicKit's own, where the
reference material lies beside the project.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.learning import ppo
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState, Robot
from mjx_mimic.task import observation, reference, reward, termination
from mjx_mimic.task.reference import MotionLibrary
from mjx_mimic.task.tracking_errors import tracking_errors

DATA = Path(__file__).parents[1] / "data"
OURS = {"walk": "wrap", "kick_clamped": "clamp"}
MIMICKITS = ("g1_walk", "g1_run", "g1_spinkick")

TOLERANCE = 1e-4
JOINT_TOLERANCE = 2.5e-3
"""rad. MimicKit's slerp works in float32 on the cosine of half the angle: it keeps the lower frame for turns
under about 1.3 mrad and takes the middle under 2.3 mrad. Ours interpolates exactly."""
JOINT_ERROR = 1.3e-3
"""rad, the most by which that has been seen to differ. What depends on joint angles is compared with
MimicKit's own put in, and what cannot be, within as much as this error moves it."""


@dataclass(frozen=True)
class Case:
    """Vectors on one clip, and what this project makes of the same inputs."""

    vectors: dict[str, Any]
    library: MotionLibrary
    robot: Robot
    kinematics: Callable[[np.ndarray, np.ndarray], CharacterState]

    def lookup(self, times: np.ndarray) -> CharacterState:
        """Our reference at `times` (N,) s."""
        clip = jnp.zeros(len(times), jnp.int32)
        return self.kinematics(*reference.lookup(self.library, clip, jnp.asarray(times, jnp.float32)))

    @property
    def target(self) -> CharacterState:
        """The reference as MimicKit looked it up."""
        return self._character(self.vectors["reference"])

    @property
    def carried_target(self) -> CharacterState:
        """The same at the place and heading of the simulated state."""
        target, state = self.target, self.state
        spin = rotation.rotate_inverse(target.root_quat, target.root_ang_vel)
        qpos = jnp.concatenate([target.root_pos, target.root_quat, target.dof_pos], axis=1)
        qvel = jnp.concatenate([target.root_vel, spin, target.dof_vel], axis=1)
        place = jnp.concatenate([state.root_pos, state.root_quat], axis=1)
        return self.kinematics(*jax.vmap(reference.carried)(qpos, qvel, qpos[:, :7], place))

    @property
    def state(self) -> CharacterState:
        """The simulated state that MimicKit was given."""
        return self._character(self.vectors["state"])

    def _character(self, vector: dict[str, Any]) -> CharacterState:
        fields = {name: np.asarray(values, np.float32) for name, values in vector.items()}
        count, bodies = len(fields["root_pos"]), len(self.robot.body_names)
        quat = np.roll(fields["root_rot"], 1, axis=-1)
        qpos = np.concatenate([fields["root_pos"], quat, fields["dof_pos"]], axis=1)
        qvel = np.concatenate(
            [fields["root_vel"], np.zeros_like(fields["root_vel"]), fields["dof_vel"]], axis=1
        )
        found = self.kinematics(qpos, qvel).replace(root_ang_vel=jnp.asarray(fields["root_ang_vel"]))
        if "key_body_pos" in fields and "body_pos" not in fields:
            # The key bodies of the vectors need not be those of the joint angles beside them.
            unknown = jnp.full((count, bodies, 3), jnp.nan)
            return found.replace(body_pos=unknown.at[:, self.robot.key_bodies].set(fields["key_body_pos"]))
        return found.replace(body_pos=jnp.asarray(fields["body_pos"]))


@pytest.fixture(scope="session")
def our_vectors() -> dict[str, Any]:
    return json.loads((DATA / "mimickit_vectors.json").read_text())


@pytest.fixture(scope="session")
def kinematics(robot) -> Callable[[np.ndarray, np.ndarray], CharacterState]:
    """Batched kinematics of exactly the sizes in use, compiled once per size."""
    return jax.jit(jax.vmap(robot.character_state))


def clip_of(name: str, request: pytest.FixtureRequest) -> Motion:
    if name in OURS:
        return with_loop(load_motion(DATA / f"{name.removesuffix('_clamped')}.npz"), OURS[name])
    shared = request.getfixturevalue("shared")
    return load_motion(shared / "motions" / "mimickit" / f"{name}.pkl")


@pytest.fixture(scope="session", params=[*OURS, *MIMICKITS])
def case(request, robot, kinematics) -> Case:
    name = request.param
    vectors = request.getfixturevalue("our_vectors" if name in OURS else "anchors")
    library = reference.make_library([clip_of(name, request)])
    return Case(vectors["clips"][name], library, robot, kinematics)


def test_bodies_and_weights_have_mimickits_order(our_vectors, robot):
    convention = our_vectors["convention"]
    assert list(robot.body_names) == convention["body_names"]
    assert [robot.body_names[i] for i in robot.key_bodies] == convention["key_bodies"]
    np.testing.assert_allclose(reward.JOINT_WEIGHT, convention["dof_err_w"], atol=1e-6)


def test_phase_and_lookup(case):
    truth = case.vectors["reference"]
    times = np.asarray(truth["time"], np.float32)
    phase = reference.phase(case.library, jnp.zeros(len(times), jnp.int32), jnp.asarray(times))
    np.testing.assert_allclose(phase, truth["phase"], atol=TOLERANCE)
    found, before = case.lookup(times), case.lookup(times - np.float32(1e-5))
    np.testing.assert_allclose(found.root_pos, truth["root_pos"], atol=TOLERANCE)
    for name in ("root_vel", "root_ang_vel", "dof_vel"):
        # At a frame's very time, the last bit of MimicKit's phase may leave it to the frame before.
        away = [np.abs(getattr(side, name) - np.array(truth[name])).max(axis=1) for side in (found, before)]
        assert (np.minimum(*away) < TOLERANCE).all(), name
    np.testing.assert_allclose(found.dof_pos, truth["dof_pos"], atol=JOINT_TOLERANCE)
    quat, true_quat = np.asarray(found.root_quat), np.roll(truth["root_rot"], 1, axis=-1)
    same_sign = np.where(np.sum(quat * true_quat, axis=-1, keepdims=True) < 0.0, -quat, quat)
    np.testing.assert_allclose(same_sign, true_quat, atol=0.5 * JOINT_TOLERANCE)


def test_bodies_are_where_mimickits_joint_angles_put_them(case):
    """From MimicKit's own root and joints, so that nothing is left of the interpolation."""
    truth = case.vectors["reference"]
    quat = np.roll(np.asarray(truth["root_rot"], np.float32), 1, axis=-1)
    qpos = np.concatenate([truth["root_pos"], quat, truth["dof_pos"]], axis=1).astype(np.float32)
    found = case.kinematics(qpos, np.zeros((len(qpos), 35), np.float32))
    np.testing.assert_allclose(found.body_pos, truth["body_pos"], atol=TOLERANCE)


def test_reward(case):
    total, _ = reward.mimickit_reward(case.robot, case.state, case.target)
    np.testing.assert_allclose(total, case.vectors["reward_track_root"], atol=TOLERANCE)
    total, _ = reward.mimickit_reward(case.robot, case.state, case.carried_target)
    np.testing.assert_allclose(total, case.vectors["reward_no_track_root"], atol=TOLERANCE)


@pytest.fixture(scope="session")
def endings() -> dict[str, Any]:
    return json.loads((DATA / "mimickit_endings.json").read_text())


def test_endings(request, endings, robot, kinematics, our_vectors):
    """Of states near the reference, aside, turned and low, with and without the root's place."""
    count = 0
    for clip, vectors in our_vectors["clips"].items():
        done = endings[clip]
        case = Case(vectors, reference.make_library([clip_of(clip, request)]), robot, kinematics)
        for name, expected in done["cases"].items():
            shift, _, track_root = name.split("|")
            state = shifted(case, shift)
            found = termination.has_deviated(
                state, case.target, done["pose_termination_dist"], track_root == "track_root=True"
            )
            np.testing.assert_array_equal(found, np.array(expected) == 1, err_msg=f"{clip} {name}")
            count += len(expected)
    assert count == 2 * 15 * 8


def shifted(case: Case, shift: str) -> CharacterState:
    """The simulated states of a case, moved as in the vectors."""
    state = case.state
    qpos = np.concatenate([state.root_pos, state.root_quat, state.dof_pos], axis=1)
    move = {"near": 0.0, "aside_0.8": 0.8, "aside_1.2": 1.2}
    if shift in move:
        qpos[:, 0] += move[shift]
    elif shift == "turned_90deg":
        turn = np.broadcast_to(np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], np.float32), (len(qpos), 4))
        qpos[:, 3:7] = rotation.multiply(jnp.asarray(turn), jnp.asarray(qpos[:, 3:7]))
    else:
        qpos[:, 2] += {"low_1.1": 1.1}[shift]
    return case.kinematics(qpos, np.zeros((len(qpos), 35), np.float32))


def test_each_term_of_the_reward(our_vectors, case):
    if "reward_terms_track_root" not in case.vectors:
        pytest.skip("these vectors hold the total alone")
    _, terms = reward.mimickit_reward(case.robot, case.state, case.target)
    truth = case.vectors["reward_terms_track_root"]
    names = {"pose": "pose", "velocity": "vel", "root_pose": "root_pose"}
    names |= {"root_velocity": "root_vel", "key_position": "key_pos"}
    assert set(names) == set(vars(terms))
    for ours, theirs in names.items():
        np.testing.assert_allclose(getattr(terms, ours), truth[theirs], atol=TOLERANCE, err_msg=ours)


def test_tracking_errors(case):
    if "tracking_error" not in case.vectors:
        pytest.skip("these vectors hold no tracking errors")
    found = jax.vmap(tracking_errors)(case.state, case.target)
    truth = case.vectors["tracking_error"]
    names = ("root_position", "root_rotation", "body_position", "body_rotation")
    names += ("joint_velocity", "root_velocity", "root_angular_velocity")
    assert len(names) == len(truth["order"])
    for column, name in enumerate(names):
        expected = np.asarray(truth["values"])[:, column]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-3, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("mimickit", "obs_global_target"),
        ("mimickit-local", "obs_local_target_phase"),
        ("paper", "obs_local_phase_only"),
    ],
)
def test_observation(case, layout, key):
    vectors = case.vectors
    times = np.asarray(vectors["reference"]["time"], np.float32)
    # In float32, as MimicKit multiplies: some targets lie on a frame, where the last bit picks the interval.
    ahead = np.float32(vectors["control_dt"]) * np.array(vectors["target_steps"], np.float32)
    targets = {
        int(n): case.lookup(times + step) for n, step in zip(vectors["target_steps"], ahead, strict=True)
    }
    phase = reference.phase(case.library, jnp.zeros(len(times), jnp.int32), jnp.asarray(times))
    chosen = observation.LAYOUTS[layout]
    parts = chosen.parts(
        case.robot,
        case.state,
        targets if chosen.target_steps else {},
        observation.Phase(phase, 4 if chosen.phase else 0),
    )
    truth = np.split(np.array(vectors[key]), np.cumsum([part.shape[-1] for part in parts.values()])[:-1], 1)
    for (name, part), expected in zip(parts.items(), truth, strict=True):
        interpolated = name.startswith("reference") and ("rotation" in name or "key bodies" in name)
        # A hinge turns the axes of its body by its own error, and a hand by those of the joints before it.
        tolerance = 3.0 * JOINT_ERROR if interpolated else TOLERANCE
        np.testing.assert_allclose(part, expected, atol=tolerance, err_msg=name)
        if interpolated:
            assert np.median(np.abs(part - expected)) < TOLERANCE, name


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
