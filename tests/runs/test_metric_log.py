"""The log: always JSON, whole after whatever a kill leaves behind, and TensorBoard the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mjx_mimic.common.errors import UserError
from mjx_mimic.runs.metric_log import MetricLog, curve_name, read_rows


def log(path: Path, rows: range, samples: int = 0) -> None:
    with MetricLog(path, ["sway"], samples) as writer:
        for number in rows:
            writer.write({"samples": 64 * number, "kl": 0.5 * number}, {"reward": np.array([1.0])})


def points(path: Path) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(path / "tb"))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars("Learner/kl")]


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("eval_return", "Main/eval_return"),
        ("eval_error_root_position", "Evaluation/eval_error_root_position"),
        ("normalizer_std", "Learner/normalizer_std"),
        ("samples_per_s", "Main/samples_per_s"),
        ("reward_pose", "Reward/reward_pose"),
        ("ended_by_fall", "Ends/ended_by_fall"),
        ("episodes", "Ends/episodes"),
        ("critic_loss", "Learner/critic_loss"),
        ("clip/walk/train_return", "Clips/walk/train_return"),
    ],
)
def test_curves_are_in_groups(name, curve):
    assert curve_name(name) == curve


def test_numbers_that_are_not_finite_are_null(tmp_path):
    with MetricLog(tmp_path, ["a"]) as writer:
        writer.write({"samples": 1, "kl": float("nan"), "loss": float("inf")}, {"reward": np.array([np.nan])})
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"samples": 1, "kl": None, "loss": None}
    clips = json.loads((tmp_path / "clips.json").read_text(), parse_constant=pytest.fail)
    assert clips["clips"][0]["reward"] is None


DAMAGE = {
    "garbage": b"not json\n",
    "cut line": b'{"samples": 192, "kl": 0.',
    "NUL block": bytes(4096) + b"\n",
    "no samples": b'{"kl": 1.0}\n',
    "negative samples": b'{"samples": -1}\n',
    "an array": b"[1, 2]\n",
    "binary": bytes(range(128, 255)) + b"\n",
    "NaN": b'{"samples": 1, "kl": NaN}\n',
    "beyond float64": b'{"samples": 1, "kl": 1' + b"0" * 400 + b"}\n",
    "samples beyond any": b'{"samples": 1' + b"0" * 400 + b"}\n",
    "truth for samples": b'{"samples": true}\n',
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_damaged_lines_are_dropped_and_counted(tmp_path, capsys, damage, where):
    log(tmp_path, range(1, 3))
    file = tmp_path / "metrics.jsonl"
    first, second = file.read_bytes().splitlines(keepends=True)
    whole = DAMAGE[damage] if DAMAGE[damage].endswith(b"\n") else DAMAGE[damage] + b"\n"
    parts = {
        "before": [whole, first, second],
        "between": [first, whole, second],
        "after": [first, second, DAMAGE[damage]],
    }
    file.write_bytes(b"".join(parts[where]) + (b"\n\n" if where == "before" else b""))
    log(tmp_path, range(3, 4), samples=128)
    assert "dropped 1 damaged line" in capsys.readouterr().err
    rows, damaged = read_rows(file)
    assert [row["samples"] for row in rows] == [64, 128, 192]
    assert damaged == 0
    assert points(tmp_path) == [(64, 0.5), (128, 1.0), (192, 1.5)]


def test_a_killed_run_has_the_same_points_as_one_without_a_kill(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for path in (whole, killed):
        path.mkdir()
    log(whole, range(1, 7))
    log(killed, range(1, 6))  # its last checkpoint is at the third report
    log(killed, range(4, 7), samples=192)
    assert points(killed) == points(whole)
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_a_folder_in_the_logs_place_is_refused_in_a_line(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be read"):
        log(tmp_path, range(1))
