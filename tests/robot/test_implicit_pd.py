"""Motors whose PD law holds at the end of a physics step."""

import mujoco
import numpy as np
import pytest

from mjx_mimic.robot.implicit_pd import (
    added_armature,
    shifted_target,
    step_with_motors,
    with_implicit_motors,
)
from mjx_mimic.robot.mjcf import load_mjcf


def stepped(model: mujoco.MjModel, target: np.ndarray, steps: int, height: float = 5.0) -> mujoco.MjData:
    """The standing robot, in the air, after physics steps of implicit motors."""
    data = mujoco.MjData(model)
    data.qpos[:] = model.key("stand").qpos
    data.qpos[2] = height
    for _ in range(steps):
        step_with_motors(model, data, target)
    return data


def random_target(model: mujoco.MjModel, size: float) -> np.ndarray:
    return model.key("stand").qpos[7:] + size * np.random.default_rng(0).normal(size=model.nu)


def test_the_torque_is_the_pd_law_of_the_steps_end():
    """By Newton's law of the true model: what moves the joints is what the law asks for there."""
    true = load_mjcf(physics_hz=90.0, visuals=False)
    model = with_implicit_motors(true)
    target = random_target(true, 0.2)
    before = stepped(model, target, 5)
    after = stepped(model, target, 6)
    inverse = mujoco.MjData(true)
    inverse.qpos[:], inverse.qvel[:] = before.qpos, before.qvel
    inverse.qacc[:] = (after.qvel - before.qvel) * 90.0
    mujoco.mj_inverse(true, inverse)
    kp, kd = true.actuator_gainprm[:, 0], -true.actuator_biasprm[:, 2]
    law = kp * (target - after.qpos[7:]) - kd * after.qvel[6:]
    np.testing.assert_allclose(inverse.qfrc_inverse[6:], law, atol=1e-9)
    assert np.abs(law).max() > 3.0


def test_both_changes_vanish_with_the_step():
    kp, kd = np.array([99.0]), np.array([6.3])
    coarse, fine = (added_armature(kp, kd, dt) for dt in (1e-2, 1e-5))
    np.testing.assert_allclose(coarse, 0.063 + 0.0099)
    assert fine < 1e-4
    np.testing.assert_allclose(shifted_target(np.array([0.3]), np.array([2.0]), 1e-5), 0.3, atol=3e-5)


@pytest.mark.parametrize("physics_hz", [30.0, 60.0, 90.0])
def test_long_steps_do_not_overshoot(physics_hz):
    """Far over the limit of explicit motors, which break within a second there."""
    model = load_mjcf(physics_hz=physics_hz, visuals=False)
    model.opt.gravity[:] = 0.0
    target = random_target(model, 0.1)
    data = stepped(with_implicit_motors(model), target, round(2 * physics_hz))
    limits = model.jnt_range[1:]
    inside = (target > limits[:, 0] + 0.05) & (target < limits[:, 1] - 0.05)
    np.testing.assert_allclose(data.qpos[7:][inside], target[inside], atol=0.02)
    assert np.abs(data.qvel[6:][inside]).max() < 0.1


def test_ninety_steps_a_second_are_nearer_to_the_truth_than_explicit_motors_at_180():
    def after_a_control_step(physics_hz: float, implicit: bool) -> np.ndarray:
        model = load_mjcf(physics_hz=physics_hz, visuals=False)
        target, steps = random_target(model, 0.2), round(physics_hz / 30.0)
        if implicit:
            return stepped(with_implicit_motors(model), target, steps).qpos[7:]
        data = mujoco.MjData(model)
        data.qpos[:], data.ctrl[:] = model.key("stand").qpos, target
        data.qpos[2] = 5.0
        mujoco.mj_step(model, data, steps)
        return data.qpos[7:]

    truth = after_a_control_step(7200.0, implicit=False)
    ours = np.abs(after_a_control_step(90.0, implicit=True) - truth).mean()
    assert ours < 0.7 * np.abs(after_a_control_step(180.0, implicit=False) - truth).mean()
    np.testing.assert_allclose(after_a_control_step(1440.0, implicit=True), truth, atol=2e-3)
