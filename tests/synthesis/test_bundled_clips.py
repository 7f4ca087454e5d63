"""Every bundled clip: valid, made by its generator, physically possible, and what its name says."""

from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import edited, sampled
from mjx_mimic.clips.formats import native
from mjx_mimic.clips.validation import validate
from mjx_mimic.common.paths import motions_dir
from mjx_mimic.generate import NAMES, SPECS
from mjx_mimic.robot.constants import G1_JOINTS, GRAVITY
from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics
from mjx_mimic.robot.mjcf import effort_limits, load_mjcf
from mjx_mimic.synthesis import standing_walk
from mjx_mimic.synthesis.feasibility import demands
from mjx_mimic.synthesis.keyframes import Step, ease, foot_path
from mjx_mimic.synthesis.leg_kinematics import sole
from mjx_mimic.synthesis.zmp_solver import solve

pytestmark = pytest.mark.slow

LEFT, RIGHT = slice(0, 4), slice(4, 8)  # sole spheres
TURNS = ("turn_left", "turn_right")
PARTS = ("start_walking", "stop_walking")
CYCLES = tuple(name for name in NAMES if name not in PARTS)
NEAR = 5e-3  # m; over it, a foot is in the air


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_mjcf(visuals=False)


@pytest.fixture(scope="module")
def clips(model):
    """Each clip by name, with what the tests ask of it; N is T - 1, the frames of one cycle."""
    found = {}
    for name in CYCLES:
        motion = native.read(motions_dir() / f"{name}.npz")
        needed = demands(model, motion)
        low = np.stack([needed.soles[:, foot, 2].min(axis=1) for foot in (LEFT, RIGHT)], axis=1)
        found[name] = SimpleNamespace(
            motion=motion,
            demands=needed,
            poses=forward_kinematics(model, needed.dynamics.qpos),
            low=low,  # (N, 2) m, of the left and the right foot over the floor
            lifted=low > NEAR,  # (N, 2)
            dof=dict(zip(G1_JOINTS, np.degrees(motion.dof_pos[:-1]).T, strict=True)),
            yaw=Rotation.from_quat(motion.root_quat, scalar_first=True).as_euler("ZYX", degrees=True)[:, 0],
            velocity=(motion.root_pos[-1] - motion.root_pos[0]) / motion.length,
        )
    return found


@pytest.fixture(params=CYCLES)
def clip(clips, request):
    return clips[request.param]


def test_validation_has_nothing_to_say(clip):
    report = validate(clip.motion)
    assert [f for f in report.findings if f.severity != "ok"] == []
    assert report.verdict == "good"


