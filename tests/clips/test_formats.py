"""`load_motion`: finding clips, telling formats apart, MimicKit's pickles, hostile and broken files."""

import json
import math
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.refusals import refusal

from mjx_mimic.clips.editing import cut
from mjx_mimic.clips.formats import load_all, load_motion, native, safe_pickle
from mjx_mimic.clips.motion import make_motion
from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture
def anchors() -> dict:
    """MimicKit's own figures for its clips."""
    file = SHARED / "anchors" / "mimickit_vectors.json"
    if not file.exists():
        pytest.skip(f"{file} is absent: reference material lies beside a development checkout only")
    return json.loads(file.read_text())["clips"]


@pytest.fixture(autouse=True)
def bundled(tmp_path, monkeypatch) -> Path:
    """A bundled-clips folder of the test's own: clips "stand" and "walk"."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    for name in ("walk", "stand"):
        native.write(folder / f"{name}.npz", motion(name))
    monkeypatch.setattr(paths, "motions_dir", lambda: folder)
    return folder


def read_pickle(file: Path) -> object:
    """The contents of a pickle."""
    return safe_pickle.read_pickle(file.read_bytes(), file)


def motion(name: str):
    """A valid clip of 3 frames."""
    return make_motion(
        name=name,
        fps=30,
        root_pos=np.zeros((3, 3)),
        root_quat=np.tile([1.0, 0, 0, 0], (3, 1)),
        dof_pos=np.zeros((3, 29)),
        joint_names=G1_JOINTS,
        loop="clamp",
        source="test",
    )


def frames(count: int = 4, seed: int = 0) -> list[list[float]]:
    """Random MimicKit frames; rotation vectors are up to 2 pi long, joints within their limits."""
    rng = np.random.default_rng(seed)
    root = [rng.uniform(-0.1, 0.1, (count, 3)) + np.array([0, 0, 0.8]), rng.uniform(-3.5, 3.5, (count, 3))]
    return np.concatenate([*root, rng.uniform(-0.08, 0.25, (count, 29))], axis=1).tolist()


def clip(**changes) -> dict:
    """A valid MimicKit dict with some fields changed."""
    return {"loop_mode": 1, "fps": 60, "frames": frames()} | changes


def pickled(path: Path, contents: object, protocol: int = 3) -> Path:
    """`path`, written."""
    path.write_bytes(pickle.dumps(contents, protocol))
    return path


# --- finding and detecting ------------------------------------------------------------------------------


def test_a_bundled_name_may_have_a_number():
    assert load_motion("walk#1").digest == load_motion("walk").digest


def test_bare_name_finds_the_bundled_clip_and_a_file_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_motion("walk").name == "walk"
    (tmp_path / "walk").mkdir()  # a run folder, say
    assert load_motion("walk").name == "walk"
    (tmp_path / "walk").rmdir()
    native.write("walk", motion("mine"))
    assert load_motion("walk").name == "mine"
    assert load_motion(Path("bundled/walk.npz")).name == "walk"


def test_format_is_known_by_content_and_not_by_suffix(tmp_path):
    assert load_motion(pickled(tmp_path / "clip.npz", clip())).fps == 60
    native.write(tmp_path / "clip.pkl", motion("native"))
    assert load_motion(tmp_path / "clip.pkl").name == "native"


@pytest.mark.parametrize("inside", [True, False])
def test_data_folders_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch, inside):
    package = tmp_path / "mjx_mimic"
    expected = (package if inside else tmp_path) / "assets"
    expected.mkdir(parents=True)
    if inside:  # another package's folder in site-packages
        (tmp_path / "assets").mkdir()
    monkeypatch.setattr(paths, "_PACKAGE", package)
    assert paths.assets_dir() == expected


def test_missing_data_folder_is_a_broken_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "mjx_mimic")
    assert refusal(paths.assets_dir) == (
        f"{tmp_path / 'mjx_mimic' / 'assets'}: the bundled folder 'assets' is missing;"
        " install mjx_mimic again"
    )


# --- MimicKit -------------------------------------------------------------------------------------------


def quaternion(rotation_vector: list[float]) -> list[float]:
    """wxyz by the definition: cos(angle / 2), axis sin(angle / 2)."""
    angle = math.hypot(*rotation_vector)
    factor = math.sin(angle / 2) / angle if angle else 0.5
    return [math.cos(angle / 2), *(factor * component for component in rotation_vector)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("loop_mode", "loop"), [(0, "clamp"), (1, "wrap")])
def test_mimickit_values_by_definition(tmp_path, protocol, loop_mode, loop):
    rows = frames(6, seed=protocol)
    rows[2][3:6] = [0, 0, 0]
    file = pickled(tmp_path / "kick.pkl", clip(frames=rows, loop_mode=loop_mode, fps=59.94), protocol)
    read = load_motion(file)
    assert (read.name, read.fps, read.loop, read.joint_names) == ("kick", 59.94, loop, G1_JOINTS)
    assert read.root_pos.tolist() == [row[:3] for row in rows]
    assert read.dof_pos.tolist() == [row[6:] for row in rows]
    expected = np.array([quaternion(row[3:6]) for row in rows])
    sign = np.sign(np.sum(read.root_quat * expected, axis=1, keepdims=True))
    np.testing.assert_allclose(read.root_quat, sign * expected, atol=1e-14)


def test_mimickit_to_native_and_back_is_the_same_motion(tmp_path):
    read = load_motion(pickled(tmp_path / "kick.pkl", clip(frames=frames(40))))
    native.write(tmp_path / "kick.npz", read)
    assert load_motion(tmp_path / "kick.npz").digest == read.digest


@pytest.mark.parametrize("name", ["g1_walk", "g1_run", "g1_spinkick"])
def test_real_clips_agree_with_mimickit(anchors, name):
    read = load_motion(SHARED / "motions" / "mimickit" / f"{name}.pkl")
    assert read.loop == "wrap"
    assert read.length == pytest.approx(anchors[name]["length_s"], abs=1e-5)
    reference = anchors[name]["reference"]
    start = reference["time"].index(0.0)
    xyzw = np.array(reference["root_rot"][start])
    np.testing.assert_allclose(read.root_pos[0], reference["root_pos"][start], atol=1e-5)
    np.testing.assert_allclose(read.root_quat[0], np.roll(xyzw, 1), atol=1e-5)
    # MimicKit's slerp gives the midpoint of joint rotations nearer than 0.002 rad, with float32 rounding of
    # what is near: only joints that move faster show the clip's own first frame.
    fast = np.abs(read.dof_pos[1] - read.dof_pos[0]) > 0.004
    assert np.any(fast)
    error = np.abs(read.dof_pos[0] - reference["dof_pos"][start])
    assert np.max(error[fast]) < 1e-5
    assert np.max(error) < 1e-3


def test_real_cartwheel_is_read():
    file = SHARED / "motions" / "mimickit" / "g1_cartwheel.pkl"
    if not file.exists():
        pytest.skip(f"{file} is absent: reference material lies beside a development checkout only")
    read = load_motion(file)
    assert (read.num_frames, read.fps, read.loop) == (164, 60.0, "wrap")
    turn = np.abs(np.sum(read.root_quat[1:] * read.root_quat[:-1], axis=1))
    assert np.all(turn > math.cos(math.radians(15) / 2)), "more than 15 degrees in a sixtieth of a second"


def with_row(index: int, row: object) -> list:
    """Valid frames, but for one."""
    rows: list = frames()
    rows[index] = row
    return rows


MIMICKIT_REFUSED = {
    "not a dict": ([1, 2], "pickle holds a list, not a dict; give a MimicKit, GMR or motion_lib clip"),
    "no fps": (
        {"loop_mode": 1, "frames": frames()},
        "states no frame rate; convert --source-fps states it",
    ),
    "fps zero": (clip(fps=0), "fps is 0; give one number from 0.1 to 10000, in frames/s"),
    "fps list": (clip(fps=[30]), "fps is a list; give one number > 0, in frames/s"),
    "loop mode": (
        clip(loop_mode=2),
        "loop_mode is not one of the integers 0 (clamp) and 1 (wrap); set it to one",
    ),
    "loop mode list": (
        clip(loop_mode=[]),
        "loop_mode is not one of the integers 0 (clamp) and 1 (wrap); set it to one",
    ),
    "frames dict": (clip(frames={}), "frames has type object; give real numbers"),
    "no frame": (
        clip(frames=[]),
        "frames has shape (0,), expected (T, 35); export the clip of the 29-joint G1",
    ),
    "one frame": (
        clip(frames=frames(1)),
        "root_pos has 1 frame(s); a clip needs at least 2 frames",
    ),
    "columns": (
        clip(frames=[row[:34] for row in frames()]),
        "frames has shape (4, 34), expected (T, 35); export the clip of the 29-joint G1",
    ),
    "ragged": (
        clip(frames=with_row(2, [0.0] * 36)),
        "frames is ragged; give every frame as many numbers",
    ),
    "frame is a number": (
        clip(frames=with_row(3, 1.0)),
        "frames is not made of numbers alone; give real numbers",
    ),
    "text in a frame": (
        clip(frames=with_row(1, ["1.0"] * 35)),
        "frames is not made of numbers alone; give real numbers",
    ),
    "nested frame": (
        clip(frames=with_row(1, [[1.0]] * 35)),
        "frames is not made of numbers alone; give real numbers",
    ),
    "nan joint": (
        clip(frames=with_row(3, [0.0] * 34 + [math.nan])),
        (
            "frames is nan at frame 3, column right_wrist_yaw_joint (1 such value(s));"
            " convert --drop-bad mends them"
        ),
    ),
    "infinite rotation": (
        clip(frames=with_row(1, [0.0] * 4 + [math.inf] + [0.0] * 30)),
        "frames is nan at frame 1, column w (4 such value(s)); convert --drop-bad mends them",
    ),
    "integer beyond float": (
        clip(frames=with_row(0, [10**400] + [0] * 34)),
        "frames has an integer beyond float64; give real numbers",
    ),
    "set": (clip(frames={1.0, 2.0}), "frames has type object; give real numbers"),
}


@pytest.mark.parametrize("case", MIMICKIT_REFUSED)
def test_bad_mimickit_clip_is_refused_with_file_field_and_remedy(tmp_path, case):
    contents, message = MIMICKIT_REFUSED[case]
    file = pickled(tmp_path / "clip.pkl", contents, protocol=4)
    assert refusal(load_motion, file) == f"{file}: {message}"


@pytest.mark.parametrize("length", [1e300, 90.0])
def test_absurdly_long_rotation_vector_is_refused_without_warning(tmp_path, length):
    file = pickled(tmp_path / "clip.pkl", clip(frames=with_row(1, [0.0] * 3 + [length] * 3 + [0.0] * 29)))
    assert refusal(load_motion, file) == (
        f"{file}: frames has a root rotation vector of {length:.4g} rad, which looks like degrees;"
        " give radians"
    )


# --- hostile pickles ------------------------------------------------------------------------------------


class Payload:
    """Unpickled without care, makes a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.directory),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_global_is_named_and_its_payload_does_not_run(tmp_path, protocol):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(clip(fps=Payload(mark)), protocol))
    assert mark.is_dir(), "the payload is a dud"
    mark.rmdir()

    for contents in (clip(fps=Payload(mark)), clip(extra=Payload(mark)), Payload(mark)):
        file = pickled(tmp_path / "evil.pkl", contents, protocol)
        assert refusal(read_pickle, file) == (
            f"{file}: pickle names the global 'posix.mkdir', which could run code;"
            " save plain lists of numbers (numpy: .tolist()) or NumPy arrays"
        )
        refusal(load_motion, file)
        assert not mark.exists()


