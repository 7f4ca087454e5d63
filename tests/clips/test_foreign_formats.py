"""Other programs' clip files: their layout in, the same motion out; what is written, they can read."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import G1_JOINTS, PROTOMOTIONS_COLUMNS, walk, write_csv, write_npz, write_pickle
from helpers.refusals import refusal

from mjx_mimic.clips import formats
from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.formats import beyondmimic as beyondmimic_format
from mjx_mimic.clips.formats import load_all, load_motion, save_motion
from mjx_mimic.clips.formats import mimickit as mimickit_format
from mjx_mimic.clips.formats.base import Reading
from mjx_mimic.clips.motion import Motion


def key_of_contents(file: Path) -> str:
    """The key of the format that the file is recognised as."""
    return load_all(file)[1].key


def assert_same(read: Motion, written: Motion, tolerance: float = 1e-6) -> None:
    """The same motion; quaternions up to their sign."""
    np.testing.assert_allclose(read.root_pos, written.root_pos, atol=tolerance)
    np.testing.assert_allclose(
        np.abs(np.sum(read.root_quat * written.root_quat, axis=1)), 1.0, atol=tolerance
    )
    np.testing.assert_allclose(read.dof_pos, written.dof_pos, atol=tolerance)
    assert (read.fps, read.loop, read.joint_names) == (written.fps, written.loop, G1_JOINTS)


def beyondmimic(path: Path, motion: Motion) -> Path:
    return write_npz(path, clip_files.tracking(motion, "breadth", "breadth"))


def mjlab(path: Path, motion: Motion) -> Path:
    return write_npz(path, clip_files.tracking(motion, "depth", "depth"))


def locomujoco(path: Path, motion: Motion) -> Path:
    return write_npz(path, clip_files.locomujoco(motion))


def gmr(path: Path, motion: Motion) -> Path:
    return write_pickle(path, clip_files.gmr(motion))


def mimickit(path: Path, motion: Motion) -> Path:
    return write_pickle(path, clip_files.mimickit(motion))


def unitree(path: Path, motion: Motion) -> Path:
    return write_csv(path, clip_files.unitree(motion))


def protomotions(path: Path, motion: Motion) -> Path:
    return write_csv(path, clip_files.protomotions(motion), PROTOMOTIONS_COLUMNS)


LAYOUTS = {
    "beyondmimic": (beyondmimic, ".npz", 50.0),
    "beyondmimic, as mjlab has it": (mjlab, ".npz", 50.0),
    "locomujoco": (locomujoco, ".npz", 40.0),
    "gmr": (gmr, ".pkl", 60.0),
    "mimickit": (mimickit, ".pkl", 60.0),
    "unitree": (unitree, ".csv", 30.0),
    "protomotions": (protomotions, ".csv", 120.0),
}


@pytest.mark.parametrize("key", LAYOUTS)
def test_a_file_in_a_foreign_layout_is_read_to_the_same_motion(tmp_path, key):
    write, suffix, fps = LAYOUTS[key]
    written = walk(fps)
    file = write(tmp_path / f"stroll{suffix}", written)
    assert key_of_contents(file) == key.split(",")[0]
    read = load_motion(file)
    assert_same(read, written)
    assert read.name == "stroll"


@pytest.mark.parametrize("key", LAYOUTS)
def test_the_format_is_known_by_content_whatever_the_file_is_called(tmp_path, key):
    write, suffix, fps = LAYOUTS[key]
    file = write(tmp_path / f"clip{suffix}", walk(fps)).rename(tmp_path / "clip.bin")
    assert key_of_contents(file) == key.split(",")[0]


def test_a_quaternion_of_the_other_sign_is_the_same_motion(tmp_path):
    motion = walk()
    fields = clip_files.gmr(motion)
    fields["root_rot"] = fields["root_rot"] * np.where(np.arange(motion.num_frames) % 3, 1.0, -1.0)[:, None]
    assert_same(load_motion(write_pickle(tmp_path / "clip.pkl", fields)), motion)


# --- BeyondMimic and mjlab: which order? ----------------------------------------------------------------


@pytest.mark.parametrize(("joints", "bodies"), [("breadth", "depth"), ("depth", "breadth")])
def test_joints_and_bodies_in_different_orders_are_refused(tmp_path, joints, bodies):
    file = write_npz(tmp_path / "clip.npz", clip_files.tracking(walk(), joints, bodies))
    message = refusal(load_motion, file)
    assert message.startswith(f"{file}: joint_pos is {joints}-first but body_pos_w {bodies}-first (")


@pytest.mark.parametrize("order", ["breadth", "depth"])
@pytest.mark.parametrize("field", ["joint_pos", "body_pos_w"])
def test_a_permuted_file_is_refused_with_the_error_of_every_order(tmp_path, order, field):
    fields = clip_files.tracking(walk(), order, order)
    columns = np.arange(fields[field].shape[1])
    columns[1:] = np.random.default_rng(3).permutation(columns[1:])  # the pelvis stays the first body
    fields[field] = fields[field][:, columns]
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert "body_pos_w is not where joint_pos puts the bodies of the G1" in message
    for joints in ("breadth-first", "depth-first"):
        for bodies in ("breadth-first", "depth-first"):
            distance = re.search(rf"([\d.]+) m with {joints} joints and {bodies} bodies", message)
            assert distance
            assert 0.05 < float(distance[1]) < 2.0


def test_another_models_link_lengths_do_not_hide_the_order(tmp_path):
    """A G1 of another revision has its waist 2 cm away; the order is still clear, and the pelvis too."""
    fields = clip_files.tracking(walk(50.0), "breadth", "breadth")
    upper = [0] + [1 + i for i, name in enumerate(clip_files.ISAACLAB_JOINTS) if "shoulder" in name]
    fields["body_pos_w"][:, upper[1:], 2] += 0.02
    file = write_npz(tmp_path / "clip.npz", fields)
    assert key_of_contents(file) == "beyondmimic"
    assert_same(load_motion(file), walk(50.0))


@pytest.mark.parametrize("order", ["breadth", "depth"])
def test_body_quaternions_xyzw_are_recognised(tmp_path, order):
    """As IsaacLab 3 has them."""
    fields = clip_files.tracking(walk(), order, order)
    fields["body_quat_w"] = np.roll(fields["body_quat_w"], -1, axis=2)
    lines: list[str] = []
    assert_same(load_motion(write_npz(tmp_path / "clip.npz", fields), Reading(tell=lines.append)), walk())
    assert lines == ["body_quat_w is xyzw, by where the bodies are"]


@pytest.mark.parametrize("bodies", ["breadth", "depth"])
@pytest.mark.parametrize("kept", [1, 14, 30])
def test_named_joints_go_by_name_whatever_the_order_of_the_bodies(tmp_path, bodies, kept):
    fields = clip_files.tracking(walk(50.0), "depth", bodies)
    order = np.random.default_rng(5).permutation(29)
    fields |= {name: fields[name][:, order] for name in ("joint_pos", "joint_vel")}
    fields |= {name: fields[name][:, :kept] for name in fields if name.startswith("body")}
    names = [G1_JOINTS[joint].removesuffix("_joint") for joint in order]
    for free in ([], ["floating_base_joint"]):
        file = write_npz(tmp_path / "clip.npz", fields | {"joint_names": np.array([*free, *names])})
        assert_same(load_motion(file), walk(50.0))


def test_names_that_are_not_those_of_the_joints_are_refused(tmp_path):
    fields = clip_files.tracking(walk(), "depth", "depth")
    for names in (G1_JOINTS[1:], ("tail", *G1_JOINTS[1:]), (G1_JOINTS[1], *G1_JOINTS[1:])):
        file = write_npz(tmp_path / "clip.npz", fields | {"joint_names": np.array(names)})
        assert "joint_names are not those of the 29 joints of the G1; name each" in refusal(load_motion, file)


def test_named_joints_that_are_not_where_the_bodies_are_are_refused(tmp_path):
    fields = clip_files.tracking(walk(), "breadth", "breadth") | {"joint_names": np.array(G1_JOINTS)}
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert re.search(
        r"m with named joints and breadth-first bodies, .* m with named joints and depth", message
    )


@pytest.mark.parametrize("layout", ["tracking", "locomujoco"])
def test_a_relabelled_frame_rate_shows_in_the_velocities(tmp_path, layout):
    if layout == "tracking":
        fields = clip_files.tracking(walk(50.0), "depth", "depth") | {"fps": np.array([30])}
    else:
        fields = clip_files.locomujoco(walk(50.0)) | {"frequency": np.array(30.0)}
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert re.search(
        r"fps is 30, but (joint_vel|qvel) is that of 50 frames/s; convert --source-fps states the true rate",
        message,
    )


def test_kinematics_are_computed_and_the_file_is_opened_once(tmp_path, monkeypatch):
    for order in ("breadth", "depth"):
        file = write_npz(tmp_path / f"{order}.npz", clip_files.tracking(walk(50.0), order, order))
        calls = {"order": 0, "open": 0}

        def counted(name, function, calls=calls):
            def call(*args, **kwargs):
                calls[name] += 1
                return function(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(beyondmimic_format, "order", counted("order", beyondmimic_format.order))
            patch.setattr(formats, "read_bytes", counted("open", formats.read_bytes))
            load_motion(file)
        assert calls == {"order": 1, "open": 1}


# --- LocoMuJoCo -----------------------------------------------------------------------------------------


def test_locomujoco_joints_go_by_name(tmp_path):
    motion = walk()
    fields = clip_files.locomujoco(motion)
    order = np.random.default_rng(5).permutation(29)
    fields["qpos"][:, 7:] = motion.dof_pos[:, order]
    fields["qvel"][:, 6:] = fields["qvel"][:, 6:][:, order]
    names = [G1_JOINTS[joint].removesuffix("_joint") for joint in order]
    for free in (["root"], ["free_joint"], []):
        fields["joint_names"] = np.array([*free, *names])
        assert_same(load_motion(write_npz(tmp_path / "clip.npz", fields)), motion)


@pytest.mark.parametrize("has_object", [False, True])
@pytest.mark.parametrize("turn_first", [False, True])
def test_qpos_without_names_may_begin_with_the_quaternion_and_end_with_an_object(
    tmp_path, turn_first, has_object
):
    """As OmniRetarget's does."""
    motion = walk(30.0)
    root = [motion.root_quat, motion.root_pos] if turn_first else [motion.root_pos, motion.root_quat]
    fallen = np.tile([1.0, 0.0, 0.0, 0.0, 0.3, 0.2, 0.1], (motion.num_frames, 1))
    qpos = np.concatenate([*root, motion.dof_pos, *[fallen] * has_object], axis=1)
    lines: list[str] = []
    for fields in ({"qpos": qpos, "fps": 30}, {"qpos": qpos.astype(np.float32), "fps": np.array(30)}):
        file = write_npz(tmp_path / "clip.npz", fields)
        assert_same(load_motion(file, Reading(tell=lines.append)), motion)
    assert lines == ["qpos has the root's quaternion before its position"] * 2 * turn_first
    qpos[3, :7] = np.nan
    file = write_npz(tmp_path / "clip.npz", {"qpos": qpos, "fps": 30})
    np.testing.assert_allclose(load_motion(file, Reading(drop_bad=True)).root_pos[4:], motion.root_pos[4:])


