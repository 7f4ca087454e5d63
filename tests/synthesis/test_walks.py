"""The bundled walk: cyclic, symmetric, feet that neither slide nor sink, and physically possible."""

import re
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from helpers.refusals import command_refusal
from scipy.optimize import nnls
from scipy.spatial import ConvexHull

from mjx_mimic import generate
from mjx_mimic.clips.editing import mirrored_joints
from mjx_mimic.clips.formats import native
from mjx_mimic.common.paths import assets_dir, motions_dir
from mjx_mimic.generate import NAMES, main
from mjx_mimic.robot.constants import G1_JOINTS, MIRROR_INDEX
from mjx_mimic.robot.mjcf import effort_limits
from mjx_mimic.synthesis.leg_kinematics import sole
from mjx_mimic.synthesis.periodic import half_cycle_later, inverse_dynamics
from mjx_mimic.synthesis.walks import FAST, SLOW, Recipe, walk_spec
from mjx_mimic.synthesis.zmp_solver import solve

RECIPE = Recipe()
SOLE_RADIUS = 0.005  # m
SPHERES = [f"{side}_sole_{end}_{edge}" for side in ("left", "right") for end in ("heel", "toe")
           for edge in ("left", "right")]  # fmt: skip
HEEL, TOE = slice(0, 2), slice(2, 4)  # of the left foot
TOUCH = 1e-3  # m; a sphere lower than this may press on the floor
FRICTION = 0.7


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(assets_dir() / "g1" / "scene.xml"))


@pytest.fixture(scope="module")
def clip(model):
    """The bundled file with what the tests ask of it; N is T - 1, the frames of one cycle."""
    motion = native.read(motions_dir() / "walk.npz")
    stride = motion.root_pos[-1, 0] - motion.root_pos[0, 0]
    dynamics = inverse_dynamics(
        model,
        motion.root_pos[:-1],
        motion.root_quat[:-1],
        motion.dof_pos[:-1],
        motion.length,
        np.array([stride / motion.length, 0.0, 0.0]),
    )
    data = mujoco.MjData(model)
    count = motion.num_frames - 1
    spheres, foot_pitch = np.empty((count, 8, 3)), np.empty(count)
    for i, qpos in enumerate(dynamics.qpos):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        spheres[i] = [data.geom(name).xpos for name in SPHERES]
        foot_pitch[i] = np.arcsin(-data.body("left_ankle_roll_link").xmat[6])
    return SimpleNamespace(
        motion=motion,
        stride=stride,
        phase=np.arange(count) / count,
        dof=dict(zip(G1_JOINTS, np.degrees(motion.dof_pos[:-1]).T, strict=True)),
        spheres=spheres,  # (N, 8, 3) centres, m
        height=spheres[:, :, 2] - SOLE_RADIUS,  # (N, 8) of their lowest points, m
        foot_pitch=np.degrees(foot_pitch),  # of the left foot, positive toes down
        dynamics=dynamics,
    )


def test_sole_is_that_of_the_mjcf(model):
    assert sole().radius == SOLE_RADIUS
    for name in SPHERES:
        geom = model.geom(name)
        np.testing.assert_allclose(geom.pos[[0, 2]], sole().heel if "heel" in name else sole().toe)
        assert geom.size[0] == sole().radius


def test_timing(clip):
    assert clip.motion.fps == 60.0
    assert clip.motion.loop == "wrap"
    assert 1.0 <= clip.motion.length <= 1.25
    assert clip.stride / clip.motion.length == pytest.approx(0.9)
    assert 0.45 <= clip.stride / 2 <= 0.55


def test_first_and_last_frame_are_one_pose_and_velocities_cross_the_seam(clip):
    motion = clip.motion
    np.testing.assert_array_equal(motion.dof_pos[0], motion.dof_pos[-1])
    np.testing.assert_array_equal(motion.root_quat[0], motion.root_quat[-1])
    np.testing.assert_array_equal(motion.root_pos[0, 1:], motion.root_pos[-1, 1:])
    for array in (motion.root_pos, motion.root_quat):
        over_seam, inside = velocity_changes(array)
        assert (over_seam <= inside + 1e-9).all()
    # Half a cycle later, the other side's joints do the same inside the clip.
    over_seam, inside = velocity_changes(motion.dof_pos)
    assert (over_seam <= np.maximum(inside, inside[MIRROR_INDEX]) + 1e-9).all()


