"""Leg kinematics against MuJoCo, and facts about the legs."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.constants import LEGS, SIDES
from mjx_mimic.robot.mjcf import plain_g1
from mjx_mimic.synthesis.leg_kinematics import legs
from mjx_mimic.synthesis.periodic import inverse_dynamics

COUNT = 20


@pytest.fixture(scope="module")
def poses():
    """Random pelvis poses and leg angles with bent knees: (N, 3), (N, 4), (N, 29)."""
    rng = np.random.default_rng(0)
    quat = Rotation.random(COUNT, rng=rng).as_quat(scalar_first=True)
    dof_pos = rng.uniform(-0.2, 0.2, (COUNT, 29))
    for leg in LEGS:
        dof_pos[:, leg] += [-0.4, 0.0, 0.0, 0.8, -0.3, 0.0]
    return rng.normal(size=(COUNT, 3)), quat, dof_pos


@pytest.mark.parametrize("side", [0, 1])
def test_forward_kinematics_and_jacobian_are_those_of_mujoco(poses, side: int):
    root_pos, root_quat, dof_pos = poses
    root_mat = Rotation.from_quat(root_quat, scalar_first=True).as_matrix()
    pos, mat, jacobian = legs()[side].forward(root_pos, root_mat, dof_pos[:, LEGS[side]])
    model, data = plain_g1(), mujoco.MjData(plain_g1())
    foot = model.body(f"{SIDES[side]}_ankle_roll_link").id
    expected = np.zeros((6, model.nv))
    for i in range(COUNT):
        data.qpos[:] = np.concatenate([root_pos[i], root_quat[i], dof_pos[i]])
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacBody(model, data, expected[:3], expected[3:], foot)
        np.testing.assert_allclose(pos[i], data.xpos[foot], atol=1e-12)
        np.testing.assert_allclose(mat[i], data.xmat[foot].reshape(3, 3), atol=1e-12)
        np.testing.assert_allclose(jacobian[i], expected[:, 6:][:, LEGS[side]], atol=1e-12)


@pytest.mark.parametrize("side", [0, 1])
def test_inverse_kinematics_gives_the_angles_back(poses, side: int):
    root_pos, root_quat, dof_pos = poses
    root_mat = Rotation.from_quat(root_quat, scalar_first=True).as_matrix()
    pos, mat, _ = legs()[side].forward(root_pos, root_mat, dof_pos[:, LEGS[side]])
    angles, reached = legs()[side].inverse(root_pos, root_mat, pos, mat)
    assert reached.all()
    np.testing.assert_allclose(angles, dof_pos[:, LEGS[side]], atol=1e-10)


def test_inverse_kinematics_says_which_poses_are_out_of_reach():
    root_pos, root_mat = np.array([[0.0, 0.0, 0.75], [0.0, 0.0, 1.0]]), np.stack([np.eye(3)] * 2)
    foot_pos = np.tile([0.0, 0.1, 0.035], (2, 1))
    _, reached = legs()[0].inverse(root_pos, root_mat, foot_pos, root_mat)
    np.testing.assert_array_equal(reached, [True, False])


def test_measures_of_the_leg_mirror_each_other():
    (left_hip, *left), (right_hip, *right) = (leg.hip_to_foot() for leg in legs())
    np.testing.assert_allclose(left_hip * [1.0, -1.0, 1.0], right_hip, atol=1e-12)
    np.testing.assert_allclose(left, right, atol=1e-12)
    hip_to_ground = -left_hip[2] + sum(left)
    assert 0.7 < hip_to_ground < 0.8  # m, from the pelvis' origin to the foot's, the leg straight


def test_the_plain_g1_is_left_as_it_is():
    """Inverse dynamics goes without constraints, in a copy of the model that all share."""
    flags = plain_g1().opt.disableflags
    at_rest = np.tile(np.eye(1, 36, 3), (4, 1))
    inverse_dynamics(plain_g1(), at_rest[:, :3], at_rest[:, 3:7], at_rest[:, 7:], 1.0, np.zeros(3))
    assert plain_g1().opt.disableflags == flags
