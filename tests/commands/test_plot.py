"""`python -m mjx_mimic.plot`: curves of runs and of MimicKit's logs."""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.refusals import command_refusal

from mjx_mimic import config_yaml, plot
from mjx_mimic.common.files import read_yaml, yaml_bytes
from mjx_mimic.config import TrainConfig
from mjx_mimic.runs.plot import grouped, labels, read_mimickit_log

LOG = """Iteration Wall_Time Samples Test_Return Test_Episode_Length
0 0.5 131072 4.0 15.5
100 1.0 13238272 9.5 21.0
"""


def make_run(path: Path, returns: list[float], **settings: object) -> Path:
    path.mkdir()
    config = replace(TrainConfig(), **settings)
    (path / "config.yaml").write_bytes(yaml_bytes(config_yaml.to_dict(config)))
    rows = [{"samples": 100 * i, "wall_time_s": 60.0 * i, "eval_return": r} for i, r in enumerate(returns)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    first = make_run(tmp_path / "first", [1.0, 2.0, 3.0], seed=0)
    second = make_run(tmp_path / "second", [1.0, 3.0, 5.0], seed=1)
    other = make_run(tmp_path / "other", [0.0, 1.0], seed=0, push=1.0)
    log = tmp_path / "log.txt"
    log.write_text(LOG)
    return [first, second, other, log]


def test_runs_that_differ_in_their_seed_alone_are_one_curve(runs):
    first, second, other, log = runs
    assert grouped(runs) == [[first, second], [other], [log]]


def test_runs_of_other_clips_or_first_networks_are_not_seeds_of_one_group(tmp_path):
    clip = {"name": "walk", "weight": 1.0, "digest": "a"}
    records = {
        "cold": {"clips": [clip]},
        "renamed": {"clips": [clip | {"name": "stroll"}]},
        "warm": {"clips": [clip], "init_from": {"run": "runs/run"}},
        "other": {"clips": [clip | {"digest": "b"}]},
        "heavier": {"clips": [clip | {"weight": 2.0}]},
    }
    runs = [make_run(tmp_path / name, [1.0], seed=seed) for seed, name in enumerate(records)]
    for run, record in zip(runs, records.values(), strict=True):
        config = read_yaml(run / "config.yaml")
        (run / "config.yaml").write_bytes(yaml_bytes(record | {"config": config}))
    assert grouped(runs) == [[runs[0], runs[1]], [runs[2]], [runs[3]], [runs[4]]]


def test_curves_are_called_by_what_tells_their_runs_apart():
    assert labels([Path("runs/kl_0.06"), Path("runs/kl_0.03")]) == ["kl_0.06", "kl_0.03"]
    assert labels([Path("sweep/a/walk-0"), Path("sweep/b/walk-0")]) == ["a/walk-0", "b/walk-0"]
    assert labels([Path(".")]) == [Path.cwd().name]
    assert all(label.endswith("run") for label in labels([Path("run"), Path("run")]))


@pytest.mark.parametrize("over", ["samples", "minutes"])
def test_curves_of_runs_and_of_mimickit_are_drawn_together(runs, tmp_path, over, capsys):
    out = tmp_path / "curves.png"
    options = ["--out", str(out), "--metric", "eval_return", "--over", over]
    assert plot.main([*map(str, runs), *options]) == 0
    picture = matplotlib.image.imread(out)
    assert picture.shape[1] > 300
    assert picture[..., :3].std() > 0.05
    assert "4 runs" in capsys.readouterr().out


@pytest.mark.parametrize("comma", [False, True])
def test_mimickits_log_has_our_names(tmp_path, comma):
    path = tmp_path / "log.csv"
    path.write_text(LOG.replace(" ", ",") if comma else LOG)
    found = read_mimickit_log(path)
    np.testing.assert_array_equal(found["samples"], [131072, 13238272])
    np.testing.assert_array_equal(found["eval_return"], [4.0, 9.5])
    np.testing.assert_array_equal(found["wall_time_s"], [1800.0, 3600.0])


def test_the_published_curve_is_read(shared):
    found = read_mimickit_log(shared / "anchors" / "mimickit_g1_spinkick.csv")
    assert found["samples"][0] == 131072
    assert found["eval_return"].max() > 240.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["absent"], "no run in this folder"),
        (
            ["SEED", "--metric", "speed"],
            "has no metric 'speed'; there are: eval_return, samples, wall_time_s",
        ),
        (["RUN", "SEED", "--metric", "speed"], "seed: has no metric 'speed'; there are: eval_return"),
        (["RUN", "--out", "curves.txt"], "end the name in .png, .pdf or .svg"),
        (["RUN", "--out", "nowhere/curves.png"], "cannot be written"),
        (["TABLE"], "is no table of MimicKit"),
        (["--metric", "eval_return", "RUN"], "name them before --metric, which takes all names after it"),
    ],
)
def test_bad_input_is_refused_in_a_line(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", [1.0])
    seed = make_run(tmp_path / "seed", [1.0], seed=1) / "metrics.jsonl"
    (tmp_path / "run" / "metrics.jsonl").write_text(seed.read_text().replace("}", ', "speed": 1}'))
    (tmp_path / "table.csv").write_text("a,b\n1,x\n")
    options = [{"RUN": "run", "SEED": "seed", "TABLE": "table.csv"}.get(option, option) for option in options]
    if "--metric" not in options:
        options += ["--metric", "eval_return"]
    assert words in command_refusal(plot.main, options, capsys)
    assert not (tmp_path / "curves.png").exists()
