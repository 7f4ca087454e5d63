"""Files with one defect each: one line with the file, the field and the remedy; exit 2; nothing written."""

import io
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import G1_JOINTS, PROTOMOTIONS_COLUMNS, walk, write_csv, write_npz, write_pickle

from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.formats import npz as npz_format
from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.motion import main

Maker = Callable[[Path], object]


def npz(fields: Callable[..., dict], **changes: Any) -> Maker:
    """An archive of the walk in that layout, with some fields changed by a function or replaced."""
    return lambda path: write_npz(path, changed(fields(walk()), changes))


def pkl(fields: Callable[..., dict], **changes: Any) -> Maker:
    """A pickle of the walk in that layout, likewise."""
    return lambda path: write_pickle(path, changed(fields(walk()), changes))


def csv(change: Callable[[np.ndarray], object]) -> Maker:
    """A table of the walk in Unitree's layout, its rows (T, 36) changed."""
    return lambda path: write_csv(path, rewritten(clip_files.unitree(walk()), change))


def named_csv(change: Callable[[np.ndarray], object], names: tuple[str, ...] = PROTOMOTIONS_COLUMNS) -> Maker:
    """A table of the walk in ProtoMotions' layout, its rows (T, 36) changed."""
    return lambda path: write_csv(path, rewritten(clip_files.protomotions(walk()), change), names)


def text(edit: Callable[[list[str]], object]) -> Maker:
    """A table in Unitree's layout, its lines edited in place."""

    def make(path: Path) -> None:
        lines = write_csv(path, clip_files.unitree(walk())).read_text().splitlines()
        edit(lines)
        path.write_text("\n".join(lines) + "\n")

    return make


def raw(data: bytes) -> Maker:
    return lambda path: path.write_bytes(data)


def cut_short(make: Maker, share: float) -> Maker:
    """Only the first part of the file's bytes."""

    def make_less(path: Path) -> None:
        make(path)
        os.truncate(path, int(share * path.stat().st_size))

    return make_less


def changed(fields: dict, changes: dict) -> dict:
    values = {name: new(fields[name]) if callable(new) else new for name, new in changes.items()}
    return {name: value for name, value in (fields | values).items() if value is not MISSING}


def rewritten(rows: list[list[float]], change: Callable[[np.ndarray], object]) -> list[list[float]]:
    array = np.array(rows)
    new = change(array)
    return (array if new is None else np.asarray(new)).tolist()


def put(*place: Any, value: float) -> Callable[[Any], np.ndarray]:
    """Sets one number of an array."""

    def change(array: Any) -> np.ndarray:
        new = np.array(array, dtype=float)
        new[place] = value
        return new

    return change


def at_once(*columns: int) -> Callable[[np.ndarray], np.ndarray]:
    """The columns in another order."""
    return lambda array: np.array(array)[:, columns]


