"""`python -m mjx_mimic.render`: an MP4 of a trained policy, or of a clip by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mjx_mimic import drawing, launch
from mjx_mimic.config_file import read_config
from mjx_mimic.errors import UserError

PROGRAM = "python -m mjx_mimic.render"


@dataclass(frozen=True)
class RenderCommand:
    """Draws an episode of a run's best policy with its reference as a ghost, or a clip."""

    out: Path
    """MP4 file to write."""
    run: Path | None = None
    """Run folder."""
    motion: str | None = None
    """Clip: a file, or the name of a shipped one."""
    ghost: bool = True
    """With --run: draw the reference too."""
    clip: int = 0
    """With --run: which of its clips, counted from 0."""
    seconds: float = 10.0
    """Longest time to show; a cyclic clip repeats."""
    width: int = 640
    """Pixels, 1280 at most."""
    height: int = 480
    """Pixels, 960 at most."""
    fps: float = 30.0
    """With --motion: frames a second. A run is drawn at its control rate."""


def main(arguments: Sequence[str]) -> int:
    return draw(launch.parse(RenderCommand, arguments, prog=PROGRAM))


def draw(command: RenderCommand) -> int:
    """Carries `command` out and tells so; `python -m mjx_mimic.motion preview` does it with a clip too."""
    if (command.run is None) == (command.motion is None):
        raise UserError("options --run and --motion: give one of them")
    for option, value, limit in (("--width", command.width, 1280), ("--height", command.height, 960)):
        if not (16 <= value <= limit and value % 2 == 0):
            raise UserError(f"option {option}: {value} will not do; use an even number from 16 to {limit}")
    if not 0 < command.seconds <= 600:
        raise UserError(f"option --seconds: {command.seconds} will not do; use a number over 0, 600 at most")
    if not 1 <= command.fps <= 240:
        raise UserError(f"option --fps: {command.fps} will not do; use a number from 1 to 240")
    # Told now, not after minutes of drawing.
    if command.out.suffix.lower() != ".mp4" or command.out.is_dir():
        raise UserError(f"option --out: {command.out} will not do; name a file that ends in .mp4")
    if drawing.choose_gl_backend() is None:
        raise UserError(drawing.NO_GL)
    qpos, reference, fps = _episode(command) if command.run else _clip(command)
    from mjx_mimic.mjcf import load_mjcf  # not before the GL library is chosen

    frames = drawing.render_frames(
        load_mjcf(), qpos, reference, fps=fps, width=command.width, height=command.height
    )
    count = drawing.write_video(command.out, frames, fps)
    print(f"{command.out}: {count} frames, {count / fps:.1f} s")
    return 0


def _episode(command: RenderCommand) -> tuple[np.ndarray, np.ndarray | None, float]:
    """qpos (T, 36) of an episode of the run's best policy, that of its reference, frames a second."""
    launch.prepare_jax()
    import jax

    from mjx_mimic import mjx_engine, run
    from mjx_mimic.dataset import load_clips
    from mjx_mimic.evaluation import Judge, Protocol
    from mjx_mimic.learner import make_learner

    assert command.run is not None
    config = read_config(command.run)
    clips = load_clips(config.motion, config.motion_weights)
    if not 0 <= command.clip < len(clips.motions):
        raise UserError(
            f"option --clip: {command.clip} will not do; the run has clips 0 to {len(clips.motions) - 1}"
        )
    policy = run.Checkpoints(command.run).restore_policy("best")
    learner = make_learner(config, clips, jax.devices()[:1])
    judge = Judge(learner.env, learner, Protocol(command.seconds))
    at_first = np.ones(command.clip + 1, bool)  # episodes take the clips in turn
    outcome = mjx_engine.run_in_mjx(judge, policy, at_first, seed=0, recorded=command.clip + 1)
    recording = outcome.recordings[command.clip]
    frames = round(command.seconds * config.env.control_hz) + 1
    reference = recording.reference[:frames] if command.ghost else None
    return recording.qpos[:frames], reference, config.env.control_hz


def _clip(command: RenderCommand) -> tuple[np.ndarray, None, float]:
    """qpos (T, 36) of the clip at the video's rate, cyclic ones repeated, and that rate."""
    from mjx_mimic.editing import sampled
    from mjx_mimic.formats import load_motion

    assert command.motion is not None
    motion = load_motion(command.motion)
    seconds = command.seconds if motion.loop == "wrap" else min(command.seconds, motion.length)
    return sampled(motion, np.arange(int(seconds * command.fps) + 1) / command.fps), None, command.fps


if __name__ == "__main__":
    launch.run(main)
