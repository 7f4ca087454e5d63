"""Sweeps on the tiny environment: run folders, one compiled step, resumption, the table, refusals."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from helpers.point_env import POINT_CONFIG, TRACED_STEPS, PointEnv
from helpers.refusals import command_refusal, refusal
from helpers.small_run import sway

from mjx_mimic import sweep as command
from mjx_mimic.clips import editing
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.formats import load_motion, save_motion
from mjx_mimic.common.errors import RunFailure, UserError
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.config_yaml import read_run
from mjx_mimic.learning.learner import Learner
from mjx_mimic.runs import folder, sweep, sweep_plan
from mjx_mimic.runs.checkpoints import DIGESTS, Checkpoints, Progress
from mjx_mimic.runs.metric_log import read_rows
from mjx_mimic.runs.stop import Stop
from mjx_mimic.runs.sweep_plan import Member, members, read_sweep
from mjx_mimic.runs.sweep_report import outcome, table

UPDATE = POINT_CONFIG.num_envs * POINT_CONFIG.unroll_length
DESCRIPTION = f"""
motion: [walk, kick]
seeds: [0, 1]
samples: {4 * UPDATE}
settings:
  default: {{}}
  more KL: {{ppo.target_kl: 0.05, ppo.discount: 0.9}}
"""

ONE = DESCRIPTION.replace("[walk, kick]", "[walk]").replace("[0, 1]", "[0]")
"""The same of one clip and one seed."""


@pytest.fixture(scope="module", autouse=True)
def points() -> Iterator[None]:
    """Trainings of points, not of robots."""

    def point(config: TrainConfig, clips: object, devices: tuple) -> Learner:
        return Learner(PointEnv(sign=jnp.float32(1.0)), config, devices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "make_learner", point)
        patch.setattr(sweep_plan, "PRESETS", {"default": replace(POINT_CONFIG, eval_interval=2 * UPDATE)})
        yield


@pytest.fixture
def described(tmp_path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(DESCRIPTION)
    return path


def trained(described: Path, out: str = "out") -> Path:
    assert sweep.run(read_sweep(described), described.parent / out, described)
    return described.parent / out


def figures(run: Path) -> list[dict]:
    """The reports of a run without its times."""
    rows, damaged = read_rows(run / "metrics.jsonl")
    assert damaged == 0
    return [{k: v for k, v in row.items() if k not in ("wall_time_s", "samples_per_s")} for row in rows]


@pytest.fixture(scope="module")
def traced_and_finished(points, tmp_path_factory) -> tuple[int, Path]:
    """How often a control step was traced for a sweep, and its folder."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(DESCRIPTION)
    before = len(TRACED_STEPS)
    out = trained(path)
    return len(TRACED_STEPS) - before, out


@pytest.fixture
def finished(traced_and_finished) -> Path:
    return traced_and_finished[1]


def test_every_setting_clip_and_seed_is_a_run_and_one_step_is_compiled_for_all(
    described, traced_and_finished
):
    traced, out = traced_and_finished
    runs = sorted(str(path.parent.relative_to(out)) for path in out.glob("*/*/config.yaml"))
    expected = [f"{s}/{c}-{i}" for s in ("default", "more_KL") for c in ("kick", "walk") for i in (0, 1)]
    assert runs == sorted(expected)
    for run in runs:
        rows = figures(out / run)
        assert [row["samples"] for row in rows] == [2 * UPDATE, 4 * UPDATE]
        assert rows[0]["eval_return"] is not None
        assert Checkpoints(out / run).restore_policy("last").samples == 4 * UPDATE
    assert traced > 0
    before = len(TRACED_STEPS)
    described.write_text(ONE.replace("  more", "  none: {ppo.target_kl: 0.03}\n  more"))
    trained(described, "more")
    assert len(TRACED_STEPS) - before == traced  # as often with three settings as with two


def test_side_by_side_they_are_what_they_are_one_after_the_other(described, finished):
    described.write_text(DESCRIPTION.replace("[0, 1]", "[0]") + "together: 3\n")  # three and one
    other = trained(described, "together")
    for run in ("default/walk-0", "more_KL/kick-0"):
        for a, b in zip(figures(finished / run), figures(other / run), strict=True):
            assert a.keys() == b.keys()
            np.testing.assert_allclose(a["eval_return"], b["eval_return"], rtol=0.02)
            np.testing.assert_allclose(a["policy_std"], b["policy_std"], rtol=1e-3)


def test_seeds_and_settings_differ(finished):
    returns = [figures(finished / run)[-1]["train_return"] for run in ("default/walk-0", "default/walk-1")]
    assert returns[0] != returns[1]
    assert figures(finished / "default/walk-0") != figures(finished / "more_KL/walk-0")


