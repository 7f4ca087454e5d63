"""`python -m mjx_mimic.view`: a trained policy live, or a clip, in a window or a web browser."""

import contextlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError

if TYPE_CHECKING:
    from mjx_mimic.display.session import Shown

PROGRAM = "python -m mjx_mimic.view"


@dataclass(frozen=True)
class ViewCommand:
    """Shows a run's policy live with its reference as a ghost, or a clip."""

    run: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Run folder."""
    motion: Annotated[str | None, cli.shown("CLIP")] = None
    """Clip: a file, or the name of a shipped one."""
    clip: int = 0
    """With --run: which of its clips to begin with, counted from 0."""
    checkpoint: Literal["best", "last"] = "best"
    """With --run: the policy with the best test return, or the last one."""
    speed: float = 1.0
    """Times real time."""
    browser: bool = False
    """A web page instead of a window; without a display, always."""
    port: int = 8080
    """Of the web page; 0: any free one."""
    host: str = "127.0.0.1"
    """Address that the web page is served at; 0.0.0.0: all of this machine's, for anyone who reaches it."""
    share: bool = False
    """A public address for the web page too, tunnelled by viser's server; for Colab. Anyone who knows it may
    look and push."""


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(ViewCommand, arguments, prog=PROGRAM)
    check(command)
    from mjx_mimic.display import desktop_window
    from mjx_mimic.display.session import Session

    if command.browser or command.share or not desktop_window.has_display():
        return serve(command)
    desktop_window.check_display()
    desktop_window.show(Session(open_shown(command), command.speed))
    return 0


def check(command: ViewCommand) -> None:
    """UserError for options that make no sense, before anything is loaded."""
    from mjx_mimic.display.session import SPEED_RANGE

    if (command.run is None) == (command.motion is None):
        raise UserError("options --run and --motion: give one of them")
    low, high = SPEED_RANGE
    if not low <= command.speed <= high:
        raise UserError(f"option --speed: {command.speed} will not do; use a number from {low:g} to {high:g}")
    if not 0 <= command.port <= 65535:
        raise UserError(f"option --port: {command.port} will not do; use a number from 0 to 65535")


def serve(command: ViewCommand) -> int:
    """Shows a web page until it is interrupted.

    Raises:
        UserError: no viser, no such address, a port in use, or no public address to be had.
    """
    try:
        from mjx_mimic.display.browser_page import FRAMES_PER_SECOND, BrowserView, open_server
    except ImportError:
        raise UserError('the browser view needs viser; pip install "mjx-mimic[view]"') from None
    from mjx_mimic.display.session import Session, run

    server = open_server(command.host, command.port)
    try:
        if command.share:  # before JAX: viser starts a process for it, and forks
            address = server.request_share_url(verbose=False)
            if address is None:
                raise UserError("option --share: viser's server gave no address; try again, or leave it out")
            print(f"look from anywhere at {address}", flush=True)
        view = BrowserView(Session(open_shown(command), command.speed), server)
        here = "localhost" if command.host in ("127.0.0.1", "0.0.0.0") else command.host
        print(f"look at http://{here}:{server.get_port()} ; Ctrl-C ends it", flush=True)
        run(view.session, view.draw, lambda: True, FRAMES_PER_SECOND)
    except KeyboardInterrupt:
        print("ended")
    finally:
        with contextlib.redirect_stdout(io.StringIO()):  # viser's farewell
            server.stop()
    return 0


def open_shown(command: ViewCommand) -> "Shown":
    """The clip or the policy."""
    if command.motion:
        from mjx_mimic.clips.formats import load_motion
        from mjx_mimic.display.session import ClipPlayer

        return ClipPlayer(load_motion(command.motion))
    # One robot: a core is quicker than an accelerator, and leaves that to a training.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    cli.prepare_jax()
    from mjx_mimic.display.live_policy import open_run

    assert command.run is not None
    return open_run(command.run, command.checkpoint, command.clip)


if __name__ == "__main__":
    cli.run(main)
