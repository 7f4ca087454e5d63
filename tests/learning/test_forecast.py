"""Times, memory and messages that follow from a compiled program, against closed forms."""

import importlib.util
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from helpers.refusals import command_refusal, refusal

from mjx_mimic import bench
from mjx_mimic.common.accelerators import ACCELERATORS, Gpu, gpu_description
from mjx_mimic.common.files import write_json
from mjx_mimic.learning import forecast
from mjx_mimic.learning.hlo import Cost, Program

CHIP = replace(
    ACCELERATORS["h100"],
    memory=1e9,
    usable=0.5,
    bandwidth=1e9,
    flops=1e12,
    kernel_s=1e-3,
    link=1e6,
    wide_link=1e5,
    hop_s=1e-4,
)


def figures(devices: int) -> dict:
    """Two control steps of three physics steps each for 10 environments on each device."""
    learner = SimpleNamespace(
        config=SimpleNamespace(unroll_length=2),
        env=SimpleNamespace(substeps=3),
        samples_per_step=20 * devices,
        devices=(None,) * devices,
    )
    program = Program(
        {
            "physics_step": Cost(60.0, 6e9, 0.0),  # by bytes: 1 s a physics step, and 10 kernels
            "control_step": Cost(2.0, 0.0, 2e12),  # by operations: 1 s a control step, and one kernel
            "update": Cost(100.0, 1e9, 1e9),
        }
    )
    program.collectives["all-reduce"] = 5
    program.collective_bytes = 1e6
    return forecast.program_figures(learner, CHIP, program)  # type: ignore[arg-type]


def test_a_station_takes_the_time_of_its_bytes_or_its_operations_and_of_its_kernels():
    found = figures(1)
    assert found["physics_step_kernels"] == 10
    assert found["physics_step_mb"] == pytest.approx(1000)
    assert found["physics_step_ms"] == pytest.approx(1010)
    assert found["control_step_ms"] == pytest.approx(1001)
    assert found["update_ms"] == pytest.approx(1100)
    assert found["training_step_ms"] == pytest.approx(6060 + 2002 + 1100)
    assert found["training_step_speed_over_physics"] == pytest.approx(6060 / 9162)
    assert found["samples_per_s_of_10_environments"] == pytest.approx(20 / 9.162)


def test_with_more_environments_bytes_and_operations_grow_but_not_the_kernels():
    seconds = 4 * (6.0 + 2.0 + 1.0) + 0.162
    assert figures(1)["samples_per_s_of_40_environments"] == pytest.approx(80 / seconds)


def test_more_devices_take_the_time_of_their_all_reduces_too():
    assert not any("devices" in name for name in figures(1))  # its program has no collectives
    ring = 2 * 7 / 8 * 1e6 / 1e6  # 8 of them are neighbours
    tree = 5 * 2 * 3 * 1e-4
    assert figures(2)["samples_per_s_on_8_devices"] == pytest.approx(8 * 20 / (9.162 + ring + tree))
    far = 2 * 63 / 64 * 1e6 / 1e5 + 5 * 2 * 6 * 1e-4
    assert figures(2)["samples_per_s_on_64_devices"] == pytest.approx(64 * 20 / (9.162 + far))


def test_the_environments_that_fit_fill_what_jax_takes_of_the_memory():
    found = forecast.memory_figures(CHIP, 2_000_000, 100)
    assert found["memory_per_environment_kb"] == 20.0
    assert found["environments_that_fit"] == 25_000


@pytest.mark.parametrize("name", [name for name, chip in ACCELERATORS.items() if isinstance(chip, Gpu)])
def test_the_published_speed_of_a_gpu_is_that_of_its_cores(name):
    gpu = ACCELERATORS[name]
    assert isinstance(gpu, Gpu)
    assert 2 * gpu.cores * gpu.lanes * gpu.clock_ghz * 1e9 == pytest.approx(gpu.flops, rel=0.01)
    assert f"core_count: {gpu.cores} " in gpu_description(gpu)


def test_two_settings_are_compared_line_by_line(tmp_path):
    write_json(tmp_path / "a.json", {"accelerator": "X", "kernels": 10, "old": 1})
    other = forecast.read_figures(tmp_path / "a.json")
    lines = forecast.report({"accelerator": "X", "kernels": 5, "new": 2.0}, other).splitlines()
    assert [line.split() for line in lines] == [
        ["accelerator", "X", "X"],
        ["kernels", "5", "10", "0.500"],
        ["new", "2", "-"],
    ]


def test_a_file_without_figures_is_refused(tmp_path):
    path = tmp_path / "a.json"
    assert "cannot be read as JSON" in refusal(forecast.read_figures, path)
    for content in ("[" * 10**5, "{", "[]", json.dumps({"samples": 1})):
        path.write_text(content)
        assert str(path) in refusal(forecast.read_figures, path)


def test_a_compiler_that_is_missing_is_named_with_its_command():
    for name, package in (("h100", "jax_cuda13_plugin"), ("v5e", "libtpu")):
        if importlib.util.find_spec(package) is None:
            message = refusal(forecast.absent_devices, ACCELERATORS[name], 1)
            assert "pip install" in message
            assert f"jax[{ACCELERATORS[name].extra}]" in message
    assert "--devices: 9" in refusal(forecast.absent_devices, ACCELERATORS["v5e"], 9)
    assert "--devices: 0" in refusal(forecast.absent_devices, ACCELERATORS["h100"], 0)


def test_bench_parses_the_settings_of_a_training(tmp_path, capsys):
    command = bench.parse(["--preset", "mimickit", "--unroll-length", "8", "--compile-for", "v5e"])
    assert (command.train.env.observation, command.train.unroll_length) == ("mimickit", 8)
    assert bench.parse(["--sizes", "8", "16"]).sizes == (8, 16)
    assert "--compile-for" in command_refusal(bench.main, ["--against", "a.json"], capsys)
    both = ["--preset", "default", "--config", str(tmp_path)]
    assert "cannot be joined" in command_refusal(bench.main, both, capsys)
