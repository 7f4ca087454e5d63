"""Python as a process that can be interrupted, wherever the tests run."""

import sys
from collections.abc import Sequence

_RESTORE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def interruptible(arguments: Sequence[str]) -> list[str]:
    """Return the command for Python with these arguments, which SIGINT interrupts.

    A shell that starts the tests in the background has them ignore that signal, and so all that they start.
    """
    return [sys.executable, "-c", _RESTORE, *arguments]
