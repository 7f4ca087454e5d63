"""How the robot of one episode differs from the model: drawn at the episode's start, applied in its physics.

What is as in the model is None, so it is neither stored nor computed. The same fields of the model are
replaced in MJX, where each environment then has its own copy of them, and in MuJoCo in C.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mjx_mimic.config import RandomizationConfig, Range
from mjx_mimic.robot import rotation
from mjx_mimic.robot.implicit_pd import added_armature
from mjx_mimic.robot.model import Robot

TRUNK = "torso_link"
Scalar = jax.Array | np.floating[Any] | float


@struct.dataclass
class Dynamics:
    """The robot of one episode."""

    friction: jax.Array | None = None  # () sliding coefficient of soles, floor and everything else
    mass: jax.Array | None = None  # () of all links, relative to the model's
    trunk_com: jax.Array | None = None  # (3,) m, offset of the trunk's centre of mass in its frame
    joint_offset: jax.Array | None = None  # (J,) rad that the encoders show too much
    damping: jax.Array | None = None  # (J,) N m s/rad of the joints
    armature: jax.Array | None = None  # (J,) relative
    kp: jax.Array | None = None  # (J,) relative
    kd: jax.Array | None = None  # (J,) relative
    strength: jax.Array | None = None  # (J,) of the motors, relative
    delay: jax.Array | None = None  # () control steps until a PD target reaches the motors
    gravity: jax.Array | None = None  # (3,) m/s^2


def draw(config: RandomizationConfig, robot: Robot, key: jax.Array, scale: Scalar = 1.0) -> Dynamics:
    """Draw the robot of an episode; each number is uniform in its range, and joints have their own.

    With `scale` () below 1 all are by as much nearer to the model.
    """
    joints = len(robot.kp)
    keys = iter(jax.random.split(key, 11))

    def within(limits: Range, nominal: float, shape: tuple[int, ...] = ()) -> jax.Array | None:
        own = next(keys)
        if limits == (nominal, nominal):
            return None
        drawn = jax.random.uniform(own, shape, minval=limits[0], maxval=limits[1])
        return nominal + scale * (drawn - nominal)

    def around(limit: float, shape: tuple[int, ...]) -> jax.Array | None:
        return within((-limit, limit), 0.0, shape)

    tilt = around(config.gravity_tilt, (2,))
    return Dynamics(
        friction=within(config.friction, 1.0),
        mass=within(config.mass, 1.0),
        trunk_com=around(config.trunk_com, (3,)),
        joint_offset=around(config.joint_offset, (joints,)),
        damping=within(config.joint_damping, 0.0, (joints,)),
        armature=within(config.armature, 1.0, (joints,)),
        kp=within(config.kp, 1.0, (joints,)),
        kd=within(config.kd, 1.0, (joints,)),
        strength=within(config.motor_strength, 1.0, (joints,)),
        delay=within(config.delay, 0.0),
        gravity=None if tilt is None else _tilted(robot, tilt),
    )


def _tilted(robot: Robot, tilt: jax.Array) -> jax.Array:
    """Return gravity (3,) turned about x and y by angles (2,) rad, which are small."""
    size = float(np.linalg.norm(robot.model.opt.gravity))
    about_x, about_y = tilt
    return size * jnp.stack(
        [-jnp.sin(about_y), jnp.sin(about_x) * jnp.cos(about_y), -jnp.cos(about_x) * jnp.cos(about_y)]
    )


def perturbed_start(
    config: RandomizationConfig,
    qpos: jax.Array,
    qvel: jax.Array,
    key: jax.Array,
    scale: Scalar = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Move the start of an episode off the reference.

    Args:
        config: the limits.
        qpos: (7 + J,) of the reference.
        qvel: (6 + J,) of the reference.
        key: of the offsets.
        scale: () of the limits.
    """
    c = config
    limits = (c.start_position, c.start_rotation, c.start_joint, c.start_velocity)
    sizes = (2, 3, len(qpos) - 7, 6)
    place, turn, joints, velocity = (
        scale * jax.random.uniform(own, (size,), minval=-limit, maxval=limit)
        for own, size, limit in zip(jax.random.split(key, 4), sizes, limits, strict=True)
    )
    root_quat = rotation.turned(qpos[3:7], turn)
    qpos = jnp.concatenate([qpos[:2] + place, qpos[2:3], root_quat, qpos[7:] + joints])
    return qpos, qvel.at[:6].add(velocity)


