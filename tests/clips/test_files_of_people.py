"""Files as people have them: odd dialects, other layouts, small faults. They are read, and judged after."""

import gzip
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import (
    G1_JOINTS,
    link_of,
    link_poses,
    walk,
    write_csv,
    write_joblib,
    write_npz,
    write_pickle,
    xyzw,
)
from helpers.refusals import refusal

from mjx_mimic.clips import fitness
from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.editing import cut, edited, lifted, resampled, with_loop
from mjx_mimic.clips.findings import Finding
from mjx_mimic.clips.fitness import require_fit
from mjx_mimic.clips.formats import load_all, load_motion, save_motion
from mjx_mimic.clips.formats.base import Reading
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.validation import validate
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import GROUND_BODIES

ROOT = ("root_x", "root_y", "root_z", "root_qx", "root_qy", "root_qz", "root_qw")
NOT_IN_23 = ("waist_roll", "waist_pitch", "wrist_pitch", "wrist_yaw")
IN_23 = [i for i, name in enumerate(G1_JOINTS) if not any(part in name for part in NOT_IN_23)]
AXES = [{"pitch": 1, "knee": 1, "elbow": 1, "roll": 0, "yaw": 2}[name.split("_")[-2]] for name in G1_JOINTS]
WITHOUT_WRISTS = [i for i, name in enumerate(G1_JOINTS) if "wrist" not in name]
TRACKED = (
    *("pelvis", "left_hip_roll_link", "left_knee_link", "left_ankle_roll_link", "right_hip_roll_link"),
    *("right_knee_link", "right_ankle_roll_link", "torso_link", "left_shoulder_roll_link", "left_elbow_link"),
    *("left_wrist_yaw_link", "right_shoulder_roll_link", "right_elbow_link", "right_wrist_yaw_link"),
)


@pytest.fixture
def clip() -> Motion:
    """A third of a second at 30 frames/s."""
    return cut(resampled(walk(), 30.0), 0.0, 0.35)


def assert_same(found: Motion, expected: Motion, atol: float = 1e-6) -> None:
    assert found.fps == expected.fps
    np.testing.assert_allclose(found.root_pos, expected.root_pos, atol=atol)
    np.testing.assert_allclose(np.abs(np.sum(found.root_quat * expected.root_quat, axis=1)), 1.0, atol=atol)
    np.testing.assert_allclose(found.dof_pos, expected.dof_pos, atol=atol)


def finding(motion: Motion, check: str) -> Finding:
    (found,) = [found for found in validate(motion).findings if found.check == check]
    return found


def table(clip: Motion, separator: str = ",", end: str = "\n", decimal: str = ".", last: str = "") -> str:
    rows = [[f"{cell:.7f}".replace(".", decimal) for cell in row] for row in clip_files.unitree(clip)]
    return end.join(separator.join(row) + last for row in rows) + end


# --- tables ---------------------------------------------------------------------------------------------