def test_qpos_with_names_is_as_mujoco_has_it(tmp_path):
    """A quaternion before the position is then a mistake."""
    fields = clip_files.locomujoco(walk())
    fields["qpos"] = np.roll(fields["qpos"], 4, axis=1)
    assert "root_quat has norm" in refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))


def test_several_trajectories_in_a_file_are_refused(tmp_path):
    fields = clip_files.locomujoco(walk()) | {"split_points": np.array([0, 30, 67])}
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert message.endswith("clip.npz: holds 2 clips ('1', '2'); name one of them as clip.npz#1")


# --- GMR ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_gmr_body_positions_are_held_against_the_angles(tmp_path, protocol):
    motion = walk()
    links = ("pelvis", *map(clip_files.link_of, G1_JOINTS))
    world, _ = clip_files.link_poses(motion, links)
    rotation = clip_files.Rotation.from_quat(clip_files.xyzw(motion))
    local = np.stack([rotation.inv().apply(world[:, b] - motion.root_pos) for b in range(30)], axis=1)
    names = [*links, "a_hand_that_we_do_not_have"]
    local = np.concatenate([local, np.zeros((motion.num_frames, 1, 3))], axis=1).astype(np.float32)
    fields = clip_files.gmr(motion) | {"local_body_pos": local, "link_body_list": names}
    assert_same(load_motion(write_pickle(tmp_path / "clip.pkl", fields, protocol)), motion)
    fields["local_body_pos"] = local[:, ::-1]
    assert re.search(
        r": local_body_pos is 0\.\d+ m, on average, from where the joint angles put the bodies;",
        refusal(load_motion, write_pickle(tmp_path / "clip.pkl", fields, protocol)),
    )


