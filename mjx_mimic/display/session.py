"""The controls of a live view: running or paused, fast or slow. No window, no JAX."""

import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mjx_mimic.display.options import SPEED_RANGE
from mjx_mimic.display.playable import Drawn, Playable

TURN_DEG, FASTER = 15.0, 0.1
"""What a key or a button changes of a wanted direction, degrees, and speed, m/s."""
_LONGEST_TICK_S = 0.1


class Session:
    """A playable under a user's control.

    One thread owns the session and calls `tick`. Windows and pages have threads of their own, which `ask` the
    owner to call any of the other methods.
    """

    def __init__(self, playable: Playable, speed: float = 1.0) -> None:
        """Control `playable`, running at `speed` times real time."""
        self.playable, self.speed = playable, speed
        self.paused, self.ghost = False, True
        self._requests: queue.SimpleQueue[tuple[Callable[..., None], tuple]] = queue.SimpleQueue()
        self._due = 0.0  # s to simulate, less than a step after each tick
        self._single = 0

    def ask(self, command: Callable[..., None], *arguments: Any) -> None:
        """Have the owner call `command` before its next step; safe from any thread."""
        self._requests.put((command, arguments))

    def pause(self, paused: bool) -> None:
        """Stop the time, or let it run."""
        self.paused = paused

    def single_step(self) -> None:
        """Pause after one more control step, or frame of a clip."""
        self.paused = True
        self._single += self.playable.single_step

    def reset(self) -> None:
        """Begin the clip again."""
        self.playable.reset(self.playable.clip)

    def select(self, clip: str) -> None:
        """Begin the clip of this name; as a skill, when the cycle of the current one ends."""
        self.playable.select(self.playable.clips.index(clip))

    @property
    def steers(self) -> bool:
        """Whether `steer` does anything."""
        return {dial.name for dial in self.playable.dials} == {"direction", "speed"}

    def steer(self, left: float, faster: float) -> None:
        """Turn the wanted direction to the left, degrees, and change the wanted speed, m/s."""
        if not self.steers:
            return
        changed = {"direction": left, "speed": faster}
        values = {
            dial.name: value + changed[dial.name]
            for dial, value in zip(self.playable.dials, self.playable.dial_values(), strict=True)
        }
        values["direction"] = (values["direction"] + 180.0) % 360.0 - 180.0
        self.playable.aim(
            [float(np.clip(values[dial.name], dial.low, dial.high)) for dial in self.playable.dials]
        )

    def show_ghost(self, ghost: bool) -> None:
        """Show the reference, or hide it."""
        self.ghost = ghost

    def set_speed(self, speed: float) -> None:
        """Set the speed, times real time, clipped to `SPEED_RANGE`."""
        self.speed = float(np.clip(speed, *SPEED_RANGE))

    def tick(self, seconds: float, before_step: Callable[[], None] = lambda: None) -> None:
        """Do what was asked for, then as many steps as are due.

        On a machine that cannot keep up, the motion is slower but complete.

        Args:
            seconds: real time since the last tick.
            before_step: called before each step.
        """
        while not self._requests.empty():
            command, arguments = self._requests.get()
            command(*arguments)
        if self.paused:
            steps, self._single, self._due = self._single, 0, 0.0
        else:
            self._due += min(seconds, _LONGEST_TICK_S) * self.speed
            steps = int(self._due / self.playable.timestep)
            self._due -= steps * self.playable.timestep
        for _ in range(steps):
            before_step()
            self.playable.step()
        self.playable.refresh()

    def drawn(self) -> list[Drawn]:
        """Return the robots to draw, with their references if ghosts are to be drawn."""
        drawn = self.playable.drawn()
        return drawn if self.ghost else [replace(robot, reference=None) for robot in drawn]


def run(
    session: Session,
    draw: Callable[[], None],
    is_open: Callable[[], bool],
    frames_per_second: float,
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Tick and draw in real time until the view is closed.

    Args:
        session: owned by the calling thread.
        draw: shows the session's state.
        is_open: whether to go on.
        frames_per_second: of drawing, at most.
        before_step: see `Session.tick`.
    """
    last = time.monotonic()
    while is_open():
        now = time.monotonic()
        session.tick(now - last, before_step)
        draw()
        last = now
        time.sleep(max(0.0, now + 1.0 / frames_per_second - time.monotonic()))
