"""What a live view plays: a clip by itself, or a policy that follows one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.display.captions import clip_phase
from mjx_mimic.display.drawn_robot import pose_model
from mjx_mimic.robot.mjcf import load_mjcf

_STEPS_PER_FRAME = 4


@dataclass(frozen=True)
class Status:
    """The state of a playable, for people to read."""

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
        """Return the state as labels and values."""
        rows = [("clip", self.clip), ("time", f"{self.seconds:.2f} s"), ("phase", f"{self.phase:.2f}")]
        if self.reward is not None:
            rows += [("reward", f"{self.reward:.3f}"), ("failure", self.failure or "none")]
        return rows


@dataclass(frozen=True, eq=False)
class Drawn:
    """A robot as a view draws it."""

    data: mujoco.MjData
    reference: NDArray | None
    """(36,) qpos of its reference in the frame of `data`, if it has one and that is to be drawn."""
    shift: NDArray = field(default_factory=lambda: np.zeros(3))
    """(3,) m in the world frame, from where `data`, `reference` and `markers` have it."""
    markers: NDArray = field(default_factory=lambda: np.zeros((0, 3)))
    """(K, 3) m in the world frame, what shows its goal; always as many."""


@dataclass(frozen=True)
class Dial:
    """A number with which people set a goal, from `low` to `high` in its unit."""

    name: str
    unit: str
    low: float
    high: float


class Playable(Protocol):
    """A clip by itself, or a policy that follows one: what a `Session` drives."""

    model: mujoco.MjModel
    data: mujoco.MjData
    clips: tuple[str, ...]
    """Names of the clips to choose from."""
    timestep: float
    """Time that `step` takes, s."""
    single_step: int
    """Calls of `step` in what the user sees as one: a control step, or a frame of a clip."""
    simulated: bool
    """Whether it can be pushed."""

    dials: tuple[Dial, ...]
    """What sets its goal; empty: it has none."""

    @property
    def clip(self) -> int:
        """Index of the current one in `clips`."""

    def reset(self, clip: int) -> None:
        """Begin clip number `clip`."""

    def select(self, clip: int) -> None:
        """Begin clip number `clip`; as a skill, when the cycle of the current one ends."""

    def step(self) -> None:
        """Advance by `timestep`."""

    def kick(self, forward: float, left: float) -> None:
        """Add to the root's velocity, m/s, in the robot's heading frame."""

    def dial_values(self) -> list[float]:
        """Return the goal as it is, in the order of `dials`."""

    def aim(self, values: Sequence[float] | None) -> None:
        """Set the goal to values of the `dials` and hold it there; None: let it change as in training."""

    def aim_at(self, point: NDArray) -> None:
        """Set the goal to a point (2,) m on the floor of the world frame, and hold it there."""

    def refresh(self) -> None:
        """Bring the poses of the bodies in `data` up to date, for drawing."""

    def drawn(self) -> list[Drawn]:
        """Return what is to be drawn, each with its reference; the first one is `data`, where it is."""

    def status(self) -> Status:
        """Return the state for people to read."""


class ClipPlayer:
    """Clips without physics; one that is not cyclic begins again at its end. See `Playable`."""

    simulated = False
    dials: tuple[Dial, ...] = ()

    def __init__(self, motions: Sequence[Motion], clip: int = 0) -> None:
        """Put the robot in the first frame of a clip."""
        self.model = load_mjcf()
        self.data = mujoco.MjData(self.model)
        self.clips: tuple[str, ...] = tuple(motion.name for motion in motions)
        self.single_step = _STEPS_PER_FRAME
        self._motions = motions
        self.reset(clip)
        self.refresh()

    def reset(self, clip: int) -> None:
        """Begin a clip."""
        self.clip, self._motion, self._steps = clip, self._motions[clip], 0
        self.timestep = 1.0 / (self._motion.fps * _STEPS_PER_FRAME)

    def select(self, clip: int) -> None:
        """Begin clip number `clip`."""
        self.reset(clip)

    def step(self) -> None:
        """Advance by a fraction of a frame."""
        self._steps += 1
        if self._motion.loop == "clamp" and self._seconds > self._motion.length:
            self._steps = 0

    def kick(self, forward: float, left: float) -> None:
        """Do nothing: a clip has no inertia."""

    def dial_values(self) -> list[float]:
        """Return nothing: a clip has no goal."""
        return []

    def aim(self, values: Sequence[float] | None) -> None:
        """Do nothing."""

    def aim_at(self, point: NDArray) -> None:
        """Do nothing."""

    def refresh(self) -> None:
        """Pose the robot for drawing."""
        pose_model(self.model, self.data, sampled(self._motion, np.array([self._seconds]))[0])

    def drawn(self) -> list[Drawn]:
        """Return the only robot; what is shown is the reference."""
        return [Drawn(self.data, reference=None)]

    def status(self) -> Status:
        """Return the name of the clip, and the time and phase in it."""
        return Status(self.clips[self.clip], self._seconds, clip_phase(self._motion, self._seconds))

    @property
    def _seconds(self) -> float:
        return self._steps * self.timestep