DIALECTS = {
    "tabs": lambda clip: table(clip, "\t"),
    "semicolons": lambda clip: table(clip, ";"),
    "semicolons, decimal commas": lambda clip: table(clip, ";", decimal=","),
    "spaces": lambda clip: table(clip, "  "),
    "comma and space": lambda clip: table(clip, ", "),
    "trailing commas": lambda clip: table(clip, last=","),
    "comment above": lambda clip: "# root xyz, quaternion xyzw, 29 joints\n" + table(clip),
    "byte order mark, CRLF": lambda clip: "\ufeff" + table(clip, end="\r\n"),
    "names": lambda clip: ",".join((*ROOT, *G1_JOINTS)) + "\n" + table(clip),
    "names in a comment": lambda clip: "# " + " ".join((*ROOT, *G1_JOINTS)) + "\n" + table(clip, " "),
    "short names, in quotation marks": lambda clip: (
        ",".join(f'"{name.removesuffix("_joint")}"' for name in (*ROOT, *G1_JOINTS)) + ",\n" + table(clip)
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tables_of_every_dialect_are_read(tmp_path, clip, dialect):
    file = tmp_path / "clip.csv"
    file.write_bytes(DIALECTS[dialect](clip).encode())
    assert_same(load_motion(file), clip)


@pytest.mark.parametrize(
    ("step", "fps"),
    [(1.0, 30.0), (2.0, 30.0), (4.0, 30.0), (5.0, 200.0), (0.02, 50.0), (16.6667, 60.0), (1 / 30, 30.0)],
)
@pytest.mark.parametrize("name", ["", "Time", "Frame"])
def test_a_column_of_time_gives_the_rate_and_one_of_numbers_does_not(tmp_path, clip, step, fps, name):
    fps = 30.0 if name == "Frame" else fps
    rows = np.c_[100.0 * step + step * np.arange(clip.num_frames), clip_files.unitree(clip)].tolist()
    file = write_csv(tmp_path / "clip.csv", rows, (name, *ROOT, *G1_JOINTS) if name else ())
    assert_same(load_motion(file), edited(clip, fps=fps))


@pytest.mark.parametrize("frames", ["a gap", "out of order", "two clips"])
@pytest.mark.parametrize("name", ["", "Frame", "frame_no"])
def test_numbers_of_frames_that_are_uneven_are_refused(tmp_path, clip, frames, name):
    count = clip.num_frames
    numbers = {
        "a gap": np.where(np.arange(count) < 5, 0, 200) + np.arange(count),
        "out of order": np.random.default_rng(0).permutation(count),
        "two clips": np.arange(count) % 6,
    }[frames]
    rows = np.c_[numbers, clip_files.unitree(clip)].tolist()
    file = write_csv(tmp_path / "clip.csv", rows, (name, *ROOT, *G1_JOINTS) if name else ())
    message = refusal(load_motion, file)
    assert "go up" in message
    if name:
        assert_same(load_motion(file, Reading(source_fps=30.0)), clip)


def test_names_decide_what_a_column_is(tmp_path, clip):
    names = [*ROOT, *G1_JOINTS]
    order = np.random.default_rng(0).permutation(36)
    rows = np.array(clip_files.unitree(clip))[:, order].tolist()
    file = write_csv(tmp_path / "clip.csv", rows, tuple(names[i] for i in order))
    assert_same(load_motion(file), clip)


SHORT = [name.removesuffix("_joint") for name in G1_JOINTS]
ROOTS = {
    "bare": "x y z qx qy qz qw",
    "capitals": "X Y Z QX QY QZ QW",
    "base": "base_x base_y base_z base_qx base_qy base_qz base_qw",
    "with units": "root_x_[m] root_y_[m] root_z_[m] q_x q_y q_z q_w",
    "dots": "position.x position.y position.z orientation.x orientation.y orientation.z orientation.w",
    "numbers from 0": "root_pos_0 root_pos_1 root_pos_2 root_rot_0 root_rot_1 root_rot_2 root_rot_3",
    "numbers from 1": "pos[1] pos[2] pos[3] quat[1] quat[2] quat[3] quat[4]",
    "r": "root_tx root_ty root_tz root_rx root_ry root_rz root_rw",
}
JOINTS = {
    "LeftHipPitch": ["".join(word.title() for word in name.split("_")) for name in SHORT],
    "capitals": [name.upper() for name in G1_JOINTS],
    "L_": [name.replace("left_", "L_").replace("right_", "R_") for name in SHORT],
    "words": [name.replace("_", " ") for name in SHORT],
    "_pos": [f"{name}_pos" for name in G1_JOINTS],
    "a folder": [f"dof_pos/{name}" for name in SHORT],
    "units": [f"{name} (rad)" for name in G1_JOINTS],
    "numbers": [f"dof_{index}" for index in range(29)],
}


@pytest.mark.parametrize(
    "names",
    [roots.split() + list(G1_JOINTS) for roots in ROOTS.values()]
    + [[*ROOT, *joints] for joints in JOINTS.values()],
    ids=[*ROOTS, *(f"joints {name}" for name in JOINTS)],
)
def test_columns_may_be_named_in_many_ways(tmp_path, clip, names):
    assert_same(load_motion(write_csv(tmp_path / "clip.csv", clip_files.unitree(clip), tuple(names))), clip)


@pytest.mark.parametrize(
    ("name", "second"),
    [("time_s", 1.0), ("Time [ms]", 1e3), ("timestamp", 1e6), ("stamp_ns", 1e9), ("elapsed time", 1.0)],
)
def test_time_may_be_in_any_unit_and_beside_frame_numbers(tmp_path, clip, name, second):
    ticks = np.arange(clip.num_frames)
    time = np.round(1000.0 + ticks / 50.0 * second, 0 if second > 1.0 else 6)
    rows = np.c_[ticks, time, clip_files.unitree(clip)].tolist()
    for names in ((), ("Frame No.", name, *ROOT, *G1_JOINTS)):
        assert_same(load_motion(write_csv(tmp_path / "clip.csv", rows, names)), edited(clip, fps=50.0))


@pytest.mark.parametrize(
    ("name", "step", "fps"),
    [
        ("time_ms", 1.0, 1000.0),
        ("time [ms]", 0.5, 2000.0),
        ("t (us)", 500.0, 2000.0),
        ("stamp_ns", 1e5, 1e4),
        ("time_s", 2.0, 0.5),
        ("seconds", 0.02, 50.0),
        ("timestamps", 1.0, 30.0),
        ("ts", 20.0, 50.0),
    ],
)
def test_the_unit_of_time_is_the_one_in_its_name(tmp_path, clip, name, step, fps):
    rows = np.c_[step * np.arange(clip.num_frames), clip_files.unitree(clip)].tolist()
    file = write_csv(tmp_path / "clip.csv", rows, (name, *ROOT, *G1_JOINTS))
    assert_same(load_motion(file), edited(clip, fps=fps))


@pytest.mark.parametrize("step", [1 / 60, 1.0])
@pytest.mark.parametrize("named", [True, False])
def test_blank_rows_do_not_change_the_rate(tmp_path, clip, step, named):
    rows = np.c_[step * np.arange(clip.num_frames), clip_files.unitree(clip)]
    rows[[2, 5, 8]] = np.nan
    file = write_csv(tmp_path / "clip.csv", rows.tolist(), ("time", *ROOT, *G1_JOINTS) if named else ())
    file.write_text(file.read_text().replace("nan", ""))
    fps = 60.0 if step < 1.0 else 30.0
    assert "nan at frame 2" in refusal(load_motion, file)
    read = load_motion(file, Reading(drop_bad=True))
    assert (read.fps, read.num_frames) == (fps, clip.num_frames)
    np.testing.assert_allclose(read.dof_pos[::3], clip.dof_pos[::3], atol=1e-6)


def test_columns_that_are_not_needed_are_left_alone(tmp_path, clip):
    rows = np.c_[clip_files.unitree(clip), np.ones((clip.num_frames, 31))].tolist()
    names = (*ROOT, *G1_JOINTS, *(f"{name}_vel" for name in G1_JOINTS), "vx", "contact")
    assert_same(load_motion(write_csv(tmp_path / "clip.csv", rows, names)), clip)


def test_a_misspelt_joint_is_named(tmp_path, clip):
    names = (*ROOT, *G1_JOINTS[:-1], "right_rist_yaw")
    file = write_csv(tmp_path / "clip.csv", clip_files.unitree(clip), names)
    message = refusal(load_motion, file)
    assert message == f"{file}: joint_names: missing 'right_wrist_yaw_joint'; convert --pad sets them to 0"
    names = (*ROOT, "left_hip_pich", *G1_JOINTS[1:])
    message = refusal(load_motion, write_csv(tmp_path / "clip.csv", clip_files.unitree(clip), names))
    assert "unknown 'left_hip_pich'; missing 'left_hip_pitch_joint'; name each" in message


@pytest.mark.parametrize(
    "above",
    [
        "Walk of subject 1\nexported on Monday, by me\n\n" + ",".join((*ROOT, *G1_JOINTS)) + "\n",
        ",".join((*ROOT, *G1_JOINTS)) + "\n" + ",".join(["m"] * 3 + ["-"] * 4 + ["rad"] * 29) + "\n",
        "sep=,\n",
    ],
    ids=["title", "units", "Excel's mark"],
)
def test_what_stands_above_a_table_is_left_out(tmp_path, clip, above):
    (tmp_path / "clip.csv").write_text(above + table(clip))
    assert_same(load_motion(tmp_path / "clip.csv"), clip)


@pytest.mark.parametrize("hole", ["", "NA", "nan", "null"])
def test_a_cell_without_a_number_is_a_bad_frame(tmp_path, clip, hole):
    lines = table(clip).splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([*cells[:10], hole, *cells[11:]])
    (tmp_path / "clip.csv").write_text("\n".join(lines))
    message = refusal(load_motion, tmp_path / "clip.csv")
    assert "nan at frame 3, column left_knee_joint" in message
    assert "--drop-bad" in message
    assert_same(load_motion(tmp_path / "clip.csv", Reading(drop_bad=True)), clip, atol=0.05)


@pytest.mark.parametrize("cells", [list(range(5, 36)), [35], list(range(36))], ids=["most", "last", "all"])
def test_empty_cells_at_the_end_of_a_row_are_a_bad_frame(tmp_path, clip, cells):
    lines = table(clip).splitlines()
    row = ["" if index in cells else cell for index, cell in enumerate(lines[3].split(","))]
    (tmp_path / "clip.csv").write_text("\n".join([*lines[:3], ",".join(row), *lines[4:]]))
    assert "nan at frame 3" in refusal(load_motion, tmp_path / "clip.csv")
    assert_same(load_motion(tmp_path / "clip.csv", Reading(drop_bad=True)), clip, atol=0.05)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("last", ["", ","], ids=["", "trailing commas"])
def test_empty_cells_at_the_end_of_the_first_row_are_a_bad_frame(tmp_path, clip, named, last):
    first, *lines = table(clip, last=last).splitlines()
    first = ",".join([*first.split(",")[:30], *[""] * 6]) + last
    names = [",".join((*ROOT, *G1_JOINTS))] * named
    (tmp_path / "clip.csv").write_text("\n".join([*names, first, *lines]))
    assert "nan at frame 0" in refusal(load_motion, tmp_path / "clip.csv")
    read = load_motion(tmp_path / "clip.csv", Reading(drop_bad=True))
    assert_same(read, cut(clip, 1 / 30, clip.length))


def test_a_column_that_is_empty_in_every_row_counts_where_it_has_a_name(tmp_path, clip):
    lines = [",".join((*ROOT, *G1_JOINTS, "note")), *(line + "," for line in table(clip).splitlines())]
    (tmp_path / "clip.csv").write_text("\n".join(lines))
    assert_same(load_motion(tmp_path / "clip.csv"), clip)


def test_a_row_that_is_too_long_is_named(tmp_path, clip):
    lines = table(clip).splitlines()
    lines[3] += ",1"
    (tmp_path / "clip.csv").write_text("\n".join(lines))
    message = refusal(load_motion, tmp_path / "clip.csv")
    assert message.endswith(": line 1 has 36 columns, line 4 has 37; repair or remove one of them")
    (tmp_path / "clip.csv").write_text("\n".join([",".join((*ROOT, *G1_JOINTS)), *lines]))
    message = refusal(load_motion, tmp_path / "clip.csv")
    assert ": line 1 has 36 names, line 5 has 37 columns; name each column once" in message


@pytest.mark.parametrize(
    "names",
    [
        ("", *ROOT, *G1_JOINTS),
        ('""', *ROOT, *G1_JOINTS),
        ("", *map(str, range(36))),
        tuple(map(str, range(36))),
    ],
    ids=["pandas", "R", "numbers above an index", "numbers alone"],
)
def test_what_pandas_and_r_add_to_a_table_is_left_out(tmp_path, clip, names):
    rows = np.c_[np.arange(clip.num_frames), clip_files.unitree(clip)][:, -len(names) :].tolist()
    assert_same(load_motion(write_csv(tmp_path / "clip.csv", rows, names)), clip)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("base_y", "columns 'root_y' and 'base_y' mean the same; export one of them"),
        ("root_y", "columns 'root_y' and 'root_y' mean the same"),
        ("rot_w", "columns 'root_qw' and 'rot_w' mean the same"),
        ("LeftKnee", "columns 'left_knee_joint' and 'LeftKnee' mean the same"),
    ],
)
def test_columns_that_mean_the_same_are_refused(tmp_path, clip, more, words):
    rows = np.c_[clip_files.unitree(clip), np.ones(clip.num_frames)].tolist()
    file = write_csv(tmp_path / "clip.csv", rows, (*ROOT, *G1_JOINTS, more))
    assert words in refusal(load_motion, file)