def every(change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """The same change of each array that has a row for each frame."""
    return dict.fromkeys(("root_pos", "root_quat", "dof_pos"), change)


def swapped(names: list[str], old: str, new: str) -> np.ndarray:
    return np.array([new if name == old else name for name in names])


def huge_archive(path: Path) -> None:
    """A small archive that announces to unpack to 2 GiB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**28, 1)}
    )
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    with archive, archive.open("root_pos.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue())
        member.write(bytes(2**23))
    patch_sizes(path, 2**31)


def patch_sizes(path: Path, size: int) -> None:
    """Makes the archive's directory announce that its only member unpacks to `size` bytes."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    path.write_bytes(data)


def false_header(path: Path) -> None:
    """An array of 80 bytes whose header claims 2 GB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (250_000_000, 1)}
    )
    with zipfile.ZipFile(
        write_npz(path, changed(clip_files.native(walk()), {"root_pos": MISSING})), "a"
    ) as file:
        file.writestr("root_pos.npy", header.getvalue() + bytes(80))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


MISSING = object()
KNEE = G1_JOINTS.index("left_knee_joint")
native, gmr, mimickit, loco = clip_files.native, clip_files.gmr, clip_files.mimickit, clip_files.locomujoco


def beyondmimic(motion: Any) -> dict:
    return clip_files.tracking(motion, "breadth", "breadth")


# What the file is called, how it is made, and what the line says after the file's name.
BAD: dict[str, tuple[str, Maker, str]] = {
    # -- no clip at all
    "empty file": ("a.npz", raw(b""), "file is empty; export or copy"),
    "directory": ("a.npz", lambda path: path.mkdir(), "is a directory; give the path of one clip file"),
    "pipe": ("a.pkl", lambda path: os.mkfifo(path), "is not a regular file; give the path"),
    "link to itself": (
        "a.csv",
        link_to_itself,
        r"file cannot be read \(.*symbolic links.*\); check its path",
    ),
    "missing": ("a.npz", lambda path: None, "no such file; give a clip's path or the name of a bundled clip"),
    "picture called .npz": (
        "a.npz",
        raw(b"\x89PNG\r\n\x1a\n" + bytes(99)),
        "unknown clip format .*; known f",
    ),
    "JSON called .csv": ("a.csv", raw(b'{"fps": 30}'), "is JSON, XML .*; known formats: .*Unitree"),
    "Git LFS pointer": (
        "a.npz",
        raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        "is a Git LFS pointer, which stands for the clip; `git lfs pull` in its repository fetches that",
    ),
    "BVH": ("a.bvh", raw(b"HIERARCHY\nROOT Hips\n"), "is a BVH recording .*; make one with .* retarget"),
    "archive of pictures": (
        "a.npz",
        lambda path: write_npz(path, {"image": np.zeros((2, 2))}),
        r"unknown clip format \(fields: 'image' .*\); known formats: mjx_mimic",
    ),
    "pickle of settings": (
        "a.pkl",
        lambda path: write_pickle(path, {"rate": 3}),
        r"unknown clip format \(fields: 'rate'\); known formats: mjx_mimic",
    ),
    # -- damaged
    "truncated archive": (
        "a.npz",
        cut_short(npz(native), 0.7),
        r"\.npz archive is damaged or truncated .*; export",
    ),
    "truncated pickle": ("a.pkl", cut_short(pkl(gmr), 0.7), "pickle is damaged or truncated .*; export or c"),
    "truncated MimicKit": ("a.pkl", cut_short(pkl(mimickit), 0.7), "pickle is damaged or truncated .*; expo"),
    "truncated table": (
        "a.csv",
        cut_short(csv(lambda rows: None), 0.7),
        r"line \d+ has \d+ columns.*; repair",
    ),
    "archive that unpacks to 2 GiB": (
        "a.npz",
        huge_archive,
        "arrays unpack to 2048 MiB, over the limit of 1024 MiB; split the clip",
    ),
    "header claims 2 GB": (
        "a.npz",
        false_header,
        r"\.npz archive is damaged or truncated .*; export or copy",
    ),
    "names without end and without a byte": (
        "a.npz",
        npz(native, joint_names=np.zeros((10**9, 0), "U5")),
        r"\.npz archive is damaged or truncated .*an array of shape \(1000000000, 0\)",
    ),
    "text that is none": (
        "a.npz",
        npz(native, name=np.frombuffer(np.array([0x110000, 32], "<u4").tobytes(), "<U2")[0:1]),
        r"\.npz archive is damaged or truncated .*what are no characters",
    ),
    "names that are a number": (
        "a.npz",
        npz(native, joint_names=3.0),
        "joint_names is not a list of text; give names",
    ),
    "a body beyond all numbers": (
        "a.npz",
        npz(beyondmimic, body_pos_w=put(3, 4, value=1e200)),
        "body_pos_w",
    ),
    # -- programs in disguise
    "pickle calls os.system": (
        "a.pkl",
        pkl(gmr, fps=Call(os.system, "echo ran")),
        r"pickle names the global 'posix.system', which could run code; save plain lists",
    ),
    "pickle calls eval": (
        "a.pkl",
        pkl(mimickit, frames=[[Call(eval, "1/0")]]),
        r"pickle names the global 'builtins.eval', which could run code; save plain lists",
    ),
    "pickle of an object": (
        "a.pkl",
        pkl(gmr, root_pos=Path("/")),
        r"pickle names the global 'pathlib.*Path', which could run code; save plain",
    ),
    "pickled object array": (
        "a.pkl",
        pkl(gmr, dof_pos=np.array([[None] * 29] * 67)),
        "'dof_pos' is not a plain array of numbers .*; save it with",
    ),
    "pickled objects in an archive": (
        "a.npz",
        npz(native, dof_pos=np.array([[{}] * 29] * 67)),
        "dof_pos holds pickled Python objects, which could run code; save it as plain numbers",
    ),
    # -- fields
    "field missing": (
        "a.npz",
        npz(native, loop=MISSING),
        "field 'loop' is missing, .*; convert it to one first",
    ),
    **{
        f"{fields.__name__} without {field}": (
            name,
            write(fields, **{field: MISSING}),
            f"field '{field}' is missing, .*; export it again",
        )
        for name, write, fields, field in (
            ("a.pkl", pkl, gmr, "root_rot"),
            ("a.pkl", pkl, mimickit, "loop_mode"),
            ("a.npz", npz, beyondmimic, "body_quat_w"),
        )
    },
    "twelve joints without names": (
        "a.npz",
        npz(loco, joint_names=MISSING, qpos=np.zeros((67, 19))),
        r"qpos has shape \(67, 19\), expected \(T, 36\); export",
    ),
    "zero fps": ("a.npz", npz(native, fps=0.0), "fps is 0; give one number from 0.1 to 10000"),
    "negative fps": ("a.pkl", pkl(gmr, fps=-30), "fps is -30; give one number from 0.1 to 10000"),
    "fps is NaN": ("a.npz", npz(beyondmimic, fps=np.array([np.nan])), "fps is nan; give one number from 0.1"),
    "fps is text": ("a.pkl", pkl(mimickit, fps="30"), "fps is a str; give one number > 0"),
    "newer version": ("a.npz", npz(native, format_version=7), "format_version is 7, .*; update mjx_mimic"),
    "unknown loop": ("a.npz", npz(native, loop="bounce"), "loop is 'bounce'; use 'wrap' for a cyclic clip"),
    # -- shapes and numbers
    "one frame": (
        "a.npz",
        npz(native, **every(lambda a: a[:1])),
        r"root_pos has 1 frame\(s\); a clip needs at least 2 frames",
    ),
    "no frame": (
        "a.npz",
        npz(native, **every(lambda a: a[:0])),
        r"root_pos has 0 frame\(s\); a clip needs at least 2 frames",
    ),
    "lengths differ": (
        "a.npz",
        npz(native, dof_pos=lambda a: a[:-5]),
        ".* have 67, 67 and 62 frames; export them",
    ),
    "23 joints": (
        "a.pkl",
        pkl(gmr, dof_pos=lambda a: a[:, :23]),
        "dof_pos: there are 23 joints without names; convert --pad-as one-waist reads .* --pad-as no-wrists",
    ),
    "matrices": ("a.pkl", pkl(gmr, root_rot=np.zeros((67, 3, 3))), r"root_rot has shape .*\(T, 4\); export"),
    "NaN joint": (
        "a.npz",
        npz(native, dof_pos=put(3, KNEE, value=np.nan)),
        "dof_pos is nan .* left_knee.*; convert --drop-bad",
    ),
    "infinite root": (
        "a.pkl",
        pkl(gmr, root_pos=put(9, 2, value=np.inf)),
        "root_pos is inf at frame 9.*; convert --drop-bad",
    ),
    "NaN in a table": (
        "a.csv",
        csv(lambda rows: put(4, 7, value=np.nan)(rows)),
        "columns 8 to 36 is nan at frame 4.*; convert --drop-bad",
    ),
    "zero quaternion": (
        "a.npz",
        npz(native, root_quat=lambda a: 0 * a),
        "root_quat is zero at frame 0.*; give unit ones, or divide each by its norm",
    ),
    "no unit quaternion": (
        "a.npz",
        npz(native, root_quat=lambda a: 1.05 * a),
        r"root_quat has norm 1.05 at frame 0 \(67 such .*\); give unit ones, or divide each by its norm",
    ),
    "NaN in most frames": (
        "a.npz",
        npz(native, dof_pos=put(slice(34), KNEE, value=np.nan)),
        "dof_pos is nan at frame 0.*; export the clip again",
    ),
    "NaN in half of the frames": (
        "a.npz",
        npz(native, dof_pos=put(slice(33), slice(None), value=np.nan)),
        "dof_pos is nan at frame 0.*; convert --drop-bad mends them",
    ),
    "text for numbers": (
        "a.npz",
        npz(native, root_pos=np.array([["x"] * 3] * 67)),
        "root_pos has type <U1; give",
    ),
    # -- tables
    "Latin-1 table": ("a.csv", raw(b"1,2,3\n4,5,\xb5\n"), "line 2 is not UTF-8 text; save the file as UTF-8"),
    "UTF-16 table": ("a.csv", raw("1,2,3\n".encode("utf-16")), "is UTF-16 text; save it as UTF-8"),
    "row of names only": (
        "a.csv",
        raw(b"Frame,root_translateX\n"),
        "has a row of names and no frames; export",
    ),
    "ragged rows": (
        "a.csv",
        text(lambda lines: lines.insert(8, "1,2,3")),
        "line 9 has 3 columns, .* 36; repair",
    ),
    "word in a table": (
        "a.csv",
        text(lambda lines: lines.insert(5, lines[5].replace(",", ",n/v,", 1).rsplit(",", 1)[0])),
        "line 6, column 2 is 'n/v', not a number; repair or remove this line",
    ),
    "unknown columns": (
        "a.csv",
        raw(b"time,x,y\n0,1,2\n1,2,3\n"),
        "columns that are no joints are 'time', 'x', 'y'; name those of the root root_x",
    ),
    "number beyond float64": (
        "a.npz",
        npz(native, dof_pos=lambda a: np.full(a.shape, np.longdouble("1e4000"))),
        "dof_pos is inf at frame 0",
    ),
    "column twice": (
        "a.csv",
        named_csv(lambda rows: None, (*PROTOMOTIONS_COLUMNS[:-1], PROTOMOTIONS_COLUMNS[-2])),
        "column 'right_wrist_pitch_joint_dof' is there twice; name each column once",
    ),
    "frames left out": (
        "a.csv",
        named_csv(lambda rows: np.delete(rows, 20, axis=0)),
        "Frame goes from 19 to 21",
    ),
    # -- joints
    "unknown joint": (
        "a.npz",
        npz(native, joint_names=lambda names: swapped(names, "left_knee_joint", "left_tail_joint")),
        "joint_names: unknown 'left_tail_joint'; missing 'left_knee_joint'; name each of the 29",
    ),
    "joint missing": (
        "a.npz",
        npz(loco, joint_names=lambda n: n[:-1], qpos=lambda a: a[:, :-1], qvel=MISSING),
        "joint_names: missing 'right_wrist_yaw_joint'; convert --pad sets them to 0",
    ),
    "joint twice": (
        "a.npz",
        npz(native, joint_names=lambda names: swapped(names, "waist_yaw_joint", "left_knee_joint")),
        "joint_names: missing 'waist_yaw_joint'; duplicate 'left_knee_joint'; name each",
    ),
    "unsorted joints": (
        "a.npz",
        npz(beyondmimic, joint_pos=lambda a: a[:, ::-1]),
        "body_pos_w is not where joint_pos puts the bodies .* m with .*; export joints and bodies as",
    ),
    "unsorted bodies": (
        "a.npz",
        npz(lambda motion: clip_files.tracking(motion, "breadth", "depth")),
        "joint_pos is breadth-first but body_pos_w depth-first .*; export both",
    ),
    # -- units and conventions
    "degrees": (
        "a.npz",
        npz(native, dof_pos=np.degrees),
        "dof_pos: left_elbow_joint is .* like degrees; give rad",
    ),
    "degrees in a pickle": (
        "a.pkl",
        pkl(gmr, dof_pos=np.degrees),
        "dof_pos: .* looks like degrees; give radians",
    ),
    "degrees in BeyondMimic": (
        "a.npz",
        npz(beyondmimic, joint_pos=np.degrees),
        "joint_pos: .* like degrees; give",
    ),
    "radians for degrees": (
        "a.csv",
        named_csv(lambda rows: np.c_[rows[:, :7], np.radians(rows[:, 7:])]),
        "no joint's column goes over .* degrees, which looks like radians; give degrees",
    ),
    "yzwx in BeyondMimic": (
        "a.npz",
        npz(beyondmimic, body_quat_w=lambda a: np.roll(a, -2, axis=2)),
        "body_pos_w is not where joint_pos puts the bodies",
    ),
    "centimetres": (
        "a.npz",
        npz(native, root_pos=lambda a: 100 * a),
        "root_pos .* looks like centimetres; give m",
    ),
    "millimetres": (
        "a.csv",
        csv(lambda rows: rows * ([1e3] * 3 + [1] * 33)),
        "columns 1 to 3 .* millimetres; give",
    ),
    "metres for centimetres": (
        "a.csv",
        named_csv(lambda rows: np.c_[rows[:, 0], rows[:, 1:4] / 100, rows[:, 4:]]),
        "root_translateZ has the pelvis 0.7.* cm high .*, which looks like metres; give centimetres",
    ),
    "relabelled rate": (
        "a.npz",
        npz(beyondmimic, fps=np.array([30])),
        "fps is 30, but joint_vel is that of 60 frames/s; convert --source-fps",
    ),
    "two trajectories": (
        "a.npz",
        npz(loco, split_points=[0, 30, 67]),
        "holds 2 clips .*; name one of them as a.npz#1",
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in; a file that runs code would be seen to write."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_at_least_forty():
    assert len(BAD) >= 40


@pytest.mark.parametrize("defect", BAD)
def test_a_bad_file_gets_one_line_with_file_field_and_remedy(folder, defect, capfd):
    name, make, words = BAD[defect]
    file = folder / name
    make(file)
    before = list(folder.iterdir())
    with pytest.raises(UserError) as caught:
        load_motion(file)
    message = str(caught.value)
    assert re.match(re.escape(f"{file}: ") + words, message), message
    assert "; " in message, "no remedy"
    assert len(message) < len(str(file)) + 420
    assert message.isprintable()
    assert list(folder.iterdir()) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "defect",
    [
        "truncated archive",
        "pickle calls os.system",
        "degrees",
        "zero quaternion",
        "joint twice",
        "ragged rows",
    ],
)
@pytest.mark.parametrize("command", ["info", "validate", "convert", "preview"])
def test_the_commands_print_that_line_and_exit_with_2(folder, defect, command, monkeypatch, capsys):
    name, make, words = BAD[defect]
    make(folder / name)
    out = {"convert": ["out.npz"], "preview": ["--plot", "out.png"]}.get(command, [])
    monkeypatch.setattr(sys, "argv", ["motion", command, name, *out])
    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.out == ""
    assert re.fullmatch(rf"error: {re.escape(name)}: {words}.*\n", printed.err)
    assert list(folder.iterdir()) == [folder / name]


def test_a_clip_that_only_trains_badly_is_read_and_not_fit(folder, monkeypatch, capsys):
    """Joints over their limits and feet deep in the floor: `validate` says so and exits with 1."""
    joints = walk().dof_pos.copy()
    joints[:, G1_JOINTS.index("left_ankle_roll_joint")] = 0.2618 + 0.9  # its range ends at 15 degrees
    for name, changes in {
        "over": {"dof_pos": joints},
        "under": {"root_pos": lambda a: a - [0, 0, 0.3]},
    }.items():
        npz(native, **changes)(folder / f"{name}.npz")
        load_motion(folder / f"{name}.npz")
        assert main(["validate", f"{name}.npz"]) == 1
        assert "not fit for training" in capsys.readouterr().out


def test_a_huge_archive_is_refused_before_it_is_unpacked(folder, monkeypatch):
    """Nothing of the archive is unpacked."""
    huge_archive(folder / "a.npz")
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args, **options: pytest.fail("unpacked"))
    with pytest.raises(UserError, match="over the limit"):
        npz_format.read_arrays((folder / "a.npz").read_bytes(), folder / "a.npz")


def test_code_in_a_pickle_is_code(folder, capfd):
    """The payloads of the bad files do run where nobody looks after them."""
    pkl(gmr, fps=Call(os.system, "echo ran"))(folder / "a.pkl")
    pickle.loads((folder / "a.pkl").read_bytes())
    assert capfd.readouterr().out == "ran\n"
