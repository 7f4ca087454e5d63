"""Trainings of two processes: as one of two devices, written by the first, refused and ended together.

Three updates by default; `pytest -m faults` takes twenty.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.point_training import UPDATE, start
from helpers.refusals import refusal

from mjx_mimic.common.processes import Cluster
from mjx_mimic.runs.checkpoints import Checkpoints

SECONDS = 500
"""For what takes ten on an idle machine."""


def together(folder: Path, name: str, *options: str, second: tuple[str, ...] = ()) -> list[subprocess.Popen]:
    """Start two processes of one device each; what they print goes to `<name>.0.txt` and `<name>.1.txt`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id")
    own: tuple[tuple[str, ...], ...] = ((), second)
    return [
        start(folder, name, *options, *where, str(number), *own[number], log=f"{name}.{number}")
        for number in range(2)
    ]


def ended(processes: list[subprocess.Popen]) -> list[int]:
    try:
        return [process.wait(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()


def printed(folder: Path, name: str) -> str:
    """What a training printed, without the lines of XLA's own."""
    return (folder / f"{name}.txt").read_text()


def policy(run: Path) -> dict:
    return vars(Checkpoints(run).restore_policy("last"))


@pytest.fixture(scope="module")
def updates(pytestconfig) -> int:
    return 20 if pytestconfig.option.markexpr == "faults" else 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory, updates) -> Path:
    """A folder with `one`, a run of one process with two devices, and `two`, one of two with one each."""
    folder = tmp_path_factory.mktemp("processes")
    total = ("--total-steps", str(updates * UPDATE))
    assert ended([start(folder, "one", *total, devices=2)]) == [0], printed(folder, "one")
    assert ended(together(folder, "two", *total)) == [0, 0], printed(folder, "two.0") + printed(
        folder, "two.1"
    )
    return folder


@pytest.mark.slow
@pytest.mark.faults
def test_two_processes_are_one_of_two_devices(runs, updates):
    one, two = policy(runs / "one"), policy(runs / "two")
    assert one["samples"] == updates * UPDATE
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, two)


@pytest.mark.slow
@pytest.mark.faults
def test_only_the_first_process_prints(runs):
    assert "32 environments on 2 x cpu" in printed(runs, "two.0")
    assert "samples" in printed(runs, "two.0")
    assert "environments" not in printed(runs, "two.1")
    assert "samples" not in printed(runs, "two.1")


@pytest.mark.slow
@pytest.mark.faults
def test_a_run_of_two_processes_goes_on_in_one(runs, updates, tmp_path):
    """Its checkpoint holds the environments of both."""
    runs = shutil.copytree(runs, tmp_path / "copies")
    more = ("--total-steps", str((updates + 1) * UPDATE), "--resume")
    assert ended([start(runs, name, *more, devices=2) for name in ("one", "two")]) == [0, 0]
    assert "resumed at" in printed(runs, "two")
    assert "redistributed" not in printed(runs, "two")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        policy(runs / "one"),
        policy(runs / "two"),
    )


@pytest.mark.slow
@pytest.mark.faults
def test_processes_with_other_settings_are_refused(tmp_path):
    processes = together(tmp_path, "run", second=("--seed", "1"))
    assert ended(processes) == [2, 2]
    for number in range(2):
        assert "process 1 has other settings than process 0" in printed(tmp_path, f"run.{number}")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.faults
def test_a_lost_process_ends_the_other(tmp_path):
    first, second = together(tmp_path, "run", "--total-steps", str(10**6 * UPDATE))
    try:
        deadline = time.monotonic() + SECONDS
        while "first update" not in printed(tmp_path, "run.0") and time.monotonic() < deadline:
            time.sleep(0.1)
        second.kill()
        code = first.wait(timeout=120)
        assert code != 0
    finally:
        first.kill()
        second.kill()
    # Which of the two finds out first is JAX's affair: its own signal says nothing.
    assert code < 0 or "another process has ended" in printed(tmp_path, "run.0")
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / "run" / "checkpoints").glob("*tmp*"))


@pytest.mark.parametrize(
    ("cluster", "option"),
    [
        (Cluster("host:1", 2), "--process-id"),
        (Cluster(None, None, 1), "--coordinator"),
        (Cluster("host:1", 2, 2), "--process-id"),
        (Cluster("host:1", 2, -1), "--process-id"),
        (Cluster("host", 2, 0), "HOST:PORT"),
        (Cluster("host:70000", 2, 0), "HOST:PORT"),
        (Cluster("host:1", 2, 0, detect=True), "--distributed"),
    ],
)
def test_options_that_name_no_cluster_are_refused(cluster, option):
    assert option in refusal(cluster.check)
