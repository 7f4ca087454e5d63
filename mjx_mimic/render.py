"""`python -m mjx_mimic.render`: a video of a trained policy, or of a clip by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common import cli
from mjx_mimic.common.errors import UserError
from mjx_mimic.display import drawing
from mjx_mimic.runs.config_yaml import read_config

if TYPE_CHECKING:
    import mujoco

    from mjx_mimic.clips.motion import Motion
    from mjx_mimic.evaluation.recording import Recording

PROGRAM = "python -m mjx_mimic.render"

MAX_GIF_FPS = 50.0
"""A GIF counts in hundredths of a second, and browsers slow down what is shorter than two."""


@dataclass(frozen=True)
class RenderCommand:
    """Draws episodes of a run's policy with their reference, or a clip."""

    out: Path
    """File to write, .mp4 or .gif; a name without an ending: a new folder of PNG frames."""
    run: Annotated[Path | None, cli.shown("FOLDER")] = None
    """Run folder."""
    motion: Annotated[str | None, cli.shown("CLIP")] = None
    """Clip: a file, or the name of a shipped one."""
    reference: Literal["ghost", "side", "none"] = "ghost"
    """With --run: draw the reference as a translucent ghost, beside the robot, or not."""
    num_envs: int = 1
    """With --run: episodes in a grid; each clip once from its start, further ones from random phases."""
    clip: Annotated[int | None, cli.shown("INT")] = None
    """With --run: only this one of its clips, counted from 0; otherwise they take turns."""
    checkpoint: Literal["best", "last"] = "best"
    """With --run: the policy with the best test return, or the last one."""
    engine: Literal["mujoco", "mjx"] = "mujoco"
    """With --run: physics, MuJoCo in C, which starts sooner and in which a fallen robot lies on the floor, or
    MJX with the run's own contacts, as in training."""
    seed: int = 0
    """With --run: seed of the random phases."""
    caption: bool = True
    """Write the clip, time, phase, reward and failure into the picture."""
    meshes: bool = False
    """Draw the real robot's meshes, from the extra `meshes` or a folder named by MENAGERIE_ROOT."""
    seconds: float = 10.0
    """Longest time of the motion to show; a cyclic clip repeats."""
    slow: float = 1.0
    """Slow motion: 2 takes twice the time. Poses between two control steps are interpolated."""
    width: int = 640
    """Pixels of one episode, 1280 at most; a grid is shrunk to 1920 x 1080."""
    height: int = 480
    """Pixels of one episode, 960 at most."""
    fps: float = 30.0
    """Frames a second of the video."""


@dataclass(frozen=True, eq=False)
class Shot:
    """An episode or a clip at the T moments of the video."""

    qpos: NDArray[np.float64]  # (T, 36)
    reference: NDArray[np.float64] | None  # (T, 36)
    captions: list[list[str]]  # T times lines
    warnings: list[str]  # T


def main(arguments: Sequence[str]) -> int:
    return draw(cli.parse(RenderCommand, arguments, prog=PROGRAM))


def draw(command: RenderCommand) -> int:
    """Carries `command` out and tells so; `python -m mjx_mimic.motion preview` does it with a clip too."""
    check(command)
    # Whatever is missing is told now, not after minutes of simulating.
    if drawing.choose_gl_backend() is None:
        raise UserError(drawing.NO_GL)
    if command.out.suffix:
        drawing.find_ffmpeg()
    model = _model(command.meshes)  # not before the GL library is chosen
    shots = _episodes(command) if command.run else [_clip(command)]
    filled: list[bool] = []

    def frames() -> Iterator[drawing.Frame]:
        for frame, is_filled in compose(model, shots, command):
            filled.append(is_filled)
            yield frame

    if command.out.suffix:
        drawing.write_video(command.out, frames(), command.fps)
    else:
        drawing.write_pictures(command.out, frames())
    print(
        f"{command.out}: {len(filled)} frames, {len(filled) / command.fps:.1f} s,"
        f" {100 * np.mean(filled):.4g}% of them not empty"
    )
    return 0


