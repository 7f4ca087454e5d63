"""An orderly stop of a training."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from mjx_mimic.common.cli import INTERRUPTED, heard


class Stop:
    """A request to stop, by an interrupt, a termination signal or a closed terminal.

    The update in flight is finished first, and its checkpoint written. Where nothing is in flight, which is
    so until the first update, and at a second signal, the process ends at once with exit code 130. A thread
    sees to that, because Python handles no signal while XLA compiles or runs.
    """

    def __init__(self) -> None:
        self.requested = False
        self.in_flight = False
        """Whether something would be lost by ending at once."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the place of the signals' handlers."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)

        # A script has what it starts with `&` ignore Ctrl-C, which ends a training all the same.
        numbers = [signal.SIGINT, *heard(("SIGTERM", "SIGHUP"))]

        def watch() -> None:
            while number := os.read(reader, 1):
                if number[0] not in numbers:
                    continue
                if self.requested or not self.in_flight:
                    _say("stopped")
                    with suppress(OSError, ValueError, SystemExit):
                        Console().show_cursor(True)  # a progress bar has hidden it
                    os._exit(INTERRUPTED)
                self.requested = True
                _say("finishing the update in flight; interrupt again to stop at once")

        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        wakeup = signal.set_wakeup_fd(writer)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writer)
            watcher.join()
            os.close(reader)


def _say(line: str) -> None:
    """Print where somebody still reads: Ctrl-C ends the `tee` behind a training too."""
    with suppress(OSError, ValueError):
        print(line, flush=True)