def test_gmr_fields_may_be_plain_lists(tmp_path):
    fields = clip_files.gmr(walk())
    lists = {name: fields[name].tolist() for name in ("root_pos", "root_rot", "dof_pos")}
    assert_same(load_motion(write_pickle(tmp_path / "clip.pkl", fields | lists)), walk())


# --- tables ---------------------------------------------------------------------------------------------


def test_protomotions_rotation_is_about_the_fixed_axes_x_then_y_then_z(tmp_path):
    motion = walk(120.0)
    rows = clip_files.protomotions(motion)
    rows[3][4:7] = [20.0, -30.0, 100.0]
    a, b, c = np.radians(rows[3][4:7])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    read = load_motion(write_csv(tmp_path / "clip.csv", rows, PROTOMOTIONS_COLUMNS))
    matrix = clip_files.Rotation.from_quat(clip_files.xyzw(read)[3]).as_matrix()
    np.testing.assert_allclose(matrix, about_z @ about_y @ about_x, atol=1e-7)


def test_protomotions_columns_go_by_name_with_or_without_joint(tmp_path):
    motion = walk(120.0)
    order = np.random.default_rng(7).permutation(36)
    names = [PROTOMOTIONS_COLUMNS[i].replace("_joint_dof", "_dof") for i in order]
    rows = np.array(clip_files.protomotions(motion))[:, order].tolist()
    assert_same(load_motion(write_csv(tmp_path / "clip.csv", rows, tuple(names))), motion)


