"""`mjx-mimic COMMAND`: it starts each command, and lists them all when it gets none that it knows."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mjx_mimic
from mjx_mimic import __main__ as entry

PACKAGE = Path(mjx_mimic.__file__).parent


def test_every_command_module_is_listed():
    modules = {
        path.stem
        for path in PACKAGE.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    }
    assert modules - {"__main__"} == set(entry.COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "complaint"), [([], "error: no command given"), (["walk"], "error: unknown command 'walk'")]
)
def test_a_missing_or_unknown_command_is_answered_with_the_list(arguments, complaint, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mjx-mimic", *arguments])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert lines[0] == complaint
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(entry.COMMANDS)


def test_a_command_gets_its_own_arguments(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mjx-mimic", "motion", "info", "walk"])
    with pytest.raises(SystemExit) as stop:
        entry.main()
    assert stop.value.code == 0
    assert "walk" in capsys.readouterr().out


def test_help_loads_neither_jax_nor_mujoco():
    code = (
        "import sys, atexit; atexit.register(lambda: print(sorted({'jax', 'mujoco'} & set(sys.modules))));"
        "sys.argv = ['mjx-mimic', '--help']; from mjx_mimic.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
