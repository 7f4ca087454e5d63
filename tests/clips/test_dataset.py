"""Sets of clips: what an entry of --motion stands for."""

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.formats import native
from mjx_mimic.clips.motion import make_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.constants import G1_JOINTS


def write(path: Path) -> str:
    """A clip named as its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    motion = make_motion(
        name=path.stem,
        fps=30.0,
        root_pos=np.tile([0.0, 0.0, 0.79], (3, 1)),
        root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)),
        dof_pos=np.outer([0.0, 0.01, 0.02], np.ones(29)),
        joint_names=G1_JOINTS,
        loop="clamp",
        source="test",
    )
    native.write(path, motion)
    return str(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.npz", "a.npz", "deep/c.npz"):
        write(tmp_path / "clips" / name)
    frames = [[0.0, 0.0, 0.79, *([0.0] * 31), 0.01 * t] for t in range(3)]
    (tmp_path / "clips" / "deep" / "d.pkl").write_bytes(
        pickle.dumps({"loop_mode": 0, "fps": 30, "frames": frames})
    )
    (tmp_path / "clips" / "notes.txt").write_text("not a clip")
    return tmp_path / "clips"


def names(*entries: str, **kwargs) -> list[str]:
    return [motion.name for motion in load_clips(entries, **kwargs).motions]


def refusal(*entries: str) -> str:
    with pytest.raises(UserError) as caught:
        load_clips(entries)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_files_and_bundled_names_stand_for_themselves(folder):
    assert names(str(folder / "b.npz"), "walk", str(folder / "a.npz")) == ["b", "walk", "a"]


def test_a_list_is_utf8_under_any_locale(tmp_path):
    write(tmp_path / "行走.npz")
    (tmp_path / "set.yaml").write_text("motions: [{file: 行走.npz}]", encoding="utf-8")
    script = "from mjx_mimic.clips import load_clips; print(ascii(load_clips(['set.yaml']).motions[0].name))"
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=True)
    assert done.stdout == "'\\u884c\\u8d70'\n"


def test_bad_files_are_left_out_where_that_is_asked_for(folder):
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 cut off")
    assert "bad.npz" in refusal(str(folder))
    clips = load_clips([str(folder)], skip_bad=True)
    assert [motion.name for motion in clips.motions] == ["a", "b", "c", "d"]
    (message,) = clips.left_out
    assert "bad.npz: .npz archive is damaged" in message
    for name in ("a.npz", "b.npz", "deep"):
        (folder / name).rename(folder.parent / name)
    with pytest.raises(UserError, match=r"bad\.npz"):  # none is left
        load_clips([str(folder)], skip_bad=True)


def test_a_folder_stands_for_all_clips_below_it_in_order(folder):
    assert names(str(folder)) == ["a", "b", "c", "d"]


def test_a_pattern_stands_for_what_it_matches(folder):
    assert names(str(folder / "*.npz")) == ["a", "b"]
    assert names(str(folder / "**" / "[cd].*")) == ["c", "d"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    assert names(write(folder / "take[1].npz")) == ["take[1]"]


def test_a_bundled_name_goes_before_a_folder_of_that_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write(folder / "walk" / "other.npz")
    assert names("walk") == ["walk"]
    assert names("./walk") == ["other"]


@pytest.mark.parametrize("name", ["walk/", "./walk", "./walk/"])
def test_what_a_list_calls_a_folder_is_one(folder, monkeypatch, name):
    write(folder / "walk" / "other.npz")
    (folder / "set.yaml").write_text(f"motions: [{{file: {name}}}, {{file: a.npz}}, {{file: walk}}]")
    monkeypatch.chdir(folder)
    for listing in ("set.yaml", str(folder / "set.yaml")):
        assert names(listing) == ["other", "a", "walk"]
    assert load_clips(["set.yaml"]).files[1:] == ("a.npz", "walk")


def test_a_folder_that_is_not_there_is_no_bundled_clip(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "set.yaml").write_text("motions: [{file: walk/}]")
    for entry in ("walk/", "set.yaml"):
        assert refusal(entry) == "walk/: no such folder; check the path"


def test_weights_of_options_and_lists_multiply(folder):
    listing = folder / "set.yaml"
    listing.write_text("motions:\n- file: a.npz\n  weight: 3\n- file: deep\n  weight: 0.5\n- file: '*.npz'\n")
    clips = load_clips([str(listing), "walk"], [2.0, 7.0])
    assert [motion.name for motion in clips.motions] == ["a 1", "c", "d", "a 2", "b", "walk"]
    assert clips.weights == (6.0, 1.0, 1.0, 2.0, 2.0, 7.0)
    assert load_clips([str(listing)]).weights == (3.0, 0.5, 0.5, 1.0, 1.0)


def test_files_of_a_list_are_beside_it_or_as_mimickit_has_them_in_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    listing = folder / "deep" / "set.yml"
    listing.write_text(
        'motions:\n  - file: "c.npz"\n    weight: 1.0\n  - file: "clips/a.npz"\n    weight: 1.0\n'
    )
    assert names(str(listing)) == ["c", "a"]


def test_files_of_a_list_are_found_in_the_folders_above_it(folder, tmp_path, monkeypatch):
    """As in MimicKit's own lists, whose files are relative to the repository's root, from any folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    listing = folder / "deep" / "set.yml"
    listing.write_text('motions:\n  - file: "clips/a.npz"\n  - file: walk\n')
    assert names(str(listing)) == ["a", "walk"]


