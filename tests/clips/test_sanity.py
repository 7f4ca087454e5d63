"""Units and orders that are wrong are recognised; genuine clips, odd ones too, are not suspected."""

from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import ISAACLAB_JOINTS, walk
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import (
    cut,
    edited,
    lifted,
    mirrored,
    raised_from,
    resampled,
    sampled,
    stored_as,
    with_loop,
    without_repeats,
)
from mjx_mimic.clips.findings import Finding
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.orders import better_order
from mjx_mimic.clips.sanity import (
    TURN,
    breadth_first_joints,
    check_metres,
    check_radians,
    check_rate,
    link_positions,
    links,
    whole_turns,
)
from mjx_mimic.clips.validation import validate
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

TO_BREADTH = [G1_JOINTS.index(name) for name in ISAACLAB_JOINTS]


def turned(motion: Motion, yaw: float) -> Motion:
    """The clip facing elsewhere."""
    turn = Rotation.from_euler("z", yaw, degrees=True)
    quaternion = (turn * Rotation.from_quat(clip_files.xyzw(motion))).as_quat(scalar_first=True)
    return edited(motion, root_pos=turn.apply(motion.root_pos), root_quat=quaternion)


def backwards(motion: Motion) -> Motion:
    """The clip played from its end."""
    fields = {name: getattr(motion, name)[::-1] for name in ("root_pos", "root_quat", "dof_pos")}
    return edited(motion, **fields)


def frozen(motion: Motion) -> Motion:
    """Its first frame, ten times."""
    fields = {name: np.repeat(getattr(motion, name)[:1], 10, axis=0) for name in ("root_pos", "dof_pos")}
    return edited(motion, root_quat=np.repeat(motion.root_quat[:1], 10, axis=0), loop="clamp", **fields)


@pytest.fixture(params=["walk", "g1_walk", "g1_run", "g1_spinkick", "g1_cartwheel"])
def genuine(request) -> Motion:
    """A clip known to be good: the bundled one, and MimicKit's, with kicks, flights and handstands."""
    if request.param == "walk":
        return load_motion("walk")
    folder = Path(__file__).parents[3] / "shared" / "motions" / "mimickit"
    if not folder.exists():
        pytest.skip(f"MimicKit's clips are not here: {folder}")
    return load_motion(folder / f"{request.param}.pkl")


def check_units(motion: Motion) -> None:
    """What every clip that is read goes through."""
    check_metres(motion.root_pos, "root_pos", "clip")
    check_radians(motion.dof_pos - TURN * whole_turns(motion.dof_pos), "dof_pos", "clip")


def complaint(motion: Motion) -> str:
    """The message of the refusal of `motion`."""
    with pytest.raises(UserError) as caught:
        check_units(motion)
    return str(caught.value)


def accepts(motion: Motion) -> bool:
    """Whether `motion` is not refused, unchanged, and nothing in it looks to be in another order."""
    check_units(motion)
    assert not whole_turns(motion.dof_pos).any()
    return better_order(motion) is None


def finding(motion: Motion, check: str) -> Finding:
    (found,) = [found for found in validate(motion).findings if found.check == check]
    return found


def accepts_rate(positions: np.ndarray, velocities: np.ndarray, fps: float) -> bool:
    """Whether the velocities are taken to be those of positions at `fps`."""
    try:
        check_rate(positions, velocities, fps, "qvel", "clip")
    except UserError:
        return False
    return True


# --- no false alarm -------------------------------------------------------------------------------------


def test_genuine_clips_are_not_suspected(genuine):
    for motion in (
        genuine,
        mirrored(genuine),
        backwards(genuine),
        frozen(genuine),
        lifted(genuine, 0.3),
        lifted(genuine, -0.3),
        *(turned(genuine, yaw) for yaw in (45, 90, 135, 180, 270)),
        *(resampled(genuine, fps) for fps in (15, 30, 100)),
        *(cut(genuine, start, start + 0.2) for start in np.linspace(0, genuine.length - 0.2, 6)),
        *(cut(genuine, start, start + 0.5) for start in np.linspace(0, genuine.length - 0.5, 4)),
    ):
        assert accepts(motion)