@pytest.mark.parametrize("name", NAMES)
def test_generator_repeats_the_file(name: str):
    """On any processor: the solver converges, so that differences in rounding do not grow."""
    again, bundled = solve(SPECS[name]()).motion(), native.read(motions_dir() / f"{name}.npz")
    np.testing.assert_allclose(again.root_pos, bundled.root_pos, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(again.root_quat, bundled.root_quat, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(again.dof_pos, bundled.dof_pos, rtol=0.0, atol=1e-6)
    assert (
        (again.name, again.fps, again.loop)
        == (bundled.name, bundled.fps, bundled.loop)
        == (name, 60.0, "turn" if name in TURNS else "clamp" if name in PARTS else "wrap")
    )


def test_cycle_closes_exactly_and_goes_on_as_it_began(clip):
    motion = clip.motion
    np.testing.assert_array_equal(motion.dof_pos[0], motion.dof_pos[-1])
    np.testing.assert_array_equal(motion.root_pos[0, 2], motion.root_pos[-1, 2])
    turn = Rotation.from_euler("z", motion.cycle_turn)
    again = (turn * Rotation.from_quat(motion.root_quat[:2], scalar_first=True)).as_quat(scalar_first=True)
    assert abs(again[0] @ motion.root_quat[-1]) == pytest.approx(1.0, abs=1e-12)
    again *= np.sign(np.sum(again * motion.root_quat[-1], axis=1, keepdims=True))
    for array, start in (
        (motion.root_pos, turn.apply(motion.root_pos[:2])),
        (motion.root_quat, again),
        (motion.dof_pos, motion.dof_pos[:2]),
    ):
        steps = np.diff(array, axis=0)
        inside = np.abs(np.diff(steps, axis=0)).max(axis=0)
        assert (np.abs(start[1] - start[0] - steps[-1]) <= 1.5 * inside + 1e-9).all()


def test_feet_neither_slide_nor_sink_and_nothing_else_touches(clip, model):
    assert clip.demands.slip < 0.01
    shapes, clearance = floor_clearance(model, clip.motion.qpos)
    soles = np.array(["_sole_" in shape for shape in shapes])
    assert clearance[:, soles].min() > -1e-4
    assert clearance[:, ~soles].min() > 0.005


def test_motors_are_strong_and_fast_enough(clip, model):
    low, high = model.jnt_range[1:].T
    assert np.minimum(clip.motion.dof_pos - low, high - clip.motion.dof_pos).min() > np.radians(1.0)
    assert clip.demands.torque_share.max() <= 1.0, clip.demands.summary()
    assert (clip.demands.torque_share.mean(axis=0) < 0.6).all()
    assert np.abs(clip.demands.dynamics.qvel[:, 6:]).max() < 16.0  # rad/s
    assert np.abs(clip.demands.dynamics.qacc[:, 6:]).max() < 500.0  # rad/s^2


def test_floor_can_push_as_the_motion_needs(clip):
    """Pushes of the touching sole spheres, within their friction cones, explain the motion."""
    force, moment = np.hsplit(clip.demands.missing, 2)
    assert np.linalg.norm(force, axis=1).max() < 15.0  # N, of 353 N weight
    assert np.linalg.norm(moment, axis=1).max() < 7.0  # N m
    assert np.nanmax(clip.demands.zmp_outside) < 0.015
    assert clip.demands.dynamics.force[:, 2].min() > -0.1 * 353.0  # nothing pulls


def test_torques_played_blindly_carry_the_robot_along(clip):
    """Forward physics, contacts and all: the torques and soft springs, with nothing that keeps balance.

    Landings are sensitive: from one start in the run, an error of 1e-11 rad at a landing becomes 0.1 m, so of
    the run only the median of the starts is held to the others' kind of limit.
    """
    physics_hz, seconds = 480, 0.7
    model = load_mjcf(visuals=False, physics_hz=physics_hz)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION
    limit, rate = effort_limits(model), 2.0 * np.pi * 10.0
    stiffness, damping = model.dof_armature[6:] * rate**2, 4.0 * model.dof_armature[6:] * rate
    dynamics, count = clip.demands.dynamics, len(clip.demands.torque)
    table = np.concatenate([clip.demands.torque, dynamics.qpos[:, 7:], dynamics.qvel[:, 6:]], axis=1)
    table = np.concatenate([table, table[:1]])
    data = mujoco.MjData(model)
    distances = []
    for start in np.linspace(0, count, 5, endpoint=False).astype(int):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = dynamics.qpos[start], dynamics.qvel[start]
        for step in range(round(seconds * physics_hz)):
            frame, share = divmod(start + step * clip.motion.fps / physics_hz, 1.0)
            row = int(frame) % count
            torque, angle, rates = np.split((1.0 - share) * table[row] + share * table[row + 1], 3)
            pull = stiffness * (angle - data.qpos[7:]) + damping * (rates - data.qvel[6:])
            data.qfrc_applied[6:] = np.clip(torque + pull, -limit, limit)
            mujoco.mj_step(model, data)
        end = start + round(seconds * clip.motion.fps)
        wished = sampled(clip.motion, np.array([end / clip.motion.fps]))[0, :3]
        distances.append(float(np.linalg.norm(data.qpos[:3] - wished)))
    assert np.median(distances) < 0.15, distances
    farthest = {"run": 0.3} | dict.fromkeys(TURNS, 0.08)
    assert max(distances) < farthest.get(clip.motion.name, 0.06), distances


def test_bodies_keep_clear_of_each_other(clip, model):
    """Arms against trunk, thighs and each other, leg against leg."""
    names = [model.geom(geom).name for geom in range(model.ngeom)]
    arms = [name for name in names if any(part in name for part in ("elbow_yaw", "wrist_coll", "hand_coll"))]
    trunk = [
        "torso",
        "pelvis",
        "head",
        *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "thigh")),
    ]
    pairs = [(arm, f"{part}_collision") for arm in arms for part in trunk]
    pairs += [(a, b) for a in arms for b in arms if a.startswith("left") and b.startswith("right")]
    legs = ("thigh", "shin", "linkage_brace")
    pairs += [(f"left_{a}_collision", f"right_{b}_collision") for a in legs for b in legs]
    soles = [name for name in names if "_sole_" in name]
    pairs += [(a, b) for a in soles for b in soles if a.startswith("left") and b.startswith("right")]
    assert len(pairs) > 60
    ids = [(model.geom(a).id, model.geom(b).id) for a, b in pairs]
    data = mujoco.MjData(model)
    for qpos in clip.demands.dynamics.qpos[::4]:
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        gaps = [mujoco.mj_geomDistance(model, data, a, b, 0.1, None) for a, b in ids]
        assert min(gaps) > 0.005, pairs[int(np.argmin(gaps))]