def test_tables_may_have_a_byte_order_mark_windows_line_ends_blank_lines_and_quoted_names(tmp_path):
    plain = write_csv(tmp_path / "clip.csv", clip_files.unitree(walk(30.0))).read_text()
    (tmp_path / "other.csv").write_bytes(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n\r\n").encode())
    assert load_motion(tmp_path / "other.csv").digest == load_motion(tmp_path / "clip.csv").digest
    named = protomotions(tmp_path / "named.csv", walk(120.0))
    names, *rows = named.read_text().splitlines()
    quoted = ", ".join(f'"{name}"' for name in names.split(","))
    (tmp_path / "quoted.csv").write_text("\n".join([quoted, *rows]))
    assert load_motion(tmp_path / "quoted.csv").digest == load_motion(named).digest


MEANS = "but Unitree's CSV always means 30 and 'clamp'"
WHOLE = "and MimicKit's is a whole number"

# --- writing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["native", "mimickit", "unitree"])
def test_what_is_written_is_read_back(tmp_path, key):
    motion = walk(30.0)
    save_motion(tmp_path / "clip", motion, key)
    assert key_of_contents(tmp_path / "clip") == key
    assert_same(load_motion(tmp_path / "clip"), motion, 1e-8)
    assert list(tmp_path.iterdir()) == [tmp_path / "clip"]


@pytest.mark.parametrize(("loop", "mode"), [("clamp", 0), ("wrap", 1)])
def test_a_written_mimickit_clip_has_mimickits_own_layout(tmp_path, loop, mode):
    motion = with_loop(walk(60.0), loop)
    save_motion(tmp_path / "clip.pkl", motion, "mimickit")
    data = (tmp_path / "clip.pkl").read_bytes()
    assert not re.search(rb"numpy|Rotation", data)
    fields = pickle.loads(data)
    assert list(fields) == ["loop_mode", "fps", "frames"]
    assert (fields["loop_mode"], fields["fps"]) == (mode, 60)
    assert type(fields["fps"]) is int
    assert {type(row) for row in fields["frames"]} == {list}
    assert {type(number) for row in fields["frames"] for number in row} == {float}
    expected = np.array(clip_files.mimickit(motion)["frames"])
    np.testing.assert_allclose(np.array(fields["frames"]), expected, atol=1e-12)


def test_a_real_mimickit_clip_written_again_is_the_same_to_mimickit(tmp_path, shared):
    for file in sorted((shared / "motions" / "mimickit").glob("*.pkl")):
        save_motion(tmp_path / file.name, load_motion(file), "mimickit")
        before, after = pickle.loads(file.read_bytes()), pickle.loads((tmp_path / file.name).read_bytes())
        assert (after["loop_mode"], after["fps"]) == (before["loop_mode"], before["fps"])
        frames = [np.array(fields["frames"]) for fields in (before, after)]
        np.testing.assert_allclose(frames[1][:, :3], frames[0][:, :3], atol=1e-12)
        np.testing.assert_allclose(frames[1][:, 6:], frames[0][:, 6:], atol=1e-12)
        turns = [clip_files.Rotation.from_rotvec(array[:, 3:6]) for array in frames]
        assert np.max((turns[0].inv() * turns[1]).magnitude()) < 1e-7


@pytest.mark.parametrize(
    ("key", "fps", "loop", "message"),
    [
        ("unitree", 60.0, "clamp", f"fps is 60 and loop 'clamp', {MEANS}; convert with --fps 30"),
        ("unitree", 30.0, "wrap", f"fps is 30 and loop 'wrap', {MEANS}; convert with --loop clamp"),
        ("unitree", 60.0, "wrap", f"fps is 60 and loop 'wrap', {MEANS}; convert with --loop clamp --fps 30"),
        ("mimickit", 61.7, "wrap", f"fps is 61.7, {WHOLE}; convert with --loop clamp --fps 62"),
        ("mimickit", 62.5, "wrap", f"fps is 62.5, {WHOLE}; convert with --fps 125"),
        ("mimickit", 59.94, "clamp", f"fps is 59.94, {WHOLE}; convert with --fps 60"),
        ("gmr", 30.0, "clamp", "format 'gmr' cannot be written; use one of native, mimickit, unitree"),
        ("fbx", 30.0, "clamp", "format 'fbx' cannot be written; use one of native, mimickit, unitree"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_written(tmp_path, key, fps, loop, message):
    file = tmp_path / "clip"
    assert refusal(save_motion, file, with_loop(walk(fps), loop), key) == f"{file}: {message}"
    assert not list(tmp_path.iterdir())


def test_a_pickle_that_is_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(mimickit_format, "MAX_BYTES", 10_000)
    message = refusal(save_motion, tmp_path / "clip.pkl", walk(), "mimickit")
    assert message.endswith("write a .npz, or convert --fps 120")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["native", "mimickit", "unitree"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, key, monkeypatch):
    file = tmp_path / "clip"
    file.write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError(1, "Not permitted")))
    assert refusal(save_motion, file, walk(30.0), key).startswith(f"{file}: cannot be written (")
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    assert file.read_text() == "old"
