"""Trainings as processes: killed, interrupted, stopped for a while, their folder taken away.

An interrupt and a removed folder by default; `pytest -m faults` kills twenty times and tries all signals.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.small_run import STEPS, start

from mjx_mimic.runs.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope="session")
def thorough(pytestconfig) -> bool:
    """Whether the harness was asked for alone, and so may take its time."""
    return pytestconfig.option.markexpr == "faults"


@pytest.fixture(scope="session")
def total(thorough) -> int:
    """Samples of a training; few are those of the session's own one."""
    return (400 if thorough else 4) * STEPS


def wait_for(runs: Path, out: str, text: str, process: subprocess.Popen) -> None:
    """Waits until the training has printed `text`, or is complete."""
    while text not in (runs / f"{out}.txt").read_text() and process.poll() != 0:
        assert process.poll() is None, (runs / f"{out}.txt").read_text()
        time.sleep(0.02)


def resume_to_the_end(runs: Path, out: str, total: int) -> str:
    process = start(runs, out, total, "--resume")
    assert process.wait(timeout=300) == 0, (runs / f"{out}.txt").read_text()
    printed = (runs / f"{out}.txt").read_text()
    assert "Traceback" not in printed
    return printed


@pytest.fixture(scope="module")
def uninterrupted(finished, thorough, total) -> Path:
    if not thorough:
        return finished / "whole"
    process = start(finished, "uninterrupted", total)
    assert process.wait(timeout=300) == 0, (finished / "uninterrupted.txt").read_text()
    return finished / "uninterrupted"


def assert_same_end(left: Path, right: Path) -> None:
    one, other = (Checkpoints(run).restore_policy("last") for run in (left, right))
    jax.tree.map(np.testing.assert_array_equal, vars(one), vars(other))


def test_kills_lose_nothing(finished, uninterrupted, thorough, total):
    """At random moments from the first second on; the end is that of a run without a kill, to the bit."""
    if not thorough:
        pytest.skip("run with -m faults")
    kills = 20
    rng = np.random.default_rng(0)
    process = start(finished, "killed", total)
    for number in range(kills):
        if number % 2:  # while updates and checkpoints follow each other
            wait_for(finished, "killed", "first update", process)
            time.sleep(rng.uniform(0.0, 0.5))
        else:
            time.sleep(rng.uniform(1.0, 12.0))
        process.kill()
        process.wait()
        (finished / "killed.txt").write_text("")
        resume = ["--resume"] if (finished / "killed" / "config.yaml").exists() else []
        process = start(finished, "killed", total, *resume)
    process.kill()
    process.wait()
    resume_to_the_end(finished, "killed", total)
    assert_same_end(finished / "killed", uninterrupted)
    assert not list((finished / "killed" / "checkpoints").glob("*tmp*"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_compiling_a_signal_ends_the_training_at_once(finished, thorough, total, name):
    if name != "SIGINT" and not thorough:
        pytest.skip("run with -m faults")
    out = f"compiling_{name}"
    process = start(finished, out, total)
    wait_for(finished, out, "compiling", process)
    process.send_signal(getattr(signal, name))
    assert process.wait(timeout=10) == 130
    assert "Traceback" not in (finished / f"{out}.txt").read_text()


def test_while_training_a_signal_ends_it_with_a_checkpoint(finished, uninterrupted, thorough, total):
    if not thorough:
        pytest.skip("run with -m faults; test_training_loop interrupts a training in this process")
    process = start(finished, "signalled", total)
    wait_for(finished, "signalled", "first update", process)
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)
    printed = (finished / "signalled.txt").read_text()
    assert code in (0, 130)  # 0: it was at its end already
    assert "Traceback" not in printed
    if code == 130:
        assert "finishing the update in flight" in printed
        assert "resumed at" in resume_to_the_end(finished, "signalled", total)
    assert_same_end(finished / "signalled", uninterrupted)


def test_a_training_that_is_held_up_goes_on(finished, uninterrupted, thorough, total):
    """A laptop that sleeps: XLA's collectives wait for one another far longer than their time-outs were."""
    if not thorough:
        pytest.skip("run with -m faults")
    process = start(finished, "held", total)
    wait_for(finished, "held", "first update", process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(120)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=300) == 0
    assert_same_end(finished / "held", uninterrupted)


def test_a_folder_that_is_removed_is_not_success(finished):
    process = start(finished, "removed", 10**9)
    wait_for(finished, "removed", "first update", process)
    while (finished / "removed").exists():
        shutil.rmtree(finished / "removed", ignore_errors=True)
    assert process.wait(timeout=120) == 1
    printed = (finished / "removed.txt").read_text()
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("error: ")


def test_a_folder_that_cannot_be_written_any_more_ends_in_a_line(finished):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    process = start(finished, "readonly", 10**9)
    wait_for(finished, "readonly", "first update", process)
    (finished / "readonly").chmod(0o500)
    assert process.wait(timeout=120) == 1
    (finished / "readonly").chmod(0o700)
    assert "Traceback" not in (finished / "readonly.txt").read_text()
