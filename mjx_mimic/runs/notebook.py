"""Training from a notebook: a process of its own, watched through its run folder."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from mjx_mimic.common.errors import UserError
from mjx_mimic.runs.metric_log import METRICS_FILE
from mjx_mimic.runs.plot import draw_progress

SHOWN_LINES = 6
"""Of the output, while the training goes on."""


def train_live(arguments: Sequence[str], run: str | Path, interval_s: float = 10.0) -> None:
    """Run `python -m mjx_mimic.train`, and redraw its learning curves in the cell until it ends.

    Interrupting the cell stops the training after the step in flight, with a checkpoint.

    Args:
        arguments: options of the command, without --out.
        run: run folder.
        interval_s: seconds between two drawings.

    Raises:
        UserError: the training failed; holds the last line that it printed.
    """
    from IPython.display import clear_output  # which is here in a notebook, and not among our dependencies

    command = [sys.executable, "-m", "mjx_mimic.train", *arguments, "--out", str(run)]
    with tempfile.NamedTemporaryFile() as output:
        log = Path(output.name)  # read with a handle of its own: one that is shared is at one place for both
        # Of its own group, so that the kernel's interrupt reaches it once and through us.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while process.poll() is None:
                clear_output(wait=True)
                _show(run, log)
                _wait(process, interval_s)
        except KeyboardInterrupt:
            os.kill(process.pid, signal.SIGINT)
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        clear_output(wait=True)
        lines = _show(run, log)
    if process.returncode not in (0, 130):
        print(*lines[:-SHOWN_LINES], sep="\n")
        why = [line for line in lines if line.startswith("error: ")]
        raise UserError(why[-1] if why else f"training ended with exit code {process.returncode}; see above")


def _wait(process: subprocess.Popen, seconds: float) -> None:
    """Wait until the process ends, or for so long."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)


def _show(run: str | Path, log: Path) -> list[str]:
    """Draw the curves so far, print the last lines of output, and return all of them."""
    lines = log.read_text(errors="replace").splitlines()
    if os.path.isfile(Path(run) / METRICS_FILE):
        figure, axes = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
        draw_progress(axes, run)
        plt.show()
        plt.close(figure)
    print(*lines[-SHOWN_LINES:], sep="\n")
    return lines
