"""Episodes of a policy in a video: simulated, recorded, and shown over their reference."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError, quoted
from mjx_mimic.config import EnvConfig
from mjx_mimic.display import captions
from mjx_mimic.display.options import EpisodeOptions, VideoOptions
from mjx_mimic.display.rendering import Shot, compose, frame_times
from mjx_mimic.display.video import write_video
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.mjx_engine import run_in_mjx
from mjx_mimic.evaluation.mujoco_engine import model_to_watch, run_in_mujoco
from mjx_mimic.evaluation.protocol import Protocol
from mjx_mimic.evaluation.recording import Recording
from mjx_mimic.learning.composite import AnyPolicy
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.runs.folder import load_policy, load_run_clips, require_clip
from mjx_mimic.task.env import ImitationEnv

AFTER_FAILURE_S = 1.0
"""How long the video of a training goes on after a failure, s."""
DRAFT_SECONDS, DRAFT_FPS = 10.0, 15.0
DRAFT_WIDTH, DRAFT_HEIGHT = 320, 240
"""Longest time, s, frames per second, and pixels of what `write_draft_video` writes."""


def write_episode_video(policy: AnyPolicy, env: ImitationEnv, path: Path) -> None:
    """Draw an episode from the first clip's first frame, with the reference as a ghost.

    Skills follow one another, as far as it goes. MuJoCo in C simulates it, which needs no minute to compile.
    It ends `AFTER_FAILURE_S` after a failure.

    Raises:
        UserError: the video cannot be written.
    """
    _write_episode(policy, env, path, env.config.episode_seconds)


def write_draft_video(policy: AnyPolicy, env: ImitationEnv, path: Path) -> None:
    """Draw what `write_episode_video` draws in a fraction of the time, for a training that waits for it.

    The frames are small, coarse and about `DRAFT_FPS` per second, for `DRAFT_SECONDS` at most.

    Raises:
        UserError: the video cannot be written.
    """
    _write_episode(policy, env, path, min(env.config.episode_seconds, DRAFT_SECONDS), draft=True)


def _write_episode(
    policy: AnyPolicy, env: ImitationEnv, path: Path, seconds: float, draft: bool = False
) -> None:
    """Simulate `seconds` at most of an episode, draw it at full quality or as a draft, and print a line."""
    plan = tuple(range(env.library.num_clips)) if env.config.clips == "skills" else ()  # all skills in turn
    evaluation = Evaluation(env, policy, Protocol(seconds), plan=plan)
    outcome = run_in_mujoco(evaluation, np.array([True]), 0, model_to_watch(env), recorded=1)
    (recording,) = outcome.recordings
    failure = recording.failure
    last = len(recording.qpos) - 1
    if failure is not None:
        last = failure[0] + round(AFTER_FAILURE_S * env.config.control_hz)
    every = max(1, round(recording.fps / DRAFT_FPS)) if draft else 1
    shown = slice(0, last + 1, every)
    markers = None if recording.markers is None else recording.markers[shown]
    shot = Shot(recording.qpos[shown], recording.reference[shown], markers=markers)
    options = VideoOptions(fps=recording.fps / every, caption=False)
    if draft:
        options = replace(options, width=DRAFT_WIDTH, height=DRAFT_HEIGHT)
    write_video(path, compose(load_mjcf(), [shot], options, draft=draft), options.fps)
    steps, total = outcome.episode.episode_length[0], outcome.episode.episode_return[0]
    print(f"video: {path} (return {total:.1f} in {steps} of {len(recording.qpos) - 1} control steps)")


def run_shots(run: Path, episodes: EpisodeOptions, video: VideoOptions) -> list[Shot]:
    """Simulate episodes of a run's policy; a shorter one stays at its end until the longest is over.

    Raises:
        UserError: there is no run in this folder, no such checkpoint, no such clip, or a clip cannot be read.
    """
    clips = load_run_clips(run)
    if episodes.clip is not None:
        require_clip(clips, episodes.clip)
        clips = Clips((clips.motions[episodes.clip],), (1.0,))
    policy, env = load_policy(run, episodes.checkpoint, clips)
    plan = skill_numbers(episodes.skills, env.config, [motion.name for motion in clips.motions])
    protocol = Protocol(video.seconds, episodes.push)
    evaluation = Evaluation(env, policy, protocol, plan=plan, chooses=True)
    if episodes.force:
        evaluation = evaluation.with_force(episodes.direction, episodes.force)
    recordings = record(evaluation, episodes)
    names = [motion.name for motion in clips.motions]
    longest = max((len(recording.qpos) - 1) / recording.fps for recording in recordings)
    times = frame_times(longest, video)
    return [episode_shot(r, names, times, video.slow) for r in recordings]


def skill_numbers(skills: Sequence[str], config: EnvConfig, names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the clips that `--skills` names.

    Raises:
        UserError: the run has no such skill, or no skills at all.
    """
    if skills and config.clips != "skills":
        raise UserError("option --skills: the run has none; train one with --env.clips skills")
    for name in skills:
        if name not in names:
            raise UserError(f"option --skills: no skill {quoted(name)}; use {', '.join(names)}")
    return tuple(names.index(name) for name in skills)


