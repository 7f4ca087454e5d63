"""`python -m mjx_mimic.render`: a video of a trained policy, or of a clip by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import MOST_SEED
from mjx_mimic.display import gl
from mjx_mimic.display.options import EpisodeOptions, VideoOptions, check_video

PROGRAM = "python -m mjx_mimic.render"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is drawn, and the file it goes to."""

    out: Path
    """File to write, .mp4 or .gif; a name without an ending: a new folder of PNG frames."""
    run: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Run folder."""
    motion: Annotated[str | None, cli.shown("CLIP")] = None
    """Clips: a file, the name of a bundled one, a folder, a pattern, or a YAML list."""


@dataclass(frozen=True, kw_only=True)
class RenderCommand(VideoOptions, EpisodeOptions, Subject):  # --help lists the last one's options first
    """Draw episodes of a run's policy with their reference, or a clip."""


def main(arguments: Sequence[str]) -> int:
    """Draw what the command line asks for."""
    return draw(cli.parse(RenderCommand, arguments, prog=PROGRAM))


def draw(command: RenderCommand) -> int:
    """Draw what `command` asks for, and print what was written."""
    check(command)
    if gl.choose_gl_backend() is None:
        raise UserError(gl.why_none())
    from mjx_mimic.clips.dataset import load_clips  # MuJoCo, after the GL library is chosen
    from mjx_mimic.display import rendering

    # Whatever is missing is reported now, not after minutes of simulating.
    if command.out.suffix:
        rendering.find_ffmpeg()
    if command.motion is not None:
        motions = load_clips([command.motion]).motions
        if command.clip is not None:
            cli.require_range({"--clip": (command.clip, 0, len(motions) - 1)})
            motions = (motions[command.clip],)
        rendering.draw_clips(motions, command.out, command)
        return 0
    assert command.run is not None
    cli.prepare_jax()
    from mjx_mimic.display import episode_video  # JAX, after its settings; a clip needs none

    shots = episode_video.run_shots(command.run, command, command)
    rendering.draw(shots, command.out, command, command.reference)
    return 0


def check(command: RenderCommand) -> None:
    """Refuse options that make no sense, before anything is loaded.

    Raises:
        UserError: with the option and a remedy.
    """
    if (command.run is None) == (command.motion is None):
        raise UserError("options --run and --motion: give one of them")
    cli.require_range(
        {
            "--num-envs": (command.num_envs, 1, 64),
            "--push": (command.push, 0.0, 10.0),
            "--force": (command.force, 0.0, 1e4),
            "--seed": (command.seed, 0, MOST_SEED),
        }
    )
    if command.motion is not None:
        of_runs = [option.name for option in fields(EpisodeOptions) if option.name != "clip"]
        cli.require_defaults(command, of_runs, "it is of a run's episodes; it needs --run, not --motion")
    if not command.force:
        cli.require_defaults(command, ("direction",), "it is of a force; add --force")
    if command.skills and command.clip is not None:
        raise UserError("option --skills: cannot be joined with --clip; leave one of them out")
    check_video(command.out, command)


if __name__ == "__main__":
    cli.run(main)