UNEVEN = "time or frame numbers go up unevenly; export every frame, or convert --source-fps states the rate"


def test_a_frame_that_is_missing_under_frame_numbers_is_hinted_at(tmp_path, clip):
    rows = np.delete(np.c_[np.arange(clip.num_frames), clip_files.unitree(clip)], 4, axis=0).tolist()
    file = write_csv(tmp_path / "clip.csv", rows)
    assert refusal(load_motion, file) == f"{file}: {UNEVEN}"
    assert load_motion(file, Reading(source_fps=30.0)).num_frames == clip.num_frames - 1


@pytest.mark.parametrize("column", ["falls", "no quaternion", "none"])
def test_a_first_column_that_is_no_time_is_none(tmp_path, clip, column):
    """One that goes up unevenly is time only where a clip follows it."""
    rows = np.array(clip_files.unitree(clip))
    time = np.cumsum(1.0 + 9.0 * (np.arange(len(rows)) == 4))
    match column:
        case "falls":
            rows = np.c_[-time, rows]
        case "no quaternion":  # the pelvis walks along x, and something follows the joints
            rows = np.c_[time, rows[:, 1:], rows[:, 0]]
        case "none":
            rows = np.c_[np.nan * time, rows]
    message = refusal(load_motion, write_csv(tmp_path / "clip.csv", rows.tolist()), Reading(source_fps=30.0))
    assert "has 37 columns, expected 36 or 30" in message
    assert message.endswith("which go up; export these columns")


def test_names_that_do_not_fit_the_columns_are_refused(tmp_path, clip):
    (tmp_path / "clip.csv").write_text(",".join((*ROOT, *G1_JOINTS[1:])) + "\n" + table(clip))
    assert "line 1 has 35 names, line 2 has 36 columns" in refusal(load_motion, tmp_path / "clip.csv")


def test_a_time_that_jumps_is_refused(tmp_path, clip):
    time = 0.02 * np.arange(clip.num_frames)
    time[5:] += 1.0
    rows = np.c_[time, clip_files.unitree(clip)].tolist()
    for names in (("time", *ROOT, *G1_JOINTS), ()):
        file = write_csv(tmp_path / "clip.csv", rows, names)
        assert refusal(load_motion, file) == f"{file}: {UNEVEN}"
        assert_same(load_motion(file, Reading(source_fps=50.0)), edited(clip, fps=50.0))


def test_the_rate_of_a_table_can_be_stated(tmp_path, clip):
    file = write_csv(tmp_path / "clip.csv", clip_files.unitree(clip))
    assert load_motion(file, Reading(source_fps=60.0)).fps == 60.0
    (tmp_path / "set.yaml").write_text("motions:\n- {file: clip.csv, source_fps: 60}\n- file: clip.csv\n")
    assert [motion.fps for motion in load_clips([str(tmp_path / "set.yaml")]).motions] == [60.0, 30.0]
    (tmp_path / "set.yaml").write_text("motions:\n- {file: clip.csv, source_fps: -1}\n")
    assert "source_fps': fps is -1; give one number from 0.1" in refusal(
        load_clips, [str(tmp_path / "set.yaml")]
    )


# --- archives and pickles -------------------------------------------------------------------------------