def velocity_changes(array):
    """Per column: the change from the last step to the first one, and the largest change inside."""
    steps = np.diff(array, axis=0)
    return np.abs(steps[0] - steps[-1]), np.abs(np.diff(steps, axis=0)).max(axis=0)


def test_right_step_is_the_left_one_mirrored(clip):
    motion = clip.motion
    later = mirrored_joints(half_cycle_later(motion.dof_pos[:-1]))
    np.testing.assert_allclose(later, motion.dof_pos[:-1], atol=1e-9)
    np.testing.assert_allclose(
        half_cycle_later(motion.root_pos[:-1, 1:]) * [-1, 1], motion.root_pos[:-1, 1:], atol=1e-9
    )
    assert (MIRROR_INDEX[MIRROR_INDEX] == np.arange(29)).all()


def test_heel_strikes_first_then_sole_then_toes(clip):
    pitch, heel, toe = clip.foot_pitch, clip.height[:, HEEL], clip.height[:, TOE]
    assert pitch[0] < -10
    assert heel[0].max() < TOUCH
    assert toe[0].min() > 0.02
    flat = (clip.phase > RECIPE.flat) & (clip.phase < RECIPE.heel_off)
    assert np.abs(pitch[flat]).max() < 0.5
    leaving = (clip.phase > 0.5) & (clip.phase < RECIPE.toe_off)
    assert heel[leaving].min() > 0.01
    assert np.abs(toe[leaving]).max() < TOUCH
    assert pitch[leaving].max() > 25


def test_feet_neither_slide_nor_sink_nor_float(clip):
    for points, start, end in ((HEEL, 0, RECIPE.heel_off), (TOE, RECIPE.flat, RECIPE.toe_off)):
        standing = (clip.phase >= start) & (clip.phase <= end)
        for side in (0, 4):
            shifted = clip.spheres if side == 0 else half_cycle_later(clip.spheres)
            contact = shifted[standing, side : side + 4][:, points]
            if side:  # frames from the next cycle's start belong half a stride back
                wrapped = clip.phase[standing] >= 0.5
                contact = contact + np.where(wrapped, clip.stride, 0.0)[:, None, None] * [1.0, 0.0, 0.0]
            assert np.ptp(contact[..., :2], axis=0).max() < 1e-3
            assert np.abs(contact[..., 2] - SOLE_RADIUS).max() < 1e-3
    assert clip.height.min() > -1e-3


def test_swing_foot_clears_the_floor(clip):
    lowest = clip.height[:, :4].min(axis=1)
    middle = (clip.phase > 0.75) & (clip.phase < 0.87)
    assert lowest[middle].min() > 0.03
    assert lowest[(clip.phase > RECIPE.toe_off + 0.06) & (clip.phase < 0.95)].min() > 0.005


def test_double_support_takes_a_fifth_of_the_cycle(clip):
    # Standing, not merely close: just before and after, the foot moves slowly near the floor.
    left, right = (np.abs(clip.height[:, feet]).min(axis=1) < 1e-5 for feet in (slice(0, 4), slice(4, 8)))
    assert (left | right).all()
    assert 0.17 <= np.mean(left & right) <= 0.25


def test_knee_bends_in_swing_and_a_little_in_stance(clip):
    knee, phase = clip.dof["left_knee_joint"], clip.phase
    assert 50 <= knee.max() <= 65
    assert 0.65 < phase[knee.argmax()] < 0.85
    assert knee.min() >= 3
    assert knee[0] < 15
    assert 12 <= knee[(phase > 0.05) & (phase < 0.25)].max() <= 28
    assert knee[(phase > 0.25) & (phase < 0.45)].min() < 15


