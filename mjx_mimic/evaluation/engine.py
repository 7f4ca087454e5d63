"""Which physics runs the episodes of an evaluation: MJX as in training, or MuJoCo in C."""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import mujoco
import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EngineName
from mjx_mimic.config_checks import check_physics_rate
from mjx_mimic.evaluation.episode import Outcome
from mjx_mimic.evaluation.episodes import Evaluation
from mjx_mimic.evaluation.mjx_engine import run_in_mjx
from mjx_mimic.evaluation.mujoco_engine import free_joint, load_other, run_in_mujoco, with_fields
from mjx_mimic.task.dynamics import Dynamics, model_fields


@dataclass(frozen=True)
class Engine:
    """A physics engine and how it is used."""

    name: EngineName = "mjx"
    seed: int = 0
    """Of start phases, pushes and noise."""
    mjcf: Path | None = None
    """With MuJoCo in C: another G1 with the same joint names, in a scene of its own."""
    solver_iterations: int = 0
    """With MuJoCo in C: most iterations of the contact solver in a physics step; 0: the model's."""
    physics_hz: float = 0.0
    """With MuJoCo in C: physics steps per second, a multiple of the control rate; 0: as in training."""

    def model(self, evaluation: Evaluation) -> mujoco.MjModel:
        """Return the model of the episodes' robot.

        Raises:
            UserError: `mjcf` cannot be used.
        """
        robot = evaluation.env.robot
        model = load_other(self.mjcf, robot) if self.mjcf else robot.model
        return with_fields(model, model_fields(robot, evaluation.protocol.dynamics))

    def mass(self, evaluation: Evaluation) -> float:
        """Return the mass of the episodes' robot, kg."""
        model = self.model(evaluation)
        root = model.jnt_bodyid[free_joint(model)]
        return float(model.body_mass[model.body_rootid == root].sum())

    def run(self, evaluation: Evaluation, at_first: NDArray[np.bool_], recorded: int = 0) -> Outcome:
        """Run N episodes.

        Args:
            evaluation: task, policy and protocol.
            at_first: (N,) which of them start at their clip's first frame, the others at random phases.
            recorded: episodes to record, the first ones.

        Raises:
            UserError: `mjcf` cannot be used, `physics_hz` is no multiple, or MuJoCo in C is to go on from
                states of robots that differ.
        """
        if self.name == "mjx":
            return run_in_mjx(evaluation, at_first, self.seed, jax.local_devices(), recorded)
        protocol, starts = evaluation.protocol, evaluation.starts
        if starts is not None and jax.tree.leaves(starts.dynamics):
            if not jax.tree.leaves(protocol.dynamics):
                raise UserError(
                    "option --engine: mujoco simulates one robot, and those of this training differ from each"
                    " other; leave it out"
                )
            # The one robot is the protocol's.
            nominal = jax.vmap(lambda state: evaluation.env.with_dynamics(state, Dynamics()))(starts)
            evaluation = replace(evaluation, starts=nominal)
        model = self.model(evaluation)
        # Friction and masses are in the model; without them in the protocol, what is compiled serves any.
        evaluation = replace(evaluation, protocol=replace(protocol, friction=None, mass=None))
        if self.physics_hz:
            config = evaluation.env.config
            check_physics_rate("--physics-hz", self.physics_hz, config.control_hz)
            model.opt.timestep = 1.0 / self.physics_hz
            env = evaluation.env.with_config(replace(config, physics_hz=self.physics_hz))
            evaluation = replace(evaluation, env=env)
        if self.solver_iterations:
            model.opt.iterations = self.solver_iterations
            model.opt.ls_iterations = 50
        return run_in_mujoco(evaluation, at_first, self.seed, model, recorded)