def model_fields(robot: Robot, dynamics: Dynamics) -> dict[str, jax.Array]:
    """Return the fields of the model that differ from the robot's, by their names in MuJoCo.

    `opt.gravity` is that of the options. Constants that MuJoCo derives from masses and armatures when it
    compiles a model stay the nominal ones, in both engines.
    """
    model, d = robot.model, dynamics
    first = model.nv - len(robot.kp)  # degrees of freedom of the root
    trunk = model.body(TRUNK).id
    changes: list[tuple[jax.Array | None, str, Callable[[jax.Array, Any], jax.Array]]] = [
        (d.friction, "geom_friction", lambda x, v: x.at[:, 0].set(v)),
        (d.mass, "body_mass", lambda x, v: v * x),
        (d.mass, "body_inertia", lambda x, v: v * x),
        (d.trunk_com, "body_ipos", lambda x, v: x.at[trunk].add(v)),
        (d.damping, "dof_damping", lambda x, v: x.at[first:].add(v)),
        (d.armature, "dof_armature", lambda x, v: x.at[first:].multiply(v)),
        (d.kp, "actuator_gainprm", lambda x, v: x.at[:, 0].multiply(v)),
        (d.kp, "actuator_biasprm", lambda x, v: x.at[:, 1].multiply(v)),
        (d.kd, "actuator_biasprm", lambda x, v: x.at[:, 2].multiply(v)),
        (d.strength, "jnt_actfrcrange", lambda x, v: x.at[1:].multiply(v[:, None])),
        # Some motors are weaker than their joint.
        (d.strength, "actuator_forcerange", lambda x, v: x * v[:, None]),
    ]
    found: dict[str, jax.Array] = {}
    for value, name, change in changes:
        if value is not None:
            found[name] = change(jnp.asarray(found.get(name, getattr(model, name)), jnp.float32), value)
    return found if d.gravity is None else found | {"opt.gravity": d.gravity}


def simulated_fields(robot: Robot, dynamics: Dynamics, dt: float) -> dict[str, jax.Array]:
    """Return the fields of the MJX model that physics steps of `dt` s differ in, by their names in MuJoCo.

    Those of `model_fields`, with the armature that the motors' PD law adds (`robot.implicit_pd`).
    """
    model, fields = robot.model, model_fields(robot, dynamics)
    gain, bias = (fields.get(name, getattr(model, name)) for name in ("actuator_gainprm", "actuator_biasprm"))
    added = added_armature(gain[:, 0], -bias[:, 2], dt)
    armature = jnp.asarray(fields.get("dof_armature", model.dof_armature), jnp.float32)
    return fields | {"dof_armature": armature.at[model.nv - len(robot.kp) :].add(added)}


def motor_targets(
    dynamics: Dynamics, pd_target: jax.Array, earlier: jax.Array | None, substeps: int
) -> jax.Array:
    """Return the PD targets (S, J) rad that the motors see in the S physics steps of a control step.

    A target arrives `delay` control steps late, and until then the earlier ones hold. In the physics step in
    which it arrives, the motors see the mean of both by their shares of that step, so any delay is exact.
    The encoders' offsets move the targets with what they show.

    Args:
        dynamics: of the robot.
        pd_target: (J,) rad, in angles as the encoders show them.
        earlier: (H, J) rad, the targets of the control steps before, the newest first; None: no delay.
        substeps: S.
    """
    if dynamics.joint_offset is not None:
        pd_target = pd_target - dynamics.joint_offset
    if dynamics.delay is None or earlier is None:
        return jnp.broadcast_to(pd_target, (substeps, *pd_target.shape))
    offset = 0.0 if dynamics.joint_offset is None else dynamics.joint_offset
    targets = [pd_target, *(earlier - offset)]
    seen = jnp.broadcast_to(targets[-1], (substeps, *pd_target.shape))
    for age in reversed(range(len(earlier))):  # each newer target takes over from when it arrives
        share = jnp.clip(jnp.arange(1, substeps + 1) - substeps * (dynamics.delay - age), 0.0, 1.0)
        seen = seen + share[:, None] * (targets[age] - seen)
    return seen
