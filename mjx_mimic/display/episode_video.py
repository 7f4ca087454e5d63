"""The video at the end of a training: one episode of the policy over its reference."""

from pathlib import Path

import numpy as np

from mjx_mimic.display import drawing
from mjx_mimic.evaluation.episodes import Evaluation, Protocol
from mjx_mimic.evaluation.mujoco_engine import model_to_watch, run_in_mujoco
from mjx_mimic.learning.policy import Policy
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.task.env import ImitationEnv

AFTER_FAILURE_S = 1.0
"""How long the video goes on after a failure, s."""


def write_episode_video(policy: Policy, env: ImitationEnv, path: Path) -> None:
    """Draw an episode from the first clip's first frame, with the reference as a ghost.

    Simulated by MuJoCo in C, which needs no minute to compile. Ends `AFTER_FAILURE_S` after a failure.

    Raises:
        UserError: the video cannot be written.
    """
    evaluation = Evaluation(env, policy, Protocol(env.config.episode_seconds))
    outcome = run_in_mujoco(evaluation, np.array([True]), 0, model_to_watch(env), recorded=1)
    (recording,) = outcome.recordings
    failure = recording.failure
    last = len(recording.qpos) - 1
    if failure is not None:
        last = failure[0] + round(AFTER_FAILURE_S * env.config.control_hz)
    qpos, reference = recording.qpos[: last + 1], recording.reference[: last + 1]
    frames = drawing.render_frames(load_mjcf(), qpos, reference, fps=recording.fps)
    drawing.write_video(path, frames, recording.fps)
    steps, total = outcome.episode.episode_length[0], outcome.episode.episode_return[0]
    print(f"video: {path} (return {total:.1f} in {steps} of {len(recording.qpos) - 1} control steps)")
