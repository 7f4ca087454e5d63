"""What the script that measures a card tells of its trainings."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "measure_card.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def report(samples: int, speed: float, evaluation: tuple[float, float] | None) -> str:
    told = {"samples": samples, "wall_time_s": samples / 1000.0, "samples_per_s": speed}
    if evaluation is not None:
        told |= {"eval_return": evaluation[0], "eval_survived": evaluation[1]}
    return json.dumps(told)


def test_a_training_is_a_row_and_one_that_failed_has_no_figures(script, tmp_path):
    run = tmp_path / "walk-default"
    run.mkdir()
    reports = [report(60_000, 500.0, (90.0, 0.1)), report(90_000, 900.0, None)]
    reports += [report(120_000, 1000.0, (250.0, 0.96)), report(180_000, 1100.0, (240.0, 0.94))]
    (run / "metrics.jsonl").write_text("\n".join(reports))
    lines = script["trainings_table"]([run, tmp_path / "walk-mimickit"]).splitlines()
    assert lines[2] == "| walk-default | 180,000 | 3.0 | 950 | 120,000 | 250.0 | 240.0 |"
    assert lines[3] == "| walk-mimickit | - | - | - | - | - | - |"
    assert len({line.count("|") for line in lines}) == 1


def test_loops_are_told_by_their_speed_alone(script):
    figures = {"16_envs_physics_compile_s": 9.0, "16_envs_physics_samples_per_s": 1200.0}
    figures |= {"16_envs_physics_unrolled_samples_per_s": 1500.0, "peak_host_memory_gb": 2.0}
    rows = script["loops_table"](figures).splitlines()[2:]
    assert rows == ["| physics, 16 environments | 1,200 |", "| physics unrolled, 16 environments | 1,500 |"]


def test_sizes_that_did_not_fit_are_dashes_and_a_prediction_has_its_error(script):
    measured = {"jax": {"8_envs_physics_samples_per_s": 2000.0}, "warp": {}}
    measured["jax"]["8_envs_training_step_samples_per_s"] = 1000.0
    lines = script["table"](measured, {"samples_per_s_of_8_environments": 1500.0}, [8, 16]).splitlines()
    assert lines[2] == "| 8 | 2,000 | - | 1,000 | - | - | - | 1,500 | +50% |"
    assert lines[3] == "| 16 | " + " | ".join(["-"] * 8) + " |"
