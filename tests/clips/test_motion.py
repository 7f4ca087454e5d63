"""`Motion`: what `make_motion` accepts, mends and refuses, and the native file."""

import io
import os
import re
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refusal

from mjx_mimic import clips
from mjx_mimic.clips.formats import native, npz
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import DiskFailure, UserError, quoted
from mjx_mimic.robot.constants import G1_JOINTS

SHARED = Path(__file__).parents[3] / "shared"
SOURCE = "clips/some.npz"


def fields(frames: int = 7, seed: int = 0) -> dict:
    """Arguments of `make_motion` for a random valid clip."""
    rng = np.random.default_rng(seed)
    quaternion = rng.normal(size=(frames, 4))
    return {
        "name": "some",
        "fps": 30.0,
        "root_pos": rng.normal(size=(frames, 3)),
        "root_quat": quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True),
        "dof_pos": rng.normal(size=(frames, 29)),
        "joint_names": G1_JOINTS,
        "loop": "clamp",
        "source": SOURCE,
    }


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(T, 4) wxyz to (T, 3, 3), by the textbook formula."""
    w, x, y, z = quaternion.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def test_joint_order_is_the_models():
    actuators = ET.parse(paths.assets_dir() / "g1" / "g1.xml").findall("./actuator/*")
    assert tuple(actuator.attrib["joint"] for actuator in actuators) == G1_JOINTS


def test_joint_order_is_mimickits():
    file = SHARED / "g1" / "g1_mimickit.xml"
    if not file.exists():
        pytest.skip(f"{file} is absent: reference material lies beside a development checkout only")
    hinges = [
        joint.attrib["name"]
        for joint in ET.parse(file).findall("./worldbody//joint")
        if joint.get("type", "hinge") == "hinge"
    ]
    assert tuple(hinges) == G1_JOINTS


def test_valid_fields_pass_unchanged():
    given = fields()
    motion = make_motion(**given)
    assert (motion.name, motion.fps, motion.loop, motion.joint_names) == ("some", 30.0, "clamp", G1_JOINTS)
    np.testing.assert_array_equal(motion.root_pos, given["root_pos"])
    np.testing.assert_array_equal(np.abs(motion.root_quat), np.abs(given["root_quat"]))
    np.testing.assert_array_equal(motion.dof_pos, given["dof_pos"])
    assert motion.num_frames == 7
    assert motion.length == pytest.approx(6 / 30.0, abs=1e-15)


def test_lists_integers_and_float32_become_float64():
    motion = make_motion(
        **fields()
        | {
            "fps": 50,
            "root_pos": [[0, 0, 1], [1, 0, 1]],
            "root_quat": np.array([[1, 0, 0, 0], [1, 0, 0, 0]], np.float32),
            "dof_pos": np.zeros((2, 29), np.int16),
            "joint_names": list(G1_JOINTS),
        }
    )
    assert {array.dtype for array in (motion.root_pos, motion.root_quat, motion.dof_pos)} == {
        np.dtype("float64")
    }
    assert type(motion.fps) is float
    assert motion.root_pos.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]


def test_motion_shares_no_memory_and_cannot_change():
    given = fields()
    before = {key: given[key].copy() for key in ("root_pos", "root_quat", "dof_pos")}
    motion = make_motion(**given)
    for key, array in before.items():
        np.testing.assert_array_equal(given[key], array)
        assert not np.shares_memory(given[key], getattr(motion, key))
        with pytest.raises(ValueError, match="read-only"):
            getattr(motion, key)[0, 0] = 1.0
    with pytest.raises(FrozenInstanceError):
        motion.fps = 60.0


@pytest.mark.parametrize("seed", range(5))
def test_joints_are_sorted_by_name(seed):
    given = fields(seed=seed)
    order = np.random.default_rng(seed).permutation(29)
    shuffled = given | {
        "dof_pos": given["dof_pos"][:, order],
        "joint_names": [G1_JOINTS[index] for index in order],
    }
    motion = make_motion(**shuffled)
    np.testing.assert_array_equal(motion.dof_pos, given["dof_pos"])
    assert motion.joint_names == G1_JOINTS


@pytest.mark.parametrize("seed", range(5))
def test_quaternions_become_unit_and_continuous_and_keep_their_rotation(seed):
    rng = np.random.default_rng(seed)
    given = fields(frames=200, seed=seed)
    scale = 1 + rng.uniform(-0.009, 0.009, size=(200, 1))
    quaternion = make_motion(**given | {"root_quat": given["root_quat"] * scale}).root_quat
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=1), 1, atol=1e-14)
    assert np.all(np.sum(quaternion[1:] * quaternion[:-1], axis=1) >= 0)
    assert np.any(np.sum(quaternion * given["root_quat"], axis=1) < 0), "nothing was flipped"
    np.testing.assert_allclose(quaternion[0], given["root_quat"][0], atol=1e-14)
    np.testing.assert_allclose(rotation_matrix(quaternion), rotation_matrix(given["root_quat"]), atol=1e-13)


def test_digest_follows_contents_and_not_the_name():
    given = fields()
    motion = make_motion(**given)
    assert re.fullmatch("[0-9a-f]{64}", motion.digest)
    assert make_motion(**given | {"name": "other", "source": "other.pkl"}).digest == motion.digest

    changes = [{"fps": np.nextafter(30.0, 31)}, {"loop": "wrap"}]
    for key in ("root_pos", "dof_pos"):
        array = given[key].copy()
        array[-1, -1] = np.nextafter(array[-1, -1], 9)
        changes.append({key: array})
    changes.append({"root_quat": given["root_quat"][:, [0, 2, 1, 3]]})
    changes.append({key: given[key][:-1] for key in ("root_pos", "root_quat", "dof_pos")})
    digests = {make_motion(**given | change).digest for change in changes}
    assert len(digests) == len(changes)
    assert motion.digest not in digests


def test_frames_go_to_qpos_and_back():
    motion = make_motion(**fields() | {"loop": "wrap"})
    assert motion.qpos.shape == (7, 36)
    np.testing.assert_array_equal(motion.qpos[:, 3:7], motion.root_quat)
    again = Motion.from_qpos(motion.qpos, name="again", fps=motion.fps, loop=motion.loop)
    assert (again.name, again.digest) == ("again", motion.digest)
    bad = motion.qpos
    bad[2, 7 + 3] = np.nan
    assert refusal(Motion.from_qpos, bad, name="bad", fps=30.0) == (
        "bad: qpos is nan at frame 2, column left_knee_joint (1 such value(s)); convert --drop-bad mends them"
    )
    assert refusal(Motion.from_qpos, bad[:, :30], name="bad", fps=30.0, source="a.npz") == (
        "a.npz: qpos has shape (7, 30), expected (T, 36); export the clip of the 29-joint G1"
    )


def test_the_package_exports_what_its_example_uses():
    motion = clips.load_motion("walk")
    assert clips.validate(motion).verdict == "good"
    assert all(hasattr(clips, name) for name in clips.__all__)
    assert clips.load_clips(["walk"]).motions[0].digest == motion.digest


def spoiled(key: str, frame: int, column: int, value: float) -> dict:
    """A change that puts `value` at [frame, column] of the array `key`."""
    array = fields()[key].copy()
    array[frame, column] = value
    return {key: array}


def scaled(frame: int, factor: float) -> dict:
    """A change that scales one quaternion."""
    array = fields()["root_quat"].copy()
    array[frame] *= factor
    return {"root_quat": array}


def cut(count: int) -> dict:
    """A change that keeps `count` frames."""
    return {key: fields()[key][:count] for key in ("root_pos", "root_quat", "dof_pos")}


RENAMED = ["left_hip_pitch", "pelvis", *G1_JOINTS[2:]]
DOUBLED = [G1_JOINTS[1], *G1_JOINTS[1:]]

USE = "use 'wrap' for a cyclic clip, 'turn' for one whose cycles turn on, else 'clamp'"
REFUSED = {
    "fps zero": ({"fps": 0}, "fps is 0; give one number from 0.1 to 10000, in frames/s"),
    "fps negative": ({"fps": -30.0}, "fps is -30; give one number from 0.1 to 10000, in frames/s"),
    "fps nan": ({"fps": float("nan")}, "fps is nan; give one number from 0.1 to 10000, in frames/s"),
    "fps infinite": ({"fps": float("inf")}, "fps is inf; give one number from 0.1 to 10000, in frames/s"),
    "fps beyond float": ({"fps": 10**5000}, "fps is inf; give one number from 0.1 to 10000, in frames/s"),
    "fps text": ({"fps": "30"}, "fps is a str; give one number > 0, in frames/s"),
    "fps bool": ({"fps": True}, "fps is a bool; give one number > 0, in frames/s"),
    "fps array": ({"fps": np.ones(3)}, "fps is a ndarray; give one number > 0, in frames/s"),
    "name number": ({"name": 1}, "name is a int; give the clip a name"),
    "loop unknown": ({"loop": "once"}, "loop is 'once'; " + USE),
    "loop number": ({"loop": 1}, "loop is a int; " + USE),
    "nan": (
        spoiled("dof_pos", 4, 3, np.nan),
        "dof_pos is nan at frame 4, column left_knee_joint (1 such value(s)); convert --drop-bad mends them",
    ),
    "infinite": (
        spoiled("root_pos", 2, 1, -np.inf),
        "root_pos is -inf at frame 2, column y (1 such value(s)); convert --drop-bad mends them",
    ),
    "nan quaternion": (
        spoiled("root_quat", 6, 0, np.nan),
        "root_quat is nan at frame 6, column w (1 such value(s)); convert --drop-bad mends them",
    ),
    "zero quaternion": (
        scaled(5, 0.0),
        "root_quat is zero at frame 5 (1 such frame(s)); give unit ones, or convert --drop-bad mends them",
    ),
    "long quaternion": (
        scaled(3, 1.02),
        "root_quat has norm 1.02 at frame 3 (1 such frame(s)); give unit ones, or convert --drop-bad"
        " mends them",
    ),
    "short quaternion": (
        scaled(1, 0.98),
        "root_quat has norm 0.98 at frame 1 (1 such frame(s)); give unit ones, or convert --drop-bad"
        " mends them",
    ),
    "huge quaternion": (
        scaled(0, 1e200),
        "root_quat has norm inf at frame 0 (1 such frame(s)); give unit ones, or convert --drop-bad"
        " mends them",
    ),
    "one frame": (cut(1), "root_pos has 1 frame(s); a clip needs at least 2 frames"),
    "no frame": (cut(0), "root_pos has 0 frame(s); a clip needs at least 2 frames"),
    "uneven": (
        {"dof_pos": np.zeros((6, 29))},
        "root_pos, root_quat and dof_pos have 7, 7 and 6 frames; export them with the same number of frames",
    ),
    "columns": (
        {"dof_pos": np.zeros((7, 28))},
        "dof_pos has shape (7, 28), expected (T, 29); export the clip of the 29-joint G1",
    ),
    "flat": (
        {"root_pos": np.zeros(21)},
        "root_pos has shape (21,), expected (T, 3); export the clip of the 29-joint G1",
    ),
    "ragged": (
        {"root_quat": [[1, 0, 0, 0], [1, 0, 0]]},
        "root_quat is ragged; give every frame as many numbers",
    ),
    "text": ({"root_pos": np.full((7, 3), "1.0")}, "root_pos has type <U3; give real numbers"),
    "complex": ({"root_pos": np.zeros((7, 3), complex)}, "root_pos has type complex128; give real numbers"),
    "names unknown": (
        {"joint_names": RENAMED},
        (
            "joint_names: unknown 'left_hip_pitch', 'pelvis'; missing 'left_hip_pitch_joint',"
            " 'left_hip_roll_joint'; name each of the 29 G1 joints once"
        ),
    ),
    "names doubled": (
        {"joint_names": DOUBLED},
        (
            "joint_names: missing 'left_hip_pitch_joint'; duplicate 'left_hip_roll_joint'; name each of"
            " the 29 G1 joints once"
        ),
    ),
    "names of the 23-joint G1": (
        {"joint_names": G1_JOINTS[:23]},
        (
            "joint_names: missing 'right_shoulder_roll_joint', 'right_shoulder_yaw_joint', "
            "'right_elbow_joint', 'right_wrist_roll_joint', "
            "'right_wrist_pitch_joint', 'right_wrist_yaw_joint'; convert --pad sets them to 0"
        ),
    ),
    "names not text": (
        {"joint_names": list(range(29))},
        "joint_names is not a list of text; give the 29 G1 joint names",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_field_is_refused_with_file_field_and_remedy(case):
    change, message = REFUSED[case]
    assert refusal(make_motion, **fields() | change) == f"{SOURCE}: {message}"


def test_user_error_is_one_line_whatever_it_quotes():
    assert str(UserError("a\nb\r\nc\u2028d")) == "a b c d"
    assert str(UserError("a\x1b[2J\ud800\0")) == r"a\x1b[2J\ud800\x00"
    long = str(UserError("file: " + "y" * 10_000 + "; remedy"))
    assert len(long) <= 900
    assert (long[:7], long[-8:]) == ("file: y", "; remedy")
    assert quoted("x\n\x1b[2J\ud800") == r"'x\n\x1b[2J\ud800'"
    assert quoted("y" * 1000) == repr("y" * 60) + "..."


@pytest.mark.parametrize("seed", range(5))
def test_native_round_trip_is_exact(tmp_path, seed):
    given = fields(frames=50, seed=seed) | {"loop": ("wrap", "clamp")[seed % 2], "fps": 30000 / 1001}
    given["root_quat"] = given["root_quat"] * 1.001
    motion = make_motion(**given)
    file = tmp_path / "clip.npz"
    native.write(file, motion)
    again = native.read(file)
    assert isinstance(again, Motion)
    assert (again.name, again.fps, again.loop) == (motion.name, motion.fps, motion.loop)
    assert again.joint_names == motion.joint_names
    for key in ("root_pos", "root_quat", "dof_pos"):
        np.testing.assert_array_equal(getattr(again, key), getattr(motion, key))
    assert again.digest == motion.digest


def test_native_file_is_plain_npz(tmp_path):
    """Read with numpy alone: the names, types and values that the design promises."""
    motion = make_motion(**fields())
    native.write(tmp_path / "clip.npz", motion)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as archive:
        contents = dict(archive)
    assert contents.pop("format_version") == 1
    assert contents.pop("fps") == 30.0
    assert contents.pop("loop") == "clamp"
    assert contents.pop("name") == "some"
    assert contents.pop("joint_names").tolist() == list(G1_JOINTS)
    for key in ("root_pos", "root_quat", "dof_pos"):
        np.testing.assert_array_equal(contents.pop(key), getattr(motion, key))
    assert not contents


@pytest.mark.parametrize("step", ["write", "replace"])
def test_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    file = tmp_path / "clip.npz"
    native.write(file, make_motion(**fields()))
    before = file.read_bytes()

    def full_disk(target, *args, **arrays):
        if step == "write":
            target.write(b"half a clip")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((np, "savez") if step == "write" else (os, "replace")), full_disk)
    with pytest.raises(DiskFailure) as caught:
        native.write(file, make_motion(**fields(seed=1)))
    assert str(caught.value) == f"{file}: cannot be written (No space left on device); make space on the disk"
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("absent/clip.npz", "No such file or directory"),
        ("folder", "is a folder"),
        ("nul\0.npz", "embedded null byte"),
    ],
)
def test_unwritable_path_is_refused(tmp_path, target, reason):
    (tmp_path / "folder").mkdir()
    message = refusal(native.write, tmp_path / target, make_motion(**fields()))
    shown = str(tmp_path / target).replace("\0", "\\x00")
    assert message == f"{shown}: cannot be written ({reason}); choose another path"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def stored(tmp_path: Path, drop: str = "", **changes) -> Path:
    """A native file with some of its fields changed, or one left out."""
    file = tmp_path / "clip.npz"
    native.write(file, make_motion(**fields()))
    with np.load(file) as archive:
        contents = dict(archive) | changes
    contents.pop(drop, None)
    np.savez(file, **contents)
    return file


NATIVE_FIELDS = ("format_version", "name", "fps", "loop", "joint_names", "root_pos", "root_quat", "dof_pos")


@pytest.mark.parametrize("field", NATIVE_FIELDS)
def test_missing_native_field_is_named(tmp_path, field):
    file = stored(tmp_path, drop=field)
    assert refusal(native.read, file) == (
        f"{file}: field '{field}' is missing, so this is no mjx_mimic clip; convert it to one first"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "format_version is 2, this program reads 1; update mjx_mimic"),
        ({"format_version": "1"}, "format_version is a str, this program reads 1; update mjx_mimic"),
        ({"fps": np.array([30.0, 30.0])}, "fps is a ndarray; give one number > 0"),
        ({"fps": 0.0}, "fps is 0; give one number from 0.1 to 10000"),
        ({"loop": "once"}, "loop is 'once'; use 'wrap'"),
        ({"name": 3}, "name is a int; give the clip a name"),
        ({"joint_names": np.array("waist")}, "joint_names is not a list of text; give names"),
        ({"joint_names": np.array(DOUBLED)}, "duplicate 'left_hip_roll_joint'; name each"),
        ({"dof_pos": np.zeros((7, 36))}, "dof_pos has shape (7, 36), expected (T, 29)"),
        (
            {"dof_pos": np.array([None] * 7)},
            "dof_pos holds pickled Python objects, which could run code; save",
        ),
    ],
)
def test_bad_native_field_is_refused(tmp_path, changes, words):
    file = stored(tmp_path, **changes)
    assert refusal(native.read, file).startswith(f"{file}: ")
    assert words in refusal(native.read, file)


def test_native_joints_in_another_order_are_sorted(tmp_path):
    expected = fields()["dof_pos"]
    file = stored(tmp_path, dof_pos=expected[:, ::-1], joint_names=np.array(G1_JOINTS[::-1]))
    np.testing.assert_array_equal(native.read(file).dof_pos, expected)


def test_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    file = tmp_path / "huge.npz"
    np.savez_compressed(file, root_pos=np.zeros((2**18, 3)))
    assert file.stat().st_size < 2**20
    monkeypatch.setattr(npz, "MAX_FILE_BYTES", 2**20)
    assert refusal(native.read, file) == (
        f"{file}: arrays unpack to 6 MiB, over the limit of 1 MiB; split the clip"
    )


def test_array_header_that_lies_about_its_size_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**55, 3)}
    )
    file = tmp_path / "liar.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for field in NATIVE_FIELDS:
            archive.writestr(f"{field}.npy", header.getvalue())
    assert refusal(native.read, file).startswith(f"{file}: .npz archive is damaged or truncated (")


def test_zip_members_that_are_no_arrays_are_refused(tmp_path):
    file = tmp_path / "words.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for field in NATIVE_FIELDS:
            archive.writestr(field, "words")
    assert refusal(native.read, file).startswith(f"{file}: format_version is a bytes, this program reads 1")