def test_a_list_names_folders_patterns_and_clips_of_files_above_it(folder, tmp_path, monkeypatch):
    frames = [[0.0, 0.0, 0.79, *([0.0] * 31), 0.01 * t] for t in range(3)]
    clip = {"loop_mode": 0, "fps": 30, "frames": frames}
    (tmp_path / "set.pkl").write_bytes(pickle.dumps({"x": clip, "y": clip}))
    (tmp_path / "walk").mkdir()  # which a bundled clip goes before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    listing = folder / "deep" / "set.yml"
    listing.write_text(
        "motions:\n- file: set.pkl#2\n- file: clips/deep\n- file: 'clips/[ab].*'\n- file: walk"
    )
    assert names(str(listing)) == ["set y", "c", "d", "a", "b", "walk"]
    listing.write_text("motions:\n- file: '*/a.npz'\n")  # not those of any folder above
    assert refusal(str(listing)) == "*/a.npz: no file matches this pattern; mend it"


def test_brackets_in_the_name_of_a_folder_are_no_pattern(folder):
    moved = folder.rename(folder.with_name("set[1]"))
    frames = [[0.0, 0.0, 0.79, *([0.0] * 31), 0.01 * t] for t in range(3)]
    clip = {"loop_mode": 0, "fps": 30, "frames": frames}
    (moved / "two.pkl").write_bytes(pickle.dumps({"x": clip, "y": clip}))
    assert names(f"{moved}/two.pkl#2") == ["two y"]
    (moved / "set.yaml").write_text("motions: [{file: 'two.pkl#2'}, {file: '*.npz'}, {file: deep}]")
    assert names(str(moved / "set.yaml")) == ["two y", "a", "b", "c", "d"]