@pytest.mark.parametrize(("name", "speed"), [("slow_walk", 0.55), ("walk", 0.9), ("fast_walk", 1.2)])
def test_walks_go_straight_at_their_speed_with_a_foot_always_down(clips, name: str, speed: float):
    clip = clips[name]
    np.testing.assert_allclose(clip.velocity, [speed, 0.0, 0.0], atol=1e-6)
    touching = clip.demands.touching
    both = touching[:, LEFT].any(axis=1) & touching[:, RIGHT].any(axis=1)
    assert (touching.any(axis=1)).all()
    assert 0.1 < both.mean() < 0.4
    assert clip.low[:, 0].max() > 0.02


@pytest.mark.parametrize(("name", "turn"), [("turn_left", 30.0), ("turn_right", -30.0)])
def test_turning_walks_go_round_a_circle_with_a_foot_always_down(clips, name: str, turn: float):
    clip = clips[name]
    assert np.degrees(clip.motion.cycle_turn) == pytest.approx(turn, abs=1e-9)
    ring = sampled(clip.motion, np.linspace(0.0, 12.0 * clip.motion.length, 841))[:, :2]
    np.testing.assert_allclose(ring[-1], ring[0], atol=1e-7)
    radius = np.linalg.norm(ring - ring[:-1].mean(axis=0), axis=1)
    np.testing.assert_allclose(radius, 12.0 * 0.8 * clip.motion.length / (2.0 * np.pi), atol=0.07)
    touching = clip.demands.touching
    both = touching[:, LEFT].any(axis=1) & touching[:, RIGHT].any(axis=1)
    assert touching.any(axis=1).all()
    assert 0.1 < both.mean() < 0.4
    outer, inner = np.moveaxis(clip.demands.soles[:, [3, 7] if turn < 0.0 else [7, 3], :2], 1, 0)
    ways = [np.linalg.norm(np.diff(way, axis=0), axis=1).sum() for way in (outer, inner)]
    assert ways[0] > 1.05 * ways[1]


