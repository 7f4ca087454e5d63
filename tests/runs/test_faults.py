"""Trainings of a point as processes: killed, interrupted, stopped for a while, their folder taken away.

An interrupt and a removed folder by default; `pytest -m faults` kills twenty times and tries all signals.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import point_training
from helpers.point_training import UPDATE

from mjx_mimic.runs.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope="session")
def thorough(pytestconfig) -> bool:
    """Whether the harness was asked for alone, and so may take its time."""
    return pytestconfig.option.markexpr == "faults"


@pytest.fixture(scope="session")
def total(thorough) -> int:
    """Samples of a training."""
    return (4000 if thorough else 4) * UPDATE


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("faults")


def start(runs: Path, out: str, total: int, *options: str, **variables: str) -> subprocess.Popen:
    more = ("--total-steps", str(total), *options)
    return point_training.start(runs, out, *more, devices=2, **variables)


def wait_for(runs: Path, out: str, text: str, process: subprocess.Popen) -> None:
    """Waits until the training has printed `text`, or is complete."""
    deadline = time.monotonic() + 300.0
    while text not in (runs / f"{out}.txt").read_text() and process.poll() != 0:
        assert process.poll() is None, (runs / f"{out}.txt").read_text()
        assert time.monotonic() < deadline, (runs / f"{out}.txt").read_text()
        time.sleep(0.02)


def resume_to_the_end(runs: Path, out: str, total: int) -> str:
    process = start(runs, out, total, "--resume")
    assert process.wait(timeout=300) == 0, (runs / f"{out}.txt").read_text()
    printed = (runs / f"{out}.txt").read_text()
    assert "Traceback" not in printed
    return printed


@pytest.fixture(scope="module")
def uninterrupted(runs, total) -> Path:
    process = start(runs, "uninterrupted", total)
    assert process.wait(timeout=300) == 0, (runs / "uninterrupted.txt").read_text()
    return runs / "uninterrupted"


def assert_same_end(left: Path, right: Path) -> None:
    one, other = (Checkpoints(run).restore_policy("last") for run in (left, right))
    jax.tree.map(np.testing.assert_array_equal, vars(one), vars(other))


def test_kills_lose_nothing(runs, uninterrupted, thorough, total):
    """At random moments from the first second on; the end is that of a run without a kill, to the bit."""
    if not thorough:
        pytest.skip("run with -m faults")
    kills = 20
    rng = np.random.default_rng(0)
    process = start(runs, "killed", total)
    for number in range(kills):
        if number % 2:  # while updates and checkpoints follow each other
            wait_for(runs, "killed", "first update", process)
            time.sleep(rng.uniform(0.0, 0.5))
        else:
            time.sleep(rng.uniform(1.0, 12.0))
        process.kill()
        process.wait()
        (runs / "killed.txt").write_text("")
        resume = ["--resume"] if (runs / "killed" / "config.yaml").exists() else []
        process = start(runs, "killed", total, *resume)
    process.kill()
    process.wait()
    resume_to_the_end(runs, "killed", total)
    assert_same_end(runs / "killed", uninterrupted)
    assert not list((runs / "killed" / "checkpoints").glob("*tmp*"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_compiling_a_signal_ends_the_training_at_once(runs, thorough, name):
    if name != "SIGINT" and not thorough:
        pytest.skip("run with -m faults")
    out = f"compiling_{name}"
    process = start(runs, out, 10**9)
    wait_for(runs, out, "compiling", process)
    process.send_signal(getattr(signal, name))
    assert process.wait(timeout=60) == 130
    printed = (runs / f"{out}.txt").read_text()
    assert "Traceback" not in printed
    assert "finishing the update in flight" not in printed


def test_while_training_a_signal_ends_it_with_a_checkpoint(runs, uninterrupted, thorough, total):
    if not thorough:
        pytest.skip("run with -m faults; test_training_loop interrupts a training in this process")
    process = start(runs, "signalled", total)
    wait_for(runs, "signalled", "first update", process)
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)
    printed = (runs / "signalled.txt").read_text()
    assert code in (0, 130)  # 0: it was at its end already
    assert "Traceback" not in printed
    if code == 130:
        assert "finishing the update in flight" in printed
        assert "resumed at" in resume_to_the_end(runs, "signalled", total)
    assert_same_end(runs / "signalled", uninterrupted)


def test_a_training_that_is_held_up_goes_on(runs, uninterrupted, thorough, total):
    """A laptop that sleeps: XLA's collectives wait for one another far longer than their time-outs were."""
    if not thorough:
        pytest.skip("run with -m faults: the time-outs are of minutes")
    process = start(runs, "held", total)
    wait_for(runs, "held", "first update", process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(120)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=300) == 0
    assert_same_end(runs / "held", uninterrupted)