def check(command: RenderCommand) -> None:
    """UserError for options that make no sense, before anything is loaded."""
    if (command.run is None) == (command.motion is None):
        raise UserError("options --run and --motion: give one of them")
    for option, value, limit in (("--width", command.width, 1280), ("--height", command.height, 960)):
        if not (16 <= value <= limit and value % 2 == 0):
            raise UserError(f"option {option}: {value} will not do; use an even number from 16 to {limit}")
    bounds = {"--seconds": (command.seconds, 0.1, 600.0), "--fps": (command.fps, 1.0, 240.0)}
    bounds |= {"--slow": (command.slow, 0.1, 100.0), "--num-envs": (command.num_envs, 1, 64)}
    for option, (number, low, high) in bounds.items():
        if not low <= number <= high:
            raise UserError(f"option {option}: {number} will not do; use a number from {low:g} to {high:g}")
    if command.motion and command.num_envs > 1:
        raise UserError("option --num-envs: a clip is the same in each; it needs --run")
    suffix = command.out.suffix.lower()
    if suffix not in (".mp4", ".gif", "") or (suffix and command.out.is_dir()):
        raise UserError(
            f"option --out: {command.out} will not do; name a file that ends in .mp4 or .gif, or, for PNG"
            " frames, a folder without an ending"
        )
    if suffix == ".gif" and command.fps > MAX_GIF_FPS:
        raise UserError(f"option --fps: {command.fps:g} will not do; a GIF shows {MAX_GIF_FPS:g} at most")
    if not suffix and command.out.exists() and not (command.out.is_dir() and not any(command.out.iterdir())):
        raise UserError(f"option --out: {command.out} is there already; name a new folder")


def compose(
    model: "mujoco.MjModel", shots: Sequence[Shot], command: RenderCommand
) -> Iterator[tuple[drawing.Frame, bool]]:
    """The frames, and of each whether every picture in it shows something."""
    from mjx_mimic.display import captions

    columns, width, height = captions.grid(len(shots), command.width, command.height)
    with drawing.Stage(model, width, height, beside=command.reference == "side") as stage:
        paths = [stage.camera_path(shot.qpos, command.fps * command.slow) for shot in shots]
        for i in range(len(paths[0])):
            tiles, filled = [], True
            for shot, path in zip(shots, paths, strict=True):
                reference = None if shot.reference is None else shot.reference[i]
                tile = stage.picture(shot.qpos[i], path[i], reference)
                filled &= stage.is_filled(tile, path[i])
                if command.caption:
                    tile = captions.captioned(tile, shot.captions[i], shot.warnings[i])
                tiles.append(tile)
            yield captions.tiled(tiles, columns), filled


def _model(meshes: bool) -> "mujoco.MjModel":
    if not meshes:
        from mjx_mimic.robot.mjcf import load_mjcf

        return load_mjcf()
    from mjx_mimic.display.menagerie_meshes import load_with_meshes

    robot = load_with_meshes()
    print(f"meshes: {robot.file}, links within {1e3 * robot.offset:.1f} mm of ours")
    return robot.model


def _times(command: RenderCommand, seconds: float) -> NDArray[np.float64]:
    """Moments (T,) s of the motion that the frames show."""
    rate = command.fps * command.slow
    return np.arange(int(seconds * rate + 1e-6) + 1) / rate


