"""`python -m mjx_mimic.view`: a trained policy live, or a clip, in a window or a web browser."""

import functools
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError, missing_package
from mjx_mimic.config import Which
from mjx_mimic.display import gl
from mjx_mimic.display.options import SPEED_RANGE
from mjx_mimic.display.playable import ClipPlayer, Playable
from mjx_mimic.display.session import Session

PROGRAM = "python -m mjx_mimic.view"


@dataclass(frozen=True)
class ViewCommand:
    """Show a run's policy live with its reference as a ghost, or a clip."""

    run: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Run folder."""
    motion: Annotated[str | None, cli.shown("CLIP")] = None
    """Clips: a file, the name of a bundled one, a folder, a pattern, or a YAML list."""
    clip: int = 0
    """Which of several clips to begin with, counted from 0."""
    num_envs: int = 1
    """With --run: robots side by side; each clip once from its start, further ones from random phases."""
    checkpoint: Annotated[Which | None, cli.shown("best|last|SAMPLES")] = None
    """With --run: the policy with the best evaluation return, the last one, or that of a kept checkpoint, by
    its samples; without this option the best one, with --follow the last one."""
    follow: bool = False
    """With --run: load new checkpoints of a training as they come, and print a line for each."""
    speed: float = 1.0
    """Times real time."""
    browser: bool = False
    """A web page instead of a window; without a display, or with one of the next three options, always."""
    port: int | None = None
    """Of the web page, 8080 if none is given; 0: any free one."""
    host: str | None = None
    """Address that the web page is served at, 127.0.0.1 if none is given; 0.0.0.0: all of this machine's, for
    anyone who reaches it."""
    share: bool = False
    """A public address for the web page too, tunnelled by viser's server; for Colab. Anyone who knows it may
    look and push. Without this option there is none, and no visitor can ask for one."""


def main(arguments: Sequence[str]) -> int:
    """Show a window until it is closed, or serve a page until it is interrupted."""
    command = cli.parse(ViewCommand, arguments, prog=PROGRAM)
    check(command)
    if wants_page(command) or not gl.has_display():
        if importlib.util.find_spec("viser") is None:
            raise missing_package("a page in the browser", "viser", "view")
        from mjx_mimic.display.serving import serve  # viser, which a window does without

        opener = functools.partial(open_playable, command)
        host = "127.0.0.1" if command.host is None else command.host
        port = 8080 if command.port is None else command.port
        serve(opener, command.speed, host=host, port=port, share=command.share)
        return 0
    from mjx_mimic.display import desktop_window  # only where there is a screen

    desktop_window.check_display()
    desktop_window.show(Session(open_playable(command), command.speed))
    return 0


def wants_page(command: ViewCommand) -> bool:
    """Return whether the options ask for the web page, by name or by saying where it is to be."""
    of_page = ("browser", "share", "host", "port")
    return any(getattr(command, name) != getattr(ViewCommand, name) for name in of_page)


def check(command: ViewCommand) -> None:
    """Refuse options that make no sense, before anything is loaded.

    Raises:
        UserError: with the option and a remedy.
    """
    if (command.run is None) == (command.motion is None):
        raise UserError("options --run and --motion: give one of them")
    if command.motion is not None:
        of_runs = ("num_envs", "checkpoint", "follow")
        cli.require_defaults(command, of_runs, "it is of a run's policy; it needs --run, not --motion")
    if command.follow and isinstance(command.checkpoint, int):
        raise UserError("option --follow: cannot be joined with --checkpoint SAMPLES; use best or last")
    cli.require_range({"--num-envs": (command.num_envs, 1, 64)})
    cli.require_range({"--speed": (command.speed, *SPEED_RANGE), "--port": (command.port or 0, 0, 65535)})


def open_playable(command: ViewCommand) -> Playable:
    """Load the clip or the policy.

    Raises:
        UserError: there is no run in the folder, no such checkpoint, no such clip, or a clip cannot be read.
    """
    if command.run is None:
        assert command.motion is not None
        motions = load_clips([command.motion]).motions
        cli.require_range({"--clip": (command.clip, 0, len(motions) - 1)})
        return ClipPlayer(motions, command.clip)
    # Few robots: a core is quicker than an accelerator, and leaves that to a training.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    cli.prepare_jax()
    from mjx_mimic.display.side_by_side import open_run  # JAX, after its settings; a clip needs none

    checkpoint: Which | None = command.checkpoint
    if checkpoint is None:
        checkpoint = "last" if command.follow else "best"
    return open_run(command.run, checkpoint, command.clip, command.num_envs, command.follow)


if __name__ == "__main__":
    cli.run(main)
