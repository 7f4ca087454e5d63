"""Forward kinematics of clips, held to the MJX character state and to geometry."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.robot import rotation
from mjx_mimic.robot.constants import G1_JOINTS, KEY_BODIES, SOLE_GEOMS
from mjx_mimic.robot.kinematics import (
    beyond_limits,
    floor_clearance,
    forward_kinematics,
    heading,
    sole_positions,
    turn_between,
    without_sign_flips,
)
from mjx_mimic.robot.mjcf import joint_ranges, load_mjcf, plain_g1


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_mjcf()


def test_poses_are_those_that_training_sees(model, robot, character_of):
    qpos = load_motion("walk").qpos[::5]
    poses = forward_kinematics(model, qpos)
    assert poses.body_names == robot.body_names
    character = character_of(qpos, np.zeros((len(qpos), 35)))
    np.testing.assert_allclose(poses.body_pos, character.body_pos, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(poses.com_pos, character.com_pos, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(poses.body_quat[:, 0], qpos[:, 3:7], rtol=0.0, atol=1e-12)
    np.testing.assert_array_equal(poses.of(*KEY_BODIES), poses.body_pos[:, robot.key_bodies])


def test_clearance_is_that_of_the_guarded_shapes_and_of_the_soles(model, robot, character_of):
    qpos = load_motion("walk").qpos[::5]
    names, clearance = floor_clearance(model, qpos)
    assert sum("_sole_" in name for name in names) == 8
    guarded = [names.index(robot.model.geom(geom).name) for geom in robot.guarded_geoms]
    character = character_of(qpos, np.zeros((len(qpos), 35)))
    np.testing.assert_allclose(clearance[:, guarded], character.clearance, rtol=0.0, atol=1e-5)
    lifted = qpos + np.eye(36)[2] * 0.3
    np.testing.assert_allclose(floor_clearance(model, lifted)[1], clearance + 0.3, rtol=0.0, atol=1e-9)
    lowest = clearance.min(axis=1)
    assert np.all(np.abs(lowest) < 0.005)  # a foot of a walk is always on the floor


def test_soles_are_where_their_lowest_points_are(model):
    """The spheres' lowest points are as high as MuJoCo's distance to the floor, and under their bodies."""
    qpos = load_motion("run").qpos[::5]
    qpos[:, 3:7] = Rotation.random(len(qpos), random_state=0).as_quat(scalar_first=True)
    qpos[:, 2] += 2.0
    soles = sole_positions(model, qpos)
    assert soles.shape == (len(qpos), 2, 4, 3)
    names, clearance = floor_clearance(model, qpos)
    poses = forward_kinematics(model, qpos)
    for foot, side in enumerate(("left", "right")):
        turn = Rotation.from_quat(
            poses.body_quat[:, poses.body_names.index(f"{side}_ankle_roll_link")], scalar_first=True
        )
        ankle = poses.of(f"{side}_ankle_roll_link")[:, 0]
        for sphere, name in enumerate(SOLE_GEOMS[foot]):
            low = soles[:, foot, sphere]
            np.testing.assert_allclose(low[:, 2], clearance[:, names.index(name)], rtol=0, atol=1e-9)
            centre = ankle + turn.apply(model.geom(name).pos)
            np.testing.assert_allclose(low[:, :2], centre[:, :2], rtol=0, atol=1e-9)


def test_angles_beyond_their_limits(model):
    low, high = np.array([model.joint(name).range for name in G1_JOINTS]).T
    over = np.linspace(0.0, 0.3, 29)
    np.testing.assert_allclose(beyond_limits(model, np.stack([high + over, low - over])), [over, over])
    assert not beyond_limits(model, np.stack([low, high, 0.5 * (low + high)])).any()


def test_the_plain_g1_is_compiled_once_and_has_the_ranges_of_the_joints(model):
    plain = plain_g1()
    assert plain_g1() is plain
    assert plain.ngeom < model.ngeom
    np.testing.assert_array_equal(joint_ranges(plain), [model.joint(name).range for name in G1_JOINTS])


def test_heading_is_that_of_training_however_the_robot_tilts():
    quat = Rotation.random(500, random_state=1).as_quat(scalar_first=True)
    found = heading(quat)
    assert np.ptp(found) > 6.0
    difference = found - np.asarray(rotation.heading(jnp.asarray(quat, jnp.float32)))
    steep = np.abs(Rotation.from_quat(quat, scalar_first=True).apply([1.0, 0.0, 0.0])[:, 2])
    error = np.abs(np.arctan2(np.sin(difference), np.cos(difference)))
    assert np.all(error * np.sqrt(1.0 - steep**2) < 1e-5)  # a forward axis near the vertical has no heading


def test_heading_is_the_yaw_whatever_pitch_and_roll_follow():
    yaw, pitch, roll = np.random.default_rng(2).uniform([-3.1, -1.4, -3.1], [3.1, 1.4, 3.1], (200, 3)).T
    turn = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1))
    np.testing.assert_allclose(heading(turn.as_quat(scalar_first=True)), yaw, rtol=0, atol=1e-9)
    assert heading(np.array([1.0, 0.0, 0.0, 0.0])) == 0.0


def test_a_turn_between_headings_is_the_shorter_one():
    assert turn_between(3.0, -3.0) == pytest.approx(2.0 * np.pi - 6.0)
    assert turn_between(0.5, 0.2) == pytest.approx(-0.3)


def test_signs_are_chosen_so_that_neighbours_are_near():
    time = np.linspace(0.0, 30.0, 200)
    smooth = Rotation.from_rotvec(np.outer(time, [0.6, 0.0, 0.8])).as_quat(scalar_first=True)
    flips = np.random.default_rng(3).choice([-1.0, 1.0], (200, 1))
    found = without_sign_flips(flips * smooth)
    assert np.all(np.sum(found[1:] * found[:-1], axis=1) > 0.9)
    np.testing.assert_array_equal(found[0], flips[0] * smooth[0])
    np.testing.assert_array_equal(np.abs(found), np.abs(smooth))