def _episodes(command: RenderCommand) -> list[Shot]:
    """Episodes of the run's policy; a shorter one stays at its end until the longest is over."""
    cli.prepare_jax()
    import jax

    from mjx_mimic.clips.dataset import Clips, load_clips
    from mjx_mimic.evaluation import mjx_engine, mujoco_engine
    from mjx_mimic.evaluation.episodes import Judge, Protocol
    from mjx_mimic.learning.learner import make_learner
    from mjx_mimic.robot.mjcf import load_mjcf
    from mjx_mimic.runs import folder

    assert command.run is not None
    config = read_config(command.run)
    clips = load_clips(config.motion, config.motion_weights)
    if command.clip is not None:
        last = len(clips.motions) - 1
        if not 0 <= command.clip <= last:
            raise UserError(f"option --clip: {command.clip} will not do; the run has clips 0 to {last}")
        clips = Clips((clips.motions[command.clip],), (1.0,))
    policy = folder.Checkpoints(command.run).restore_policy(command.checkpoint)
    learner = make_learner(config, clips, jax.local_devices()[:1])
    judge = Judge(learner.env, learner, Protocol(command.seconds))
    count = command.num_envs
    at_first = np.arange(count) < len(clips.motions)
    if command.engine == "mjx":
        outcome = mjx_engine.run_in_mjx(judge, policy, at_first, command.seed, recorded=count)
    else:
        # What fell would sink into the floor on soles alone; until then the other geoms touch nothing.
        model = load_mjcf("full", config.env.physics_hz, visuals=False)
        outcome = mujoco_engine.run_in_c(judge, policy, at_first, command.seed, model, recorded=count)
    longest = max((len(recording.qpos) - 1) / recording.fps for recording in outcome.recordings)
    times = _times(command, longest)
    return [episode_shot(r, clips.motions[r.clip].name, command, times) for r in outcome.recordings]


def episode_shot(recording: "Recording", name: str, command: RenderCommand, times: NDArray) -> Shot:
    """An episode of the clip `name` at `times` (T,) s since its start; past its end, its end."""
    steps = np.minimum((times * recording.fps + 1e-6).astype(int), len(recording.qpos) - 1)
    failure = recording.failure
    warning = f"failed: {failure[1]} at {failure[0] / recording.fps:.1f} s" if failure else ""
    reference = None if command.reference == "none" else _between(recording.reference, recording.fps, times)
    return Shot(
        qpos=_between(recording.qpos, recording.fps, times),
        reference=reference,
        captions=[
            [
                _heading(name, min(time, (len(recording.qpos) - 1) / recording.fps), command.slow),
                f"phase {recording.phase[step]:.2f}   reward {recording.reward[step]:.2f}",
            ]
            for time, step in zip(times, steps, strict=True)
        ],
        warnings=[warning if failure and step >= failure[0] else "" for step in steps],
    )


def _between(qpos: NDArray, fps: float, times: NDArray) -> NDArray[np.float64]:
    """`qpos` (N, 36), `fps` rows a second, at `times` (T,) s, interpolated; (T, 36)."""
    from mjx_mimic.clips.editing import sampled
    from mjx_mimic.clips.motion import Motion

    if len(qpos) == 1:
        qpos = np.repeat(qpos, 2, axis=0)
    return sampled(Motion.from_qpos(qpos, name="episode", fps=fps), times)


def _clip(command: RenderCommand) -> Shot:
    """The clip at the video's rate; a cyclic one is repeated."""
    from mjx_mimic.clips.editing import sampled
    from mjx_mimic.clips.formats import load_motion

    assert command.motion is not None
    motion = load_motion(command.motion)
    seconds = command.seconds if motion.loop == "wrap" else min(command.seconds, motion.length)
    times = _times(command, seconds)
    return Shot(
        qpos=sampled(motion, times),
        reference=None,
        captions=[[_heading(motion.name, t, command.slow), f"phase {_phase(motion, t):.2f}"] for t in times],
        warnings=[""] * len(times),
    )


def _phase(motion: "Motion", time: float) -> float:
    """Of the clip at `time` s, in [0, 1], as `reference.phase`."""
    share = time / motion.length
    return share % 1.0 if motion.loop == "wrap" else min(share, 1.0)


def _heading(name: str, time: float, slow: float) -> str:
    speed = "" if slow == 1.0 else f"   {1.0 / slow:.3g}x"
    return f"{name}   {time:.2f} s{speed}"


if __name__ == "__main__":
    cli.run(main)