def base_pose(clip: Motion) -> dict:
    return {
        "joint_names": np.array(G1_JOINTS),
        "joint_pos": clip.dof_pos,
        "base_pos_w": clip.root_pos,
        "base_quat_w": clip.root_quat,
        "framerate": np.array(30),
    }


def holosoma(clip: Motion) -> dict:
    order = clip_files.ISAACLAB_JOINTS
    joints = clip.dof_pos[:, [clip_files.column(name) for name in order]]
    links = ("pelvis", *map(link_of, G1_JOINTS))
    position, quaternion = link_poses(clip, links)
    velocities = np.gradient(joints, 1 / clip.fps, axis=0)
    return {
        "fps": np.array([30]),
        "joint_names": np.array(order),
        "joint_pos": np.concatenate([clip.root_pos, clip.root_quat, joints], axis=1),
        "joint_vel": np.concatenate([np.zeros((clip.num_frames, 6)), velocities], axis=1),
        "body_names": np.array(["world", *links, "box"]),
        "body_pos_w": np.concatenate([0 * position[:, :1], position, position[:, :1]], axis=1),
        "body_quat_w": np.concatenate([quaternion[:, :1], quaternion, quaternion[:, :1]], axis=1),
    }


def motion_lib(clip: Motion) -> dict:
    return {
        "root_trans_offset": clip.root_pos.astype(np.float32),
        "root_rot": xyzw(clip).astype(np.float32),
        "dof": clip.dof_pos.astype(np.float32),
        "pose_aa": np.zeros((clip.num_frames, 30, 3), np.float32),
        "fps": 30,
    }


@pytest.mark.parametrize(("layout", "key"), [(base_pose, "base-pose"), (holosoma, "holosoma")])
def test_archives_with_names_are_read(tmp_path, clip, layout, key):
    clips, found, _ = load_all(write_npz(tmp_path / "clip.npz", layout(clip)))
    (motion,) = clips.values()
    assert_same(motion, clip)
    assert found.key == key


def amp(clip: Motion) -> dict:
    """As IsaacLab's AMP motions are, with another body first."""
    links = ("torso_link", "pelvis", "left_knee_link", "left_wrist_yaw_link", "right_wrist_yaw_link")
    position, quaternion = link_poses(clip, links)
    order = clip_files.ISAACLAB_JOINTS
    return {
        "fps": np.float32(30.0),
        "dof_names": np.array(order),
        "body_names": np.array(links),
        "dof_positions": clip.dof_pos[:, [clip_files.column(name) for name in order]],
        "body_positions": position,
        "body_rotations": quaternion,
    }


def unnamed_base(clip: Motion) -> dict:
    return {"root_pos": clip.root_pos, "root_quat": clip.root_quat, "dof_pos": clip.dof_pos, "dt": 1 / 30}


def named_gmr(clip: Motion) -> dict:
    fields = {name: value for name, value in clip_files.gmr(clip).items() if value is not None}
    return fields | {"dof_pos": clip.dof_pos[:, ::-1], "dof_names": np.array(SHORT[::-1])}


def bare_qpos(clip: Motion) -> dict:
    return {"qpos": clip.qpos, "frequency": 30.0}


def root_among_joints(clip: Motion) -> dict:
    names = np.array(["root", *G1_JOINTS])
    return {"fps": 30, "joint_names": names, "joint_pos": np.concatenate([clip.qpos, clip.root_pos], axis=1)}


FIELDS = {
    "base-pose": [base_pose, unnamed_base],
    "holosoma": [holosoma, root_among_joints],
    "bodies": [amp],
    "motion_lib": [motion_lib],
    "gmr": [named_gmr],
    "locomujoco": [bare_qpos],
    "mimickit": [clip_files.mimickit],
}


@pytest.mark.parametrize(
    ("key", "layout"), [(key, layout) for key, layouts in FIELDS.items() for layout in layouts]
)
@pytest.mark.parametrize("container", ["archive", "pickle", "dict", "dict of dicts", "list", "named list"])
def test_fields_are_read_from_any_container(tmp_path, clip, key, layout, container):
    file = tmp_path / "clip.npz"
    fields = {name: np.asarray(value) for name, value in layout(clip).items()}
    if container == "archive":
        write_npz(file, fields)
    else:
        fields = {
            name: value.tolist() if value.dtype.kind == "U" else value for name, value in fields.items()
        }
        around = {
            "pickle": fields,
            "dict": {"about": {"by": "me"}, "walk": fields},
            "dict of dicts": {"set": {"walk": fields}},
            "list": [fields],
            "named list": {"motions": [fields]},
        }
        write_pickle(file, around[container])
    clips, found, _ = load_all(file)
    (motion,) = clips.values()
    assert_same(motion, clip)
    assert found.key == key


def test_clips_of_nested_dicts_have_the_names_of_their_folders(tmp_path, clip):
    fields = motion_lib(clip)
    file = write_pickle(tmp_path / "set.pkl", {"a": {"walk": fields, "run": fields}, "b": {"walk": fields}})
    names = [motion.name for motion in load_all(file)[0].values()]
    assert names == ["set a/walk", "set a/run", "set walk"]
    assert load_motion(f"{file}#2").name == "set a/run"


NAMES = {
    "integer keys": (lambda a, b: {0: motion_lib(a), 1: motion_lib(b)}, ["1", "2"]),
    "a file of qpos in a dict": (lambda a, b: {"a": qpos(a, 2), "b": qpos(b)}, ["a/1", "a/2", "b"]),
    "qpos by name": (lambda a, b: {"walk": qpos(a), "run": qpos(b)}, ["walk", "run"]),
    "lists of one": (lambda a, b: {"walk": [motion_lib(a)], "run": [motion_lib(b)]}, ["walk", "run"]),
    "a list": (lambda a, b: {"motions": [motion_lib(a), motion_lib(b)]}, ["motions/1", "motions/2"]),
}


def qpos(motion, count=1):
    """LocoMuJoCo's fields of `count` trajectories."""
    found = clip_files.locomujoco(motion)
    found |= {"split_points": np.linspace(0, len(found["qpos"]), count + 1).astype(int)}
    return {name: np.asarray(value).tolist() for name, value in found.items()}


@pytest.mark.parametrize(("contents", "expected"), NAMES.values(), ids=NAMES)
def test_clips_of_a_file_go_by_their_names_or_by_their_numbers_from_1(tmp_path, clip, contents, expected):
    later = edited(clip, root_pos=clip.root_pos + np.array([1.0, 0.0, 0.0]))
    file = write_pickle(tmp_path / "set.pkl", contents(clip, later))
    found = load_all(file)[0]
    assert [name.rpartition("#")[2] for name in found] == expected
    for number, (name, motion) in enumerate(zip(expected, found.values(), strict=True), 1):
        for label in (name, str(number)):
            assert load_motion(f"{file}#{label}").digest == motion.digest
    first, *_, last = found.values()
    assert last.root_pos[0, 0] > first.root_pos[0, 0] + 0.5