def test_all_bundled_clips_are_read():
    names = paths.bundled_clips()
    assert names
    assert [load_motion(name).name for name in names] == list(names)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_robot_that_lies_on_the_floor_and_rolls_is_not_suspected(axis, sign):
    """On its back, front and sides, with the arms and legs moving."""
    motion = walk()
    down = Rotation.from_euler(axis, 90 * sign, degrees=True)
    roll = Rotation.from_euler("z", np.linspace([0.0], [40.0], motion.num_frames), degrees=True)
    quaternion = (roll * down).as_quat(scalar_first=True)
    height = np.full(motion.num_frames, 0.12)
    position = np.stack([np.zeros_like(height), np.zeros_like(height), height], axis=1)
    lying = edited(motion, root_pos=position, root_quat=quaternion)
    assert accepts(lying)


def test_pauses_are_no_raised_rate():
    """Three poses, each held for a second: that is how people animate."""
    motion = walk()
    kept = np.repeat([0, 11, 22, 33], [20, 20, 20, 7])
    fields = {name: getattr(motion, name)[kept] for name in ("root_pos", "root_quat", "dof_pos")}
    found = finding(edited(motion, **fields), "repeated frames")
    assert found.remedy.startswith("harmless where the robot rests")


def test_a_slow_clip_with_three_decimals_has_no_raised_rate():
    motion = walk()
    breathing = motion.qpos[:1] + 0.004 * np.sin(np.arange(240) / 38.0)[:, None] * (np.arange(36) == 20)
    found = finding(edited(motion, qpos=np.round(breathing, 3), fps=60.0), "repeated frames")
    assert found.severity == "warning"
    assert found.remedy.startswith("harmless where the robot rests")


@pytest.mark.parametrize("fps", [30, 60])
def test_rests_at_the_ends_are_no_raised_rate(fps):
    kick = resampled(with_loop(load_motion("kick"), "clamp"), fps)
    rested = edited(kick, qpos=np.concatenate([np.repeat(kick.qpos[:1], fps, axis=0), kick.qpos]))
    found = finding(rested, "repeated frames")
    assert found.remedy.startswith("harmless where the robot rests")
    with pytest.raises(UserError, match="no frames repeat at regular intervals while it moves"):
        without_repeats(rested)


def test_frames_that_repeat_now_and_then_are_no_raised_rate():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.1, 0.4):
        kept = np.sort(np.concatenate([np.arange(67), rng.choice(67, int(share * 67), replace=False)]))
        assert raised_from(edited(walk(), qpos=walk().qpos[kept])) is None


def test_one_pose_repeats_nothing():
    found = finding(frozen(walk()), "repeated frames")
    assert found.severity == "ok"
    assert not found.remedy


# --- recognised -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0, 45, 90, 180, 300])
@pytest.mark.parametrize("order", ["xyzw", "wxyz"])
def test_the_other_quaternion_order_is_recognised_wherever_the_robot_faces(genuine, yaw, order):
    """The file holds the other order than its format says: components are rolled one way or the other."""
    motion = turned(genuine, yaw)
    rolled = edited(motion, root_quat=np.roll(motion.root_quat, -1 if order == "xyzw" else 1, axis=1))
    found = finding(rolled, "order")
    assert found.severity == "error"
    assert f"with the quaternion {order}: convert --stored-as {order} reads it so" in found.remedy
    np.testing.assert_allclose(stored_as(rolled, order).root_quat, motion.root_quat, atol=1e-12)


def test_the_figure_of_a_wrong_order_is_that_of_what_shows_it():
    """A robot that leans in one pose slides nowhere, but floats in the other order; one that walks slides."""
    lean = Rotation.from_euler("y", 60, degrees=True).as_quat(scalar_first=True)
    pose = frozen(walk())
    standing = lifted(edited(pose, root_quat=np.tile(lean, (pose.num_frames, 1))))
    found = finding(edited(standing, root_quat=np.roll(standing.root_quat, 1, axis=1)), "order")
    assert (found.unit, found.limit) == ("m off the floor", 0.15)
    assert 0.3 < found.figure < 1.0
    found = finding(edited(walk(), root_quat=np.roll(walk().root_quat, 1, axis=1)), "order")
    assert (found.unit, found.limit) == ("m/s of slide", 0.2)
    assert found.figure > 0.2


