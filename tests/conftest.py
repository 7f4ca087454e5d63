"""Strict session settings: two CPU devices, no silent rank promotion surprises, one compilation cache."""

import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

from mjx_mimic.display.gl import choose_gl_backend

choose_gl_backend()  # before MuJoCo is imported

import jax
import numpy as np
import pytest
from numpy.typing import ArrayLike

jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)

from mjx_mimic.robot.model import CharacterState, Robot, load_robot

SHARED = Path(__file__).parents[2] / "shared"


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
    """A folder with a clip, `sway.npz`, and `whole`, a run on it of four updates, with its video where there
    is a GL library."""
    from helpers.small_run import STEPS, command, sway

    from mjx_mimic.clips.formats import native

    path = tmp_path_factory.mktemp("training")
    native.write(path / "sway.npz", sway())
    assert command(path, "whole", "--total-steps", str(4 * STEPS)) == 0
    return path