@pytest.mark.parametrize("name", ["dt", "timestep", "frame_time"])
def test_milliseconds_between_frames_are_refused(tmp_path, clip, name):
    fields = motion_lib(clip)
    del fields["fps"]
    fields[name] = np.array(5.0)
    with pytest.raises(UserError, match=f"clip.pkl: {name} is 5 s between two frames; give seconds, no mill"):
        load_motion(write_pickle(tmp_path / "clip.pkl", fields))


@pytest.mark.parametrize("name", ["fps", "framerate", "frame_rate", "mocap_framerate", "hz"])
def test_a_rate_goes_by_many_names(tmp_path, clip, name):
    fields = motion_lib(clip)
    fields[name] = np.array([fields.pop("fps")])
    assert_same(load_motion(write_pickle(tmp_path / "clip.pkl", fields)), clip)


def test_joints_of_another_robot_are_called_unknown(tmp_path, clip):
    fields = base_pose(clip) | {
        "joint_names": np.array([f"limb_{number}" for number in range(19)]),
        "joint_pos": clip.dof_pos[:, :19],
    }
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert "joint_names: unknown 'limb_0'" in message
    assert message.endswith("name each of the 29 G1 joints once")


def test_bodies_with_names_are_held_against_the_angles(tmp_path, clip):
    fields = amp(clip)
    fields["dof_names"] = np.array(G1_JOINTS)
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert "body_positions is" in message
    assert "from where the joint angles put the bodies" in message


def test_bodies_with_names_show_that_their_quaternions_are_xyzw(tmp_path, clip):
    fields = amp(clip)
    fields["body_rotations"] = np.roll(fields["body_rotations"], -1, axis=2)
    told: list[str] = []
    reading = Reading(tell=told.append)
    assert_same(load_motion(write_npz(tmp_path / "clip.npz", fields), reading), clip)
    assert told == ["body_rotations is xyzw, by where the bodies are"]


def test_how_many_bad_frames_were_filled_and_cut_is_told(tmp_path, clip):
    rows = np.array(clip_files.unitree(clip))
    rows[[0, 3, 4]] = np.nan
    told: list[str] = []
    file = write_csv(tmp_path / "clip.csv", rows.tolist())
    read = load_motion(file, Reading(drop_bad=True, tell=told.append))
    assert read.num_frames == clip.num_frames - 1
    assert told == [f"filled 2 bad frames of {clip.num_frames}, and cut 1 at the ends"]


def test_the_pelvis_alone_tells_no_order(tmp_path, clip):
    fields = clip_files.tracking(clip, "depth", "depth")
    fields |= {name: fields[name][:, :1] for name in fields if name.startswith("body")}
    assert_same(load_motion(write_npz(tmp_path / "clip.npz", fields)), clip)


@pytest.mark.parametrize("order", ["breadth", "depth"])
def test_archives_with_some_of_the_bodies_are_read(tmp_path, clip, order):
    position, quaternion = link_poses(clip, TRACKED)
    fields = clip_files.tracking(clip, order, order) | {"body_pos_w": position, "body_quat_w": quaternion}
    assert_same(load_motion(write_npz(tmp_path / "clip.npz", fields)), clip)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_motion_lib_flat_and_nested(tmp_path, clip, protocol):
    flat = write_pickle(tmp_path / "flat.pkl", motion_lib(clip), protocol)
    assert_same(load_motion(flat), clip)
    later = edited(clip, root_pos=clip.root_pos + np.array([1.0, 0.0, 0.0]))
    one = write_pickle(tmp_path / "one.pkl", {"walk_a": motion_lib(clip)}, protocol)
    assert_same(load_motion(one), clip)
    two = write_pickle(tmp_path / "two.pkl", {"a": motion_lib(clip), "b": motion_lib(later)}, protocol)
    assert refusal(load_motion, two).endswith("holds 2 clips ('a', 'b'); name one of them as two.pkl#1")
    assert_same(load_motion(f"{two}#2"), later)
    assert_same(load_motion(f"{two}#b"), later)
    assert refusal(load_motion, f"{two}#3").endswith("has no clip '3'; give one from 1 to 2")
    assert [motion.name for motion in load_all(two)[0].values()] == ["two a", "two b"]
    assert load_clips([str(two), "walk"]).weights == (0.5, 0.5, 1.0)


def test_a_bad_clip_of_several_is_named_and_left_out_alone(tmp_path, clip, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bad = motion_lib(clip)
    bad["dof"][4, 0] = np.nan
    sunk = motion_lib(lifted(clip, -0.5))
    file = write_pickle(tmp_path / "set.pkl", {"good": motion_lib(clip), "bad": bad, "in/sunk": sunk})
    message = refusal(load_clips, [str(file)])
    assert message.startswith(f"{file}#bad: dof is nan at frame 4, column left_hip_pitch_joint")
    assert load_motion(f"{file}#bad", Reading(drop_bad=True)).num_frames == clip.num_frames
    clips = load_clips([str(file), "walk"], skip_bad=True)
    assert clips.left_out == (message,)
    assert clips.files == (f"{file}#good", f"{file}#in/sunk", "walk")
    assert clips.weights == (0.5, 0.5, 1.0)
    assert refusal(require_fit, clips, GROUND_BODIES["feet"]).startswith(f"{file}#in/sunk: not fit for")
    assert load_motion(f"{file}#in/sunk").name == "set in/sunk"
    assert refusal(load_clips, [f"{file}#bad"], skip_bad=True) == message


def test_a_trajectory_of_one_frame_is_left_out_alone(tmp_path, clip):
    fields = clip_files.locomujoco(clip) | {"split_points": np.array([0, 1, clip.num_frames])}
    file = write_npz(tmp_path / "two.npz", fields)
    clips = load_clips([str(file)], skip_bad=True)
    assert [motion.name for motion in clips.motions] == ["two 2"]
    assert clips.left_out[0].startswith(f"{file}#1: root_pos has 1 frame(s)")


def test_text_that_is_none_is_damage(tmp_path, clip):
    """Found by fuzzing: NumPy itself fails on it."""
    fields = clip_files.native(clip)
    fields["joint_names"] = np.full(29, 0x740000, np.uint32).view("<U1")
    assert "archive is damaged" in refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))