def test_isaaclabs_joint_order_is_recognised(genuine):
    mixed = edited(genuine, dof_pos=genuine.dof_pos[:, TO_BREADTH])
    found = finding(mixed, "order"), finding(mixed, "joint limits")
    assert "error" in {found[0].severity, found[1].severity}
    np.testing.assert_array_equal(stored_as(mixed, "breadth-first").dof_pos, genuine.dof_pos)


@pytest.mark.parametrize("name", ["squat", "kick", "punch", "throw", "side_step"])
def test_a_robot_that_stands_on_its_head_is_read_again(name):
    """On the spot and facing along x, the head stays in place on the floor in the false order."""
    motion = with_loop(load_motion(name), "clamp")
    rolled = edited(motion, root_quat=np.roll(motion.root_quat, 1, axis=1))
    found = finding(rolled, "order")
    assert found.severity == "error"
    assert "with the quaternion wxyz: convert --stored-as wxyz reads it so" in found.remedy
    assert not [found for found in validate(rolled).findings if "--lift" in found.remedy]


def test_the_best_of_several_orders_is_advised():
    motion = with_loop(load_motion("turn_in_place"), "clamp")
    rolled = edited(motion, root_quat=np.roll(motion.root_quat, 1, axis=1))
    assert "convert --stored-as wxyz" in finding(rolled, "order").remedy


@pytest.mark.parametrize("name", ["punch", "squat", "walk"])
def test_a_clip_with_y_up_is_not_lifted(name):
    """As files for games and films are: positions and orientations in axes of which y points up."""
    motion = load_motion(name)
    axes = Rotation.from_euler("x", -90, degrees=True)
    turned = axes * Rotation.from_quat(motion.root_quat, scalar_first=True) * axes.inv()
    with_y_up = edited(
        motion, root_pos=axes.apply(motion.root_pos), root_quat=turned.as_quat(scalar_first=True)
    )
    remedies = [found.remedy for found in validate(with_y_up).findings]
    assert any(remedy.endswith("export the clip with z up") for remedy in remedies)
    assert not any("--lift" in remedy for remedy in remedies)


def test_degrees_are_recognised(genuine):
    message = complaint(edited(genuine, dof_pos=np.degrees(genuine.dof_pos)))
    assert message.endswith(", more than a turn, which looks like degrees; give radians")


@pytest.mark.parametrize(("scale", "unit"), [(100.0, "centimetres"), (1000.0, "millimetres")])
def test_other_units_of_length_are_recognised(genuine, scale, unit):
    message = complaint(edited(genuine, root_pos=scale * genuine.root_pos))
    assert message.endswith(f"m high (median), which looks like {unit}; give metres")


def raised(motion: Motion, low: float, high: float) -> Motion:
    """The clip, of the rate `low`, with frames repeated for the rate `high`."""
    kept = np.arange(int(motion.num_frames * high / low)) * (low / high)
    return edited(motion, fps=high, qpos=motion.qpos[np.floor(kept + 1e-9).astype(int)])


@pytest.mark.parametrize("rates", [(30, 60), (30, 50), (30, 40), (24, 120)])
def test_frames_repeated_for_a_higher_rate_are_recognised_and_left_out(rates):
    low, high = rates
    motion = resampled(walk(), low)
    found = finding(raised(motion, low, high), "repeated frames")
    assert "convert --drop-repeated gives the true one" in found.remedy
    true = without_repeats(raised(motion, low, high))
    assert true.fps == low
    np.testing.assert_array_equal(true.qpos, motion.qpos)


@pytest.mark.parametrize("rates", [(30, 60), (30, 50), (25, 30), (29.97, 59.94)])
def test_pauses_stay_when_repeated_frames_are_left_out(rates):
    """A second of rest before, in the middle of and after the kick is as long as it was."""
    low, high = rates
    kick = resampled(with_loop(load_motion("kick"), "clamp"), low)
    frames = np.concatenate([[0] * 30, np.arange(40), [40] * 30, np.arange(40, kick.num_frames), [-1] * 30])
    paused = edited(kick, qpos=kick.qpos[frames])
    found = finding(raised(paused, low, high), "repeated frames")
    assert "convert --drop-repeated gives the true one" in found.remedy
    true = without_repeats(raised(paused, low, high))
    assert true.fps == pytest.approx(low)
    assert abs(true.num_frames - paused.num_frames) <= 1
    np.testing.assert_array_equal(true.qpos[:-2], paused.qpos[: true.num_frames - 2])


