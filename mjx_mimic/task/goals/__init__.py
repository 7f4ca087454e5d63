"""Goals beside imitation: a file for each, behind the interface `Goal`."""

from collections.abc import Sequence

import numpy as np

from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.model import Robot
from mjx_mimic.task.goals.base import Goal, GoalState, Situation
from mjx_mimic.task.goals.heading import Heading, HeadingState
from mjx_mimic.task.goals.location import Location, LocationState
from mjx_mimic.task.goals.strike import Strike, StrikeState
from mjx_mimic.task.goals.throw import Throw, ThrowState

__all__ = ["STATES", "Goal", "GoalState", "Situation", "doubts", "make_goal"]

STANDS = 0.1
"""Mean speed under which a clip goes nowhere, m/s."""

STATES: dict[str, type[GoalState]] = {
    "heading": HeadingState,
    "location": LocationState,
    "strike": StrikeState,
    "throw": ThrowState,
}
"""By the names of `EnvConfig.goal`."""


def make_goal(config: EnvConfig, robot: Robot) -> Goal | None:
    """Make the goal of a task; None where there is none.

    Raises:
        UserError: the goal is for a body that the robot does not have.
    """

    def row(option: str, body: str) -> int:
        if body not in robot.body_names:
            raise UserError(f"option {option}: no body {body}; use {', '.join(robot.body_names)}")
        return robot.body_names.index(body)

    match config.goal:
        case "heading":
            return Heading(config.heading)
        case "location":
            return Location(config.location)
        case "strike":
            return Strike(config.strike, row("--env.strike.body", config.strike.body))
        case "throw":
            return Throw(config.throw, row("--env.throw.body", config.throw.body))
    return None


def doubts(config: EnvConfig, motions: Sequence[Motion]) -> list[str]:
    """Return what speaks against a goal with these clips, a line each."""
    if config.goal == "strike" and not any(m.cyclic for m in motions):
        return [
            "warning: hits are counted over whole cycles, and a clip that is not cyclic has one only from"
            " its first frame; `evaluate --start first` counts them, or convert the clip with --make-cyclic"
        ]
    if config.goal not in ("heading", "location"):
        return []
    speeds = [np.linalg.norm((m.root_pos[-1] - m.root_pos[0])[:2]) / m.length for m in motions]
    if max(speeds) >= STANDS:
        return []
    return [f"warning: the goal {config.goal} is to walk, and no clip goes anywhere; add one with --motion"]
