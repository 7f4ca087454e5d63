"""Robots of one policy beside each other, each in a world of its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.config import Which
from mjx_mimic.config_yaml import read_run
from mjx_mimic.display.captions import columns_of
from mjx_mimic.display.following import Follower
from mjx_mimic.display.live_policy import Live
from mjx_mimic.display.playable import Drawn, Status
from mjx_mimic.learning.policy import Policy
from mjx_mimic.runs.folder import load_policy, load_run_clips, require_clip, require_one_policy

SPACING = 1.5
"""Between neighbours in the grid, m."""


class SideBySide:
    """A policy on several robots in a grid; see `Playable`, whose `data` is the first one's.

    Clips take turns. Each is shown once from its first frame, on further robots from random phases, as in
    `render`. With a follower, all robots get the policies of a training as they come.
    """

    simulated = True

    def __init__(self, robots: Sequence[Live], follower: Follower | None = None) -> None:
        """Put robots of one policy and task beside each other, where they are in their clips."""
        self.robots, self._follower = robots, follower
        self._random = np.random.default_rng(0)
        first = robots[0]
        self.model, self.data, self.clips = first.model, first.data, first.clips
        self.timestep, self.single_step = first.timestep, first.single_step
        self.dials = first.dials

    @property
    def clip(self) -> int:
        """Index of the first robot's clip."""
        return self.robots[0].clip

    def reset(self, clip: int) -> None:
        """Begin clip number `clip` on the first robot, and those after it on the others."""
        count = len(self.clips)
        for number, robot in enumerate(self.robots):
            own = (clip + number) % count
            phase = 0.0 if number < count else self._random.uniform()
            robot.start(own, phase * robot.motions[own].length)

    def select(self, clip: int) -> None:
        """Begin clip number `clip` as `reset` does; as a skill, all robots when the cycle of theirs ends."""
        if self.robots[0].has_skills:
            for robot in self.robots:
                robot.select(clip)
        else:
            self.reset(clip)

    def step(self) -> None:
        """Take a physics step."""
        for robot in self.robots:
            robot.step()

    def kick(self, forward: float, left: float) -> None:
        """Add to the velocity of each root, m/s, in its robot's heading frame."""
        for robot in self.robots:
            robot.kick(forward, left)

    def dial_values(self) -> list[float]:
        """Return the goal of the first robot."""
        return self.robots[0].dial_values()

    def aim(self, values: Sequence[float] | None) -> None:
        """Set the goals of all robots to the same values of `dials`, or let them change as in training."""
        for robot in self.robots:
            robot.aim(values)

    def aim_at(self, point: NDArray) -> None:
        """Set the goals of all robots to a point (2,) m of the floor that they are drawn on."""
        for robot, drawn in zip(self.robots, self.drawn(), strict=True):
            robot.aim_at(point - drawn.shift[:2])

    def refresh(self) -> None:
        """Bring the poses up to date, and the policy where a training is followed."""
        for robot in self.robots:
            robot.refresh()
        current, policy = self.robots[0].policy, None
        if self._follower is not None and isinstance(current, Policy):
            policy = self._follower.load_newer(current)
        if policy is not None:
            for robot in self.robots:
                robot.policy = policy

    def drawn(self) -> list[Drawn]:
        """Return all robots, shifted from where each began its episode to its place in the grid."""
        here = self.robots[0].origin
        return [
            Drawn(robot.data, robot.reference(), place + here - robot.origin, robot.markers)
            for robot, place in zip(self.robots, places(len(self.robots)), strict=True)
        ]

    def status(self) -> Status:
        """Return the status of the first robot."""
        return self.robots[0].status()


def places(count: int) -> NDArray[np.float64]:
    """Return places (count, 3) m of robots in the world frame: the first one at 0, the others behind it."""
    row, column = np.divmod(np.arange(count), columns_of(count))
    return SPACING * np.stack([-row, column, np.zeros(count)], axis=-1)


def open_run(run: Path, checkpoint: Which, clip: int, count: int = 1, follow: bool = False) -> SideBySide:
    """Put a run's policy on robots, the first one at the start of its clip number `clip`.

    Args:
        run: run folder.
        checkpoint: which policy.
        clip: counted from 0.
        count: of robots.
        follow: whether to load that policy of new checkpoints as they come.

    Raises:
        UserError: no run in this folder, no such checkpoint, no such clip, or a clip cannot be read.
    """
    clips = load_run_clips(run)
    require_clip(clips, clip)
    if follow:
        require_one_policy(run, read_run(run)[1], "followed")
    follower = Follower(run, checkpoint) if follow else None  # before the policy, so that none is missed
    policy, env = load_policy(run, checkpoint, clips)
    shown = SideBySide([Live(policy, env, clips.motions, seed=number) for number in range(count)], follower)
    shown.reset(clip)
    return shown
