"""A policy that acts live: MuJoCo in C simulates one robot, JAX chooses its actions."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.display.drawn_robot import pose_model
from mjx_mimic.display.playable import Dial, Drawn, Status
from mjx_mimic.evaluation.mujoco_engine import addresses, keep_broken_states, model_to_watch
from mjx_mimic.evaluation.recording import Snapshot, StepRecord, snapshot
from mjx_mimic.learning.composite import AnyPolicy
from mjx_mimic.robot import kinematics
from mjx_mimic.robot.implicit_pd import step_with_motors, with_implicit_motors
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.reference import origin
from mjx_mimic.task.skills import OPEN
from mjx_mimic.task.states import EnvState
from mjx_mimic.task.termination import with_endings

_begin = jax.jit(ImitationEnv.reset_to)


@jax.jit
def _arrive(env: ImitationEnv, state: EnvState) -> tuple[EnvState, StepRecord]:
    """Score the control step that led here as an evaluation does, with goal and skills then advanced."""
    pursued, arrival = env.with_config(with_endings(env.config)).arrive(state)
    return pursued, StepRecord(arrival.reward, arrival.causes)


@jax.jit
def _decide(
    env: ImitationEnv, policy: AnyPolicy, state: EnvState, record: StepRecord | None
) -> tuple[EnvState, jax.Array, Snapshot]:
    commanded, pd_target = env.command(state, policy.act(env.observe(state)))
    return commanded, pd_target, snapshot(env, state, record)


@jax.jit
def _dial_values(env: ImitationEnv, state: EnvState) -> dict[str, jax.Array]:
    return env.goal.dial_values(state.goal, env.character(state)) if env.goal else {}


@jax.jit
def _aim(env: ImitationEnv, state: EnvState, values: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return env.goal.aim(values, env.character(state)) if env.goal else {}


@jax.jit
def _aim_at(env: ImitationEnv, state: EnvState, point: jax.Array) -> dict[str, jax.Array]:
    return env.goal.aim_at(state.goal, point, env.character(state)) if env.goal else {}


class Live:
    """A policy on a robot, with its reference; see `Playable`.

    Nothing ends an episode but the end of a clip that is not cyclic, or a state that is not finite: then
    the clip begins again.
    """

    simulated = True

    def __init__(
        self, policy: AnyPolicy, env: ImitationEnv, motions: Sequence[Motion], seed: int = 0
    ) -> None:
        """Put the policy at the start of the first clip.

        Args:
            policy: what acts.
            env: its task.
            motions: the clips of `env`.
            seed: of goals and skills, which are others in each episode.
        """
        self._env = env
        self._key, self._starts = jax.random.key(seed), 0
        self.model = with_implicit_motors(model_to_watch(env, visuals=True))
        keep_broken_states(self.model)
        self.data = mujoco.MjData(self.model)
        self.clips = tuple(motion.name for motion in motions)
        self.timestep, self.single_step = self.model.opt.timestep, env.substeps
        self.motions, self.policy = motions, policy
        goal = env.goal
        self.dials = tuple(
            Dial(name, unit, low, high) for name, (low, high, unit) in (goal.dials if goal else {}).items()
        )
        self._held: dict[str, jax.Array] = {}  # fields of the goal's state that people have set
        self._positions, self._velocities, self._controls = addresses(self.model)
        self.reset(0)

    def reset(self, clip: int) -> None:
        """Begin an episode at the first frame of clip number `clip`."""
        self.start(clip, 0.0)

    @property
    def has_skills(self) -> bool:
        """Whether clips follow each other in an episode."""
        return self._env.config.clips == "skills"

    def start(self, clip: int, seconds: float) -> None:
        """Begin an episode on the reference of clip number `clip` at `seconds`."""
        self.clip = clip
        key = jax.random.fold_in(self._key, self._starts)
        self._starts += 1
        self.state = _begin(self._env, np.int32(clip), np.float32(seconds), key)
        if self.has_skills and self._env.choice is None:
            self._plan(clip)
        self._hold_goal()
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._positions] = self.state.qpos
        self.data.qvel[self._velocities] = self.state.qvel
        self.origin = np.array([*self.state.qpos[:2], 0.0])
        """(3,) m, where the root began this episode, on the floor."""
        self._substep = 0
        self._failure: str | None = None
        self._decide()
        self.refresh()

    def select(self, clip: int) -> None:
        """Begin clip number `clip` at once; as a skill, when the cycle of the current one ends.

        A composite policy chooses again after it.
        """
        if not self.has_skills:
            self.reset(clip)
        elif self._env.choice is None:
            self._plan(clip)
        else:
            self._plan(clip, OPEN)

    def _plan(self, *clips: int) -> None:
        """Have these clips follow the cycle of the current one."""
        assert self.state.skills is not None
        skills = self.state.skills.followed_by(np.array(clips, np.int32))
        self.state = replace(self.state, skills=skills)

    def step(self) -> None:
        """Take a physics step; after the last one of a control step, ask the policy for its next action."""
        step_with_motors(self.model, self.data, self.pd_target, self._controls, self._velocities[6:])
        self._substep += 1
        if self._substep < self.single_step:
            return
        self._substep = 0
        qpos, qvel = self.data.qpos[self._positions], self.data.qvel[self._velocities]
        self.state = replace(
            self.state,
            qpos=qpos.astype(np.float32),
            qvel=qvel.astype(np.float32),
            steps=self.state.steps + 1,
        )
        if not np.isfinite([*qpos, *qvel]).all():
            self.reset(self.clip)
            self._failure = "the simulation broke and began again"
            return
        record = None
        if self._env.pursues:
            self.state, record = _arrive(self._env, self.state)
            self._hold_goal()
        self._decide(record)
        if self._snapshot.causes.clip_end:
            self.reset(self.clip)

    def kick(self, forward: float, left: float) -> None:
        """Add to the root's velocity, m/s, in the robot's heading frame."""
        heading = float(kinematics.heading(self.data.qpos[self._positions[3:7]]))
        cos, sin = np.cos(heading), np.sin(heading)
        self.data.qvel[self._velocities[:2]] += cos * forward - sin * left, sin * forward + cos * left

    def dial_values(self) -> list[float]:
        """Return the goal as it is, in the order of `dials`."""
        found = _dial_values(self._env, self.state)
        return [float(found[dial.name]) for dial in self.dials]

    def aim(self, values: Sequence[float] | None) -> None:
        """Set the goal to values of the `dials` and hold it there; None: let it change as in training."""
        self._held = {}
        if values is not None and self.dials:
            named = {dial.name: np.float32(x) for dial, x in zip(self.dials, values, strict=True)}
            self._held = _aim(self._env, self.state, named)
        self._hold_goal()

    def aim_at(self, point: NDArray) -> None:
        """Set the goal to a point (2,) m on the floor of the world frame, and hold it there."""
        if self.dials:
            self._held = _aim_at(self._env, self.state, np.asarray(point, np.float32))
        self._hold_goal()

    def _hold_goal(self) -> None:
        if self._held and self.state.goal is not None:
            self.state = replace(self.state, goal=replace(self.state.goal, **self._held))

    def refresh(self) -> None:
        """Bring the poses of the bodies up to date: `mj_step` leaves them one step behind the coordinates."""
        pose_model(self.model, self.data, self.data.qpos)

    def reference(self) -> NDArray:
        """Return the reference's qpos (36,) now, or at the last control step if it goes with the robot."""
        if self._env.goes_with_robot:
            return np.asarray(self._snapshot.reference)
        motion = self.motions[self.clip]
        qpos = sampled(motion, np.array([self._seconds]))[0]
        qpos[:3] -= origin(motion)
        return qpos

    def drawn(self) -> list[Drawn]:
        """Return the only robot."""
        return [Drawn(self.data, self.reference(), markers=self.markers)]

    @property
    def markers(self) -> NDArray:
        """The points (K, 3) m in the world that show the goal; none without one."""
        return np.zeros((0, 3)) if self._snapshot.markers is None else np.asarray(self._snapshot.markers)

    def status(self) -> Status:
        """Return clip, time, phase, reward and failure."""
        return Status(
            clip=self.clips[self.clip],
            seconds=self._seconds,
            phase=float(self._snapshot.phase),
            reward=float(self._snapshot.reward),
            failure=self._failure,
        )

    @property
    def _seconds(self) -> float:
        """Time in the clip, between control steps too."""
        steps = int(self._env.clip_steps(self.state)) * self.single_step + self._substep
        return float(self.state.start_time) + steps * self.timestep

    def _decide(self, record: StepRecord | None = None) -> None:
        """Set the motors' targets for the next control step, and note how the last one, `record`, ended."""
        decided = jax.device_get(_decide(self._env, self.policy, self.state, record))
        self.state, self.pd_target, self._snapshot = decided
        """PD targets (29,) of the motors, rad."""
        self.clip = int(self.state.clip)
        causes = self._snapshot.causes
        if self._failure is None and causes.terminated:
            self._failure = f"{causes.failure} at {self._seconds:.2f} s"
