"""Commands that real signals stop while they write: no part of a file is left, and the old file is."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.processes import interruptible

from mjx_mimic.display import gl

STOPS = ["SIGTERM", "SIGINT", "SIGHUP"]
OLD = b"old"

# Half of the clip is in the file when the signal comes.
CONVERT = """
import time
import numpy as np
from mjx_mimic import motion
from mjx_mimic.common import cli

def slow(file, **arrays):
    file.write(b"half")
    file.flush()
    time.sleep(60)

np.savez = np.savetxt = slow
cli.run(motion.main)
"""
DRAWN = {
    "video": ["-m", "mjx_mimic.render", "--motion", "walk", "--seconds", "600", "--out", "video.mp4"],
    "gif": ["-m", "mjx_mimic.motion", "preview", "walk", "--seconds", "600", "--out", "video.gif"],
    "pictures": ["-m", "mjx_mimic.render", "--motion", "walk", "--seconds", "600", "--out", "pictures"],
}
COMMANDS = {"convert": ["-c", CONVERT, "convert", "walk", "--force", "clip.npz"], **DRAWN}


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize(
    "command",
    [
        "convert",
        *(pytest.param(drawn, marks=[pytest.mark.slow, pytest.mark.render]) for drawn in DRAWN),
    ],
)
def test_a_stopped_command_leaves_the_old_file_and_nothing_else(tmp_path, command, name):
    if command != "convert" and gl.choose_gl_backend() is None:
        pytest.skip("no GL library here")
    if command in ("gif", "pictures") and name != "SIGTERM":
        pytest.skip("one signal is enough here")
    out = tmp_path / COMMANDS[command][-1]
    if out.suffix:
        out.write_bytes(OLD)
    before = sorted(tmp_path.iterdir())
    process = subprocess.Popen(
        interruptible(COMMANDS[command]), cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        wait_for_half_a_file(tmp_path, process)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert sorted(tmp_path.iterdir()) == before
    assert not out.exists() or out.read_bytes() == OLD


def wait_for_half_a_file(folder: Path, process: subprocess.Popen) -> None:
    """Wait until something that is not whole yet lies in the folder, and a moment more."""
    end = time.monotonic() + 120.0
    while not list(folder.glob(".partial_*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
