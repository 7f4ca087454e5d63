"""What an evaluation says of a policy: metrics of every episode, mean and spread, in total and by clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.evaluation.episode import SUCCESS_LIMITS, Episode

MILLI = 1000.0


@dataclass(frozen=True)
class EpisodeMetric:
    """One metric of N episodes."""

    name: str
    unit: str
    values: NDArray  # (N,); NaN where an episode has none
    meaning: str

    def summary(self, chosen: NDArray[np.bool_] | slice = slice(None)) -> dict[str, Any]:
        """Return count, mean, standard deviation, 5th and 95th percentile of the chosen; None without any."""
        values = self.values[chosen]
        values = values[np.isfinite(values)]
        if not len(values):
            return {"count": 0, **dict.fromkeys(("mean", "std", "p5", "p95"))}
        low, high = np.percentile(values, [5.0, 95.0])
        return {
            "count": len(values),
            "mean": float(values.mean()),
            "std": float(values.std()),
            "p5": float(low),
            "p95": float(high),
        }


def episode_metrics(
    episode: Episode, control_dt: float, goal: Mapping[str, tuple[str, str]] | None = None
) -> tuple[EpisodeMetric, ...]:
    """Compute the metrics of `Episode` arrays (N,), with those of a goal by its `Goal.measures`."""
    steps = np.asarray(episode.steps, float)
    errors, effort = episode.errors, episode.effort

    def mean(total: Any, scale: float = 1.0) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return scale * np.asarray(total, float) / steps

    whole = ~np.asarray(episode.broken)
    length = np.asarray(episode.episode_length, float)
    returned = np.asarray(episode.episode_return, float)
    survived = np.asarray(episode.survived) * 1.0
    achieved = {name: np.asarray(values, float) for name, values in episode.goal.items()}
    if "success" in achieved:  # whoever falls has not succeeded
        achieved["success"] = np.where(survived > 0.0, achieved["success"], 0.0)
    return (
        EpisodeMetric("eval_return", "", returned, "reward until early termination (MimicKit's test return)"),
        EpisodeMetric("episode_length", "steps", length, "control steps until early termination"),
        EpisodeMetric("survival", "s", length * control_dt, "time until early termination"),
        EpisodeMetric("survived", "share", survived, "no early termination"),
        *(
            EpisodeMetric(f"goal_{name}", unit, achieved[name], meaning)
            for name, (unit, meaning) in (goal or {}).items()
        ),
        EpisodeMetric(
            "return_per_step", "", returned / np.maximum(length, 1.0), "evaluation return over episode length"
        ),
        EpisodeMetric(
            "reward", "", mean(episode.reward), "mean reward of the whole episode, never terminated"
        ),
        *(
            EpisodeMetric(
                f"success_{limit:g}m",
                "share",
                (whole & (np.asarray(episode.deviation) <= limit)) * 1.0,
                f"mean body distance never over {limit:g} m",
            )
            for limit in SUCCESS_LIMITS
        ),
        EpisodeMetric(
            "mpjpe_global",
            "mm",
            mean(errors.global_body_position, MILLI),
            "mean distance of the bodies; where place does not count, from the reference moved to the robot",
        ),
        EpisodeMetric(
            "mpjpe_root",
            "mm",
            mean(errors.body_position, MILLI),
            "the same, each relative to its root's position",
        ),
        EpisodeMetric(
            "root_position", "m", mean(errors.root_position), "distance of the roots (MimicKit root_pos_err)"
        ),
        EpisodeMetric(
            "root_rotation",
            "rad",
            mean(errors.root_rotation),
            "angle between the roots (MimicKit root_rot_err)",
        ),
        EpisodeMetric(
            "body_position", "m", mean(errors.body_position), "`mpjpe_root` in m (MimicKit body_pos_err)"
        ),
        EpisodeMetric(
            "body_rotation",
            "rad",
            mean(errors.body_rotation),
            "mean angle of the bodies (MimicKit body_rot_err)",
        ),
        EpisodeMetric(
            "joint_velocity",
            "rad/s",
            mean(errors.joint_velocity),
            "mean absolute difference (MimicKit dof_vel_err)",
        ),
        EpisodeMetric(
            "root_velocity",
            "m/s",
            mean(errors.root_velocity),
            "mean absolute difference (MimicKit root_vel_err)",
        ),
        EpisodeMetric(
            "root_angular_velocity",
            "rad/s",
            mean(errors.root_angular_velocity),
            "mean absolute difference (MimicKit root_ang_vel_err)",
        ),
        *_mjlab_metrics(episode),
        EpisodeMetric("torque", "N m", mean(effort.torque), "mean absolute torque of a motor"),
        EpisodeMetric("power", "W", mean(effort.power), "absolute mechanical power of all motors together"),
        EpisodeMetric(
            "foot_slip",
            "m/s",
            mean(episode.foot_slip),
            "speed of the fastest sole point while it is on the floor",
        ),
        EpisodeMetric(
            "action_change", "", mean(episode.action_change), "mean absolute difference of successive actions"
        ),
    )


def failures(episode: Episode, clips: Sequence[str]) -> list[dict[str, Any]]:
    """Return of each episode that early termination ended how it started, its length, and the cause."""
    failed = np.flatnonzero(~np.asarray(episode.survived))
    return [
        {
            "clip": clips[int(episode.clip[index])],
            "start_phase": float(episode.start_phase[index]),
            "episode_length": int(episode.episode_length[index]),
            "ended_by": jax.tree.map(lambda flags, index=index: flags[index], episode.causes).failure,
        }
        for index in failed
    ]


def _mjlab_metrics(episode: Episode) -> tuple[EpisodeMetric, ...]:
    """Compute mjlab's metrics, which count the control steps until it would have ended the episode."""
    steps, errors = np.asarray(episode.mjlab_steps, float), episode.mjlab_errors
    length, horizon = np.asarray(episode.steps), np.asarray(episode.horizon)
    success = np.asarray(episode.mjlab_running) & (length >= horizon)

    def mean(total: Any, scale: float = 1.0) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return scale * np.asarray(total, float) / steps

    end_effector = mean(errors.end_effector_position, MILLI)
    return (
        EpisodeMetric("mjlab_success", "share", success * 1.0, "none of mjlab's endings"),
        EpisodeMetric(
            "mjlab_mpkpe",
            "mm",
            mean(errors.mpkpe, MILLI),
            "mjlab mpkpe: 14 bodies, in the world, until mjlab's endings",
        ),
        EpisodeMetric(
            "mjlab_r_mpkpe",
            "mm",
            mean(errors.mpkpe_root, MILLI),
            "mjlab r_mpkpe: the same, relative to the torso and its heading",
        ),
        EpisodeMetric("mjlab_ee_pos", "mm", end_effector, "mjlab ee_pos_error: ankles and wrists"),
        EpisodeMetric(
            "mjlab_ee_ori", "rad", mean(errors.end_effector_rotation), "mjlab ee_ori_error: likewise"
        ),
        EpisodeMetric(
            "mjlab_joint_vel",
            "rad/s",
            mean(errors.joint_velocity),
            "mjlab joint_vel_error: root mean square over the joints",
        ),
    )