def test_punch_goes_straight_ahead_out_of_a_guard_over_feet_that_stay(clips):
    clip = clips["punch"]
    assert not clip.lifted.any()
    hand, other = np.moveaxis(clip.poses.of("right_wrist_yaw_link", "left_wrist_yaw_link"), 1, 0)
    hit = hand[:, 0].argmax()
    assert hand[hit, 0] - hand[0, 0] > 0.35
    assert clip.dof["right_elbow_joint"][hit] > 70.0
    assert 0.9 < hand[hit, 2] < 1.15
    forward = (np.roll(hand, -1, axis=0) - np.roll(hand, 1, axis=0))[:, 0] * 30.0
    assert forward.max() > 1.4
    guard = round(0.65 / clip.motion.length * len(hand))
    assert min(hand[guard, 2], other[guard, 2]) > 0.95


def test_start_and_stop_lead_from_a_stand_to_the_walk_and_back(clips, model):
    start, stop = (native.read(motions_dir() / f"{name}.npz") for name in PARTS)
    walk = clips["walk"].motion
    for motion, seam, stand in ((start, -1, 0), (stop, 0, -1)):
        report = validate(motion)
        assert (report.verdict, [f for f in report.findings if f.severity != "ok"]) == ("good", [])
        assert np.abs(np.degrees(motion.dof_pos[seam] - walk.dof_pos[0])).max() < 5.0
        assert abs(motion.root_pos[seam, 2] - walk.root_pos[0, 2]) < 0.005
        way = np.diff(motion.root_pos[:, 0]) * motion.fps
        assert way[seam] == pytest.approx((walk.root_pos[1, 0] - walk.root_pos[0, 0]) * walk.fps, abs=0.05)
        assert abs(way[stand]) < 0.03
        assert np.abs(np.diff(motion.dof_pos, axis=0))[stand].max() * motion.fps < 0.2
        soles = floor_clearance(model, motion.qpos)[1]
        assert soles.min() > -1e-4
    np.testing.assert_allclose(start.dof_pos[0], stop.dof_pos[-1], atol=1e-9)


def test_the_motion_from_which_start_and_stop_are_cut_is_possible(model):
    needed = demands(model, solve(standing_walk.start_walking()).cycle())
    assert needed.slip < 0.01
    assert needed.torque_share.max() <= 1.0
    assert np.nanmax(needed.zmp_outside) < 0.015
    force, moment = np.hsplit(needed.missing, 2)
    assert np.linalg.norm(force, axis=1).max() < 15.0  # N
    assert np.linalg.norm(moment, axis=1).max() < 7.0  # N m


def ballistic(clip, air) -> None:
    """In flight the centre of mass falls freely and angular momentum stays; by differences of frames."""
    fps, com = clip.motion.fps, clip.poses.com_pos
    acceleration = (com[2:] - 2.0 * com[1:-1] + com[:-2]) * fps**2
    free = air[2:] & air[1:-1] & air[:-2]
    assert free.sum() >= 3
    np.testing.assert_allclose(acceleration[free], np.tile([0.0, 0.0, -GRAVITY], (free.sum(), 1)), atol=0.5)
    dynamics = clip.demands.dynamics
    spin = dynamics.moment - np.cross(com, dynamics.force)
    assert np.abs(spin[1:-1][free]).max() < 8.0  # N m


def test_run_flies_between_steps_and_never_stands_on_both_feet(clips):
    clip = clips["run"]
    np.testing.assert_allclose(clip.velocity, [2.1, 0.0, 0.0], atol=1e-6)
    air = ~clip.demands.touching.any(axis=1)
    assert 0.15 < air.mean() < 0.35
    assert not (
        clip.demands.touching[:, LEFT].any(axis=1) & clip.demands.touching[:, RIGHT].any(axis=1)
    ).any()
    ballistic(clip, air)
    assert clip.dof["left_knee_joint"].max() > 90.0
    assert np.corrcoef(clip.dof["left_shoulder_pitch_joint"], clip.dof["right_hip_pitch_joint"])[0, 1] > 0.8