@pytest.fixture
def stops(monkeypatch) -> list[Stop]:
    """What the sweeps of a test ask whether they are to stop."""
    made: list[Stop] = []

    class Noted(Stop):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(sweep, "Stop", Noted)
    return made


def test_a_stopped_sweep_goes_on_where_it_was(described, finished, stops, monkeypatch):
    described.write_text(DESCRIPTION.replace("[walk, kick]", "[walk]"))
    out = described.parent / "stopped"
    evaluate, calls = sweep.evaluate, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # in the middle of the second training
            stops[-1].requested = True
        return evaluate(*arguments)

    monkeypatch.setattr(sweep, "evaluate", stopping)
    assert not sweep.run(read_sweep(described), out, described)
    assert len(list(out.glob("*/*/config.yaml"))) == 2
    assert sweep.run(read_sweep(described), out, described)
    for run in ("default/walk-0", "default/walk-1", "more_KL/walk-1"):
        found = [row for row in figures(out / run) if "eval_return" in row]
        assert [row["samples"] for row in found] == [2 * UPDATE, 4 * UPDATE]
        wanted = figures(finished / run)
        assert [row["eval_return"] for row in found] == [row["eval_return"] for row in wanted]
        assert found[-1]["policy_std"] == pytest.approx(wanted[-1]["policy_std"], rel=0.05)
    count = len(calls)
    assert sweep.run(read_sweep(described), out, described)
    assert len(calls) == count  # nothing is left to do


def test_a_sweep_that_goes_on_keeps_its_best_policies(described, monkeypatch):
    """Of trainings whose first evaluation is the best one, also where more samples are asked for."""

    def worse_and_worse(population, arguments, state, learners, progress):
        best = -2.0 * UPDATE
        return [
            ({"eval_return": -float(done.samples), "best_eval_return": best}, done.samples == 2 * UPDATE)
            for done in progress
        ]

    monkeypatch.setattr(sweep, "evaluate", worse_and_worse)
    described.write_text(ONE)
    out = trained(described)
    run = out / "default" / "walk-0"
    best = Checkpoints(run).restore_policy("best").actor
    described.write_text(ONE.replace(f"samples: {4 * UPDATE}", f"samples: {6 * UPDATE}"))
    trained(described)
    jax.tree.map(np.testing.assert_array_equal, Checkpoints(run).restore_policy("best").actor, best)
    last = Checkpoints(run).restore_policy("last")
    assert last.samples == 6 * UPDATE
    assert np.any(last.actor["params"]["log_std"] != best["params"]["log_std"])
    assert read_run(run)[0].total_steps == 6 * UPDATE


def test_a_checkpoint_that_cannot_be_read_is_refused_before_anything_is_written(described, monkeypatch):
    """It was whole when the sweep looked how far its trainings are."""
    described.write_text(ONE)
    run = trained(described) / "default" / "walk-0"
    for file in (run / "checkpoints" / str(4 * UPDATE) / "training").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    before = (run / "config.yaml").read_bytes()
    monkeypatch.setattr(Checkpoints, "progress", lambda self: Progress(samples=4 * UPDATE))
    described.write_text(ONE.replace(f"samples: {4 * UPDATE}", f"samples: {6 * UPDATE}"))
    message = refusal(sweep.run, read_sweep(described), described.parent / "out", described)
    assert message.startswith(f"{run}: its last checkpoint is damaged; run the same command again")
    assert (run / "config.yaml").read_bytes() == before


def test_a_run_that_somebody_else_has_trained_meanwhile_is_left_alone(described, monkeypatch):
    description = DESCRIPTION.replace("[walk, kick]", "[walk]")
    described.write_text(description)
    out, train, elsewhere = described.parent / "out", sweep.train, []

    def meanwhile(*arguments):
        """Before the first one is trained here, the second one is trained elsewhere."""
        if not elsewhere:
            elsewhere.append(out / "default" / "walk-1")
            described.write_text(description.replace("[0, 1]", "[1]"))
            trained(described)
        train(*arguments)

    monkeypatch.setattr(sweep, "train", meanwhile)
    message = refusal(sweep.run, read_sweep(described), out, described)
    assert message.startswith(f"{elsewhere[0]}: another training has been here")
    assert len(figures(elsewhere[0])) == 2


