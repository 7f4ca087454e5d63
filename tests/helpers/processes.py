"""Python as a process that can be interrupted, wherever the tests run."""

import sys
from collections.abc import Sequence

_RESTORE = """
import os, signal, sys
for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def interruptible(arguments: Sequence[str]) -> list[str]:
    """Return the command for Python with these arguments, which signals stop.

    A shell that starts the tests in the background has them ignore SIGINT, `nohup` SIGHUP, and so all that
    they start.
    """
    return [sys.executable, "-c", _RESTORE, *arguments]