def test_jump_leaps_off_both_feet_and_lands_softly(clips):
    clip = clips["jump"]
    assert clip.velocity[0] * clip.motion.length == pytest.approx(0.3)
    assert clip.low.min(axis=1).max() > 0.05
    air = ~clip.demands.touching.any(axis=1)
    assert 0.25 < air.sum() / clip.motion.fps < 0.4
    ballistic(clip, air)
    start, end = np.flatnonzero(air)[[0, -1]]
    com, knee = clip.poses.com_pos[:, 2], clip.dof["left_knee_joint"]
    assert knee[:start].max() > 80.0  # crouches before
    assert knee[end:].max() > 70.0  # gives way after
    assert com[end : end + 30].min() < com[end] - 0.12
    assert clip.demands.dynamics.force[:, 2].max() < 3.0 * 353.0
    assert np.ptp(clip.dof["left_shoulder_pitch_joint"][:start]) > 90.0  # the arms swing up


def test_side_step_goes_to_the_left_without_crossing_the_feet(clips):
    clip = clips["side_step"]
    np.testing.assert_allclose(clip.velocity * clip.motion.length, [0.0, 0.16, 0.0], atol=1e-6)
    assert np.abs(clip.yaw).max() < 5.0
    assert clip.lifted.any(axis=0).all()
    assert not clip.lifted.all(axis=1).any()
    left, right = (clip.demands.soles[:, foot, 1].mean(axis=1) for foot in (LEFT, RIGHT))
    assert (left - right).min() > 0.15
    assert (left - right).max() > 0.3


def test_turn_in_place_goes_once_round_on_the_spot(clips):
    clip = clips["turn_in_place"]
    assert np.ptp(np.unwrap(clip.yaw, period=360.0)[[0, -1]]) == pytest.approx(360.0)
    assert np.abs(clip.motion.root_pos[-1] - clip.motion.root_pos[0]).max() < 1e-9
    middle = clip.motion.root_pos[:, :2].mean(axis=0)
    assert np.linalg.norm(clip.motion.root_pos[:, :2] - middle, axis=1).max() < 0.1
    for foot in (0, 1):
        assert np.sum(np.diff(clip.lifted[:, foot].astype(int)) == 1) == 6


def test_squat_takes_the_pelvis_down_over_feet_that_stay(clips):
    clip = clips["squat"]
    assert np.ptp(clip.motion.root_pos[:, 2]) > 0.3
    assert clip.demands.touching.all()
    assert clip.dof["left_knee_joint"].max() > 110.0
    assert clip.dof["left_knee_joint"].min() < 20.0
    np.testing.assert_allclose(clip.dof["left_knee_joint"], clip.dof["right_knee_joint"], atol=0.1)


def test_kick_chambers_the_knee_and_snaps_over_a_foot_that_stays(clips):
    clip = clips["kick"]
    assert clip.demands.touching[:, LEFT].all()
    assert clip.low[:, 1].max() > 0.45
    highest, knee = clip.low[:, 1].argmax(), clip.dof["right_knee_joint"]
    assert knee[highest] < 30.0
    assert knee[highest - 20 : highest].max() > 95.0
    assert knee[highest : highest + 20].max() > 80.0
    thigh = clip.dof["right_hip_pitch_joint"]
    assert thigh[highest] < -75.0


def statue(clip, frames: int = 12):
    """The squat's first pose, held."""
    motion = clip.motion
    arrays = {
        name: np.repeat(getattr(motion, name)[:1], frames, axis=0)
        for name in ("root_pos", "root_quat", "dof_pos")
    }
    return edited(motion, **arrays)


def test_throw_lets_a_ball_go_that_lands_in_front_of_feet_that_stay(clips):
    clip = clips["throw"]
    assert not clip.lifted.any()
    hand, other = np.moveaxis(clip.poses.of("right_wrist_yaw_link", "left_wrist_yaw_link"), 1, 0)
    velocity = (np.roll(hand, -1, axis=0) - np.roll(hand, 1, axis=0)) * 30.0
    release = round(0.42 * len(hand))
    height, climb = hand[release, 2], velocity[release, 2]
    assert climb > 1.0
    time = (climb + np.sqrt(climb**2 + 2.0 * GRAVITY * height)) / GRAVITY
    landing = hand[release, :2] + time * velocity[release, :2]
    assert 2.5 < landing[0] < 3.5
    assert abs(landing[1]) < 0.5
    assert np.ptp(other, axis=0).max() < 0.25


