"""The one place that maps over devices.

A function is written for one device, with its own environments and its own copy of the networks.
`map_devices` compiles it for all of them at once: every leaf of its arguments and results has a leading axis
of devices. What the copies must agree on is averaged over the named axis `DEVICES`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DEVICES = "devices"
"""Name of the mapped axis."""

Devices = Sequence[jax.Device]


def map_devices(devices: Devices, function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """Compile `function` for all devices, over the leading axis of every leaf of its arguments.

    Args:
        devices: D devices of this process.
        function: of pytrees; inside it, the axis `DEVICES` is named.
        donate: arguments whose buffers the result may take over.
    """
    return jax.pmap(function, axis_name=DEVICES, devices=devices, donate_argnums=donate)


def place(devices: Devices, tree: Any) -> Any:
    """Put a tree, whose leaves (D, ...) lead with the axis of devices, on them."""
    sharding = NamedSharding(Mesh(np.array(devices), (DEVICES,)), PartitionSpec(DEVICES))
    return jax.device_put(tree, sharding)


def replicate(devices: Devices, tree: Any) -> Any:
    """Put a copy of a tree on every device."""
    return place(devices, jax.tree.map(lambda x: jnp.broadcast_to(x, (len(devices), *x.shape)), tree))


def first_device(tree: Any) -> Any:
    """Return the first device's copy of a mapped tree, as NumPy, without gathering the others."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


def average(tree: Any) -> Any:
    """Average every leaf over the devices; only inside a mapped function."""
    return jax.lax.pmean(tree, DEVICES)
