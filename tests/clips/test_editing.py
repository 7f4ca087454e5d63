"""Edits of clips against closed forms, MuJoCo's kinematics and SciPy's rotations."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.clips import editing, loop_closing
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics
from mjx_mimic.robot.mjcf import load_mjcf

KNEE = G1_JOINTS.index("left_knee_joint")


def clip(frames: int, fps: float, loop: str = "clamp", spin: float = 0.0, **fields) -> Motion:
    """A robot that stands still at 0.8 m, turning at `spin` rad/s about an oblique axis."""
    time = np.arange(frames) / fps
    turn = Rotation.from_rotvec(np.outer(spin * time, [0.6, 0.0, 0.8]))
    standing = {
        "name": "clip",
        "fps": fps,
        "root_pos": np.tile([0.0, 0.0, 0.8], (frames, 1)),
        "root_quat": turn.as_quat(scalar_first=True),
        "dof_pos": np.zeros((frames, 29)),
        "joint_names": G1_JOINTS,
        "loop": loop,
        "source": "test",
    }
    return make_motion(**standing | fields)


def knee(angle: np.ndarray) -> np.ndarray:
    """(T, 29) with the left knee at `angle` (T,)."""
    return np.outer(angle, np.eye(29)[KNEE])


def angle_between(left: np.ndarray, right: np.ndarray) -> float:
    """Largest angle, rad, between two sequences of quaternions (T, 4) wxyz."""
    pair = [Rotation.from_quat(quat, scalar_first=True) for quat in (left, right)]
    return float((pair[0].inv() * pair[1]).magnitude().max())


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_mjcf(visuals=False)


@pytest.fixture(scope="module")
def walk() -> Motion:
    return load_motion("walk")


# Resampling


@pytest.mark.parametrize("fps", [24.0, 25.0, 60.0, 100.0, 240.0])
def test_constant_rates_are_resampled_exactly(fps):
    frames = 51
    time = np.arange(frames) / 50.0
    motion = clip(
        frames,
        50.0,
        spin=3.0,
        root_pos=np.array([0.0, 0.0, 0.8]) + np.outer(time, [1.0, -2.0, 0.1]),
        dof_pos=knee(0.7 * time),
    )
    new = editing.resampled(motion, fps)
    assert new.fps == fps
    assert new.num_frames == int(1.0 * fps) + 1
    time = np.arange(new.num_frames) / fps
    way = np.outer(time, [1.0, -2.0, 0.1])
    np.testing.assert_allclose(new.root_pos - [0.0, 0.0, 0.8], way, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new.dof_pos[:, KNEE], 0.7 * time, rtol=0, atol=1e-12)
    exact = Rotation.from_rotvec(np.outer(3.0 * time, [0.6, 0.0, 0.8])).as_quat(scalar_first=True)
    assert angle_between(new.root_quat, exact) < 1e-7


def test_a_sine_is_resampled_within_the_error_of_linear_interpolation():
    time = np.arange(101) / 100.0
    new = editing.resampled(clip(101, 100.0, dof_pos=knee(np.sin(2 * np.pi * time))), 70.0)
    error = new.dof_pos[:, KNEE] - np.sin(2 * np.pi * np.arange(71) / 70.0)
    bound = (2 * np.pi) ** 2 / 100.0**2 / 8.0  # second derivative times step^2 / 8
    assert 0.5 * bound < np.abs(error).max() < 1.01 * bound


def test_rotations_are_resampled_as_by_scipy(walk):
    rng = np.random.default_rng(0)
    turn = Rotation.from_rotvec(np.cumsum(rng.normal(0.0, 0.3, (20, 3)), axis=0))
    motion = clip(20, 30.0, root_quat=turn.as_quat(scalar_first=True))
    new = editing.resampled(motion, 77.0)
    expected = Slerp(np.arange(20) / 30.0, turn)(np.arange(new.num_frames) / 77.0)
    assert angle_between(new.root_quat, expected.as_quat(scalar_first=True)) < 1e-7


@pytest.mark.parametrize("fps", [25.0, 30.0, 37.0, 120.0])
def test_a_cyclic_clip_keeps_its_period_and_closes(walk, fps):
    new = editing.resampled(walk, fps)
    assert new.loop == "wrap"
    assert new.length == pytest.approx(walk.length, rel=1e-14)
    assert abs(new.fps - fps) <= 0.5 / walk.length
    for field in ("root_pos", "root_quat", "dof_pos"):
        np.testing.assert_array_equal(getattr(new, field)[[0, -1]], getattr(walk, field)[[0, -1]])


def test_the_asked_rate_is_kept_where_it_fits_the_period(walk):
    assert walk.length == pytest.approx(1.1)
    for fps in (10.0, 30.0, 60.0, 120.0):
        assert editing.resampled(walk, fps).fps == fps
    same = editing.resampled(walk, 60.0)
    assert same.digest == walk.digest


def test_a_whole_rate_is_whole(walk):
    assert editing.resampled(walk, 29.97).fps == 30.0  # 33 intervals in 1.1 s


def test_limits_are_accepted_as_they_are_stated():
    long, short = clip(3705, 30.0), clip(87, 30.0)  # of 123.4667 s and 2.8667 s
    with pytest.raises(UserError, match=r"end <= 123\.466 s"):
        editing.cut(long, 1.0, 123.5)
    assert editing.cut(long, 1.0, 123.466).num_frames == 3675
    with pytest.raises(UserError, match=r"give 0 to 2\.866 s, what the shorter one lasts"):
        editing.joined(short, short, 2.867)
    assert editing.joined(short, short, 2.866).num_frames == 173


def test_clips_are_joined_alike_whether_they_float_or_not(walk):
    squat = load_motion("squat")
    standing = editing.joined(walk, squat, 0.3)
    floating = editing.joined(editing.lifted(walk, 0.05), editing.lifted(squat, 0.05), 0.3)
    np.testing.assert_allclose(floating.qpos, standing.qpos + 0.05 * np.eye(36)[2], atol=1e-9)


def test_a_clip_that_ends_has_no_cycles(walk):
    with pytest.raises(UserError, match="loop is 'clamp', so there are no cycles; convert with --make"):
        editing.cycles(editing.with_loop(walk, "clamp"), 3)


def test_a_clip_that_ends_loses_less_than_a_frame():
    motion = clip(31, 30.0)
    new = editing.resampled(motion, 7.3)
    assert 0.0 <= motion.length - new.length < 1.0 / 7.3


@pytest.mark.parametrize("fps", [0.0, -30.0, np.nan, np.inf, 1e5, 0.4])
def test_impossible_rates_are_refused(walk, fps):
    for motion in (walk, editing.with_loop(walk, "clamp")):
        with pytest.raises(UserError, match="fps is"):
            editing.resampled(motion, fps)


def test_later_cycles_go_on_where_the_first_one_ends(walk):
    time = np.array([0.3, 0.3 + walk.length, 0.3 + 5 * walk.length])
    first, second, sixth = editing.sampled(walk, time)
    np.testing.assert_allclose(second[3:], first[3:], rtol=0, atol=1e-9)
    np.testing.assert_allclose((second - first)[:3], [0.99, 0.0, 0.0], rtol=0, atol=1e-9)
    np.testing.assert_allclose((sixth - first)[:3], [5 * 0.99, 0.0, 0.0], rtol=0, atol=1e-9)
    held = editing.sampled(editing.with_loop(walk, "clamp"), np.array([walk.length, 9.0]))
    np.testing.assert_array_equal(held[1], held[0])


@pytest.mark.parametrize("name", ["g1_walk", "g1_run", "g1_spinkick"])
def test_sampling_agrees_with_mimickit(shared, anchors, name):
    motion = load_motion(shared / "motions" / "mimickit" / f"{name}.pkl")
    vectors = anchors["clips"][name]["reference"]
    # At a whole number of periods MimicKit shows the first frame, this the last one.
    time = np.array(vectors["time"])
    inside = np.abs(time / motion.length - np.round(time / motion.length)) > 1e-5
    assert inside.sum() >= 8
    qpos = editing.sampled(motion, time[inside])
    np.testing.assert_allclose(qpos[:, :3], np.array(vectors["root_pos"])[inside], rtol=0, atol=1e-4)
    # MimicKit's slerp takes neighbours that differ by less than 0.0023 rad for equal.
    np.testing.assert_allclose(qpos[:, 7:], np.array(vectors["dof_pos"])[inside], rtol=0, atol=2e-3)
    quaternion = np.roll(np.array(vectors["root_rot"]), 1, axis=-1)[inside]
    assert angle_between(qpos[:, 3:7], quaternion) < 2e-3


# Cutting, declaring, naming


def test_a_cut_keeps_the_frames_between_its_ends(walk):
    part = editing.cut(walk, 0.25, 0.75)
    assert part.loop == "clamp"
    np.testing.assert_array_equal(part.dof_pos, walk.dof_pos[15:46])
    np.testing.assert_array_equal(part.root_pos, walk.root_pos[15:46])
    assert editing.cut(walk, 0.25).num_frames == 52
    assert editing.cut(walk).digest == walk.digest  # all of it is still cyclic


@pytest.mark.parametrize(
    ("start", "end"),
    [(0.5, 0.5), (0.8, 0.2), (-0.2, 0.5), (0.2, 1.2), (2.0, None), (0.5, 0.507), (np.nan, 1.0)],
)
def test_cuts_outside_the_clip_are_refused(walk, start, end):
    with pytest.raises(UserError, match=r"start and end|one frame"):
        editing.cut(walk, start, end)


def test_names_and_loops_change_nothing_else(walk):
    assert editing.named(walk, "gait").name == "gait"
    assert editing.named(walk, "gait").digest == walk.digest
    held = editing.with_loop(walk, "clamp")
    assert held.loop == "clamp"
    np.testing.assert_array_equal(held.dof_pos, walk.dof_pos)
    assert editing.named(walk, "a\u3000b\n\u200b").name == "a b"
    assert editing.named(walk, "").name == "clip"


# Mirroring


def test_mirroring_twice_changes_nothing(walk):
    noise = np.random.default_rng(1).normal(0, 0.002, (67, 36))
    motion = editing.edited(walk, qpos=walk.qpos + noise)
    twice = editing.mirrored(editing.mirrored(motion))
    np.testing.assert_allclose(twice.qpos, motion.qpos, rtol=0, atol=1e-12)


def test_bodies_of_the_mirrored_clip_are_the_other_sides_reflected(model):
    rng = np.random.default_rng(2)
    turn = Rotation.random(5, random_state=3)
    motion = clip(
        5,
        30.0,
        root_pos=rng.normal(size=(5, 3)),
        root_quat=turn.as_quat(scalar_first=True),
        dof_pos=rng.uniform(-0.5, 0.5, (5, 29)),
    )
    here, there = (forward_kinematics(model, m.qpos) for m in (motion, editing.mirrored(motion)))
    swap = {"left": "right", "right": "left"}
    for name in here.body_names:
        side, _, link = name.partition("_")
        opposite = f"{swap[side]}_{link}" if side in swap else name
        # Left and right links differ by hundredths of a millimetre in the published figures.
        np.testing.assert_allclose(
            there.of(opposite), here.of(name) * [1.0, -1.0, 1.0], rtol=0, atol=1e-4, err_msg=name
        )


# Lifting


@pytest.mark.parametrize("offset", [-0.07, 0.4])
def test_an_automatic_lift_puts_the_lowest_point_on_the_floor(model, walk, offset):
    lifted = editing.lifted(editing.lifted(walk, offset))
    _, clearance = floor_clearance(model, lifted.qpos)
    assert clearance.min() == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_array_equal(lifted.dof_pos, walk.dof_pos)


def test_a_lift_by_hand_raises_the_root_alone(walk):
    lifted = editing.lifted(walk, 0.25)
    np.testing.assert_allclose(lifted.root_pos - walk.root_pos, np.tile([0, 0, 0.25], (67, 1)), atol=1e-15)
    with pytest.raises(UserError, match="finite"):
        editing.lifted(walk, np.inf)


# Smoothing


@pytest.mark.parametrize("loop", ["wrap", "clamp"])
def test_smoothing_keeps_the_constant_and_halves_the_cutoff(loop):
    time = np.arange(401) / 100.0
    for frequency, left in ((0.25, 1.0), (5.0, 0.5), (20.0, 0.0)):
        angle = 0.4 + 0.1 * np.sin(2 * np.pi * frequency * time)
        new = editing.smoothed(clip(401, 100.0, loop, dof_pos=knee(angle)), 5.0)
        middle = slice(100, 301)  # away from the ends of a clip that has some
        expected = 0.4 + left * (angle - 0.4)
        np.testing.assert_allclose(new.dof_pos[middle, KNEE], expected[middle], rtol=0, atol=2e-4)
        assert new.root_pos == pytest.approx(np.tile([0.0, 0.0, 0.8], (401, 1)), abs=1e-9)


def test_a_cyclic_clip_is_smoothed_across_its_seam(walk):
    new = editing.smoothed(walk, 6.0)
    twice = editing.edited(walk, qpos=editing.sampled(walk, np.arange(4 * 66 + 1) / 60.0), fps=60.0)
    long = editing.smoothed(editing.with_loop(twice, "clamp"), 6.0)
    np.testing.assert_allclose(new.qpos[:, 3:], long.qpos[66:133, 3:], rtol=0, atol=2e-5)
    np.testing.assert_allclose(np.diff(new.root_pos[[0, -1]], axis=0), [[0.99, 0.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(new.dof_pos[-1], new.dof_pos[0], rtol=0, atol=1e-12)
    assert np.abs(new.dof_pos - walk.dof_pos).max() > 0.01  # it does something


@pytest.mark.parametrize("loop", ["wrap", "clamp"])
def test_a_steady_spin_is_left_alone_and_a_shake_of_it_is_not(loop):
    """One full turn a clip: the quaternion comes back with the other sign."""
    time = np.arange(201) / 100.0
    axis = np.array([0.6, 0.0, 0.8])
    steady = Rotation.from_rotvec(np.outer(np.pi * time, axis))
    shake = Rotation.from_rotvec(np.outer(0.05 * np.sin(2 * np.pi * 25.0 * time), [1.0, 0.0, 0.0]))
    inside = slice(60, 141)
    for turn in (steady, steady * shake):
        motion = clip(201, 100.0, loop, root_quat=turn.as_quat(scalar_first=True))
        new = editing.smoothed(motion, 5.0)
        where = slice(None) if loop == "wrap" else inside
        exact = steady.as_quat(scalar_first=True)
        assert angle_between(new.root_quat[where], exact[where]) < 1e-3


def test_smoothing_keeps_the_gap_at_the_seam():
    angle = np.linspace(0.0, 0.2, 101)
    motion = clip(101, 100.0, "wrap", spin=0.1, dof_pos=knee(angle))
    new = editing.smoothed(motion, 5.0)
    np.testing.assert_allclose(new.qpos, motion.qpos, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, 30.0, 100.0, np.nan])
def test_impossible_cutoffs_are_refused(walk, cutoff):
    with pytest.raises(UserError, match="cutoff"):
        editing.smoothed(walk, cutoff)


def test_the_shortest_clip_can_be_edited():
    for loop in ("wrap", "clamp"):
        motion = clip(2, 30.0, loop, spin=0.1)
        for new in (editing.smoothed(motion, 5.0), editing.resampled(motion, 90.0), editing.mirrored(motion)):
            assert np.isfinite(new.qpos).all()


# Making cyclic


def strolled(walk: Motion, cycles: float, noise: float, turn: float, start: float = 0.37) -> Motion:
    """`cycles` of the walk at 50 frames/s with noise (rad), on an arc that turns by `turn` rad a cycle."""
    time = start + np.arange(int(cycles * walk.length * 50) + 1) / 50.0
    qpos = editing.sampled(walk, time)
    heading = Rotation.from_rotvec(np.outer(turn * time / walk.length, [0.0, 0.0, 1.0]))
    quat = heading * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
    qpos[:, 3:7] = quat.as_quat(scalar_first=True)
    qpos[1:, :3] = qpos[0, :3] + np.cumsum(heading[1:].apply(np.diff(qpos[:, :3], axis=0)), axis=0)
    qpos[:, 7:] += np.random.default_rng(4).normal(0.0, noise, qpos[:, 7:].shape)
    return editing.with_loop(editing.edited(walk, qpos=qpos, fps=50.0), "clamp")


@pytest.mark.parametrize(("noise", "turn"), [(0.0, 0.0), (0.005, 0.0), (0.01, 0.1), (0.02, -0.2)])
def test_the_cycle_of_a_long_walk_is_found_and_closed(walk, noise, turn):
    motion = strolled(walk, 3.4, noise, turn)
    loop = loop_closing.find_loop(motion)
    assert (loop.last - loop.first) / 50.0 == pytest.approx(walk.length, abs=0.021)
    assert loop.turn == pytest.approx(turn, abs=0.02)
    closed = loop_closing.made_cyclic(motion)
    assert closed.loop == "wrap"
    np.testing.assert_array_equal(closed.dof_pos[-1], closed.dof_pos[0])
    np.testing.assert_array_equal(closed.root_quat[-1], closed.root_quat[0])
    assert closed.root_pos[-1, 2] == closed.root_pos[0, 2]
    assert np.linalg.norm(closed.root_pos[-1] - closed.root_pos[0]) == pytest.approx(0.99, abs=0.03)
    # The seam is no rougher than the rest of the recording.
    change = np.diff(np.concatenate([closed.dof_pos, closed.dof_pos[1:3]]), 2, axis=0)
    assert np.abs(change[-2:]).max() <= 1.3 * np.abs(np.diff(motion.dof_pos, 2, axis=0)).max()


def test_a_straightened_cycle_walks_where_it_looks(walk):
    """Of a walk on an arc, neither the heading nor the way relative to it may turn over the cycles."""
    closed = loop_closing.made_cyclic(strolled(walk, 3.4, 0.0, 0.25))
    qpos = editing.sampled(closed, np.arange(0.0, 4.0 * closed.length, 0.02))
    heading = Rotation.from_quat(qpos[:, 3:7], scalar_first=True).as_euler("ZYX")[:, 0]
    way = np.diff(closed.root_pos[[0, -1]], axis=0)[0]
    assert np.ptp(heading) < np.radians(14.0)  # the pelvis yaws by some degrees within a step
    assert np.arctan2(way[1], way[0]) == pytest.approx(np.mean(heading), abs=0.05)


def test_closing_corrects_value_and_slope_of_a_drifting_clip():
    """sin plus a drift: what is left must be smooth in angle and rate, the ends of the clip included."""
    time = np.arange(201) / 100.0
    angle = 0.5 * np.sin(2 * np.pi * time) + 0.02 * time**2
    closed = loop_closing.made_cyclic(clip(201, 100.0, dof_pos=knee(angle)))
    assert closed.length == pytest.approx(1.0, abs=0.035)
    rate = np.diff(np.concatenate([closed.dof_pos[:, KNEE], closed.dof_pos[1:3, KNEE]])) * 100.0
    assert np.abs(np.diff(rate)).max() < 1.6 * 0.5 * (2 * np.pi) ** 2 / 100.0


def test_clips_without_a_cycle_are_refused(walk):
    time = np.arange(200) / 50.0
    reach = clip(200, 50.0, dof_pos=knee(0.4 * time))  # goes one way for ever
    with pytest.raises(UserError, match="gap of"):
        loop_closing.made_cyclic(reach)
    with pytest.raises(UserError, match="gap of"):
        loop_closing.made_cyclic(clip(200, 50.0))  # stands still
    with pytest.raises(UserError, match=r"needs more than 0\.4 s"):
        loop_closing.made_cyclic(editing.cut(walk, 0.0, 0.3))
    with pytest.raises(UserError, match="too many to search for a cycle; cut the clip to 66 s at most"):
        loop_closing.find_loop(clip(6001, 30.0))
