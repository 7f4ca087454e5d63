"""Well-formed clips with a mistake in them are recognised; genuine clips, odd ones too, are not suspected."""

from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import ISAACLAB_JOINTS, walk
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import cut, edited, lifted, mirrored, resampled, sampled
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.sanity import Terms, breadth_first_joints, check, check_rate, link_positions, links
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

UNNAMED = {order: Terms("root_pos", "root_rot", "dof_pos", order, named=False) for order in ("wxyz", "xyzw")}
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


def complaint(motion: Motion, terms: Terms) -> str:
    """The message of the refusal of `motion`."""
    with pytest.raises(UserError) as caught:
        check(motion, "clip", terms)
    return str(caught.value)


def accepts(motion: Motion, terms: Terms) -> bool:
    """Whether `motion` is not refused."""
    try:
        check(motion, "clip", terms)
    except UserError:
        return False
    return True


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
        for terms in UNNAMED.values():
            assert accepts(motion, terms)


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
    for terms in UNNAMED.values():
        assert accepts(lying, terms)


def test_pauses_are_no_repeated_frames():
    """Three poses, each held for a second: that is how people animate."""
    motion = walk()
    kept = np.repeat([0, 11, 22, 33], [20, 20, 20, 7])
    fields = {name: getattr(motion, name)[kept] for name in ("root_pos", "root_quat", "dof_pos")}
    assert accepts(edited(motion, **fields), UNNAMED["wxyz"])


# --- recognised -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0, 45, 90, 180, 300])
@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
def test_the_other_quaternion_order_is_recognised_wherever_the_robot_faces(genuine, yaw, order):
    """The file holds the other order than its format says: components are rolled one way or the other."""
    motion = turned(genuine, yaw)
    rolled = np.roll(motion.root_quat, -1 if order == "wxyz" else 1, axis=1)
    other = "xyzw" if order == "wxyz" else "wxyz"
    message = complaint(edited(motion, root_quat=rolled), UNNAMED[order])
    assert message.startswith("clip: root_rot looks to be in another order: ")
    assert message.endswith(f"; it holds {other}, write {order}")


def test_isaaclabs_joint_order_is_recognised(genuine):
    message = complaint(edited(genuine, dof_pos=genuine.dof_pos[:, TO_BREADTH]), UNNAMED["wxyz"])
    assert message.startswith("clip: dof_pos")
    assert "order" in message


def test_joint_order_is_not_suspected_where_the_file_names_the_joints():
    named = Terms("root_pos", "root_quat", "dof_pos", "wxyz", named=True)
    motion = edited(walk(), dof_pos=walk().dof_pos[:, TO_BREADTH])
    assert accepts(motion, named)
    assert not accepts(motion, UNNAMED["wxyz"])


def test_degrees_are_recognised(genuine):
    message = complaint(edited(genuine, dof_pos=np.degrees(genuine.dof_pos)), UNNAMED["wxyz"])
    assert message.endswith(", more than a turn, which looks like degrees; give radians")


@pytest.mark.parametrize(("scale", "unit"), [(100.0, "centimetres"), (1000.0, "millimetres")])
def test_other_units_of_length_are_recognised(genuine, scale, unit):
    message = complaint(edited(genuine, root_pos=scale * genuine.root_pos), UNNAMED["wxyz"])
    assert message.endswith(f"m high (median), which looks like {unit}; give metres")


@pytest.mark.parametrize("rates", [(30, 60), (30, 50), (30, 40), (24, 120)])
def test_frames_repeated_for_a_higher_rate_are_recognised(rates):
    low, high = rates
    motion = resampled(walk(), low)
    kept = (np.arange(int(motion.length * high)) * low) // high
    fields = {name: getattr(motion, name)[kept] for name in ("root_pos", "root_quat", "dof_pos")}
    message = complaint(edited(motion, fps=high, **fields), UNNAMED["wxyz"])
    assert (
        f"of {len(kept)} frames repeat the one before, all along the clip; export it at the rate" in message
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": 1 / 30}, "fps is 0.0333333, which looks like seconds per frame; give frames per second"),
        ({"z": -1.6}, "root_pos has the pelvis 0.8"),
        ({"x": 1e5}, "root_pos goes 1e+05 m from the origin"),
        ({"joint": 2.5}, "1.6 rad beyond its limit; put the joints in the format's order"),
    ],
)
def test_what_no_robot_can_do_is_refused(changes, words):
    motion = walk()
    position, joints = motion.root_pos.copy(), motion.dof_pos.copy()
    position[:, 2] += changes.get("z", 0.0)
    position[5, 0] += changes.get("x", 0.0)
    if "joint" in changes:
        joints[9, G1_JOINTS.index("left_ankle_pitch_joint")] = 0.5236 + 1.6  # its range ends at 30 degrees
    changed = edited(motion, fps=changes.get("fps", motion.fps), root_pos=position, dof_pos=joints)
    assert words in complaint(changed, UNNAMED["wxyz"])


def test_what_a_clip_does_badly_is_left_to_validation():
    """A little over the limits, and up to the shins in the floor."""
    motion = walk()
    joints = motion.dof_pos.copy()
    joints[:, G1_JOINTS.index("left_ankle_roll_joint")] += 0.6
    assert accepts(lifted(edited(motion, dof_pos=joints), -0.4), UNNAMED["wxyz"])


# --- velocities -----------------------------------------------------------------------------------------


def test_velocities_show_the_rate_of_the_frames():
    positions = sampled(walk(), np.arange(60) / 60)[:, 7:]
    velocities = np.gradient(positions, 1 / 60, axis=0)
    assert accepts_rate(positions, velocities, 60.0)
    assert accepts_rate(positions, velocities + 0.2, 60.0)
    for fps in (30.0, 120.0):
        with pytest.raises(UserError, match=r"^clip: fps is \d+, but qvel is that of 60 frames/s; state the"):
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
