"""The command `train` on a point instead of the robot, as processes: seconds instead of a minute each."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jax

from helpers.processes import interruptible
from mjx_mimic import train
from mjx_mimic.common import cli, processes

UPDATE = 32 * 16
"""Samples of one update."""
SETTINGS = (
    *("--motion", "walk", "--no-video", "--num-envs", "32", "--eval-envs", "16", "--eval-interval", "1"),
    *("--network.actor-hidden", "16", "--network.critic-hidden", "16"),
)


def start(
    folder: Path, name: str, *options: str, devices: int = 1, log: str = "", **variables: str
) -> subprocess.Popen:
    """Start a training in the run folder `name` on so many devices; what it prints is added to `<log>.txt`.

    `variables` are added to its environment.
    """
    roots = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*roots, os.environ.get("PYTHONPATH", "")]),
        "XLA_FLAGS": f"--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        **variables,
    }
    arguments = ["-m", "helpers.point_training", *SETTINGS, "--out", str(folder / name), *options]
    with (folder / f"{log or name}.txt").open("a") as output:
        return subprocess.Popen(interruptible(arguments), stdout=output, stderr=output, env=environment)


@contextlib.contextmanager
def joined_on_a_point(cluster: processes.Cluster) -> Iterator[None]:
    """As `joined`, but what is trained then is a point."""
    with processes.joined(cluster):
        import jax.numpy as jnp  # only now may anything compute

        from helpers.point_env import PointEnv
        from mjx_mimic.learning.learner import Learner
        from mjx_mimic.runs import training_run

        training_run.make_learner = lambda config, clips, devices: Learner(  # type: ignore[assignment]
            PointEnv(sign=jnp.float32(1.0)),  # type: ignore[arg-type]
            config,
            tuple(devices),
        )
        training_run.check_memory = lambda learner: None
        yield


if __name__ == "__main__":
    train.joined = joined_on_a_point
    cli.run(train.main)