def record(evaluation: Evaluation, episodes: EpisodeOptions) -> Sequence[Recording]:
    """Simulate and record the episodes; the first one of each clip, or of a plan, starts at a first frame."""
    count = episodes.num_envs
    at_first = np.arange(count) < min(evaluation.env.library.num_clips, evaluation.kinds)
    if episodes.engine == "mjx":
        devices = jax.local_devices()[:1]
        return run_in_mjx(evaluation, at_first, episodes.seed, devices, recorded=count).recordings
    model = model_to_watch(evaluation.env)
    return run_in_mujoco(evaluation, at_first, episodes.seed, model, recorded=count).recordings


def episode_shot(recording: Recording, names: Sequence[str], times: NDArray, slow: float = 1.0) -> Shot:
    """Show an episode at `times` (T,) s after its start; past its end, its last state.

    Args:
        recording: the episode.
        names: of the clips, for the caption.
        times: (T,) s.
        slow: how many times slower than real time the video is, for the caption.
    """
    steps = np.minimum((times * recording.fps + 1e-6).astype(int), len(recording.qpos) - 1)
    failure = recording.failure
    warning = f"failed: {failure[1]} at {failure[0] / recording.fps:.1f} s" if failure else ""
    end = (len(recording.qpos) - 1) / recording.fps
    return Shot(
        qpos=_interpolated(recording.qpos, recording.fps, times),
        reference=_interpolated(recording.reference, recording.fps, times),
        captions=[
            [
                captions.heading(names[recording.clip[step]], min(time, end), slow),
                f"phase {recording.phase[step]:.2f}   reward {recording.reward[step]:.2f}",
            ]
            for time, step in zip(times, steps, strict=True)
        ],
        warnings=[warning if failure and step >= failure[0] else "" for step in steps],
        markers=None if recording.markers is None else _between(recording.markers, recording.fps, times),
    )


def _between(points: NDArray, fps: float, times: NDArray) -> NDArray[np.float64]:
    """Interpolate `points` (N, K, 3) m, `fps` rows per second, at `times` (T,) s; (T, K, 3)."""
    rows = np.minimum(times * fps, len(points) - 1)
    first = rows.astype(int)
    share = (rows - first)[:, None, None]
    return (1.0 - share) * points[first] + share * points[np.minimum(first + 1, len(points) - 1)]


def _interpolated(qpos: NDArray, fps: float, times: NDArray) -> NDArray[np.float64]:
    """Interpolate `qpos` (N, 36), `fps` rows per second, at `times` (T,) s; (T, 36)."""
    if len(qpos) == 1:
        qpos = np.repeat(qpos, 2, axis=0)
    return sampled(Motion.from_qpos(qpos, name="episode", fps=fps), times)
