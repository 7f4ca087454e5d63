"""A stop where nobody reads what the training prints: Ctrl-C ends the `tee` behind it too."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mjx_mimic.runs import stop
from mjx_mimic.runs.stop import Stop


def test_a_broken_pipe_neither_keeps_a_training_alive_nor_ends_it_early(monkeypatch):
    ended, codes = threading.Event(), []

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    def leave(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(stop, "print", broken, raising=False)
    monkeypatch.setattr(os, "_exit", leave)
    request = Stop()
    with request.listening():
        request.in_flight = True
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            if request.requested:
                break
            ended.wait(0.01)
        assert request.requested
        assert not codes
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended.wait(10.0)
    assert codes == [130]


BAR = """
import time
from mjx_mimic.runs.reports import Display
from mjx_mimic.runs.stop import Stop
with Stop().listening(), Display(10, 0):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_stop_at_once_gives_the_terminal_its_cursor_back():
    pty = pytest.importorskip("pty")
    terminal, inner = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", BAR], stdout=inner, env={**os.environ, "TERM": "xterm"})
    os.close(inner)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    while b"stopped" not in seen or b"\x1b[?25h" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
