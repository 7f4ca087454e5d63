"""A stop where nobody reads what the training prints: Ctrl-C ends the `tee` behind it too."""

import os
import signal
import threading

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