def test_pelvis_sways_bobs_and_turns(clip):
    root, phase = clip.motion.root_pos[:-1], clip.phase
    sway = root[:, 1]
    assert 0.015 < np.abs(sway).max() < 0.05
    assert (sway[(phase > 0.15) & (phase < 0.45)] > 0).all()  # over the left foot while it stands alone
    assert 0.01 < np.ptp(root[:, 2]) < 0.045
    assert 0.74 < root[:, 2].mean() < 0.79
    w, x, y, z = clip.motion.root_quat[:-1].T
    yaw = np.degrees(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    assert 2 < np.abs(yaw).max() < 8
    assert np.corrcoef(yaw, clip.dof["waist_yaw_joint"])[0, 1] < -0.9


def test_arms_swing_against_the_legs_beside_the_body(clip):
    for side, other in (("left", "right"), ("right", "left")):
        shoulder = clip.dof[f"{side}_shoulder_pitch_joint"]
        assert 30 < np.ptp(shoulder) < 50
        # Pitch is positive backwards for arm and leg alike: each arm goes with the other side's leg.
        assert np.corrcoef(shoulder, clip.dof[f"{other}_hip_pitch_joint"])[0, 1] > 0.8
        assert clip.dof[f"{side}_elbow_joint"].max() < 85
    assert clip.dof["left_shoulder_roll_joint"].min() > 8


def test_bodies_keep_clear_of_each_other(clip, model):
    """Arms against trunk and legs, and leg against leg."""
    data = mujoco.MjData(model)
    names = [model.geom(i).name for i in range(model.ngeom)]
    arms = [n for n in names if n.startswith("left_") and any(w in n for w in ("elbow", "wrist", "hand"))]
    trunk = ["torso_collision", "pelvis_collision", "left_hip_collision", "left_thigh_collision"]
    legs = ["thigh_collision", "shin_collision"]
    pairs = [(a, b) for a in arms for b in trunk if {a, b} <= set(names)]
    pairs += [(f"left_{a}", f"right_{b}") for a in legs for b in legs]
    assert len(pairs) >= 12
    for qpos in clip.dynamics.qpos[::2]:
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        for a, b in pairs:
            gap = mujoco.mj_geomDistance(model, data, model.geom(a).id, model.geom(b).id, 0.1, None)
            assert gap > 0.01, (a, b)


def test_joints_stay_within_ranges_and_speeds(clip, model):
    low, high = model.jnt_range[1:].T
    margin = np.minimum(clip.motion.dof_pos - low, high - clip.motion.dof_pos).min(axis=0)
    assert margin.min() > np.radians(5), G1_JOINTS[margin.argmin()]
    assert np.abs(clip.dynamics.qvel[:, 6:]).max() < 10  # rad/s
    assert np.abs(clip.dynamics.qacc[:, 6:]).max() < 250  # rad/s^2
    assert np.abs(clip.dynamics.qacc[:, :3]).max() < 4  # m/s^2
    assert np.ptp(clip.dynamics.qvel[:, 0]) < 0.4  # m/s


def test_zero_moment_point_stays_in_the_support(clip):
    worst = 0.0
    for height, spheres, zmp in zip(clip.height, clip.spheres, clip.dynamics.zmp, strict=True):
        points = spheres[height < TOUCH, :2]
        if len(points) == 2:  # on the toes of one foot: a line
            along = points[1] - points[0]
            share = np.clip((zmp - points[0]) @ along / (along @ along), 0.0, 1.0)
            outside = np.linalg.norm(zmp - points[0] - share * along)
        else:
            outside = (ConvexHull(points).equations @ [*zmp, 1.0]).max()
        worst = max(worst, outside)
    assert worst < 0.015


def test_friction_and_motors_can_do_it(clip, model):
    """Forces that only press and stick, at the spheres that touch, explain the motion within the efforts."""
    dynamics, data = clip.dynamics, mujoco.MjData(model)
    effort = effort_limits(model)
    edges = [np.array([FRICTION * np.cos(a), FRICTION * np.sin(a), 1.0]) for a in np.arange(4) * np.pi / 2]
    jacobian = np.zeros((3, model.nv))
    missing, torque = [], []
    for i, qpos in enumerate(dynamics.qpos):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        columns = []
        for sphere in np.flatnonzero(clip.height[i] < TOUCH):
            geom = model.geom(SPHERES[sphere])
            floor = clip.spheres[i, sphere] * [1.0, 1.0, 0.0]
            mujoco.mj_jac(model, data, jacobian, None, floor, geom.bodyid[0])
            columns += [jacobian.T @ edge for edge in edges]
        forces, wanted = np.array(columns).T, dynamics.generalised_force[i]
        # The root's six rows must hold; of what is free, the motors' load is made small.
        weight = np.concatenate([np.ones(3), np.full(3, 5.0), 3.0 / effort])
        solution, _ = nnls(weight[:, None] * forces, weight * wanted, maxiter=10_000)
        left = wanted - forces @ solution
        missing.append(left[:6])
        torque.append(left[6:])
    missing, torque = np.array(missing), np.abs(torque)
    assert np.abs(missing[:, :3]).max() < 20  # N, of 340 N weight
    assert np.abs(missing[:, 3:]).max() < 10  # N m
    assert (torque <= effort).all(), G1_JOINTS[(torque / effort).max(axis=0).argmax()]
    assert (torque.mean(axis=0) < 0.5 * effort).all()


@pytest.mark.parametrize(("speed", "recipe"), [(0.8, RECIPE), (1.0, RECIPE), (0.5, SLOW), (1.1, FAST)])
def test_recipes_bear_other_speeds(model, speed: float, recipe: Recipe):
    motion = solve(walk_spec("other", speed, recipe)).motion()
    assert motion.root_pos[-1, 0] / motion.length == pytest.approx(speed)
    low, high = model.jnt_range[1:].T
    assert (motion.dof_pos > low + 0.05).all()
    assert (motion.dof_pos < high - 0.05).all()
    data = mujoco.MjData(model)
    for qpos in np.concatenate([motion.root_pos, motion.root_quat, motion.dof_pos], axis=1):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        assert min(data.geom(name).xpos[2] for name in SPHERES) > SOLE_RADIUS - 1e-3


def test_command_writes_the_named_clips_and_prints_what_they_demand(tmp_path: Path, capsys):
    assert main(["slow_walk", "walk", "walk", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slow_walk.npz", "walk.npz"]
    for name in ("slow_walk", "walk"):
        written, bundled = (native.read(folder / f"{name}.npz") for folder in (tmp_path, motions_dir()))
        assert (written.name, written.num_frames) == (name, bundled.num_frames)
        np.testing.assert_allclose(written.dof_pos, bundled.dof_pos, rtol=0.0, atol=1e-6)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "slow_walk.npz: 1.40 s" in lines[0]
    assert re.search(r"torque to \d+% of the limit", lines[1])


def test_command_writes_over_no_clip_unless_told_to(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(generate, "solve", lambda spec: pytest.fail("solved before the files were checked"))
    (tmp_path / "walk.npz").write_bytes(b"mine")
    message = command_refusal(main, ["slow_walk", "walk", "--out", str(tmp_path)], capsys)
    assert message.endswith("walk.npz: exists already; give --force to write over it, or another file")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
    message = command_refusal(main, ["walk", "--out", str(tmp_path / "walk.npz")], capsys)
    assert "option --out" in message


def test_command_writes_over_a_clip_when_told_to(tmp_path: Path, capsys):
    (tmp_path / "walk.npz").write_bytes(b"mine")
    assert main(["walk", "--out", str(tmp_path), "--force"]) == 0
    assert native.read(tmp_path / "walk.npz").name == "walk"


def test_command_refuses_a_clip_that_it_cannot_make(tmp_path: Path, capsys):
    assert "handstand" in command_refusal(main, ["handstand", "--out", str(tmp_path)], capsys)
    assert not list(tmp_path.iterdir())


def test_every_bundled_clip_has_a_generator():
    assert sorted(NAMES) == sorted(path.stem for path in motions_dir().glob("*.npz"))
