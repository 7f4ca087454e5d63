"""A policy that acts live: MuJoCo in C simulates one robot, JAX chooses its actions."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import jax
import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.display.drawing import place
from mjx_mimic.display.session import Reading
from mjx_mimic.evaluation.episodes import Policy
from mjx_mimic.evaluation.mujoco_engine import addresses
from mjx_mimic.evaluation.recording import Moment, moment
from mjx_mimic.learning.learner import Learner, make_learner
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.runs.config_yaml import read_config
from mjx_mimic.runs.folder import Checkpoints
from mjx_mimic.task.env import EnvState, ImitationEnv


class Live:
    """A policy on a robot, with its reference; see `viewing.Shown`.

    Nothing ends an episode but the end of a clip that does not repeat, or a state that is not finite: then
    the clip begins again.
    """

    simulated = True

    def __init__(self, learner: Learner, policy: Policy, motions: Sequence[Motion], clip: int = 0) -> None:
        self._env = learner.env
        config = learner.env.config
        self.model = load_mjcf(config.contacts, config.physics_hz)
        # A broken state must show, not silently become the initial one.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.data = mujoco.MjData(self.model)
        self.clips = tuple(motion.name for motion in motions)
        self.timestep, self.single_step = self.model.opt.timestep, learner.env.substeps
        self._motions = motions
        self._positions, self._velocities, self._controls = addresses(self.model)

        def decide(env: ImitationEnv, policy: Policy, state: EnvState) -> tuple[jax.Array, Moment]:
            observation = Normalizer(**policy["normalizer"])(env.observe(state))
            action, _ = learner.policy(policy["actor"], observation)
            return env.pd_target(state, action), moment(env, state)

        self._policy = policy
        self._compiled = jax.jit(decide)
        self._begin = jax.jit(ImitationEnv.reset_to)
        self.reset(clip)

    def reset(self, clip: int) -> None:
        self.start(clip, 0.0)

    def start(self, clip: int, seconds: float) -> None:
        """An episode from the reference of `clip` at `seconds`."""
        self.clip = clip
        self.state = self._begin(self._env, np.int32(clip), np.float32(seconds))
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._positions] = self.state.qpos
        self.data.qvel[self._velocities] = self.state.qvel
        self._substep = 0
        self._failure: str | None = None
        self._decide()
        self.refresh()

    def step(self) -> None:
        """One physics step; after the last one of a control step, the policy's next action."""
        mujoco.mj_step(self.model, self.data)
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
        self._decide()
        if self._moment.causes.clip_end:
            self.reset(self.clip)

    def kick(self, forward: float, left: float) -> None:
        w, x, y, z = self.data.qpos[self._positions[3:7]]
        heading = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
        turn = complex(forward, left) * complex(math.cos(heading), math.sin(heading))
        self.data.qvel[self._velocities[:2]] += turn.real, turn.imag

    def refresh(self) -> None:
        # `mj_step` leaves the bodies one step behind the coordinates.
        place(self.model, self.data, self.data.qpos)

    def reference(self) -> NDArray:
        return sampled(self._motions[self.clip], np.array([self._seconds]))[0]

    def reading(self) -> Reading:
        return Reading(
            clip=self.clips[self.clip],
            seconds=self._seconds,
            phase=float(self._moment.phase),
            reward=float(self._moment.reward),
            failure=self._failure,
        )

    @property
    def pd_target(self) -> NDArray:
        """Joint angles (29,) that the policy asks the motors for."""
        return self.data.ctrl[self._controls].copy()

    @property
    def _seconds(self) -> float:
        """Time in the clip, between control steps too."""
        steps = int(self.state.steps) * self.single_step + self._substep
        return float(self.state.start_time) + steps * self.timestep

    def _decide(self) -> None:
        """Sets the motors' targets for the next control step, and notes what led to this state."""
        pd_target, self._moment = jax.device_get(self._compiled(self._env, self._policy, self.state))
        self.data.ctrl[self._controls] = pd_target
        causes = self._moment.causes
        if self._failure is None and causes.terminated:
            self._failure = f"{'fall' if causes.fall else 'deviation'} at {self._seconds:.2f} s"


def open_run(path: Path, checkpoint: Literal["best", "last"], clip: int) -> Live:
    """A run's policy at the start of its clip number `clip`.

    Raises:
        UserError: no run there, no such checkpoint, no such clip, or its clips have gone.
    """
    config = read_config(path)
    clips = load_clips(config.motion, config.motion_weights)
    if not 0 <= clip < len(clips.motions):
        raise UserError(f"option --clip: {clip} will not do; the run has clips 0 to {len(clips.motions) - 1}")
    policy = Checkpoints(path).restore_policy(checkpoint)
    return Live(make_learner(config, clips, jax.devices()[:1]), policy, clips.motions, clip)
