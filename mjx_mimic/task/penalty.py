"""What training takes off the reward for what motors do not like."""

import jax
import jax.numpy as jnp

from mjx_mimic.config import PenaltyConfig
from mjx_mimic.robot.model import Robot
from mjx_mimic.task.states import EnvState, PhysicsTrace
from mjx_mimic.task.tracking_errors import motor_torque

LIMIT_MARGIN = 0.05
"""Distance from a joint's limit within which `PenaltyConfig.joint_limit` counts, rad."""


def penalty(
    config: PenaltyConfig,
    robot: Robot,
    before: EnvState,
    after: EnvState,
    pd_target: jax.Array,
    trace: PhysicsTrace,
) -> jax.Array:
    """Return the penalty () of a control step; terms of weight 0 are not computed.

    The torque is what the model's motors would exert at the step's end. With randomised robots it is
    computed from the model's gains and effort limits, and from the target before any delay, not from the
    torque that the robot's own motors did exert.

    Args:
        config: the weights.
        robot: its joint limits, gains and effort limits.
        before: the state in which the action was chosen, with the action before it.
        after: the state that it led to, with the joints of its last physics step and the action, as clipped.
        pd_target: (J,) rad, what the action asked the motors for.
        trace: of the physics between them.
    """
    total = jnp.float32(0.0)
    if config.action_change and before.action is not None and after.action is not None:
        change = after.action - before.action
        # The first action of an episode changes nothing.
        total += config.action_change * jnp.where(before.steps > 0, jnp.mean(jnp.square(change)), 0.0)
    if config.torque:
        torque = motor_torque(robot, pd_target, after.qpos[7:], after.qvel[6:])
        total += config.torque * jnp.mean(jnp.square(torque / robot.effort_limit))
    if config.joint_limit:
        low, high = robot.joint_range.T
        angle = after.qpos[7:]
        above = jnp.maximum(angle - (high - LIMIT_MARGIN), 0.0)
        below = jnp.maximum(low + LIMIT_MARGIN - angle, 0.0)
        total += config.joint_limit * jnp.sum(above + below)
    if trace.self_contact is not None:
        total += config.self_contact * jnp.mean(trace.self_contact)
    return total