ARRAYS = {
    "rows": np.arange(12.0).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(12.0).reshape(3, 4)[::2, ::-1],
    "float32": np.arange(6, dtype=np.float32),
    "big-endian": np.arange(6, dtype=">f8"),
    "integers": np.arange(6, dtype=np.int16),
    "booleans": np.array([True, False]),
    "number": np.float64(29.97),
    "text": np.array([["words", "行走"], ["", "a"]]),
    "big-endian text": np.array(["words"], ">U9"),
    "bytes": np.array([b"words", b"a"]),
    "word": np.str_("word"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("case", ARRAYS)
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_arrays_of_numbers_and_text_are_read_as_both_numpys_write_them(tmp_path, case, protocol, core):
    contents = {"a": ARRAYS[case], "many": [ARRAYS[case], 1.5], "text": "words"}
    data = pickle.dumps(contents, protocol)
    if protocol < 4:  # from 4 on, names have their lengths before them, and frames theirs
        data = data.replace(b"numpy._core", core)
    file = tmp_path / "arrays.pkl"
    file.write_bytes(data)
    read = read_pickle(file)
    assert (read["text"], read["many"][1]) == ("words", 1.5)
    for array in (read["a"], read["many"][0]):
        np.testing.assert_array_equal(array, ARRAYS[case])
        assert array.dtype == ARRAYS[case].dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [np.array([None, 1]), np.zeros(2, [("x", "f8")]), np.zeros(2, "M8[s]")],
    ids=["objects", "records", "times"],
)
def test_other_arrays_are_refused(tmp_path, array, protocol):
    file = pickled(tmp_path / "arrays.pkl", {"a": array}, protocol)
    message = refusal(read_pickle, file)
    assert message.startswith(f"{file}: 'a' is not a plain array of numbers (")
    assert message.endswith("); save it with .astype(float) or .tolist()")


@pytest.mark.parametrize(
    "state",
    [
        (1, (3, 10**12), np.dtype("f8"), False, b"\0" * 24),
        (1, (-1, -3), np.dtype("f8"), False, b"\0" * 24),
        (1, (3,), np.dtype("f8"), False, "words"),
        (1, "abc", np.dtype("f8"), False, b"\0" * 24),
        (1, (3,), "f8", False, b"\0" * 24),
        (1, (3,), np.dtype("f8")),
        None,
    ],
    ids=["more than there is", "negative", "no bytes", "no shape", "no type", "short", "none"],
)
def test_array_that_contradicts_itself_is_refused(tmp_path, state):
    class Liar:
        def __reduce__(self) -> tuple:
            return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    file = pickled(tmp_path / "liar.pkl", {"a": Liar()}, 2)
    assert "'a' is not a plain array of numbers" in refusal(read_pickle, file)


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": np.array(frames())},
        {"frames": [np.array(row) for row in frames()]},
        {"frames": tuple(map(tuple, frames()))},
        {"fps": np.array(60)},
        {"fps": np.float32(60.0), "loop_mode": np.int64(1)},
        {"fps": np.array([60.0]), "loop_mode": np.array(1, np.uint8)},
    ],
    ids=["array", "rows", "tuples", "0-d", "scalars", "one element"],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_mimickit_values_may_be_numpys(tmp_path, changes, protocol):
    plain = load_motion(pickled(tmp_path / "plain.pkl", clip()))
    assert load_motion(pickled(tmp_path / "numpy.pkl", clip(**changes), protocol)).digest == plain.digest