@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress])
def test_motion_lib_by_joblib(tmp_path, clip, pack):
    """As PHC's and ASAP's scripts write it; some arrays column by column."""
    fields = motion_lib(clip) | {"dof": np.asfortranarray(clip.dof_pos), "pose_aa": np.zeros((3, 30, 3))}
    file = write_joblib(tmp_path / "two.pkl", {"a": fields, "b": fields})
    file.write_bytes(pack(file.read_bytes()))
    for read in load_all(file)[0].values():
        assert_same(read, clip)


def test_what_follows_an_array_of_joblib_is_checked_too(tmp_path, clip):
    file = write_joblib(tmp_path / "clip.pkl", motion_lib(clip))
    safe = file.read_bytes()
    call = b"cposix\nsystem\n"
    for place in range(safe.index(b"NumpyArrayWrapper"), len(safe), 397):
        file.write_bytes(safe[:place] + call + safe[place:])
        refusal(load_motion, file)
    file.write_bytes(safe.replace(b"\x80\x04", b"\x80\x03", 1))
    assert "dump it with protocol=4" in refusal(load_motion, file)
    file.write_bytes(zlib.compress(bytes(2**27)))
    assert "unpacks to over 64 MiB" in refusal(load_motion, file)


def test_trajectories_of_a_file_are_clips(tmp_path, clip):
    fields = clip_files.locomujoco(clip) | {"split_points": np.array([0, 4, clip.num_frames])}
    file = write_npz(tmp_path / "two.npz", fields)
    first, second = load_all(file)[0].values()
    assert (first.num_frames, second.num_frames) == (4, clip.num_frames - 4)
    np.testing.assert_allclose(load_motion(f"{file}#2").qpos, second.qpos)


@pytest.mark.parametrize(
    "changes",
    [
        {"loop_mode": np.int64(1)},
        {"loop_mode": np.array(1)},
        {"loop_mode": np.array([1])},
        {"fps": np.array(60)},
        {"fps": np.float32(60)},
        {"frames": np.asarray},
        {"frames": lambda rows: [np.array(row) for row in rows]},
        {"frames": lambda rows: np.array(rows, np.float32)},
    ],
)
def test_numpy_values_in_mimickits_clips_are_read(tmp_path, changes):
    fields = clip_files.mimickit(walk()) | {"loop_mode": 1}
    for name, value in changes.items():
        fields[name] = value(fields[name]) if callable(value) else value
    motion = load_motion(write_pickle(tmp_path / "clip.pkl", fields))
    assert motion.loop == "wrap"
    assert_same(motion, walk(), 1e-5)


def with_23(path: Path, clip: Motion, layout: str, kept: list[int], kind=np.asarray) -> Path:
    """A file in that layout with some of the joints, which it does not name."""
    match layout:
        case "gmr":
            return write_pickle(path, clip_files.gmr(clip) | {"dof_pos": kind(clip.dof_pos[:, kept])})
        case "motion_lib":
            return write_pickle(path, motion_lib(clip) | {"dof": kind(clip.dof_pos[:, kept, None])})
        case "mimickit":
            fields = clip_files.mimickit(clip)
            fields["frames"] = kind(np.array(fields["frames"])[:, [*range(6), *(6 + i for i in kept)]])
            return write_pickle(path, fields)
    rows = np.array(clip_files.unitree(clip))[:, [*range(7), *(7 + i for i in kept)]]
    names = (*ROOT, *(f"dof_{number}" for number in range(len(kept)))) if layout == "numbered table" else ()
    return write_csv(path, rows.tolist(), names)


def padded(clip: Motion, kept: list[int]) -> Motion:
    """The clip with all other joints at 0."""
    return edited(clip, dof_pos=np.where(np.isin(np.arange(29), kept), clip.dof_pos, 0.0))


@pytest.mark.parametrize("layout", ["gmr", "motion_lib", "mimickit", "table", "numbered table"])
@pytest.mark.parametrize(
    "kind", [np.asarray, np.ndarray.tolist, list], ids=["array", "lists", "arrays in a list"]
)
@pytest.mark.parametrize(("stated", "kept"), [("one-waist", IN_23), ("no-wrists", WITHOUT_WRISTS)])
def test_which_23_joints_without_names_are_is_stated(tmp_path, clip, layout, kind, stated, kept):
    file = with_23(tmp_path / "clip", clip, layout, kept, kind)
    message = refusal(load_motion, file)
    assert "there are 23 joints without names; convert --pad-as one-waist reads Unitree's" in message
    assert "convert --pad-as no-wrists those of ASAP, PBHC, TWIST and GMT" in message
    lines: list[str] = []
    assert_same(load_motion(file, Reading(pad=stated, tell=lines.append)), padded(clip, kept))
    assert lines == []


@pytest.mark.parametrize("layout", ["gmr", "mimickit", "table"])
def test_23_joints_that_nobody_names_are_unitrees_which_is_said(tmp_path, clip, layout):
    file, lines = with_23(tmp_path / "clip", clip, layout, IN_23), []
    assert_same(load_motion(file, Reading(pad=True, tell=lines.append)), padded(clip, IN_23))
    (line,) = lines
    assert line.startswith(
        "took the 23 joints for Unitree's, with one of the waist and the rolls of the wrists;"
    )
    assert line.endswith("convert --pad-as no-wrists")


@pytest.mark.parametrize("kept", [IN_23, WITHOUT_WRISTS], ids=["one-waist", "no-wrists"])
@pytest.mark.parametrize("layout", ["names", "bodies", "pose_aa", "table"])
def test_a_file_may_show_which_23_joints_it_has(tmp_path, clip, layout, kept):
    """By names, by where the bodies are, or by the axes about which the joints turn."""
    clip = edited(clip, dof_pos=clip.dof_pos + 0.3 * np.sin(np.arange(29)))
    part = padded(clip, kept)
    match layout:
        case "names":
            names = [G1_JOINTS[i] for i in kept]
            fields = clip_files.gmr(clip) | {"dof_pos": clip.dof_pos[:, kept], "joint_names": names}
            file = write_pickle(tmp_path / "clip.pkl", fields)
        case "bodies":
            links = ("pelvis", *map(link_of, G1_JOINTS))
            local, _ = link_poses(
                edited(
                    part,
                    root_pos=0 * clip.root_pos,
                    root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (clip.num_frames, 1)),
                ),
                links,
            )
            fields = clip_files.gmr(clip) | {"dof_pos": clip.dof_pos[:, kept], "local_body_pos": local}
            file = write_pickle(tmp_path / "clip.pkl", fields | {"link_body_list": list(links)})
        case "pose_aa":
            turns = np.zeros((clip.num_frames, 27, 3))
            for column, joint in enumerate(kept):
                turns[:, 1 + column, AXES[joint]] = clip.dof_pos[:, joint]
            fields = motion_lib(clip) | {"dof": clip.dof_pos[:, kept], "pose_aa": turns.astype(np.float32)}
            file = write_pickle(tmp_path / "clip.pkl", {"a": fields})
        case "table":
            rows = np.array(clip_files.unitree(clip))[:, [*range(7), *(7 + i for i in kept)]]
            names = (*ROOT, *(G1_JOINTS[i] for i in kept), "contact")
            file = write_csv(tmp_path / "clip.csv", np.c_[rows, rows[:, 0]].tolist(), names)
    lines: list[str] = []
    assert_same(load_motion(file, Reading(pad=True, tell=lines.append)), part)
    assert lines == []
    assert "'right_wrist_yaw_joint'; convert --pad sets them to 0" in refusal(load_motion, file)
    same, other = ("one-waist", "no-wrists")[:: 1 if kept is IN_23 else -1]
    assert_same(load_motion(file, Reading(pad=same)), part)
    assert f"other joints than --pad-as {other} says" in refusal(load_motion, file, Reading(pad=other))


