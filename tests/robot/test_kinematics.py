"""Forward kinematics of clips, held to the MJX character state and to geometry."""

import mujoco
import numpy as np
import pytest

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.robot.constants import KEY_BODIES
from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics, qpos_of
from mjx_mimic.robot.mjcf import load_mjcf


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_mjcf()


def test_poses_are_those_that_training_sees(model, robot, character_of):
    qpos = qpos_of(load_motion("walk"))[::5]
    poses = forward_kinematics(model, qpos)
    assert poses.body_names == robot.body_names
    character = character_of(qpos, np.zeros((len(qpos), 35)))
    np.testing.assert_allclose(poses.body_pos, character.body_pos, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(poses.com_pos, character.com_pos, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(poses.body_quat[:, 0], qpos[:, 3:7], rtol=0.0, atol=1e-12)
    np.testing.assert_array_equal(poses.of(*KEY_BODIES), poses.body_pos[:, robot.key_bodies])


def test_clearance_is_that_of_the_guarded_shapes_and_of_the_soles(model, robot, character_of):
    qpos = qpos_of(load_motion("walk"))[::5]
    names, clearance = floor_clearance(model, qpos)
    assert sum("_sole_" in name for name in names) == 8
    guarded = [names.index(robot.model.geom(geom).name) for geom in robot.guarded_geoms]
    character = character_of(qpos, np.zeros((len(qpos), 35)))
    np.testing.assert_allclose(clearance[:, guarded], character.clearance, rtol=0.0, atol=1e-5)
    lifted = qpos + np.eye(36)[2] * 0.3
    np.testing.assert_allclose(floor_clearance(model, lifted)[1], clearance + 0.3, rtol=0.0, atol=1e-9)
    lowest = clearance.min(axis=1)
    assert np.all(np.abs(lowest) < 0.005)  # a foot of a walk is always on the floor
