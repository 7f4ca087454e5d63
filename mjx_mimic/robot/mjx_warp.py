"""MJX-Warp: the same physics in NVIDIA's Warp instead of JAX.

It is there where a program has imported `warp` before MJX (`quiet_mjx`). On a CPU it runs too, at about a
tenth of the speed, so that all of this can be tried without a card.

Its buffers of contacts hold those of all robots together, so a step needs to know how many there are, which
code under `vmap` does not. `custom_vmap` tells.
"""

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mjx_mimic.common.errors import UserError
from mjx_mimic.robot.quiet_mjx import mjx

OPTION = "option --physics-impl"


class PhysicsState(NamedTuple):
    """What a physics step leads from and to."""

    qpos: jax.Array  # (36,)
    qvel: jax.Array  # (35,)
    warm_start: jax.Array  # (35,)


@dataclass(frozen=True, eq=False)
class WarpPhysics:
    """A model for MJX-Warp and the sizes of its buffers, which are MJX's own, so that they can't overflow.

    Hashes by identity, so that it can be static.
    """

    model: mujoco.MjModel
    mjx_model: mjx.Model
    contacts: int  # that a robot can have
    rows: int  # of constraints that a robot can have

    @classmethod
    def make(cls, model: mujoco.MjModel, jax_data: mjx.Data, device: jax.Device) -> Self:
        """Put a model on a device.

        Args:
            model: of the robot.
            jax_data: MJX's own of the same model, whose static sizes count.
            device: where to.

        Raises:
            UserError: Warp is not there, or does not run on the device.
        """
        is_nvidia = device.platform == "gpu" and "cuda" in device.client.platform_version.lower()
        if not (is_nvidia or device.platform == "cpu"):
            raise UserError(f"{OPTION}: warp runs on NVIDIA GPUs, not on {device.device_kind}; use jax")
        if sys.modules["mujoco.mjx.warp"].WARP_INSTALLED is False:
            raise UserError(
                f"{OPTION}: MJX was imported without Warp; in a program of your own, `import warp` before"
                " mjx_mimic"
            )
        put = mjx.put_model(model, device=device, impl="warp")
        # One Newton iteration never converges, which Warp would print for each of them.
        quiet = put.opt._impl.replace(warn_overflow=0)
        return cls(
            model=model,
            mjx_model=put.replace(opt=put.opt.replace(_impl=quiet)),
            contacts=max(jax_data._impl.ncon, 1),
            rows=jax_data._impl.nefc,
        )

    def step(
        self, fields: dict[str, jax.Array], state: PhysicsState, ctrl: jax.Array, force: jax.Array
    ) -> tuple[PhysicsState, jax.Array]:
        """Take a physics step of one robot; under `vmap`, of all of them at once.

        Args:
            fields: what differs from the model, by its names in MuJoCo.
            state: where it starts.
            ctrl: (J,) rad, targets of the motors.
            force: (3,) N on the root, world frame.

        Returns:
            Where it ends, and the summed depths () m by which parts of the robot are in others.
        """
        alone = jax.tree.map(lambda x: x[None], (fields, state, ctrl, force))
        return jax.tree.map(lambda x: x[0], self._of_any_number(alone))

    def _of_any_number(self, inputs: Any) -> Any:
        """Take a step of robots along the first axis, and of more where `vmap` adds axes."""

        @jax.custom_batching.custom_vmap
        def step(inputs: Any) -> Any:
            return self._step(*inputs)

        @step.def_vmap
        def with_one_more_axis(axis_size: int, is_batched: list[Any], inputs: Any) -> Any:
            def flattened(x: jax.Array, batched: bool) -> jax.Array:
                x = x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                return x.reshape(-1, *x.shape[2:])

            moved = step(jax.tree.map(flattened, inputs, is_batched[0]))
            moved = jax.tree.map(lambda x: x.reshape(axis_size, -1, *x.shape[1:]), moved)
            return moved, jax.tree.map(lambda _: True, moved)

        return step(inputs)

    def _step(
        self, fields: dict[str, jax.Array], states: PhysicsState, ctrl: jax.Array, force: jax.Array
    ) -> tuple[PhysicsState, jax.Array]:
        """Take a step of N robots; all arrays (N, ...)."""
        at_rest = self.data(len(ctrl))
        root = int(self.model.jnt_bodyid[0])

        def one(
            fields: dict[str, jax.Array], state: PhysicsState, ctrl: jax.Array, force: jax.Array
        ) -> tuple[PhysicsState, Any]:
            data = at_rest.replace(
                qpos=state.qpos,
                qvel=state.qvel,
                qacc_warmstart=state.warm_start,
                ctrl=ctrl,
                xfrc_applied=at_rest.xfrc_applied.at[root, :3].set(force),
            )
            data = mjx.step(self.mjx_model.tree_replace(fields), data)
            found = data._impl
            contacts = (found.contact__dist, found.contact__geom, found.contact__worldid, found.nacon)
            return PhysicsState(data.qpos, data.qvel, data.qacc_warmstart), contacts

        moved, contacts = jax.vmap(one, out_axes=(0, None))(fields, states, ctrl, force)
        return moved, self._self_contact(len(ctrl), *contacts)

    def _self_contact(
        self, count: int, depth: jax.Array, geoms: jax.Array, robots: jax.Array, found: jax.Array
    ) -> jax.Array:
        """Return the summed depths (N,) m of each robot's contacts with itself."""
        is_self = jnp.all(geoms != self.model.geom("floor").id, axis=-1)
        is_contact = is_self & (jnp.arange(len(depth)) < found[0])
        return jnp.zeros(count).at[robots].add(jnp.where(is_contact, jnp.maximum(-depth, 0.0), 0.0))

    def data(self, count: int) -> mjx.Data:
        """Return a robot's data at rest, with room for the contacts of `count` robots."""
        sizes = {"naconmax": count * self.contacts, "njmax": self.rows}
        with jax.ensure_compile_time_eval():
            made = mjx.make_data(self.model, impl="warp", **sizes)
            is_zero = jax.tree.map(lambda x: not np.asarray(x).any(), made)
        # The buffers are many zeros, which need not be constants of the compiled program.
        return jax.tree.map(lambda x, zero: jnp.zeros(x.shape, x.dtype) if zero else x, made, is_zero)
