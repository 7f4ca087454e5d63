"""The one place that maps over devices.

A function is written for one device, with its own environments and its own copy of the networks.
`map_devices` compiles it for all of them at once: every leaf of its arguments and results has a leading axis
of devices. What the copies must agree on is averaged over the named axis `DEVICES`.

Where several processes train together, the devices are those of all of them, and each process holds the rows
of its own ones.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DEVICES = "devices"
"""Name of the mapped axis."""

Devices = Sequence[jax.Device]


def map_devices(devices: Devices, function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """Compile `function` for all devices, over the leading axis of every leaf of its arguments.

    Args:
        devices: D devices, of all processes.
        function: of pytrees; inside it, the axis `DEVICES` is named.
        donate: arguments whose buffers the result may take over.
    """
    return jax.pmap(function, axis_name=DEVICES, devices=devices, donate_argnums=donate)


def all_devices() -> tuple[jax.Device, ...]:
    """Return the devices of all processes, process by process."""
    return tuple(sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))


def devices_for(num_envs: int) -> tuple[jax.Device, ...]:
    """Return the devices to train on; of a CPU's cores, as many as the environments spread over evenly.

    A run of another machine thus goes on, whatever its number of cores. `num_envs` is 0 where it is sized.
    """
    devices = all_devices()
    if devices[0].platform != "cpu" or jax.process_count() > 1:
        return devices
    count = next(count for count in range(len(devices), 0, -1) if num_envs % count == 0)
    return devices[:count]


def place(devices: Devices, tree: Any) -> Any:
    """Put a tree, whose leaves (D, ...) lead with the axis of devices, on them; each process its own rows."""
    rows = np.array([device.process_index == jax.process_index() for device in devices])
    mine = tree if rows.all() else jax.tree.map(lambda x: x[np.flatnonzero(rows)], tree)
    return _put(_own(devices), mine)


def replicate(devices: Devices, tree: Any) -> Any:
    """Put a copy of a tree on every device."""
    own = _own(devices)
    sharding = _sharding(own)

    def copies(x: jax.Array) -> jax.Array:
        # One by one: the first device may not have room for the copies of all.
        row = x[None]
        shards = [jax.device_put(row, device) for device in own]
        return jax.make_array_from_single_device_arrays((len(own), *x.shape), sharding, shards)

    return jax.tree.map(copies, tree)


def _own(devices: Devices) -> Devices:
    """Return the devices of this process."""
    return [device for device in devices if device.process_index == jax.process_index()]


def _put(own: Devices, tree: Any) -> Any:
    return jax.device_put(tree, _sharding(own))


def _sharding(own: Devices) -> NamedSharding:
    return NamedSharding(Mesh(np.array(own), (DEVICES,)), PartitionSpec(DEVICES))


def gather(tree: Any) -> Any:
    """Return a mapped tree of arrays on the host of every process, as NumPy: the rows of all devices."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def first_device(tree: Any) -> Any:
    """Return the first device's copy of a mapped tree, as NumPy, without gathering the others."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


def average(tree: Any) -> Any:
    """Average every leaf over the devices; only inside a mapped function."""
    return jax.lax.pmean(tree, DEVICES)
