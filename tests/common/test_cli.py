"""The settings that every command makes before JAX is used."""

import os
import shutil
import subprocess
import sys

import pytest

from mjx_mimic.common import cli

PROGRAM = """
from mjx_mimic.common import cli
cli.prepare_jax()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: x * x + 1.0)(3.0))
"""


@pytest.mark.skipif(shutil.which("nohup") is None, reason="there is no nohup here")
def test_what_nohup_ignores_stays_ignored():
    """So that a training goes on when its terminal is closed."""
    program = (
        "import signal; from mjx_mimic.common import cli; from mjx_mimic.runs.stop import Stop\n"
        "def main(_):\n"
        "    with Stop().listening():\n"
        "        print(signal.getsignal(signal.SIGHUP).name, callable(signal.getsignal(signal.SIGTERM)))\n"
        "    return 0\n"
        "cli.run(main)"
    )

    done = subprocess.run(["nohup", sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "SIG_IGN True\n"


@pytest.mark.parametrize(
    "damage", [lambda contents: b"garbage", lambda contents: contents[: len(contents) // 2]]
)
def test_a_damaged_compilation_cache_does_no_harm(tmp_path, damage):
    def run() -> subprocess.CompletedProcess:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    assert run().stdout == "10.0\n"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(damage(path.read_bytes()))
    done = run()
    assert (done.returncode, done.stdout) == (0, "10.0\n")
    assert "Traceback" not in done.stderr


def test_an_empty_cache_folder_in_the_environment_is_none(tmp_path):
    code = "import os; from mjx_mimic.common import cli; cli.prepare_jax()\n"
    code += "print(os.environ['JAX_COMPILATION_CACHE_DIR'])"
    environment = {**os.environ, "XDG_CACHE_HOME": "", "HOME": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path / '.cache' / 'mjx_mimic' / 'xla'}\n"


def test_a_compilation_cache_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").touch()
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "file" / "xla")}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "10.0\n")
    assert "Traceback" not in done.stderr


def test_what_a_shell_sets_for_other_work_changes_nothing():
    """Numbers stay float32, NaN stays an ending of an episode, and products may be as coarse as they like."""
    code = (
        "from mjx_mimic.common import cli; cli.prepare_jax(); import jax;"
        "x = jax.jit(lambda x: x / x @ x)(jax.numpy.zeros((2, 2))); print(x.dtype, bool(x[0, 0] != x[0, 0]))"
    )
    names = ("JAX_ENABLE_X64", "JAX_DEBUG_NANS", "JAX_DEBUG_INFS")
    environment = os.environ | dict.fromkeys(names, "1") | {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == "float32 True", found.stderr


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8), (None, 8)],
)
def test_a_container_counts_the_cores_that_it_is_given(quota, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    if quota:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cli.cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("variable", "value", "command", "code"),
    [
        ("MUJOCO_GL", "nothing", ["motion", "info", "walk"], 0),  # which draws nothing
        ("JAX_PLATFORMS", "cuda", ["train", "--no-video", "--out", "run"], 2),
    ],
)
def test_variables_that_ask_for_what_is_not_here(variable, value, command, code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"mjx_mimic.{command[0]}", *command[1:]],
        env={**os.environ, variable: value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("error: JAX_PLATFORMS=cuda" in done.stderr) == (code == 2)
    assert not (tmp_path / "run").exists()
