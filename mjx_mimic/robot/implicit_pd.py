"""Motors whose PD law holds at the end of a physics step, so that long steps are stable and accurate.

A motor gives kp (target - q) - kd v. With q and v of the step's beginning that overshoots once kd dt exceeds
the inertia that it moves, and the G1's gains reach that at 125 Hz for a joint without load. With the step's
end, q' = q + dt v' and v' = v + dt a, the torque is

    kp (target - dt v - q) - kd v - (dt kd + dt^2 kp) a,

which is the same motor with another target, on a joint with more armature. So the mass matrix and the contact
solver know of it, as they do not where an integrator adds the damping after the solver (MuJoCo's
`implicitfast`): contacts hold after a single Newton iteration. Both changes vanish with the step. A torque at
the motor's limit is clipped before the last term, which then slows the joint as if the motor still braked it.
"""

import copy
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray


def added_armature(kp: Any, kd: Any, dt: float) -> Any:
    """Return what a motor adds to its joint's armature (..., J) kg m^2.

    Args:
        kp: (..., J) N m/rad.
        kd: (..., J) N m s/rad.
        dt: length of a physics step, s.
    """
    return dt * kd + dt * dt * kp


def shifted_target(target: Any, dof_vel: Any, dt: float) -> Any:
    """Return the target (..., J) rad that the motor is given for one physics step.

    Args:
        target: (..., J) rad, of the PD law.
        dof_vel: (..., J) rad/s, at the step's beginning.
        dt: length of the physics step, s.
    """
    return target - dt * dof_vel


def with_implicit_motors(model: mujoco.MjModel) -> mujoco.MjModel:
    """Return a copy of a model, for MuJoCo in C, whose joints have the armature that its PD motors add."""
    model = copy.deepcopy(model)
    driven = model.jnt_dofadr[model.actuator_trnid[:, 0]]
    kp, kd = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
    np.add.at(model.dof_armature, driven, added_armature(kp, kd, model.opt.timestep))
    return model


def step_with_motors(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    target: NDArray,
    controls: NDArray | slice = slice(None),
    joints: NDArray | slice = slice(6, None),
) -> None:
    """Take a physics step in MuJoCo C under the PD targets (J,) rad of motors.

    Args:
        model: what `with_implicit_motors` returns.
        data: its state, which moves on.
        target: (J,) rad.
        controls: where the motors are in ctrl; by default as the G1 has them.
        joints: where their joints are in qvel, likewise.
    """
    data.ctrl[controls] = shifted_target(target, data.qvel[joints], model.opt.timestep)
    mujoco.mj_step(model, data)