def test_a_sweep_goes_on_on_another_number_of_devices(described, monkeypatch):
    devices = tuple(jax.local_devices())
    for count, samples in ((1, 2), (2, 4)):
        described.write_text(ONE.replace(f"samples: {4 * UPDATE}", f"samples: {samples * UPDATE}"))
        monkeypatch.setattr(jax, "local_devices", lambda count=count: devices[:count])
        out = trained(described)
    run = out / "default" / "walk-0"
    assert [row["samples"] for row in figures(run)] == [2 * UPDATE, 4 * UPDATE]
    assert read_run(run)[1]["devices"] == 2


def test_what_has_begun_on_other_cores_sizes_the_whole_sweep(tmp_path):
    names = ("num_envs", "total_steps", "eval_interval")
    config = replace(POINT_CONFIG, **dict.fromkeys(names, 0))
    own = replace(config, total_steps=5 * UPDATE)  # a setting that says how long
    planned = [
        Member(setting, "walk", settings, tmp_path / f"{setting}-{seed}")
        for setting, settings in (("default", config), ("short", own))
        for seed in (0, 1)
    ]
    assert sweep._sized_as_begun(planned) == planned
    folder.create(planned[0].path, sized(config, "cpu", 3), Clips((sway(),), (1.0,)), 3)
    there, here = sized(config, "cpu", 3), sized(config, "cpu", 2)
    for member in sweep._sized_as_begun(planned):
        for name in names:
            wanted = getattr(own, name) if member.setting == "short" else 0
            assert getattr(member.config, name) == (wanted or getattr(there, name))
            assert getattr(there, name) != getattr(here, name)


def test_a_sweep_killed_in_a_first_save_begins_that_training_anew(described, capsys):
    described.write_text(ONE)
    run = trained(described) / "default" / "walk-0"
    before = figures(run)
    shutil.rmtree(run / "checkpoints" / str(4 * UPDATE))
    (run / "checkpoints" / str(2 * UPDATE) / DIGESTS).unlink()
    trained(described)
    assert "it was not finished" in capsys.readouterr().err
    assert Checkpoints(run).progress().samples == 4 * UPDATE
    returns = [
        [row["eval_return"] for row in rows if "eval_return" in row] for rows in (before, figures(run))
    ]
    assert returns[0] == returns[1]


def test_a_sweep_that_is_stopped_before_an_evaluation_writes_its_report(described, stops, monkeypatch):
    out = described.parent / "stopped"
    due = sweep.has_multiple

    def stopping(*arguments):
        stops[-1].requested = True
        return due(*arguments)

    monkeypatch.setattr(sweep, "has_multiple", stopping)
    assert not sweep.run(read_sweep(described), out, described)
    (row,) = figures(next(out.glob("*/*/metrics.jsonl")).parent)
    assert "eval_return" not in row
    assert (out / "table.md").read_text().count("\n") == 2  # nothing but its head


def test_a_training_whose_updates_are_not_finite_ends_and_the_sweep_goes_on(described, monkeypatch, capsys):
    broken = PointEnv(sign=jnp.float32(jnp.nan))
    monkeypatch.setattr(
        sweep, "make_learner", lambda config, clips, devices: Learner(broken, config, devices)
    )
    monkeypatch.setattr(sweep, "MAX_SKIPPED_UPDATES", 3)
    described.write_text(ONE)
    out = trained(described)
    assert capsys.readouterr().out.count(": update after update was not finite") == 2
    for run in out.glob("*/*/metrics.jsonl"):
        assert figures(run.parent)[-1]["samples"] == 3 * UPDATE


def test_accelerators_are_each_given_as_many_environments():
    config = TrainConfig(num_envs=4096)
    for count in (1, 2, 8):
        cards = [SimpleNamespace(platform="gpu")] * count
        assert sweep.default_together(config, cards) == 2 * count
    assert sweep.default_together(config, [SimpleNamespace(platform="cpu")] * 64) == 1