def test_bodies_and_axes_that_fit_neither_list_show_nothing(tmp_path, clip):
    bodies = {
        "local_body_pos": np.zeros((clip.num_frames, 2, 3)),
        "link_body_list": ["pelvis", "left_elbow_link"],
    }
    part = {"dof_pos": clip.dof_pos[:, IN_23]}
    people = {"dof": clip.dof_pos[:, IN_23], "pose_aa": np.ones((clip.num_frames, 24, 3))}
    for fields in (clip_files.gmr(clip) | part | bodies, motion_lib(clip) | people):
        file = write_pickle(tmp_path / "clip.pkl", fields)
        assert "23 joints without names" in refusal(load_motion, file)
        assert_same(load_motion(file, Reading(pad=True)), padded(clip, IN_23))


def test_29_joints_are_not_stated_to_be_23(tmp_path, clip):
    file = write_pickle(tmp_path / "clip.pkl", clip_files.gmr(clip))
    assert_same(load_motion(file, Reading(pad=True)), clip)
    assert "other joints than --pad-as one-waist says" in refusal(load_motion, file, Reading(pad="one-waist"))


def test_a_layout_with_all_fields_of_a_known_one_but_not_its_shapes_hears_that(tmp_path):
    fields = {"fps": 30, "joint_names": np.array(["a"]), "joint_pos": np.zeros((3, 1))}
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert "the nearest known one is Holosoma .npz, but its fields have other shapes; export" in message


def test_an_unknown_layout_hears_what_is_nearest(tmp_path):
    fields = {"root_trans": np.zeros((3, 3)), "joint_names": np.array(["a"]), "joint_pos": np.zeros((3, 1))}
    message = refusal(load_motion, write_npz(tmp_path / "clip.npz", fields))
    assert (
        "unknown clip format (fields: 'root_trans' (3, 3), 'joint_names' (1,), 'joint_pos' (3, 1));"
        in message
    )
    assert "the nearest known one is Holosoma .npz, but fps is missing" in message


@pytest.mark.parametrize("key", FIELDS)
def test_ragged_lists_are_refused_in_a_line_and_left_out(tmp_path, clip, key):
    """Each field of every layout in turn, its first or its last row cut short."""
    whole = {name: np.asarray(value).tolist() for name, value in FIELDS[key][0](clip).items()}
    for name, value in whole.items():
        if not isinstance(value, list) or not isinstance(value[0], list):
            continue
        for ragged in ([value[0][:-1], *value[1:]], [*value[:-1], value[-1][:-1]], [value, 1.0]):
            file = write_pickle(tmp_path / "clip.pkl", whole | {name: ragged})
            try:
                assert_same(load_motion(file), clip)  # what nobody needs may be ragged
            except UserError as error:
                assert str(error).startswith(f"{file}: ")
                assert load_clips([str(file), "walk"], skip_bad=True).left_out == (str(error),)


def test_arrays_of_text_in_a_pickle_are_read(tmp_path, clip):
    """Names of joints in another order, and a field that nobody needs."""
    fields = named_gmr(clip) | {"note": np.array(["a", "行走"]), "by": np.str_("me"), "raw": np.array([b"x"])}
    for names in (fields["dof_names"], fields["dof_names"].astype(bytes), list(fields["dof_names"])):
        for write in (write_pickle, write_joblib):
            file = write(tmp_path / "clip.pkl", fields | {"dof_names": names})
            assert_same(load_motion(file), clip)


def test_a_text_that_a_pickle_repeats_is_not_made_without_end(tmp_path, clip):
    fields = clip_files.gmr(clip) | {"notes": [np.str_("x" * 999_999)] * 100_000}
    assert "repeats the same" in refusal(load_motion, write_pickle(tmp_path / "clip.pkl", fields))


def test_text_in_a_pickle_that_is_none_is_refused(tmp_path, clip):
    text = np.array([0x740000], np.uint32).view("<U1")
    for write in (write_pickle, write_joblib):
        file = write(tmp_path / "clip.pkl", clip_files.gmr(clip) | {"note": text})
        assert "what are no characters" in refusal(load_motion, file)


@pytest.mark.parametrize("space", ["\u3000", "\u00a0", "\u202f", "\u200b", "\n"])
def test_names_are_cleaned(tmp_path, clip, space):
    file = write_pickle(tmp_path / f"\u884c\u8d70{space}\u52a8\u4f5c.pkl", clip_files.gmr(clip))
    assert load_motion(file).name == "\u884c\u8d70 \u52a8\u4f5c"


# --- frames that cannot be read -------------------------------------------------------------------------


def test_bad_frames_are_cut_off_or_filled(tmp_path, clip):
    angles, quaternion = clip.dof_pos.copy(), xyzw(clip)
    angles[-1, 7], angles[4, 0], quaternion[5] = np.nan, np.inf, 0.0
    fields = clip_files.gmr(clip) | {"dof_pos": angles, "root_rot": quaternion}
    file = write_pickle(tmp_path / "clip.pkl", fields)
    assert "dof_pos is inf at frame 4, column left_hip_pitch_joint" in refusal(load_motion, file)
    assert_same(load_motion(file, Reading(start=0.0, end=3 / 30)), cut(clip, 0.0, 3 / 30))
    mended = load_motion(file, Reading(drop_bad=True))
    assert mended.num_frames == clip.num_frames - 1
    good = [0, 1, 2, 3, 6, 7, 8, 9]
    np.testing.assert_allclose(mended.qpos[good], clip.qpos[good], atol=1e-12)
    expected = np.interp(4, [3, 6], clip.dof_pos[[3, 6], 0])
    assert mended.dof_pos[4, 0] == pytest.approx(expected)