def table(found: Sequence[EpisodeMetric], clip: NDArray[np.int_], names: Sequence[str]) -> dict[str, Any]:
    """Return all summaries as plain data: `total`, and `clips` by name where there are several.

    Args:
        found: the metrics.
        clip: (N,) index into `names` of each episode.
        names: of the clips.
    """
    total = {metric.name: {"unit": metric.unit, **metric.summary()} for metric in found}
    if len(names) == 1:
        return {"total": total}
    clips = [
        {"name": name, **{metric.name: metric.summary(clip == index) for metric in found}}
        for index, name in enumerate(names)
    ]
    return {"total": total, "clips": clips}


def transitions(
    survived: NDArray, clip: NDArray[np.int_], following: NDArray[np.int_], names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Return the share of episodes that survive, of those that begin a second clip, by the names of both.

    None where no episode has gone from the one to the other.

    Args:
        survived: (N,) 1 or 0.
        clip: (N,) index into `names`.
        following: (N,) likewise; `OPEN` where no second clip has begun.
        names: of the clips.
    """

    def share(first: int, second: int) -> float | None:
        found = survived[(clip == first) & (following == second)]
        return float(np.mean(found)) if len(found) else None

    return {
        name: {other: share(first, second) for second, other in enumerate(names)}
        for first, name in enumerate(names)
    }