def test_a_disk_that_fails_in_the_middle_is_no_bad_input(described, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("stale file handle")

    monkeypatch.setattr(Checkpoints, "save", fail)
    described.write_text(ONE)
    with pytest.raises(RunFailure, match=r"stale file handle; the same command goes on"):
        trained(described)


def test_another_setting_is_not_mixed_with_what_is_there(described, finished):
    described.write_text(DESCRIPTION.replace("0.9", "0.8"))
    message = refusal(sweep.run, read_sweep(described), finished, described)
    assert "field 'ppo.discount' is 0.9 in the run and 0.8 here" in message


def test_a_sweep_goes_on_with_the_clips_with_which_it_began(described, monkeypatch):
    monkeypatch.chdir(described.parent)
    save_motion("own.npz", load_motion("kick"), "native")
    described.write_text(ONE.replace("[walk]", "[own.npz]"))
    out = trained(described)
    save_motion("own.npz", load_motion("walk"), "native")
    described.write_text(described.read_text().replace("[0]", "[0, 1]"))
    trained(described)
    digests = [read_run(out / f"default/own-{seed}")[1]["clips"][0]["digest"] for seed in (0, 1)]
    assert digests == [load_motion("kick").digest] * 2
    Path("own.npz").unlink()
    assert sweep.run(read_sweep(described), out, described)


def test_a_clip_that_is_not_fit_is_refused_unless_it_is_trusted(described, capsys, monkeypatch):
    """The pelvis jumps by 30 m; the warning comes once for each setting, not for each seed."""
    walk = load_motion("walk")
    torn = np.where(np.arange(walk.num_frames)[:, None] < 40, walk.root_pos, walk.root_pos + 30.0)
    save_motion(described.parent / "torn.npz", editing.edited(walk, root_pos=torn), "native")
    monkeypatch.chdir(described.parent)
    described.write_text(DESCRIPTION.replace("[walk, kick]", "[walk, torn.npz]"))
    message = refusal(sweep.run, read_sweep(described), described.parent / "out", described)
    assert message.startswith("torn.npz: not fit for training: ")
    assert not (described.parent / "out").exists()
    monkeypatch.setattr(sweep, "train", lambda *arguments: None)
    monkeypatch.setattr(sweep, "write_report", lambda *arguments: "report")
    capsys.readouterr()
    assert command.main([str(described), "--out", "out", "--trust"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1] for line in printed if line.startswith("warning")] == [
        " torn.npz",
        " torn.npz",
    ]


def test_minutes_that_cut_off_what_changes_are_warned_of(described, capsys):
    described.write_text(
        ONE.replace("default: {}", "still: {ppo.target_kl: null, ppo.max_rate: 0.001}") + "minutes: 5\n"
    )
    found = read_sweep(described)
    for member in members(found, described.parent, described):
        sweep._check_setting(found, member)
    (line,) = capsys.readouterr().out.splitlines()
    assert "is cut off after 5 minutes" in line
    assert line.startswith("warning: setting more KL: ")
    assert "(the wanted KL divergence)" in line


def test_minutes_end_a_training(described, monkeypatch):
    """By a clock that goes on by a second whenever it is read, once for each update."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr(sweep, "time", clock)
    described.write_text(ONE + f"minutes: {1.5 / 60.0}\n")
    out = trained(described)
    assert [row["samples"] for row in figures(out / "default" / "walk-0")][-1] == 2 * UPDATE


def test_table_and_plot(finished):
    lines = (finished / "table.md").read_text().splitlines()
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        [f"| {clip}", setting, "2"] for clip in ("walk", "kick") for setting in ("default", "more KL")
    ]
    picture = matplotlib.image.imread(finished / "curves.png")
    assert picture.std() > 0.05


def write_rows(path: Path, returns: list[float], survived: list[float]) -> None:
    path.mkdir(parents=True)
    rows = [
        {"samples": 1_000_000 * i, "wall_time_s": 60.0 * i, "eval_return": r, "eval_survived": s}
        for i, (r, s) in enumerate(zip(returns, survived, strict=True), start=1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_table_counts_samples_and_minutes_to_complete_episodes_and_returns(tmp_path):
    write_rows(tmp_path / "a", [50.0, 210.0, 260.0], [0.0, 0.94, 1.0])
    write_rows(tmp_path / "b", [90.0, 120.0, 240.0], [0.95, 1.0, 1.0])
    first = outcome(tmp_path / "a")
    assert first is not None
    assert first.eval_return == 260.0
    assert first.complete == (3_000_000, 3.0)
    assert first.thresholds == ((2_000_000, 2.0), (3_000_000, 3.0))
    group = [Member("s", "c", TrainConfig(), tmp_path / name) for name in ("a", "b")]
    cells = [cell.strip() for cell in table(group).splitlines()[-1].strip("|").split("|")]
    # Medians over two seeds; the return of 250 is reached by one of them alone.
    assert cells == ["c", "s", "2", "3.00", "250.0 (240.0 to 260.0)", "2.00, 2.0", "2.50, 2.5", "-"]
    assert outcome(tmp_path / "none") is None


def test_the_table_shows_who_was_stopped_earlier(tmp_path):
    write_rows(tmp_path / "a", [50.0, 60.0, 70.0], [0.0, 0.0, 0.0])
    write_rows(tmp_path / "b", [50.0], [0.0])
    group = [Member("s", "c", TrainConfig(), tmp_path / name) for name in ("a", "b")]
    assert "| s | 2 | 1.00 to 3.00 | 60.0 (50.0 to 70.0) |" in table(group)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "field 'motion' is missing"),
        ("motion: []", "field 'motion' is missing"),
        ("motion: walk", "field 'motion' is"),
        ("motion: [walk]\nseeds: []", "field 'seeds' is empty"),
        ("motion: [walk]\nsteps: 3", "unknown field 'steps'"),
        ("motion: [walk]\nsamples: -1", "field 'samples' is -1"),
        ("motion: [walk]\nminutes: 0", "field 'minutes' is 0"),
        ("motion: [walk]\nsettings: [a]", "field 'settings' is no mapping"),
        ("motion: [walk]\nsettings: {}", "field 'settings' is no mapping"),
        ("motion: [walk]\nsettings: {a: 3}", "setting a is no mapping"),
        ("motion: [walk]\ncommon: 3", "field 'common' is no mapping"),
        ("motion: [walk]\npreset: best", "field 'preset' is"),
    ],
)
def test_descriptions_that_will_not_do(tmp_path, text, message):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    assert message in refusal(read_sweep, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {a: {ppo.klip: 1}}", "setting a: unknown field 'ppo.klip'"),
        ("settings: {a: {ppo.clip.b: 1}}", "setting a: unknown field 'ppo.clip.b'"),
        ("settings: {a: {ppo.clip: big}}", "field 'ppo.clip' is"),
        ("settings: {a: {seed: 1}}", "seed cannot be set here; write the sweep's own field 'seeds'"),
        ("common: {total-steps: 1}", "total_steps cannot be set here; write the sweep's own field 'samples'"),
        ("settings: {a: {ppo: {clip: 0.1}}}", "setting a: ppo is a section; write its fields one by one"),
        ("settings: {a/b: {}, a_b: {}}", "give settings and clips other names"),
        ("seeds: [1, 1]", "give settings and clips other names"),
    ],
)
def test_settings_that_will_not_do(tmp_path, text, message):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"motion: [walk]\n{text}")
    assert message in refusal(lambda: members(read_sweep(path), tmp_path / "out", path))


def test_clips_of_one_file_and_names_of_any_script_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    qpos = load_motion("walk").qpos
    np.savez("two.npz", qpos=qpos, frequency=np.array(60.0), split_points=np.array([0, 30, len(qpos)]))
    motion = "['two.npz#1', 'two.npz#2', two.npz, 行走.npz, 踢腿.npz]"
    Path("sweep.yaml").write_text(f"motion: {motion}\nsettings: {{低: {{}}, 高: {{}}, ..: {{}}, .: {{}}}}")
    found = members(read_sweep(Path("sweep.yaml")), Path("out"), Path("sweep.yaml"))
    clips = ("two-1", "two-2", "two", "行走", "踢腿")
    expected = [Path("out", setting, f"{clip}-0") for setting in ("低", "高", "__", "_") for clip in clips]
    assert [member.path for member in found] == expected
    assert [member.clip for member in found[:5]] == list(clips)


def test_patterns_that_would_share_a_folder_hear_how_to_name_them(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("motion: [a/*.pkl, b/*.pkl]")
    message = refusal(lambda: members(read_sweep(path), tmp_path / "out", path))
    assert "(a/*.pkl and b/*.pkl)" in message
    assert "a pattern gets another name through a YAML list of its own" in message


def test_the_command_refuses_before_it_writes(tmp_path, capsys):
    path = tmp_path / "sweep.yaml"
    path.write_text("motion: [walk]\nsettings: {a: {ppo.clip: -1}}")
    message = command_refusal(command.main, [str(path), "--out", str(tmp_path / "out")], capsys)
    assert "--ppo.clip" in message
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError):
        command.main([str(tmp_path / "none.yaml")])


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("motion: walk\ncommon: {physics-impl: warp}\n", True),
        ("motion: walk\nsettings: {a: {}, b: {physics_impl: warp}}\n", True),
        ("motion: walk  # physics_impl: warp\ncommon: {physics_impl: jax}\n", False),
        ("motion: walk\n", False),
        ("- physics_impl: warp\n", False),
        ("common: [physics_impl, warp]\n", False),
        ("common: {: [}\n", False),
    ],
)
def test_warp_is_loaded_for_the_sweeps_that_need_it(tmp_path, text, needed):
    (tmp_path / "sweep.yaml").write_text(text)
    assert command._names_warp(tmp_path / "sweep.yaml") == needed
    assert not command._names_warp(tmp_path / "missing.yaml")
