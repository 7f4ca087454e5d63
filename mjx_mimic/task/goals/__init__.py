"""Goals beside imitation: a file for each, behind the interface `Goal`."""

from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.model import Robot
from mjx_mimic.task.goals.base import Goal, GoalState, Moment
from mjx_mimic.task.goals.heading import Heading, HeadingState
from mjx_mimic.task.goals.location import Location, LocationState
from mjx_mimic.task.goals.strike import Strike, StrikeState
from mjx_mimic.task.goals.throw import Throw, ThrowState

__all__ = ["STATES", "Goal", "GoalState", "Moment", "make_goal"]

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