def test_demands_of_a_statue_are_its_weight_under_its_centre_of_mass(clips, model):
    still = demands(model, statue(clips["squat"]))
    weight = model.body_mass.sum() * GRAVITY
    np.testing.assert_allclose(still.dynamics.force, np.tile([0.0, 0.0, weight], (11, 1)), atol=1e-6)
    np.testing.assert_allclose(still.dynamics.zmp, clips["squat"].poses.com_pos[[0] * 11, :2], atol=1e-9)
    np.testing.assert_allclose(still.missing, 0.0, atol=0.05)  # N, N m; a little torque is saved so
    assert (still.zmp_outside < 1e-9).all()
    assert still.slip == 0.0


def test_demands_find_a_lean_beyond_the_feet_and_a_sliding_foot(clips, model):
    motion = statue(clips["squat"])
    turn = Rotation.from_euler("Y", 40.0, degrees=True)
    pivot = demands(model, motion).soles[0, 2] * [1.0, 0.0, 1.0]  # under the left toes
    quat = turn * Rotation.from_quat(motion.root_quat, scalar_first=True)
    leaning = edited(
        motion,
        root_pos=turn.apply(motion.root_pos - pivot) + pivot,
        root_quat=quat.as_quat(scalar_first=True),
    )
    found = demands(model, leaning)
    toes = found.soles[0, found.touching[0], 0].max()
    assert found.zmp_outside[0] == pytest.approx(found.dynamics.zmp[0, 0] - toes, abs=1e-6)
    assert found.zmp_outside[0] > 0.2
    assert np.linalg.norm(found.missing[0]) > 50.0
    wave = 0.02 * np.sin(2.0 * np.pi * np.arange(12) / 11)
    sliding = edited(motion, root_pos=motion.root_pos + np.outer(wave, [1.0, 0.0, 0.0]))
    assert demands(model, sliding).slip == pytest.approx(np.abs(wave).max(), abs=1e-4)


def test_two_keys_on_a_parabola_are_a_free_fall():
    t, flight, rise = np.linspace(0.0, 0.999, 200), 0.4, 1.5
    drop = rise * flight - 0.5 * GRAVITY * flight**2
    keys = [(0.1, 0.7, rise, -GRAVITY), (0.5, 0.7 + drop, rise - GRAVITY * flight, -GRAVITY)]
    height, since = ease(t, 1.0, keys), t - 0.1
    flying = (since >= 0.0) & (since <= flight)
    expected = 0.7 + rise * since - 0.5 * GRAVITY * since**2
    np.testing.assert_allclose(height[flying], expected[flying], atol=1e-12)


def test_a_planned_foot_turns_about_toes_that_stand_still():
    t = np.arange(100) / 100
    path = foot_path(t, 1.0, (0.1, 0.2, 10.0), [Step(0.4, 0.7, 0.3, 0.2, 30.0, peel=20.0)])
    toes = path.pos + path.mat @ np.array([sole().toe[0], 0.0, sole().toe[1]])
    heels = path.pos + path.mat @ np.array([sole().heel[0], 0.0, sole().heel[1]])
    before, after = t <= 0.4, t >= 0.7
    assert np.ptp(toes[before], axis=0).max() < 1e-12
    assert np.ptp(toes[after], axis=0).max() < 1e-12
    np.testing.assert_allclose(toes[path.stands, 2], sole().radius, atol=1e-12)
    assert toes[~path.stands, 2].min() > sole().radius
    assert heels[:, 2].min() > sole().radius - 1e-12
    assert heels[40, 2] > sole().radius + 0.05
