"""What a view shows and how: a clip or a policy, running or paused, fast or slow. No window, no JAX."""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.display.drawing import place
from mjx_mimic.robot.mjcf import load_mjcf

SPEED_RANGE = (0.1, 2.0)
_LONGEST_TICK_S = 0.1
_STEPS_A_FRAME = 4


@dataclass(frozen=True)
class Reading:
    """What a view tells in words."""

    clip: str
    seconds: float
    """Time in the clip; goes on through the cycles of a cyclic one."""
    phase: float
    """Of the clip, in [0, 1]."""
    reward: float | None = None
    """Of the last control step, if there is a policy."""
    failure: str | None = None
    """Why training would have ended the episode, and when."""

    def rows(self) -> list[tuple[str, str]]:
        """Labels and values."""
        rows = [("clip", self.clip), ("time", f"{self.seconds:.2f} s"), ("phase", f"{self.phase:.2f}")]
        if self.reward is not None:
            rows += [("reward", f"{self.reward:.3f}"), ("failure", self.failure or "none")]
        return rows


class Shown(Protocol):
    """A clip by itself, or a policy that follows one: what a `Session` drives."""

    model: mujoco.MjModel
    data: mujoco.MjData
    clips: tuple[str, ...]
    clip: int
    """Index in `clips`."""
    timestep: float
    """s that `step` takes."""
    single_step: int
    """Calls of `step` in what the user sees as one."""
    simulated: bool
    """Whether it can be pushed."""

    def reset(self, clip: int) -> None:
        """Begins the clip again, or another one."""

    def step(self) -> None:
        """Goes on by `timestep`."""

    def kick(self, forward: float, left: float) -> None:
        """Adds to the root's velocity, m/s, in the robot's heading."""

    def refresh(self) -> None:
        """Brings the poses of `data`'s bodies up to date, for drawing."""

    def reference(self) -> NDArray | None:
        """qpos (36,) of the reference now, if it is another than what is shown."""

    def reading(self) -> Reading:
        """The state in words."""


class ClipPlayer:
    """A clip without physics; one that does not repeat begins again at its end."""

    simulated = False

    def __init__(self, motion: Motion) -> None:
        self.model = load_mjcf()
        self.data = mujoco.MjData(self.model)
        self.clips: tuple[str, ...] = (motion.name,)
        self.clip = 0
        self.timestep, self.single_step = 1.0 / (motion.fps * _STEPS_A_FRAME), _STEPS_A_FRAME
        self._motion, self._steps = motion, 0
        self.refresh()

    def reset(self, clip: int) -> None:
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        if self._motion.loop == "clamp" and self._seconds > self._motion.length:
            self._steps = 0

    def kick(self, forward: float, left: float) -> None:
        """Nothing: a clip has no inertia."""

    def refresh(self) -> None:
        place(self.model, self.data, sampled(self._motion, np.array([self._seconds]))[0])

    def reference(self) -> None:
        return None

    def reading(self) -> Reading:
        return Reading(self.clips[0], self._seconds, self._seconds / self._motion.length % 1.0)

    @property
    def _seconds(self) -> float:
        return self._steps * self.timestep


class Session:
    """Something shown, and how. One thread owns it and calls `tick`; all others only `ask`."""

    def __init__(self, shown: Shown, speed: float = 1.0) -> None:
        self.shown, self.speed = shown, speed
        self.paused, self.ghost = False, True
        self._asked: queue.SimpleQueue[tuple[Callable[..., None], tuple]] = queue.SimpleQueue()
        self._due = 0.0  # s to simulate, less than a step after each tick
        self._single = 0

    def ask(self, command: Callable[..., None], *arguments: Any) -> None:
        """Has the owner call `command` before its next step; from any thread."""
        self._asked.put((command, arguments))

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def toggle_pause(self) -> None:
        self.paused = not self.paused

    def single_step(self) -> None:
        """Pauses after one more control step, or frame of a clip."""
        self.paused = True
        self._single += self.shown.single_step

    def reset(self) -> None:
        self.shown.reset(self.shown.clip)

    def select(self, clip: str) -> None:
        self.shown.reset(self.shown.clips.index(clip))

    def show_ghost(self, ghost: bool) -> None:
        self.ghost = ghost

    def toggle_ghost(self) -> None:
        self.ghost = not self.ghost

    def set_speed(self, speed: float) -> None:
        """Times real time, within `SPEED_RANGE`."""
        self.speed = float(np.clip(speed, *SPEED_RANGE))

    def tick(self, seconds: float, before_step: Callable[[], None] = lambda: None) -> None:
        """What was asked for, then as much as is due after `seconds` more of real time.

        A machine that cannot keep up shows everything, slower.

        Args:
            before_step: called before each step.
        """
        while not self._asked.empty():
            command, arguments = self._asked.get()
            command(*arguments)
        if self.paused:
            steps, self._single, self._due = self._single, 0, 0.0
        else:
            self._due += min(seconds, _LONGEST_TICK_S) * self.speed
            steps = int(self._due / self.shown.timestep)
            self._due -= steps * self.shown.timestep
        for _ in range(steps):
            before_step()
            self.shown.step()
        self.shown.refresh()

    def reference(self) -> NDArray | None:
        """qpos (36,) of the ghost, if one is to be drawn."""
        return self.shown.reference() if self.ghost else None


def run(
    session: Session,
    draw: Callable[[], None],
    is_open: Callable[[], bool],
    frames_per_second: float,
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Ticks and draws in real time until the view is closed."""
    last = time.monotonic()
    while is_open():
        now = time.monotonic()
        session.tick(now - last, before_step)
        draw()
        last = now
        time.sleep(max(0.0, now + 1.0 / frames_per_second - time.monotonic()))