@pytest.mark.parametrize("bad", [3, 5, 6, 8, 9, 10])
def test_frames_are_filled_only_between_many_good_ones(tmp_path, clip, bad):
    """With most frames bad, it is not they that are wrong, and what the others would give is no motion."""
    clip = cut(clip, 0.0, 9 / 30)
    quaternion = xyzw(clip)
    quaternion[1 : 1 + bad] *= 1.05
    file = write_pickle(tmp_path / "clip.pkl", clip_files.gmr(clip) | {"root_rot": quaternion})
    message = refusal(load_motion, file)
    assert message.endswith("convert --drop-bad mends them") == (bad <= 5)
    if bad <= 5:
        assert load_motion(file, Reading(drop_bad=True)).num_frames == 10
        return
    assert "give unit ones, or divide each by its norm if these are its columns" in message
    message = refusal(load_motion, file, Reading(drop_bad=True))
    assert (
        f"has {10 - min(bad, 9)} good frames of 10, too few to fill the others; cut to a good part" in message
    )


def test_a_cut_clip_of_the_wrong_unit_is_still_refused(tmp_path, clip):
    fields = clip_files.gmr(clip) | {"root_pos": 100.0 * clip.root_pos}
    file = write_pickle(tmp_path / "clip.pkl", fields)
    assert "looks like centimetres" in refusal(load_motion, file, Reading(end=0.2))


# --- judged afterwards ----------------------------------------------------------------------------------


def bent(joint: str, by: float, frames: slice) -> Motion:
    angles = walk().dof_pos.copy()
    angles[frames, clip_files.column(joint)] += by
    return edited(walk(), dof_pos=angles)


def test_a_joint_beyond_its_limit_for_a_moment_is_read_and_reported(tmp_path):
    save_motion(tmp_path / "tuck.pkl", bent("waist_pitch_joint", 1.6, slice(30, 36)), "mimickit")
    found = finding(load_motion(tmp_path / "tuck.pkl"), "joint limits")
    assert (found.severity, found.where) == ("error", "waist_pitch_joint")


def test_an_angle_one_turn_off_is_read_without_it(tmp_path):
    off = bent("left_shoulder_pitch_joint", 2 * np.pi, slice(None))
    save_motion(tmp_path / "off.pkl", off, "mimickit")
    told: list[str] = []
    assert_same(load_motion(tmp_path / "off.pkl", Reading(tell=told.append)), walk())
    assert told == ["took +1 whole turn(s) off left_shoulder_pitch_joint"]


@pytest.mark.parametrize(("degrees", "severity"), [(23.0, "warning"), (60.0, "error")])
def test_a_seam_that_turns_names_a_way_that_exists(degrees, severity):
    motion = walk()
    turn = clip_files.Rotation.from_euler("z", np.linspace([0.0], [degrees], motion.num_frames), degrees=True)
    quaternion = (turn * clip_files.Rotation.from_quat(xyzw(motion))).as_quat(scalar_first=True)
    found = finding(with_loop(edited(motion, root_quat=quaternion), "wrap"), "seam: root turn")
    assert found.severity == severity
    assert "convert --loop turn carries it over from cycle to cycle" in found.remedy


def test_train_looks_at_the_verdict(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jump = edited(
        walk(), root_pos=walk().root_pos + np.where(np.arange(67) > 40, 1.0, 0.0)[:, None] * [1, 0, 0]
    )
    save_motion(tmp_path / "jump.npz", jump, "native")
    clips = load_clips([str(tmp_path / "jump.npz"), "walk"])
    message = refusal(require_fit, clips, GROUND_BODIES["feet"])
    assert message.startswith(f"{tmp_path / 'jump.npz'}: not fit for training: root jump ")
    assert message.endswith("; train --trust insists on it")
    (line,) = require_fit(clips, GROUND_BODIES["feet"], trust=True)
    assert line.startswith(f"warning: {tmp_path / 'jump.npz'}: root jump ")
    assert require_fit(load_clips(["walk"]), GROUND_BODIES["feet"]) == []


def test_verdicts_are_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clips = load_clips(["walk", "kick"])
    require_fit(clips, GROUND_BODIES["feet"])
    with monkeypatch.context() as patched:
        patched.setattr("mjx_mimic.clips.fitness.validate", None)
        assert require_fit(clips, GROUND_BODIES["feet"]) == []
    (tmp_path / "mjx_mimic" / "verdicts.json").write_text("[1")
    assert require_fit(clips, GROUND_BODIES["feet"]) == []


@pytest.mark.parametrize("changed", ["g1.xml", "constants.py", "loop_closing.py", "ground_contacts.py"])
def test_verdicts_of_other_checks_or_of_another_robot_are_not_used(tmp_path, monkeypatch, changed):
    """What decides a verdict is the code of clips and robot, and the robot's description."""
    read = Path.read_bytes
    before = fitness._version.__wrapped__()
    assert fitness._version.__wrapped__() == before
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b" " * (path.name == changed))
    assert fitness._version.__wrapped__() != before


def test_a_clip_shorter_than_a_control_step_is_not_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_motion(tmp_path / "two.npz", cut(walk(), 0.0, 1 / 60), "native")
    message = refusal(require_fit, load_clips([str(tmp_path / "two.npz")]), GROUND_BODIES["feet"])
    assert "not fit for training: control step 200 % of the clip" in message


def test_a_clip_that_ends_every_episode_at_once_is_not_fit(tmp_path, monkeypatch):
    """On its back and hands, which may not be on the floor without the option that the message names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    down = clip_files.Rotation.from_euler("y", -90, degrees=True).as_quat(scalar_first=True)
    lying = edited(walk(), root_quat=np.tile(down, (67, 1)), root_pos=np.tile([0.0, 0.0, 0.08], (67, 1)))
    lying = lifted(edited(lying, dof_pos=np.tile(walk().dof_pos[:1], (67, 1))))
    save_motion(tmp_path / "lying.npz", lying, "native")
    clips = load_clips([str(tmp_path / "lying.npz")])
    message = refusal(require_fit, clips, GROUND_BODIES["feet"])
    assert "every episode would end at once: train with --env.contacts full" in message
    assert not [line for line in require_fit(clips, GROUND_BODIES["full"]) if "at once" in line]


@pytest.mark.parametrize("separator", ["\\", "/"])
def test_lists_with_windows_separators_are_read(tmp_path, clip, separator):
    (tmp_path / "clips").mkdir()
    save_motion(tmp_path / "clips" / "\u884c.npz", clip, "native")
    text = f"motions:\n- file: clips{separator}\u884c.npz\n  weight: 1e-1\n"
    (tmp_path / "set.yaml").write_text(text, encoding="utf-8")
    clips = load_clips([str(tmp_path / "set.yaml")])
    assert clips.weights == (0.1,)
    assert_same(clips.motions[0], clip)