def test_a_folder_that_is_removed_is_not_success(runs):
    process = start(runs, "removed", 10**9)
    wait_for(runs, "removed", "first update", process)
    while (runs / "removed").exists():
        shutil.rmtree(runs / "removed", ignore_errors=True)
    assert process.wait(timeout=120) == 1
    printed = (runs / "removed.txt").read_text()
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("error: ")


def test_a_folder_that_cannot_be_written_any_more_ends_in_a_line(runs):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    process = start(runs, "readonly", 10**9)
    wait_for(runs, "readonly", "first update", process)
    (runs / "readonly").chmod(0o500)
    assert process.wait(timeout=120) == 1
    (runs / "readonly").chmod(0o700)
    assert "Traceback" not in (runs / "readonly.txt").read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 MiB, which only root can make."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("when", ["from the start", "compiling", "first update"])
def test_a_full_disk_ends_a_training_in_a_line(runs, uninterrupted, thorough, total, small_disk, when):
    """Its last checkpoint is whole, and with space again it goes on to the same end."""
    if when == "compiling" and not thorough:
        pytest.skip("run with -m faults")
    out = f"full_{when.replace(' ', '_')}"
    (runs / out).symlink_to(small_disk, target_is_directory=True)
    filling = small_disk / ".filling"

    def fill() -> None:
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while file.write(bytes(2**12)):
                pass

    if when == "from the start":
        fill()
        with filling.open("r+b") as file:
            file.truncate(filling.stat().st_size - 2**16)  # for configuration and clip
    process = start(runs, out, 10**9 if when == "first update" else total)
    if when != "from the start":
        wait_for(runs, out, when, process)
        fill()
    code = process.wait(timeout=180)
    printed = (runs / f"{out}.txt").read_text()
    assert code == 1, printed
    assert "Traceback" not in printed
    assert "No space left" in printed.splitlines()[-1]
    assert [line for line in printed.splitlines() if line.startswith("error: ")] == printed.splitlines()[-1:]
    filling.unlink()
    (runs / f"{out}.txt").write_text("")
    if when == "first update":
        assert Checkpoints(runs / out).restore_policy("last")
    else:
        resume_to_the_end(runs, out, total)
        assert_same_end(runs / out, uninterrupted)


def test_a_training_with_a_damaged_compilation_cache_goes_on(runs, uninterrupted, thorough, total, tmp_path):
    """Every file of it is garbage, or cut short; `common/test_cli.py` does it to a small program."""
    if not thorough:
        pytest.skip("run with -m faults")
    cache = tmp_path / "cache"
    variables = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    assert start(runs, "cached", UPDATE, **variables).wait(timeout=900) == 0  # all is compiled
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    for number, path in enumerate(files):
        contents = path.read_bytes()
        path.write_bytes(b"garbage" if number % 2 else contents[: len(contents) // 2])
    process = start(runs, "damaged_cache", total, **variables)
    assert process.wait(timeout=900) == 0, (runs / "damaged_cache.txt").read_text()
    assert "Traceback" not in (runs / "damaged_cache.txt").read_text()
    assert_same_end(runs / "damaged_cache", uninterrupted)