@pytest.mark.parametrize("turns", [1, -1, 2])
def test_the_whole_turns_that_a_joint_is_off_are_counted(genuine, turns):
    joint = G1_JOINTS.index("left_shoulder_pitch_joint")
    off = genuine.dof_pos.copy()
    off[:, joint] += 2.0 * np.pi * turns
    np.testing.assert_array_equal(whole_turns(off), turns * (np.arange(29) == joint))


def test_a_swing_beyond_the_limit_is_not_torn():
    """Over the head, to 0.6 rad beyond the limit: a turn less in these frames only would be a jump."""
    motion = walk()
    joint = G1_JOINTS.index("right_shoulder_pitch_joint")
    angles = motion.dof_pos.copy()
    angles[:, joint] = -1.8 - 1.9 * np.sin(np.linspace(0.0, np.pi, motion.num_frames)) ** 2
    assert accepts(edited(motion, dof_pos=angles))
    assert finding(edited(motion, dof_pos=angles), "joint limits").figure == pytest.approx(0.61, abs=0.02)


@pytest.mark.parametrize("angle", [1e6, 6.0 * np.pi])
def test_more_than_two_turns_are_refused(angle):
    angles = walk().dof_pos.copy()
    angles[:, G1_JOINTS.index("left_shoulder_pitch_joint")] = angle
    assert "left_shoulder_pitch_joint is" in complaint(edited(walk(), dof_pos=angles))


def test_what_a_clip_does_badly_for_a_moment_is_left_to_validation():
    """Far beyond a limit, under the floor, and at an odd rate."""
    motion = walk()
    joints = motion.dof_pos.copy()
    joints[9, G1_JOINTS.index("left_ankle_pitch_joint")] = 0.5236 + 1.6  # its range ends at 30 degrees
    for changed, check in (
        (edited(motion, dof_pos=joints), "joint limits"),
        (lifted(motion, -2.0), "depth in the floor"),
        (edited(motion, fps=0.5), "frame interval"),
    ):
        check_units(changed)
        assert finding(changed, check).severity == "error"


# --- velocities -----------------------------------------------------------------------------------------


def test_velocities_show_the_rate_of_the_frames():
    positions = sampled(walk(), np.arange(60) / 60)[:, 7:]
    velocities = np.gradient(positions, 1 / 60, axis=0)
    assert accepts_rate(positions, velocities, 60.0)
    assert accepts_rate(positions, velocities + 0.2, 60.0)
    for fps in (30.0, 120.0):
        with pytest.raises(UserError, match=r"^clip: fps is \d+, but qvel is that of 60 frames/s; conv"):
            check_rate(positions, velocities, fps, "qvel", "clip")


@pytest.mark.parametrize("velocities", ["zero", "noise", "of another clip"])
def test_velocities_that_prove_nothing_raise_no_alarm(velocities):
    positions = walk().dof_pos
    stored = {
        "zero": np.zeros_like(positions),
        "noise": np.random.default_rng(0).normal(size=positions.shape),
        "of another clip": np.gradient(positions[:, ::-1], 1 / 60, axis=0),
    }
    assert accepts_rate(positions, stored[velocities], 30.0)


# --- what it rests on -----------------------------------------------------------------------------------


def test_breadth_first_joints_are_isaaclabs():
    assert tuple(G1_JOINTS[joint] for joint in breadth_first_joints()) == ISAACLAB_JOINTS


def test_links_are_the_pelvis_and_a_body_for_each_joint():
    expected = ("pelvis", *map(clip_files.link_of, G1_JOINTS))
    assert links() == expected
    motion = walk()
    np.testing.assert_allclose(
        link_positions(motion.qpos), clip_files.link_poses(motion, expected)[0], atol=1e-12
    )
