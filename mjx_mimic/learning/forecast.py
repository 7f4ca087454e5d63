"""What the training step will need and take on an accelerator that is not there, from its compiled program.

The compilers for GPUs and TPUs work without the chip. Memory, kernels, bytes and collectives are then facts;
times are bounds from the chip's data sheet, with a stated time for each kernel.
"""

import importlib.util
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from mjx_mimic.clips.dataset import load_clips
from mjx_mimic.common.accelerators import (
    ACCELERATORS,
    Accelerator,
    AcceleratorName,
    Gpu,
    Tpu,
    gpu_description,
)
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import sized
from mjx_mimic.learning.hlo import Cost, Program, read_program
from mjx_mimic.learning.learner import Learner, make_learner
from mjx_mimic.learning.rollout import CONTROL_STEPS
from mjx_mimic.task.env import PHYSICS_STEPS

STATIONS = {CONTROL_STEPS: "control_step", PHYSICS_STEPS: "physics_step"}
UPDATE = "update"
GROWTH = (1, 2, 4, 8)
"""Multiples of the environments for which samples/s are predicted on one chip."""
SCALES = (8, 64, 1024)
"""Chips for which samples/s are predicted, each with the environments of one."""

Figures = dict[str, Any]


def absent_devices(accelerator: Accelerator, count: int) -> tuple[jax.Device, ...]:
    """Return devices of an accelerator for which can be compiled, though none need be there.

    Raises:
        UserError: the compiler is not installed, or there are too many devices for a machine.
    """
    from jax.experimental import topologies  # loads Mosaic, which nothing else needs

    most = 4 if isinstance(accelerator, Tpu) else accelerator.neighbours
    if not 1 <= count <= most:
        raise UserError(f"option --devices: {count} will not do; use 1 to {most}, and see the predictions")
    package = "libtpu" if isinstance(accelerator, Tpu) else "jax_cuda13_plugin"
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"option --compile-for: {accelerator.title} needs its compiler, which is not installed: put"
            f" `uv run --extra {accelerator.extra}` before the command, or pip install"
            f' "jax[{accelerator.extra}]=={jax.__version__}"'
        )
    if isinstance(accelerator, Gpu):
        found = topologies.get_topology_desc(
            "gpu", "cuda", topology=f"1x1x{count}", target_config=gpu_description(accelerator)
        )
    else:
        assert isinstance(accelerator, Tpu)
        found = topologies.get_topology_desc(accelerator.topology, "tpu")
    return tuple(found.devices[:count])


def forecast(config: TrainConfig, name: AcceleratorName, devices: int) -> Figures:
    """Compile the training step of `config` for an accelerator, and return what it will need and take.

    Raises:
        UserError: the compiler is not installed, or a setting or a clip will not do.
    """
    accelerator = ACCELERATORS[name]
    placed = absent_devices(accelerator, devices)
    config = sized(config, placed[0].platform, devices)
    learner = make_learner(config, load_clips(config.motion, config.motion_weights, config.skip_bad), placed)
    start = time.perf_counter()
    compiled = compile_absent(learner)
    seconds = time.perf_counter() - start
    memory, text = compiled.memory_analysis(), compiled.as_text()
    assert memory is not None  # which these compilers give
    assert text is not None
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return {
        "accelerator": accelerator.title,
        "devices": devices,
        "environments_per_device": config.num_envs // devices,
        "compile_s": seconds,
        **memory_figures(accelerator, needed, config.num_envs // devices),
        **program_figures(learner, accelerator, read_program(text, STATIONS, UPDATE)),
    }


def compile_absent(learner: Learner) -> jax.stages.Compiled:
    """Compile the training step for devices on which nothing can be put."""

    def on_each_device(tree: Any) -> Any:
        shape = (len(learner.devices),)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(shape + jnp.shape(x), jnp.result_type(x)), tree)

    env = on_each_device(learner.env)
    state = jax.eval_shape(learner.compile_init(), env, *[on_each_device(jax.random.key(0))] * 2)
    updates = on_each_device(jnp.float32(learner.updates))
    return learner.compile_train_step().lower(env, updates, state).compile()  # type: ignore[attr-defined]


