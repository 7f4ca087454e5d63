"""The robot: its MJCF on the host and on the device, its names, and its kinematics."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from mjx_mimic.common.errors import UserError
from mjx_mimic.robot import rotation
from mjx_mimic.robot.constants import (
    ALL_BODIES,
    G1_JOINTS,
    GROUND_BODIES,
    KEY_BODIES,
    SOLE_GEOMS,
    ContactSet,
    PhysicsImpl,
)
from mjx_mimic.robot.mjcf import COLLISION_GROUP, effort_limits, joint_ranges, load_mjcf
from mjx_mimic.robot.mjx_warp import PhysicsState, WarpPhysics
from mjx_mimic.robot.quiet_mjx import mjx


def exact_products() -> AbstractContextManager:
    """Return a context in which matrix products are computed in full float32, as physics needs.

    The default of an H100 has 10 bits: a control step from the same state then ended 2.4e-4 beside the host's
    in the worst coordinate of the median state.
    """
    return jax.default_matmul_precision("highest")


@struct.dataclass
class CharacterState:
    """What observation, reward, termination and tracking errors see of a robot, simulated or reference.

    Coordinates and the kinematics of the same instant, in the world frame, in m, rad and s; quaternions are
    wxyz. What a compiled function does not read of it is not computed there.
    """

    root_pos: jax.Array  # (..., 3)
    root_quat: jax.Array  # (..., 4)
    root_vel: jax.Array  # (..., 3)
    root_ang_vel: jax.Array  # (..., 3)
    dof_pos: jax.Array  # (..., J)
    dof_vel: jax.Array  # (..., J)
    body_pos: jax.Array  # (..., B, 3) origins of all bodies but the world
    body_quat: jax.Array  # (..., B, 4)
    com_pos: jax.Array  # (..., 3) whole-body centre of mass
    sole_pos: jax.Array  # (..., 2, S, 3) lowest points of the soles' spheres, left and right
    clearance: jax.Array  # (..., G) height of each guarded geom's lowest point


@dataclass(frozen=True, eq=False)
class Robot:
    """A model and what is looked up in it by name, once.

    Hashes by identity, so that it can be a static argument of jit.
    """

    model: mujoco.MjModel
    mjx_model: mjx.Model
    mjx_data: mjx.Data
    body_names: tuple[str, ...]
    key_bodies: np.ndarray  # (K,) rows of `body_pos`
    joint_axes: np.ndarray  # (J, 3)
    joint_bodies: np.ndarray  # (J,) rows of `body_pos` that the joints move
    joint_range: np.ndarray  # (J, 2) rad
    effort_limit: np.ndarray  # (J,) N m
    kp: np.ndarray  # (J,) N m / rad
    kd: np.ndarray  # (J,) N m s / rad
    guarded_geoms: np.ndarray  # (G,) geom ids whose touch on the floor is a fall
    sole_geoms: np.ndarray  # (2, S) geom ids of the spheres under the left and the right foot
    warp: WarpPhysics | None = None  # takes the physics steps; None: MJX does

    def character_state(self, qpos: jax.Array, qvel: jax.Array) -> CharacterState:
        """Return the state, unbatched, at MuJoCo's generalised coordinates, with bodies of the same instant.

        `mjx.step` leaves `xpos` one substep behind `qpos`, so nothing here reads the stepped data.

        Args:
            qpos: (7 + J,) root position and quaternion, joint angles.
            qvel: (6 + J,) root velocity in the world, angular velocity in the root frame, joint velocities.
        """
        return _character_state(self, qpos, qvel)

    def physics_step(
        self,
        fields: dict[str, jax.Array],
        state: PhysicsState,
        ctrl: jax.Array,
        force: jax.Array | None = None,
    ) -> tuple[PhysicsState, jax.Array]:
        """Take a physics step, unbatched.

        Args:
            fields: what differs from the model, by its names in MuJoCo (`dynamics.simulated_fields`).
            state: where it starts.
            ctrl: (J,) rad, targets of the motors.
            force: (3,) N on the pelvis, world frame; None: no force.

        Returns:
            Where it ends, and the summed depths () m by which parts of the robot are in others.
        """
        if self.warp:
            return self.warp.step(fields, state, ctrl, jnp.zeros(3) if force is None else force)
        data = self.mjx_data.replace(
            qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warm_start, ctrl=ctrl
        )
        if force is not None:
            pelvis = int(self.model.jnt_bodyid[0])
            data = data.replace(xfrc_applied=data.xfrc_applied.at[pelvis, :3].set(force))
        with exact_products():
            data = mjx.step(self.mjx_model.tree_replace(fields), data)
        contact = data._impl.contact
        is_self = jnp.all(contact.geom != self.model.geom("floor").id, axis=-1)
        depth = jnp.sum(jnp.where(is_self, jnp.maximum(-contact.dist, 0.0), 0.0))
        return PhysicsState(data.qpos, data.qvel, data.qacc_warmstart), depth

    def key_offsets(self, state: CharacterState) -> jax.Array:
        """Return the key bodies (..., K, 3) m relative to the root, in the world frame."""
        return state.body_pos[..., self.key_bodies, :] - state.root_pos[..., None, :]

    def joint_rotations(self, dof_pos: jax.Array) -> jax.Array:
        """Return the rotation of every body but the root in its parent, (..., B - 1, 4).

        Identity where no joint moves it (MimicKit `KinCharModel.dof_to_rot`).
        """
        hinges = rotation.from_axis_angle(jnp.asarray(self.joint_axes, jnp.float32), dof_pos)
        identity = jnp.array([1.0, 0.0, 0.0, 0.0])
        shape = (*dof_pos.shape[:-1], len(self.body_names) - 1, 4)
        return jnp.broadcast_to(identity, shape).at[..., self.joint_bodies - 1, :].set(hinges)


@partial(jax.jit, static_argnums=0)  # a training step needs it six times, and traces it once
def _character_state(robot: Robot, qpos: jax.Array, qvel: jax.Array) -> CharacterState:
    with exact_products():
        data = mjx.kinematics(robot.mjx_model, robot.mjx_data.replace(qpos=qpos))
    mass = jnp.asarray(robot.model.body_mass, jnp.float32)
    geoms = robot.guarded_geoms
    radius, half_length = jnp.asarray(robot.model.geom_size[geoms, :2], jnp.float32).T
    reach = jnp.abs(data.geom_xmat[geoms, 2, 2]) * half_length + radius
    sole_radius = jnp.asarray(robot.model.geom_size[robot.sole_geoms, 0], jnp.float32)
    return CharacterState(
        **coordinates(qpos, qvel),
        body_pos=data.xpos[1:],
        body_quat=data.xquat[1:],
        com_pos=(mass[:, None] * data.xipos).sum(0) / mass.sum(),
        sole_pos=data.geom_xpos[robot.sole_geoms].at[..., 2].add(-sole_radius),
        clearance=data.geom_xpos[geoms, 2] - reach,
    )


def coordinates(qpos: jax.Array, qvel: jax.Array) -> dict[str, jax.Array]:
    """Return the fields of `CharacterState` that follow from coordinates without any kinematics.

    Arguments as for `Robot.character_state`.
    """
    return {
        "root_pos": qpos[:3],
        "root_quat": qpos[3:7],
        "root_vel": qvel[:3],
        "root_ang_vel": rotation.rotate(qpos[3:7], qvel[3:6]),
        "dof_pos": qpos[7:],
        "dof_vel": qvel[6:],
    }


def load_robot(
    contacts: ContactSet = "feet",
    physics_hz: float = 90.0,
    *,
    ground_bodies: Sequence[str] = (),
    key_bodies: Sequence[str] = KEY_BODIES,
    self_collision: bool = False,
    impl: PhysicsImpl = "jax",
) -> Robot:
    """Compile the MJCF and resolve every name that the rest of the package needs.

    Args:
        contacts: which shapes collide with the floor.
        physics_hz: physics steps per second.
        ground_bodies: that may be on the floor without a fall; empty: those of the contact set.
        key_bodies: whose positions reward and observation count.
        self_collision: see `load_mjcf`.
        impl: what takes the physics steps; kinematics are MJX's own in any case.

    Raises:
        UserError: a body that the G1 does not have, or Warp is asked for and not here.
    """
    model = load_mjcf(contacts, physics_hz, visuals=False, self_collision=self_collision)
    body_names = tuple(model.body(i).name for i in range(1, model.nbody))
    joints = np.array([model.joint(name).id for name in G1_JOINTS])
    actuators = np.array([model.actuator(name).id for name in G1_JOINTS])
    # Joint order is the order of qpos and of ctrl everywhere else, so hold the MJCF to it here.
    assert (model.jnt_qposadr[joints] == 7 + np.arange(len(joints))).all()
    assert (actuators == np.arange(len(joints))).all()

    soles = np.array([[model.geom(name).id for name in foot] for foot in SOLE_GEOMS])
    ground_bodies = tuple(ground_bodies) or GROUND_BODIES[contacts]
    if ground_bodies == ALL_BODIES:
        ground_bodies = body_names
    _check_bodies("--env.ground-bodies", ground_bodies, body_names)
    _check_bodies("--env.key-bodies", key_bodies, body_names)
    allowed = [model.body(name).id for name in ground_bodies]
    surface = np.setdiff1d(np.flatnonzero(model.geom_group == COLLISION_GROUP), soles)
    guarded = surface[~np.isin(model.geom_bodyid[surface], allowed)]
    # `clearance` knows spheres (half length 0) and capsules.
    shapes = [int(mujoco.mjtGeom.mjGEOM_SPHERE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)]
    assert np.isin(model.geom_type[guarded], shapes).all()
    device = jax.local_devices()[0]  # MJX's choice may be another process's
    mjx_model = mjx.put_model(model, device=device, impl="jax")
    mjx_data = mjx.make_data(mjx_model, device=device, impl="jax")
    return Robot(
        model=model,
        mjx_model=mjx_model,
        mjx_data=mjx_data,
        body_names=body_names,
        key_bodies=np.array([body_names.index(name) for name in key_bodies]),
        joint_axes=model.jnt_axis[joints],
        joint_bodies=model.jnt_bodyid[joints] - 1,
        joint_range=joint_ranges(model),
        effort_limit=effort_limits(model),
        kp=model.actuator_gainprm[actuators, 0],
        kd=-model.actuator_biasprm[actuators, 2],
        guarded_geoms=guarded,
        sole_geoms=soles,
        warp=WarpPhysics.make(model, mjx_data, device) if impl == "warp" else None,
    )


def _check_bodies(option: str, bodies: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names of bodies that the robot does not have, and an empty list."""
    unknown = [name for name in bodies if name not in known]
    if unknown or not bodies:
        raise UserError(f"option {option}: no body {', '.join(unknown) or 'at all'}; use {', '.join(known)}")
