"""Every option that a message or a document advises exists, and does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import clip_files
from helpers.clip_files import walk, write_csv, write_npz, write_pickle

from mjx_mimic import train
from mjx_mimic.clips import editing
from mjx_mimic.clips.formats import load_motion, save_motion
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.validation import validate
from mjx_mimic.common.errors import UserError
from mjx_mimic.motion import main
from mjx_mimic.robot.kinematics import heading

ROOT = Path(__file__).parents[2]
SOURCES = (
    *sorted((ROOT / "mjx_mimic" / "clips").rglob("*.py")),
    ROOT / "docs" / "clips.md",
    ROOT / "docs" / "troubleshooting.md",
)
ADVICE = re.compile(
    r"(?:convert|motion join)((?: (?:or )?--[a-z]+(?:-[a-z]+)*(?: (?:\{order\}|[a-z0-9.]+\b))?)+)"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def advised() -> set[str]:
    """The options that texts advise for `convert` and `motion join`."""
    found = set()
    for source in SOURCES:
        text = re.sub(r'"\n\s+f?"', "", source.read_text(encoding="utf-8"))  # text over several lines
        for options in ADVICE.findall(text):
            found |= set(re.findall(r"--[a-z-]+", options))
    return found


def with_nan() -> dict:
    fields = clip_files.gmr(walk())
    fields["dof_pos"] = fields["dof_pos"].copy()
    fields["dof_pos"][[3, -1], 5] = np.nan
    return fields


def faulty(name: str) -> Path:
    """A clip for which the option is advised."""
    motion = walk()
    match name:
        case "--drop-bad":
            return write_pickle(Path("clip.pkl"), with_nan())
        case "--source-fps":
            fields = clip_files.gmr(motion)
            del fields["fps"]
            return write_pickle(Path("clip.pkl"), fields)
        case "--pad" | "--pad-as":
            kept = [i for i in range(29) if i not in (13, 14, 20, 21, 27, 28)]
            return write_pickle(
                Path("clip.pkl"), clip_files.gmr(motion) | {"dof_pos": motion.dof_pos[:, kept]}
            )
        case "--stored-as":
            motion = editing.edited(motion, root_quat=np.roll(motion.root_quat, -1, axis=1))
        case "--drop-repeated":
            motion = editing.edited(motion, qpos=np.repeat(motion.qpos, 2, axis=0), fps=120.0)
        case "--cycles" | "--make-cyclic":
            motion = editing.with_loop(motion, "wrap")
        case "--start" | "--end":
            return write_csv(Path("clip.csv"), clip_files.unitree(motion))
    save_motion("clip.npz", motion, "native")
    return Path("clip.npz")


VALUES = {
    "--source-fps": "60",
    "--start": "0.2",
    "--end": "0.9",
    "--pad-as": "one-waist",
    "--stored-as": "xyzw",
    "--speed": "0.8",
    "--loop": "clamp",
    "--smooth": "8",
    "--cycles": "10",
    "--fps": "30",
    "--lift": "auto",
    "--blend": "0.3",
}


def test_texts_give_advice():
    assert len(advised()) >= 14


@pytest.mark.parametrize("option", sorted(advised()))
def test_what_is_advised_can_be_done(option, capsys):
    value = [VALUES[option]] if option in VALUES else []
    if option == "--blend":
        assert main(["join", "walk", "kick", "--out", "new.npz", option, *value]) == 0
    else:
        assert main(["convert", str(faulty(option)), "new.npz", option, *value]) == 0
    found = {finding.check: finding for finding in validate(load_motion("new.npz")).findings}
    assert found["order"].severity == "ok"
    assert found["repeated frames"].severity == "ok"
    assert found["joint jump"].severity == "ok"


def test_the_advice_of_every_finding_is_known():
    """No text of `validation` speaks of an option that the two commands do not have."""
    text = (ROOT / "mjx_mimic" / "clips" / "validation.py").read_text(encoding="utf-8")
    known = advised() | {"--smooth", "--trust", "--start"}
    spoken = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)) - {"--env"}
    assert {option for option in spoken if not option.startswith("--env")} <= known


def test_train_has_the_options_that_are_advised():
    command = train.parse(["--trust", "--env.contacts", "full", "--env.ground-bodies", "torso_link"])
    assert command.trust
    assert command.train.env.ground_bodies == ("torso_link",)


def test_a_slower_clip_takes_longer(capsys):
    assert main(["convert", "kick", "slow.npz", "--speed", "0.8"]) == 0
    slow, kick = load_motion("slow.npz"), load_motion("kick")
    assert slow.length == pytest.approx(kick.length / 0.8)
    np.testing.assert_array_equal(slow.qpos, kick.qpos)


def curved(degrees: float) -> Motion:
    """A cycle of the bundled walk along an arc."""
    return editing.bent(load_motion("walk"), np.radians(degrees))


def test_a_cycle_that_turns_is_closed_with_its_turn(capsys):
    """Two cycles and a half of a circle give one cycle, which goes on along it and has a good seam."""
    circle = editing.cut(editing.cycles(curved(60.0), 3), 0.0, 2.7)
    save_motion("circle.npz", circle, "native")
    assert main(["convert", "circle.npz", "cycle.npz", "--make-cyclic"]) == 0
    cycle = load_motion("cycle.npz")
    assert cycle.loop == "turn"
    assert np.degrees(cycle.cycle_turn) == pytest.approx(60.0, abs=0.5)
    assert validate(cycle).verdict == "good"
    assert validate(editing.smoothed(cycle, 8.0)).verdict == "good"
    np.testing.assert_allclose(
        editing.sampled(cycle, 2.0 * cycle.length + np.array([0.0, 1e-9]))[0],
        editing.cycles(cycle, 3).qpos[2 * (cycle.num_frames - 1)],
        atol=1e-9,
    )


def test_what_turns_is_said_and_remedied(capsys):
    found = {finding.check: finding for finding in validate(curved(60.0)).findings}["seam: root turn"]
    assert found.severity == "error"
    assert "convert --loop turn" in found.remedy
    assert validate(editing.with_loop(curved(60.0), "turn")).verdict == "good"
    save_motion("turn.npz", editing.with_loop(curved(60.0), "turn"), "native")
    with pytest.raises(UserError, match="cycles do not turn on; convert with --cycles 10"):
        main(["convert", "turn.npz", "turn.pkl"])
    assert main(["convert", "turn.npz", "ten.pkl", "--cycles", "10"]) == 0
    assert "10 cycles, one after another, each turned on by 60.0 degrees" in capsys.readouterr().out
    assert main(["join", "turn.npz", "turn.npz", "--blend", "0", "--loop", "turn", "--out", "two.npz"]) == 0
    assert load_motion("two.npz").cycle_turn == pytest.approx(np.radians(120.0))


def test_cycles_that_turn_walk_along_a_circle():
    """Six cycles of 60 degrees come back to where they began."""
    cycle = curved(60.0)
    circle = editing.cycles(cycle, 6)
    assert circle.loop == "clamp"
    assert circle.length == pytest.approx(6 * cycle.length)
    np.testing.assert_allclose(circle.root_pos[-1], circle.root_pos[0], atol=1e-9)
    np.testing.assert_allclose(heading(circle.root_quat[-1]), heading(circle.root_quat[0]), atol=1e-9)
    frames = cycle.num_frames - 1
    np.testing.assert_allclose(circle.dof_pos[frames : 2 * frames], cycle.dof_pos[:-1], atol=1e-12)
    assert not [found for found in validate(circle).findings if found.severity == "error"]


def test_joined_clips_meet_in_place_and_heading():
    walk_there, kick = load_motion("walk"), load_motion("kick")
    joined = editing.joined(walk_there, kick, 0.3)
    assert joined.length == pytest.approx(walk_there.length + kick.length - 0.3, abs=1e-9)
    assert joined.loop == "clamp"
    np.testing.assert_array_equal(joined.qpos[: walk_there.num_frames - 19], walk_there.qpos[:-19])
    np.testing.assert_allclose(joined.dof_pos[-1], kick.dof_pos[-1], atol=1e-12)
    for found in validate(joined).findings:
        assert found.severity != "error" or "jump" not in found.check


@pytest.mark.parametrize(
    "names",
    [
        ("start_walking", "walk", "walk", "stop_walking"),
        ("walk", "fast_walk", "walk"),
        ("walk", "turn_left", "walk", "turn_right"),
        ("stop_walking", "kick", "start_walking"),
    ],
)
def test_clips_that_were_made_to_fit_are_good_when_they_are_joined(names, capsys):
    assert main(["join", *names, "--out", "joined.npz"]) == 0
    assert load_motion("joined.npz").name == "joined"
    assert validate(load_motion("joined.npz")).verdict == "good"
    lengths = [load_motion(name).length for name in names]
    assert load_motion("joined.npz").length == pytest.approx(sum(lengths), abs=0.02 * len(names))


@pytest.mark.parametrize(("names", "most"), [(("walk", "kick"), 0.06), (("kick", "walk"), 0.12)])
def test_clips_that_do_not_fit_slide_no_more_than_when_they_are_faded(names, most):
    joined = editing.joined(*map(load_motion, names), 0.3)
    found = {finding.check: finding for finding in validate(joined).findings}
    assert found["foot sliding"].figure < most
    assert found["joint jump"].severity == "ok"


@pytest.mark.parametrize("blend", ["-1", "5", "nan"])
def test_a_blend_longer_than_a_clip_is_refused(blend, folder):
    with pytest.raises(Exception, match="the blend is"):
        main(["join", "walk", "kick", f"--blend={blend}"])
    assert not list(folder.iterdir())


def test_a_trajectory_of_a_file_is_named_on_the_command_line(capsys):
    fields = clip_files.locomujoco(walk()) | {"split_points": np.array([0, 30, 67])}
    write_npz(Path("two.npz"), fields)
    assert main(["convert", "two.npz#2", "second.npz"]) == 0
    assert load_motion("second.npz").num_frames == 37