def memory_figures(accelerator: Accelerator, needed: int, environments: int) -> Figures:
    """Return what one device needs, and how many environments fit if all of it grows with them."""
    each = needed / environments
    return {
        "memory_mb": needed / 1e6,
        "memory_per_environment_kb": each / 1e3,
        "environments_that_fit": int(accelerator.usable * accelerator.memory / each),
    }


def program_figures(learner: Learner, accelerator: Accelerator, program: Program) -> Figures:
    """Return what one training step runs, and the times that follow."""
    control_steps = learner.config.unroll_length
    runs = {
        "physics_step": control_steps * learner.env.substeps,
        "control_step": control_steps,
        UPDATE: 1,
    }
    figures: Figures = {}
    total_s = 0.0
    for station, count in runs.items():
        cost = program.stations[station]
        seconds = roofline(accelerator, cost)
        total_s += seconds
        figures |= {
            f"{station}_kernels": cost.kernels / count,
            f"{station}_mb": cost.bytes / count / 1e6,
            f"{station}_gflop": cost.flops / count / 1e9,
            f"{station}_ms": 1e3 * seconds / count,
        }
    physics_s = roofline(accelerator, program.stations["physics_step"])
    samples = learner.samples_per_step // len(learner.devices)
    collectives = sum(program.collectives.values())
    figures |= {
        "training_step_ms": 1e3 * total_s,
        "training_step_speed_over_physics": physics_s / total_s,
        "physics_samples_per_s": samples / physics_s,
        "loops_of_unknown_length": len(program.unknown_loops),
        "host_transfers": len(program.host_transfers),
        "collectives": collectives,
        "collective_mb": program.collective_bytes / 1e6,
    }
    for factor in GROWTH:  # bytes and operations grow with the environments, kernels do not
        seconds = sum(
            roofline(accelerator, Cost(cost.kernels, factor * cost.bytes, factor * cost.flops))
            for cost in program.stations.values()
        )
        name = f"samples_per_s_of_{factor * samples // control_steps}_environments"
        figures[name] = factor * samples / seconds
    if len(learner.devices) > 1:  # a program for one has no collectives
        for count in SCALES:
            seconds = total_s + all_reduce_s(accelerator, collectives, program.collective_bytes, count)
            figures[f"samples_per_s_on_{count}_devices"] = count * samples / seconds
    return figures


def roofline(accelerator: Accelerator, cost: Cost) -> float:
    """Return the least time, s, of a station: of its bytes or its operations, and of each kernel's start."""
    work_s = max(cost.bytes / accelerator.bandwidth, cost.flops / accelerator.flops)
    return work_s + cost.kernels * accelerator.kernel_s


def all_reduce_s(accelerator: Accelerator, runs: int, size: float, devices: int) -> float:
    """Return the time, s, of so many all-reduces of `size` bytes altogether over chips in a ring.

    Every chip sends and receives 2 (D - 1) / D of the bytes (Patarasuk and Yuan 2009), in 2 log2 D steps as
    in a tree.
    """
    link = accelerator.link if devices <= accelerator.neighbours else accelerator.wide_link
    return 2.0 * (devices - 1) / devices * size / link + runs * 2.0 * math.log2(devices) * accelerator.hop_s


def report(figures: Mapping[str, Any], against: Mapping[str, Any] | None) -> str:
    """Return a line for each figure, with that of other settings and the ratio to it, if there are any."""
    lines = []
    for name, value in figures.items():
        line = f"{name:36s} {_shown(value):>24s}"
        if against is not None:
            other = against.get(name)
            line += f" {_shown(other):>24s}"
            if isinstance(value, int | float) and isinstance(other, int | float) and other:
                line += f" {value / other:8.3f}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def read_figures(path: Path) -> Figures:
    """Read figures that were saved as JSON.

    Raises:
        UserError: the file cannot be read or holds something else.
    """
    try:
        figures = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); name a file that --json wrote") from None
    if not isinstance(figures, dict) or "accelerator" not in figures:
        raise UserError(f"{path}: holds no figures of --compile-for; name a file that --json wrote with it")
    return figures
