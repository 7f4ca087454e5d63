"""Strict session settings: two CPU devices, no silent rank promotion surprises, one compilation cache."""

import json
import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax
import pytest

jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)

from mjx_mimic.robot import Robot, load_robot

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def robot() -> Robot:
    return load_robot()


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
