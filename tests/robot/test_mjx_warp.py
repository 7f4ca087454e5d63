"""MJX-Warp against MJX. It runs on a CPU too, so that this is the physics itself, not a fake."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.refusals import refusal
from helpers.small_run import STEPS, command, start, sway

from mjx_mimic import train
from mjx_mimic.clips.formats import native
from mjx_mimic.robot.mjx_warp import WarpPhysics
from mjx_mimic.robot.model import load_robot

needs_warp = pytest.mark.skipif(find_spec("warp") is None, reason="needs the extra `warp`")
FIGURES = Path(__file__).parents[1] / "helpers" / "warp_figures.py"


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    done = subprocess.run([sys.executable, FIGURES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@needs_warp
def test_robots_of_their_own_move_as_in_mjx(figures):
    """Upright and lying, each with its own masses, frictions, motors and gravity, under a force."""
    assert figures["apart"] >= 6
    assert figures["positions"] < 5e-5
    assert figures["velocities"] < 2e-3


@pytest.mark.slow
@needs_warp
def test_parts_in_one_another_are_as_deep_as_in_mjx(figures):
    assert figures["deepest"] > 0.1
    assert figures["depths"] < 1e-5


@pytest.mark.slow
@needs_warp
def test_a_batch_of_batches_is_one_batch(figures):
    assert figures["nested"] < 1e-6


@pytest.mark.slow
@needs_warp
def test_the_buffers_hold_all_contacts(figures):
    assert figures["overflow"] == 0


@pytest.mark.slow
@needs_warp
def test_a_training_is_that_of_mjx_and_goes_on_with_it(tmp_path):
    """One update on two devices; then the same run by MJX."""

    def first_report(run: Path) -> dict:
        return json.loads((run / "metrics.jsonl").read_text().splitlines()[0])

    native.write(tmp_path / "sway.npz", sway())
    assert start(tmp_path, "run", STEPS, "--physics-impl", "warp").wait() == 0
    assert command(tmp_path, "mjx", "--total-steps", str(STEPS), "--no-video") == 0
    ours, theirs = first_report(tmp_path / "run"), first_report(tmp_path / "mjx")
    for name in ("samples", "reward", "reward_pose"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.02)
    options = ("--resume", "--physics-impl", "jax", "--total-steps", str(2 * STEPS), "--no-video")
    assert command(tmp_path, "run", *options) == 0


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "warp", None)
    out = tmp_path / "run"
    message = refusal(train.main, ["--physics-impl", "warp", "--no-video", "--out", str(out)])
    assert 'pip install -e ".[warp]"' in message
    assert not out.exists()


@pytest.mark.parametrize(("platform", "version"), [("tpu", "TFRT TPU v5"), ("gpu", "rocm 60000")])
def test_other_accelerators_are_refused(robot, platform, version):
    client = SimpleNamespace(platform_version=version)
    device = SimpleNamespace(platform=platform, device_kind="XPU", client=client)
    message = refusal(WarpPhysics.make, robot.model, robot.mjx_data, device)
    assert message == "option --physics-impl: warp runs on NVIDIA GPUs, not on XPU; use jax"


def test_a_program_that_has_not_imported_warp_is_told_to():
    """These tests have not."""
    message = refusal(load_robot, impl="warp")
    assert "import warp" in message
    assert "--physics-impl" in message
