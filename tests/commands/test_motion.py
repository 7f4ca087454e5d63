"""The motion command: it prints what is in the clip and writes what was asked for; bad input is one line,
exit 2 and no file."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import mujoco
import numpy as np
import pytest
from helpers.refusals import command_refusal
from PIL import Image

from mjx_mimic.clips import conversion, editing, loop_closing, validation
from mjx_mimic.clips.formats import FORMATS, load_all, load_motion, native, save_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common import cli, paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.display import gl
from mjx_mimic.motion import Command, ConvertCommand, main
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.mjcf import load_mjcf

DOCUMENT = Path(__file__).parents[2] / "docs" / "clips.md"
SUBCOMMANDS = tuple(known.__metadata__[0].name for known in get_args(Command))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def walk() -> Motion:
    return load_motion("walk")


@pytest.fixture
def printed(capsys):
    """(arguments) -> what the command prints, having exited with `code`."""

    def output(*arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        return capsys.readouterr().out

    return output


@pytest.fixture
def several(folder) -> Path:
    """A folder with a good clip, one in the floor, a Chinese and a torn one, and a list."""
    made = folder / "clips"
    made.mkdir()
    walk = load_motion("walk")
    for name, motion in {"good": walk, "sunk": editing.lifted(walk, -0.3), "行走　动作": walk}.items():
        save_motion(made / f"{name}.npz", editing.named(motion, name), "native")
    (made / "torn.npz").write_bytes((made / "good.npz").read_bytes()[:3000])
    (made / "set.yaml").write_text("motions: [{file: good.npz}, {file: 行走　动作.npz}]", encoding="utf-8")
    return made


def test_a_folder_a_pattern_and_a_list_are_a_row_for_each_clip(several, printed, capsys):
    for source in ("clips/[!t]*.npz", "clips/set.yaml"):
        rows = printed("info", source).splitlines()
        assert rows[1].startswith("good ")
        assert len({row.index("mjx_mimic .npz") + row.count("行走") * 4 for row in rows[1:]}) == 1
    rows = printed("validate", "clips", "--skip-bad", code=1).splitlines()
    assert "not fit for training" in rows[2]
    assert "depth in the floor: 0.3" in rows[2]
    assert [row.split()[0] for row in rows] == ["clip", "good", "sunk", "行走"]
    with pytest.raises(UserError, match=r"torn\.npz"):
        main(["validate", "clips"])


def test_what_is_left_out_is_said(several, capsys):
    assert main(["info", "clips", "--skip-bad"]) == 0
    assert "left out: clips/torn.npz: " in capsys.readouterr().err


@pytest.mark.skipif(gl.choose_gl_backend() is None, reason="needs a library that draws")
def test_several_clips_are_a_grid(several, capsys):
    small = ["--width", "64", "--height", "48", "--seconds", "0.1", "--no-caption"]
    assert main(["preview", "clips/set.yaml", "walk", "--out", "pictures", *small]) == 0
    pictures = sorted(Path("pictures").iterdir())
    assert len(pictures) == 4
    picture = np.asarray(Image.open(pictures[0]))
    assert picture.shape == (96, 128, 3)
    assert picture[:48, :64].std() > 5.0
    np.testing.assert_allclose(picture[:48, :64], picture[:48, 64:], atol=2)  # the same clip, under two names
    assert "2 clips; name one" in command_refusal(
        main, ["preview", "walk", "kick", "--plot", "x.png"], capsys
    )


@pytest.fixture
def converted(printed):
    """(source, out, options) -> the clip in the file that `convert` wrote."""

    def clip(source: str, out: str, *options: str) -> Motion:
        printed("convert", source, out, *options)
        return load_motion(out)

    return clip


# What is in a clip


def test_info_shows_what_is_in_the_file(printed):
    (facts,) = json.loads(printed("info", "--json", "walk"))
    with np.load(paths.motions_dir() / "walk.npz") as fields:
        root, joints = fields["root_pos"], fields["dof_pos"]
    model = mujoco.MjModel.from_xml_path(str(paths.assets_dir() / "g1" / "scene.xml"))
    low, high = model.jnt_range[1:].T
    used = np.maximum((joints - low) / (high - low), (high - joints) / (high - low)) * 2.0 - 1.0
    speed = 60.0 * np.sqrt(np.sum((root[1:] - root[:-1]) ** 2, axis=1))
    assert facts == {
        "file": "walk",
        "name": "walk",
        "format": "mjx_mimic .npz",
        "fps": 60.0,
        "frames": 67,
        "seconds": pytest.approx(1.1),
        "loop": "wrap",
        "mean_speed": pytest.approx(speed.mean()),
        "max_speed": pytest.approx(speed.max()),
        "min_height": root[:, 2].min(),
        "max_height": root[:, 2].max(),
        "range_used": pytest.approx(used.max()),
        "range_used_by": "left_knee",
        "digest": load_motion("walk").digest,
    }


def test_info_has_a_row_for_each_clip_and_a_column_for_each_fact(printed, converted):
    converted("walk", "stroll.pkl", "--lift", "0.1")
    header, first, second = printed("info", "squat", "stroll.pkl").splitlines()
    starts = [match.start() for match in re.finditer(r"(?:^|(?<=  ))\S", header)]
    cells = [
        [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        for line in (first, second)
    ]
    assert [row[:6] for row in cells] == [
        ["squat", "mjx_mimic .npz", "60", "193", "3.200", "wrap"],
        ["stroll", "MimicKit .pkl", "60", "67", "1.100", "wrap"],
    ]
    assert cells[1][6:] == [
        "0.91, 1.09",
        "0.858 to 0.879",
        "86% left_knee",
        load_motion("stroll.pkl").digest[:12],
    ]


# Is it fit


def test_a_good_clip_exits_with_0(printed):
    text = printed("validate", "--strict", "walk")
    assert text.splitlines()[0] == "walk: good"
    assert "warning" not in text
    # Rounding errors are printed as 0, and never as -0.
    assert re.search(r"^  ok       depth in the floor +0 m, limit 0\.01", text, re.MULTILINE)
    assert " -0 " not in text


def test_a_warning_is_printed_with_its_remedy_and_fails_only_strictly(printed, walk):
    native.write("sunk.npz", editing.named(editing.lifted(walk, -0.04), "sunk"))
    for code, options in ((0, ()), (1, ("--strict",))):
        lines = printed("validate", "sunk.npz", *options, code=code).splitlines()
        assert [line for line in lines if not line.startswith(" ")] == [
            "sunk: usable, 1 warning",
        ]
        (row,) = [number for number, line in enumerate(lines) if line.split()[0] == "warning"]
        assert re.match(r"  warning  depth in the floor +0\.04 m, limit 0\.01, \w+_sole_\w+ at ", lines[row])
        assert lines[row].endswith("100% of the frames over it")
        assert "convert --lift auto" in lines[row + 1]
    printed("convert", "sunk.npz", "risen.npz", "--lift", "auto")
    printed("validate", "--strict", "risen.npz")


def test_an_unfit_clip_exits_with_1(printed, walk):
    native.write("buried.npz", editing.lifted(walk, -0.3))
    assert printed("validate", "buried.npz", code=1).startswith("walk: not fit for training\n")


def test_validation_as_json_is_the_report(printed, walk):
    sunk = editing.lifted(walk, -0.04)
    native.write("sunk.npz", sunk)
    (as_json,) = json.loads(printed("validate", "--json", "sunk.npz"))
    report = validation.validate(sunk)
    assert as_json["verdict"] == report.verdict
    assert as_json["fit"] is True
    assert [tuple(finding.values()) for finding in as_json["findings"]] == [
        tuple(vars(finding).values()) for finding in report.findings
    ]


# Conversions


def test_a_clip_survives_every_format(converted, walk):
    for source, out, key in (
        ("walk", "a.pkl", "mimickit"),
        ("a.pkl", "b.csv", "unitree"),
        ("b.csv", "c.npz", "native"),
    ):
        options = ("--loop", "clamp", "--fps", "30") if key == "unitree" else ()
        clip = converted(source, out, *options)
        assert load_all(out)[1].key == key
    assert (clip.fps, clip.loop, clip.name) == (30.0, "clamp", "b")
    np.testing.assert_allclose(clip.qpos, walk.qpos[::2], rtol=0, atol=1e-8)


def test_a_rate_is_sampled_and_not_relabelled(converted, printed, walk):
    clip = converted("walk", "fine.npz", "--fps", "120")
    assert (clip.fps, clip.num_frames, clip.loop) == (120.0, 133, "wrap")
    assert clip.length == pytest.approx(walk.length)
    np.testing.assert_allclose(clip.dof_pos[::2], walk.dof_pos, rtol=0, atol=1e-12)
    between = 0.5 * (walk.dof_pos[1:] + walk.dof_pos[:-1])
    np.testing.assert_allclose(clip.dof_pos[1::2], between, rtol=0, atol=1e-12)
    assert "resampled from 60 frames/s" in printed("convert", "walk", "coarse.npz", "--fps", "30")


def test_mirroring_twice_gives_the_clip_back(converted, walk):
    once = converted("walk", "once.npz", "--mirror")
    twice = converted("once.npz", "twice.npz", "--mirror")
    left, right = (G1_JOINTS.index(f"{side}_knee_joint") for side in ("left", "right"))
    np.testing.assert_array_equal(once.dof_pos[:, left], walk.dof_pos[:, right])
    np.testing.assert_allclose(twice.qpos, walk.qpos, rtol=0, atol=1e-12)


def test_all_edits_at_once_are_done_in_order_and_printed(printed, walk):
    text = printed(
        *("convert", "walk", "part.npz", "--start", "0.2", "--end", "0.9", "--smooth", "12", "--fps", "50"),
        *("--mirror", "--lift", "0.05", "--name", "part of a walk"),
    )
    clip = load_motion("part.npz")
    expected = editing.resampled(editing.smoothed(editing.cut(walk, 0.2, 0.9), 12.0), 50.0)
    expected = editing.lifted(editing.mirrored(expected), 0.05)
    np.testing.assert_array_equal(clip.qpos, expected.qpos)
    assert clip.name == "part of a walk"
    assert [line.strip() for line in text.splitlines()] == [
        "part.npz: native, 36 frames at 50 frames/s, 0.700 s, clamp",
        "smoothed at 12 Hz",
        "resampled from 60 frames/s",
        "mirrored",
        "lifted by +0.0500 m",
        "named 'part of a walk'",
    ]


@pytest.mark.parametrize(("lift", "words"), [("100", "looks like centimetres"), ("1e30", "from the origin")])
def test_what_no_command_would_read_is_not_written(lift, words):
    with pytest.raises(UserError, match=f"^high.npz: root_pos .*{words}"):
        main(["convert", "walk", "high.npz", "--lift", lift])
    assert not Path("high.npz").exists()


@pytest.mark.parametrize("out", ["squat.csv", "squat.pkl"])
def test_a_name_that_the_file_cannot_keep_is_refused(out):
    for command in (["convert", "squat", out], ["retarget", "nowhere.bvh", out]):
        with pytest.raises(UserError, match=f"^option --name: {out} is called as its file is"):
            main([*command, "--name", "crouch"])


def test_rates_that_fill_the_memory_are_refused():
    with pytest.raises(UserError, match=r"fps is 1e\+300; give one number from 0.1 to 10000"):
        main(["convert", "walk", "new.npz", "--source-fps", "1e300"])
    with pytest.raises(UserError, match=r"^kick: 1920 s would become 1.92e\+06 frames, over 1000000; give"):
        main(["convert", "kick", "new.npz", "--source-fps", "0.1", "--fps", "1000"])
    assert not Path("new.npz").exists()


def test_joints_are_kept_within_their_limits_after_all_that_moves_them(converted, walk):
    """Smoothing takes an angle at its limit beyond it, and so may the seam of a cycle."""
    low, high = load_mjcf(visuals=False).jnt_range[1:].T
    knee = G1_JOINTS.index("left_knee_joint")
    joints = walk.dof_pos.copy()
    joints[20:40, knee] = low[knee] - 0.2  # not where it was, so that the filter overshoots
    native.write("over.npz", editing.edited(walk, dof_pos=joints, loop="clamp"))
    clip = converted("over.npz", "kept.npz", "--clip-joints", "--smooth", "8", "--fps", "50")
    assert np.all(clip.dof_pos >= low - 1e-12)
    assert np.all(clip.dof_pos <= high + 1e-12)


def test_what_the_file_does_not_say_is_printed(printed, walk):
    kept = [i for i, name in enumerate(G1_JOINTS) if "wrist" not in name]
    rows = np.concatenate([walk.root_pos, np.roll(walk.root_quat, -1, axis=1), walk.dof_pos[:, kept]], axis=1)
    np.savetxt("clip.csv", rows, delimiter=",")
    lines = printed("convert", "clip.csv", "guessed.npz", "--pad", "--mirror").splitlines()
    assert lines[1].startswith("  took the 23 joints for Unitree's, with one of the waist")
    assert lines[1].endswith("convert --pad-as no-wrists")
    assert lines[2:] == ["  mirrored"]
    assert len(printed("convert", "clip.csv", "stated.npz", "--pad-as", "no-wrists").splitlines()) == 1
    np.testing.assert_allclose(load_motion("stated.npz").dof_pos[:, kept], walk.dof_pos[:, kept], atol=1e-9)


def test_a_cycle_is_searched_for_once(walk, monkeypatch):
    searched = []
    find_loop = loop_closing.find_loop
    monkeypatch.setattr(
        loop_closing, "find_loop", lambda motion: (searched.append(motion), find_loop(motion))[1]
    )
    long = editing.with_loop(editing.edited(walk, qpos=editing.sampled(walk, np.arange(150) / 60.0)), "clamp")
    conversion.apply_edits(long, make_cyclic=True)
    assert len(searched) == 1


def test_a_cycle_is_made_of_a_long_noisy_walk(printed, converted, walk):
    qpos = editing.sampled(walk, 0.37 + np.arange(188) / 50.0)  # 3.4 cycles
    qpos[:, 7:] += np.random.default_rng(0).normal(0.0, 0.005, (188, 29))
    native.write("long.npz", editing.with_loop(editing.edited(walk, qpos=qpos, fps=50.0), "clamp"))
    clip = converted("long.npz", "cycle.npz", "--make-cyclic")
    assert clip.loop == "wrap"
    assert clip.length == pytest.approx(walk.length, abs=0.021)
    np.testing.assert_array_equal(clip.dof_pos[0], clip.dof_pos[-1])
    (report,) = json.loads(printed("validate", "--json", "cycle.npz"))
    seam = {f["check"]: f for f in report["findings"] if f["check"].startswith("seam")}
    assert len(seam) == 5
    assert all(finding["severity"] == "ok" for finding in seam.values())
    # What was asked for is a walk as the one that it was made of, from another moment on.
    start = walk.dof_pos[None, :-1] - clip.dof_pos[:1]
    shift = int(np.abs(start[0]).max(axis=1).argmin()) / walk.fps
    again = editing.sampled(walk, shift + np.arange(clip.num_frames) / clip.fps)
    assert np.abs(again[:, 7:] - clip.dof_pos).max() < 0.1


def test_files_are_replaced_only_with_force_and_whole(printed, folder):
    printed("convert", "walk", "clip.csv", "--fps", "30", "--loop", "clamp")
    before = Path("clip.csv").read_bytes()
    with pytest.raises(UserError, match=r"^clip\.csv: exists already; give --force"):
        main(["convert", "squat", "clip.csv", "--fps", "30", "--loop", "clamp"])
    with pytest.raises(UserError, match="always means 30 and 'clamp'"):  # refused only when it is written
        main(["convert", "squat", "clip.csv", "--force"])
    assert Path("clip.csv").read_bytes() == before
    printed("convert", "squat", "clip.csv", "--fps", "30", "--loop", "clamp", "--force")
    assert len(Path("clip.csv").read_text().splitlines()) == 97
    assert list(folder.iterdir()) == [folder / "clip.csv"]


def test_the_options_are_listed_in_the_order_of_the_edits():
    """In the help and in the document."""
    options = [field.name for field in dataclasses.fields(ConvertCommand)]
    text = DOCUMENT.read_text(encoding="utf-8")
    places = [text.index(f"| `--{name.replace('_', '-')}") for name in conversion.EDITS]
    assert [name for name in options if name in conversion.EDITS] == list(conversion.EDITS)
    assert places == sorted(places)


# Pictures


def test_the_plot_shows_limits_and_standing_feet(printed, walk):
    bent = editing.lifted(walk, 0.5).qpos
    bent[:, 7 + G1_JOINTS.index("left_ankle_roll_joint")] += 0.4
    native.write("bent.npz", editing.edited(walk, qpos=bent, fps=walk.fps))
    pictures = []
    for file in ("walk", "bent.npz"):
        assert printed("preview", file, "--plot", "plot.png") == "plot.png\n"
        pictures.append(np.asarray(Image.open("plot.png").convert("RGB")).astype(int))
    plain, bent = pictures
    height, width = plain.shape[:2]
    assert (height, width) == (1080, 1350)

    def share(picture: np.ndarray, color: tuple[int, int, int]) -> float:
        return float(np.mean(np.abs(picture - color).max(axis=-1) < 12))

    bars = (slice(int(0.83 * height), height), slice(width // 2, width))
    for color in ((31, 119, 180), (255, 127, 14)):  # matplotlib's tab:blue, tab:orange
        assert share(plain[bars], color) > 0.1
        assert share(bent[bars], color) == 0.0  # in the air
        assert share(plain, color) > 0.005
    ankle_roll = (slice(int(0.24 * height), int(0.37 * height)), slice(int(0.29 * width), int(0.5 * width)))
    shaded = (226, 219, 209)  # left and right end there: orange over blue, 15% each
    assert share(bent[ankle_roll], shaded) > 0.1
    assert share(plain[ankle_roll], shaded) < 0.01


def test_a_video_and_a_plot_in_one_go(printed):
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    options = ("--seconds", "0.1", "--width", "64", "--height", "64", "--fps", "20")
    text = printed("preview", "walk", "--out", "clip.mp4", "--plot", "clip.png", *options)
    assert text.splitlines()[0] == "clip.mp4: 3 frames, 0.1 s"
    assert Path("clip.mp4").read_bytes()[4:8] == b"ftyp"
    assert Path("clip.png").read_bytes().startswith(b"\x89PNG")


# Bad input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "info, validate, convert, preview, retarget"),
        ("explain walk", "explain"),
        ("info", "no clip is named; give one or more files or names of bundled clips"),
        ("convert walk new.npz --pad-as no-wrists", "other joints than --pad-as no-wrists says"),
        ("convert walk new.npz --pad-as wrists", "--pad-as"),
        ("validate", "no clip is named"),
        ("info walk nofile.npz", "nofile.npz: no such file"),
        ("validate walk nofile.npz", "nofile.npz: no such file"),
        ("info walk --jsn", "--jsn"),
        ("convert walk", "OUT"),
        ("convert walk new.txt", "new.txt: the ending belongs to no format; end the name in one of .npz"),
        ("convert walk new", "new: the ending belongs to no format"),
        ("convert nofile.npz new.npz", "nofile.npz: no such file"),
        ("convert walk nofolder/new.npz", "nofolder/new.npz: cannot be written"),
        ("convert walk new.npz --fps many", "--fps"),
        ("convert walk new.npz --fps 0", "fps is 0; give a number from 0.1 to 1000"),
        ("convert walk new.npz --fps nan", "fps is nan"),
        ("convert walk new.npz --smooth 30", "the cutoff is 30 Hz; give a number over 0 and under 30"),
        ("convert walk new.npz --lift high", "--lift"),
        ("convert walk new.npz --lift inf", "the lift is inf m"),
        ("convert walk new.npz --loop round", "--loop"),
        ("convert walk new.npz --start 0.9 --end 0.1", "start and end are 0.9 and 0.1 s"),
        ("convert walk new.npz --end 7", "the clip's length"),
        ("convert walk new.npz --make-cyclic --loop clamp", "--make-cyclic and --loop: give one of them"),
        ("convert walk new.npz --make-cyclic --loop turn", "write a .npz and convert that with the other"),
        ("convert walk new.npz --end 0.6 --cycles 3", "loop is 'clamp', so there are no cycles"),
        ("convert walk new.npz --end 0.6 --make-cyclic", "cut the clip to a part that repeats itself"),
        ("convert walk new.csv", "convert with --loop clamp --fps 30"),
        ("convert walk new.pkl --fps 37", "convert with --fps 40"),
        ("preview walk", "--out and --plot: give at least one"),
        ("preview nofile.npz --plot new.png", "nofile.npz: no such file"),
        ("preview walk --plot new.jpg", "new.jpg does not end in .png; name a PNG file"),
        ("preview walk --out new.avi --plot new.png", "new.avi will not do"),
        ("preview walk --out new.mp4 --width 63", "--width: 63 will not do"),
        ("preview walk --plot nofolder/new.png", "option --plot: nofolder/new.png cannot be written"),
        ("preview walk --out new.mp4 --plot nofolder/new.png", "option --plot: nofolder/new.png cannot be"),
        ("retarget nofile.bvh new.npz", "nofile.bvh: no such file"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(folder, capsys, line, message):
    words = command_refusal(main, line.split(), capsys)
    for part in message.split(", "):
        assert part in words
    assert not list(folder.iterdir())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("subcommand", ["", *SUBCOMMANDS])
def test_the_help_fits_into_a_terminal(subcommand, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stop:
        main([*subcommand.split(), "--help"])
    assert stop.value.code == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) < 48
    assert max(map(len, lines)) <= 100
    assert sum("\u256d" in line for line in lines) == 2  # what to name, what to choose
    if subcommand:
        assert all(f" {other} " not in "\n".join(lines) for other in SUBCOMMANDS if other != subcommand)


def test_nothing_but_retargeting_takes_long_to_start():
    """JAX takes seconds to import; the command exits as a process should."""
    code = (
        "import sys; from mjx_mimic.motion import main\n"
        "for line in ('info walk', 'validate walk', 'convert walk a.pkl', 'preview walk --plot a.png'):\n"
        "    assert main(line.split()) == 0\n"
        "heavy = [m for m in ('jax', 'mink', 'mediapy', 'flax') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "mjx_mimic.motion", "convert", "walk", "a.pkl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: a.pkl: exists already; give --force to write over it, or another file\n"
    assert done.stdout == ""


def test_the_options_are_parsed_without_mujoco_and_jax():
    """Both have settings that must come before their import."""
    code = (
        "import sys; from mjx_mimic.common import cli; from mjx_mimic.motion import Command\n"
        "cli.parse(Command, ['retarget', 'a.bvh'], prog='motion')\n"
        "print([name for name in ('mujoco', 'jax', 'mink') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The document


def test_the_document_mentions_every_format_every_subcommand_and_every_check(walk):
    text = DOCUMENT.read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z][a-z_-]*", text.lower()))
    assert {known.key for known in FORMATS} <= words
    assert set(SUBCOMMANDS) <= words
    for finding in validation.validate(walk).findings:
        assert finding.check in text


def test_the_documents_commands_are_commands():
    lines = re.findall(
        r"^python -m mjx_mimic\.motion (.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {type(cli.parse(Command, shlex.split(line, comments=True))) for line in lines} == {
        get_args(known)[0] for known in get_args(Command)
    }


def test_the_documents_python_runs(folder, walk):
    native.write("stroll.npz", editing.edited(walk, qpos=editing.sampled(walk, np.arange(150) / 60.0)))
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})
    assert load_motion("cycle.pkl").loop == "wrap"