LISTS = {
    "motions": ("", "'motions' is missing or empty"),
    "clips: [a.npz]": ("", "'motions' is missing or empty"),
    "motions: a.npz": ("", "'motions' is missing or empty"),
    "motions: []": ("", "'motions' is missing or empty"),
    "motions: [a.npz]": ("motions[0]", "file' is missing"),
    "motions: [{weight: 1}]": ("motions[0]", "file' is missing"),
    "motions: [{file: a.npz}, {file: 3}]": ("motions[1]", "file' is missing"),
    'motions: [{file: ""}]': ("motions[0]", "file' is empty; write '- file: PATH'"),
    "motions: [{file: a.npz, wieght: 2}]": ("motions[0]", "unknown 'wieght'"),
    "motions: [{file: a.npz, weight: -1}]": ("motions[0]", "weight' is -1"),
    "motions: [{file: a.npz, weight: .inf}]": ("motions[0]", "weight' is inf"),
    "motions: [{file: a.npz, weight: much}]": ("motions[0]", "weight' is 'much'"),
    "motions: [{file: a.npz, weight: true}]": ("motions[0]", "weight' is True"),
    f"motions: [{{file: a.npz, weight: {'9' * 350}}}]": ("motions[0]", "weight' is 999"),
    f"motions: [{{file: a.npz, {'w' * 1000}: 1}}]": ("motions[0]", "unknown 'www"),
    f"motions: [{{file: {'a' * 300}}}]": ("aaa", "File name too long"),
    f"motions: [{{file: {'a' * 300}/*}}]": ("aaa", "no file matches"),
    'motions: [{file: "a\\0b/*"}]': ("a\\x00b/*", "no file matches"),
    "motions: [{file: set.yaml}]": ("motions[0]", "is a list itself"),
    "motions: [{file: gone.npz}]": ("gone.npz", "no such file"),
    "motions: [{file: none/*.npz}]": ("none/*.npz", "no file matches"),
    "motions: [{": ("", "is not YAML"),
}


@pytest.mark.parametrize("text", LISTS)
def test_a_bad_list_is_refused_in_a_line(folder, text):
    listing = folder / "set.yaml"
    listing.write_text(text)
    where, words = LISTS[text]
    message = refusal(str(listing))
    assert where in message
    assert words in message
    assert len(message) < 1000


def test_nothing_found_is_said(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refusal(str(tmp_path / "empty")).startswith(f"{tmp_path / 'empty'}: no clip (.npz, .pkl, .csv)")
    assert "no file matches" in refusal(str(folder / "*.bvh"))
    assert "no such file" in refusal(str(folder / "gone.npz"))
    assert "cannot be read" in refusal(str(folder / "gone.yaml"))


def test_all_weights_0_are_refused(folder):
    (folder / "set.yaml").write_text("motions: [{file: a.npz, weight: 0}]")
    assert "all weights are 0" in refusal(str(folder / "set.yaml"))


def test_all_weights_0_of_what_can_be_read_are_refused(folder):
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 cut off")
    (folder / "set.yaml").write_text("motions: [{file: a.npz, weight: 0}, {file: bad.npz}]")
    with pytest.raises(UserError, match="all weights are 0 of what can be read; give one clip a weight"):
        load_clips([str(folder / "set.yaml")], skip_bad=True)


def test_clips_of_the_same_name_are_numbered(folder):
    assert names("walk", str(folder / "a.npz"), "walk") == ["walk 1", "a", "walk 2"]


def test_numbers_that_a_clip_of_its_own_has_are_passed_over(folder):
    own = [write(folder / f"set{i}" / f"{name}.npz") for i, name in enumerate(("w", "w", "w 1", "w", "w 3"))]
    assert names(*own) == ["w 2", "w 4", "w 1", "w 5", "w 3"]


def test_an_empty_name_is_refused_and_stands_for_nothing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for entries in (("",), ("walk", "")):
        assert refusal(*entries).startswith("the name of a clip is empty; give a file, a folder, a pattern")


def test_one_bad_clip_of_many_is_named(folder):
    bad = folder / "deep" / "bad.npz"
    bad.write_bytes(b"PK\x03\x04 and no more")
    assert refusal(str(folder)).startswith(str(bad))


def test_weights_go_with_their_entries(folder):
    shares = (1.0, 2.0, 3.0)
    for order in itertools.permutations(range(3)):
        entries = [("walk", str(folder / "a.npz"), str(folder / "deep"))[i] for i in order]
        clips = load_clips(entries, [shares[i] for i in order])
        found = {m.name: w for m, w in zip(clips.motions, clips.weights, strict=True)}
        assert found == {"walk": 1.0, "a": 2.0, "c": 3.0, "d": 3.0}
