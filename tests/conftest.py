"""Session settings: two CPU devices, one compilation cache, one GL library; slow tests are marked."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

CACHE = Path(__file__).parents[1] / ".jax_cache"

os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the time goes into compiling, which takes a fifth to a third less without LLVM's optimisations.
# A device that waits for the other one aborts the process after 40 s, which an overloaded machine exceeds.
# Unoptimised, processors with other vector instructions also agree to the bit.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2",
        "--xla_cpu_collective_call_terminate_timeout_seconds=900",
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=300",
        os.environ.get("XLA_FLAGS", ""),
    ]
)
# Pages and kernels of this machine are not asked for through a proxy.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"

from mjx_mimic.display.gl import choose_gl_backend


def set_gl_backend() -> None:
    """Name the GL library for off-screen drawing in MUJOCO_GL, which MuJoCo reads when it is imported.

    Finding it takes trials in processes of their own, so what was found is remembered between sessions. The
    tests that draw try it once more, and are skipped if it does not work: delete the file to choose again.
    """
    remembered = CACHE / "gl_backend"
    if os.environ.get("MUJOCO_GL"):
        return
    if remembered.exists():
        os.environ["MUJOCO_GL"] = remembered.read_text()
    elif found := choose_gl_backend():
        CACHE.mkdir(exist_ok=True)
        remembered.write_text(found)


set_gl_backend()

import hypothesis
import jax
import numpy as np
import pytest
from numpy.typing import ArrayLike

jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)

from mjx_mimic.robot.model import CharacterState, Robot, load_robot

# `pytest --hypothesis-profile=long` tries many more examples, others each time.
hypothesis.settings.register_profile("long", max_examples=2000, deadline=None)
hypothesis.settings.register_profile("short", max_examples=40, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs a whole training, and put files with slow tests first.

    Of several processes, none then waits at the end for another one's long file.
    """
    waiting = set()
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            waiting.add(item.path)
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> int:
        """One process makes what `finished` shares, and another meanwhile does what needs it not."""
        if item.path.name == "test_training_loop.py":  # goes on with what `finished` has traced
            return 0
        return 1 if item.path in slow - waiting else 2 if item.path in waiting else 3

    items.sort(key=place)


SHARED = Path(__file__).parents[2] / "shared"


MOST_MAPPINGS = 20_000
"""Of memory, of which each piece of compiled code has three, and Linux allows a process 65,530."""


@pytest.fixture(scope="module", autouse=True)
def few_compilations() -> Iterator[None]:
    """Let compiled functions go after a module that leaves many: thousands in one process made XLA abort."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def robot() -> Robot:
    return load_robot()


@pytest.fixture(scope="session")
def character_of(robot) -> Callable[[ArrayLike, ArrayLike], CharacterState]:
    """`robot.character_state` of up to 64 states (N, 36), (N, 35), compiled once."""
    rows = 64
    compiled = jax.jit(jax.vmap(robot.character_state))

    def call(qpos: ArrayLike, qvel: ArrayLike) -> CharacterState:
        count = len(qpos)
        padded = [np.zeros((rows, 36), np.float32), np.zeros((rows, 35), np.float32)]
        padded[0][:count], padded[1][:count] = qpos, qvel
        return jax.tree.map(lambda array: np.asarray(array)[:count], compiled(*padded))

    return call


@pytest.fixture(scope="session")
def anchors() -> dict:
    path = SHARED / "anchors" / "mimickit_vectors.json"
    if not path.exists():
        pytest.skip(f"MimicKit's vectors are not here: {path}")
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.exists():
        pytest.skip(f"the reference material is not here: {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder with a clip, `sway.npz`, and `whole`, a run on it of four updates. It has videos after the
    second one and at the end where there is a GL library.

    Several test processes share it, so a test names what it adds as no other test does."""
    from helpers.small_run import STEPS, command, sway

    from mjx_mimic.clips.formats import native

    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    path, done = root / "training", root / "training.done"
    with (root / "training.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            native.write(path / "sway.npz", sway())
            often = ("--video-interval", str(2 * STEPS))
            assert command(path, "whole", "--total-steps", str(4 * STEPS), *often) == 0
            done.touch()
    return path