def test_mimickit_values_of_numpy_in_the_cases_are_read():
    folder = SHARED / "cases" / "mimickit_numpy_values"
    if not folder.exists():
        pytest.skip(f"{folder} is absent: reference material lies beside a development checkout only")
    for file in folder.glob("*.pkl"):
        assert load_motion(file).fps == 60.0


def test_long_global_name_with_control_characters_is_cut_and_escaped(tmp_path):
    file = tmp_path / "evil.pkl"
    name = b"\x1b[2J" + b"x" * 5000
    file.write_bytes(b"\x80\x02}c" + name + b"\nrun\n.")
    message = refusal(load_motion, file)
    assert r"names the global '\x1b[2Jxxx" in message
    assert message.isprintable()
    assert len(message) < len(str(file)) + 250


def refers_to_itself(opcode: bytes, depth: int) -> bytes:
    """A pickle whose dict has a key of tuples nested so deep, each twice in the next: 2 ** depth to hash."""
    return b"\x80\x04})" + opcode * depth + b"K\x01s."


TOO_ODD = "pickle is too large or too odd (opcode {}); save a dict of numbers and lists, with the frames in"
HOSTILE = {
    "memo index": (b"\x80\x03}r" + struct.pack("<I", 2**31) + b".", TOO_ODD.format("LONG_BINPUT")),
    "memo index in text": (b"\x80\x03}p99999999\n.", TOO_ODD.format("PUT")),
    "many lists": (b"\x80\x03" + b"]" * 1_000_001 + b".", TOO_ODD.format("EMPTY_LIST")),
    "many objects": (b"\x80\x03}" + b"R" * 1_000_001 + b".", TOO_ODD.format("REDUCE")),
    "deep tuple as a key": (  # hashing it overflows the C stack
        refers_to_itself(b"\x85", 200_000),
        TOO_ODD.format("TUPLE1"),
    ),
    "tuple that holds itself twice": (refers_to_itself(b"2\x86", 60), TOO_ODD.format("DUP")),
    "tuple that is referred to": (
        b"\x80\x04})" + b"".join(b"\x85\x94h" + bytes([i]) + b"\x86" for i in range(60)) + b"K\x01s.",
        TOO_ODD.format("BINGET"),
    ),
    "tuple that hides behind an empty APPENDS": (
        b"\x80\x04}K\x01\x85(e\x94h\x00\x86K\x01s.",
        TOO_ODD.format("BINGET"),
    ),
    "huge bytearray": (
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
        "pickle is damaged or truncated (ValueError: ",
    ),
    "huge text": (
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b".",
        "pickle is damaged or truncated (ValueError: ",
    ),
    "huge frame": (
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"}.",
        "pickle is damaged or truncated (",
    ),
    "extension": (b"\x80\x02}\x82\x01.", TOO_ODD.format("EXT1")),
    "persistent id": (b"\x80\x03}Pname\n.", "pickle is damaged or truncated (UnpicklingError: "),
    "list that holds itself": (
        b"\x80\x03}X\x03\0\0\0fps]q\x00h\x00as.",
        "pickle is damaged or truncated (RecursionError: ",
    ),
    "deep list": (
        b"\x80\x03}X\x03\0\0\0fps" + b"]" * 100_000 + b"a" * 99_999 + b"s.",
        "pickle is damaged or truncated (RecursionError: ",
    ),
    "stack underflow": (b"\x80\x03e.", "pickle is damaged or truncated (UnpicklingError: "),
    "memo miss": (b"\x80\x03h\x05.", "pickle is damaged or truncated (UnpicklingError: "),
    "unhashable key": (b"\x80\x03}]K\x01s.", "pickle is damaged or truncated (TypeError: "),
    "append to a dict": (b"\x80\x03}K\x01a.", "pickle is damaged or truncated (AttributeError: "),
    "bad text": (b"\x80\x03X\x01\0\0\0\xff.", "pickle is damaged or truncated (UnicodeDecodeError: "),
    "future protocol": (b"\x80\x63}.", "pickle is damaged or truncated (ValueError: "),
    "unknown opcode": (b"\x80\x03\xff.", "pickle is damaged or truncated (ValueError: "),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickle_is_refused(tmp_path, case):
    data, words = HOSTILE[case]
    file = tmp_path / "evil.pkl"
    file.write_bytes(data)
    message = refusal(load_motion, file)
    assert message.startswith(f"{file}: {words}")
    assert "; " in message


def nested(depth: int) -> list:
    """Nested lists that share members: 10 ** (depth + 1) numbers if anything walks them."""
    nest: list = [0.0] * 10
    for _ in range(depth):
        nest = [nest] * 10
    return nest


@pytest.mark.parametrize(
    "frames_",
    [nested(60), nested(7), [[0.0] * 35] * 100_000, [np.zeros((1000, 35))] * 100, [nested(5)] * 35],
    ids=["deep", "wide", "rows", "arrays", "few"],
)
def test_few_bytes_that_stand_for_endless_numbers_are_refused(tmp_path, frames_):
    file = pickled(tmp_path / "laughs.pkl", clip(frames=frames_))
    tracemalloc.start()
    message = refusal(load_motion, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith(f"{file}: 'frames' is not a plain array of numbers (")
    assert "repeats the same lists" in message
    assert peak < 2**26 + 30 * file.stat().st_size


def test_an_array_that_is_larger_than_its_bytes_allocates_nothing(tmp_path):
    class Liar:
        def __reduce__(self) -> tuple:
            return np.zeros(0).__reduce__()[0], (np.ndarray, (10**12,), b"d")

    file = pickled(tmp_path / "liar.pkl", clip(frames=Liar()), 2)
    assert "'frames' is not a plain array of numbers" in refusal(load_motion, file)


def test_a_pose_that_is_held_by_repeating_one_list_is_read(tmp_path):
    held = load_motion(pickled(tmp_path / "held.pkl", clip(frames=[frames(1)[0]] * 300 + frames(2))))
    assert held.num_frames == 302


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "around",
    [
        lambda fields: {0: fields, 1: fields},
        lambda fields: {np.int64(0): fields, np.int64(1): fields},
        lambda fields: OrderedDict({"0": OrderedDict(fields), "1": fields}),
        lambda fields: defaultdict(dict, {"0": fields, "1": fields}),
        lambda fields: {"set": defaultdict(None, {"0": defaultdict(list, fields), "1": fields})},
    ],
    ids=["integers", "NumPy's integers", "ordered", "default", "nested default"],
)
def test_dicts_of_every_kind_are_read(tmp_path, around, protocol):
    file = pickled(tmp_path / "set.pkl", around(clip()), protocol)
    assert [motion.name[-2:] for motion in load_all(file)[0].values()] in ([" 1", " 2"], ["/0", "/1"])
    assert load_motion(f"{file}#1").digest == load_motion(pickled(tmp_path / "one.pkl", clip())).digest


@pytest.mark.parametrize(
    "state",
    [
        (defaultdict, (os.system,)),
        (defaultdict, (eval, {})),
        (OrderedDict, ([["frames", 1]],)),
        (dict, ()),
        (list, ("abc",)),
    ],
)
def test_what_makes_a_dict_in_a_pickle_is_not_run(tmp_path, state):
    class Made:
        def __reduce__(self) -> tuple:
            return state

    refusal(load_motion, pickled(tmp_path / "clip.pkl", clip() | {"fps": Made()}))


def test_keys_that_read_alike_and_what_is_no_dict_are_refused(tmp_path):
    file = pickled(tmp_path / "set.pkl", {1: clip(), "1": clip()})
    assert "keys that read alike; name its clips" in refusal(load_motion, file)
    for contents in ({1, 2}, OrderedDict):
        message = refusal(load_motion, pickled(tmp_path / "clip.pkl", contents, 2))
        assert "pickle holds an object of '" in message
        assert "save a dict" in message


def test_fields_without_a_name_are_refused(tmp_path):
    file = pickled(tmp_path / "clip.pkl", {10**5000: 1, (): 2})
    assert refusal(load_motion, file) == f"{file}: pickle's dict has keys that are not text; name its fields"


# --- broken files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["absent", "absent.npz", "folder/absent.pkl", "bundled/walk.npz/x"])
def test_missing_file_is_named_with_the_bundled_clips(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert refusal(load_motion, name) == (
        f"{name}: no such file; give a clip's path or the name of a bundled clip (stand, walk)"
    )


def test_a_name_that_begins_with_a_dot_and_a_hash_is_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(load_motion, ".#walk.pkl").startswith(".#walk.pkl: no such file; ")


def test_a_pickle_with_an_array_for_each_of_many_frames_is_refused_with_what_to_do(tmp_path):
    file = pickled(tmp_path / "long.pkl", clip(frames=[np.zeros(35) for _ in range(2600)]), 4)
    assert refusal(load_motion, file).endswith("with the frames in one array, not in one each")


def test_directory_pipe_and_empty_file_are_refused(tmp_path):
    assert refusal(load_motion, tmp_path) == f"{tmp_path}: is a directory; give the path of one clip file"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(load_motion, pipe) == f"{pipe}: is not a regular file; give the path of one clip file"
    empty = tmp_path / "empty.npz"
    empty.touch()
    assert refusal(load_motion, empty) == f"{empty}: file is empty; export or copy the clip again"


@pytest.mark.parametrize(
    ("head", "mebibytes", "words"),
    [
        (b"PK\x03\x04", 1025, "file size is 1025 MiB, over the limit of 1024 MiB; split the clip"),
        (b"\x80\x03}.", 65, "file size is 65 MiB, over the limit of 64 MiB; split the clip"),
    ],
)
def test_huge_file_is_refused(tmp_path, head, mebibytes, words):
    file = tmp_path / "huge"
    file.write_bytes(head)
    os.truncate(file, mebibytes * 2**20)  # sparse: takes no space
    assert refusal(load_motion, file) == f"{file}: {words}"


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything; for the length of the block, be nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_file_is_refused(tmp_path):
    file = pickled(tmp_path / "secret.pkl", clip())
    file.chmod(0)
    with ordinary_user():
        message = refusal(load_motion, file)
    assert message == f"{file}: file cannot be read (Permission denied); check its path and permissions"


def test_nul_in_the_path_is_refused():
    message = refusal(load_motion, "a/b\0c")
    assert message == "a/b\\x00c: file cannot be read (embedded null byte); check its path and permissions"


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (b"0.1;0.2;0.3\n", "has 3 columns, expected 36 or 30 "),
        (b"{}", "is JSON, XML or the like, which is not read; known formats: mjx_mimic"),
        (
            b"\x93NUMPY\x01\x00",
            "unknown clip format (starts with b'\\x93NUMPY\\x01\\x00'); known formats: mjx_",
        ),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, which is not read; save the clip as .npz"),
        (b"cposix\nmkdir\n.", "is text, but no table of numbers; give a clip of the robot"),
        (b"P,Q", "has a row of names and no frames; export the clip again"),
        (b"\xff,\xff\n", "line 1 is not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_an_unknown_file_is_told_what_it_is(tmp_path, contents, found):
    file = tmp_path / "clip.csv"
    file.write_bytes(contents)
    assert refusal(load_motion, file).startswith(f"{file}: {found}")


def test_every_truncated_pickle_is_refused(tmp_path):
    whole = pickled(tmp_path / "whole.pkl", clip(frames=frames(2))).read_bytes()
    file = tmp_path / "cut.pkl"
    for length in range(1, len(whole)):
        file.write_bytes(whole[:length])
        message = refusal(load_motion, file)
        assert message.startswith(f"{file}: pickle is damaged or truncated (ValueError: ")
        assert message.endswith("); export or copy the clip again")


def test_every_truncated_archive_is_refused(tmp_path, bundled):
    whole = (bundled / "walk.npz").read_bytes()
    file = tmp_path / "cut.npz"
    for length in [*range(4, 60), *range(60, len(whole), 37), len(whole) - 1]:
        file.write_bytes(whole[:length])
        message = refusal(load_motion, file)
        assert message.startswith(f"{file}: .npz archive is damaged or truncated (BadZipFile: ")
        assert message.endswith("); export or copy the clip again")


@pytest.mark.parametrize("layout", ["native", "tracking", "locomujoco", "mimickit", "gmr", "table"])
def test_damaged_bytes_give_a_motion_or_a_user_error_and_nothing_else(tmp_path, layout):
    walk = cut(clip_files.walk(), 0.0, 0.1)
    file = tmp_path / "damaged"
    if layout == "table":
        clip_files.write_csv(file, clip_files.unitree(walk))
    elif layout in ("mimickit", "gmr"):
        clip_files.write_pickle(file, getattr(clip_files, layout)(walk))
    else:
        fields = {"tracking": lambda motion: clip_files.tracking(motion, "depth", "depth")}
        clip_files.write_npz(tmp_path / "whole.npz", fields.get(layout, getattr(clip_files, layout))(walk))
        file = (tmp_path / "whole.npz").rename(file)
    load_motion(file)
    whole = file.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        # Half of the damage goes to the first bytes, where the structure is.
        last = rng.choice([80, len(whole)])
        for place in rng.integers(4, last, size=3):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            read = load_motion(file)
        except UserError as error:
            refused += 1
            assert str(error).startswith(f"{file}: ")
            assert len(str(error).splitlines()) == 1
        else:
            assert np.all(np.isfinite(read.dof_pos))
    assert refused > 15
