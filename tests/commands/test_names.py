"""Names that no file can have, wherever a command takes one: one line, and nothing is written."""

from pathlib import Path

import pytest
from helpers.refusals import command_refusal
from helpers.small_run import SMALL

from mjx_mimic import bench, evaluate, export, generate, motion, render, train, view

LONG = "x" * 300
RUN = ["--run", "nowhere"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (bench, ["--json", f"{LONG}.json"]),
        (bench, ["--motion", LONG]),
        (evaluate, ["--run", LONG]),
        (evaluate, [*RUN, "--json", f"{LONG}.json"]),
        (evaluate, [*RUN, "--plot", f"{LONG}.png"]),
        (evaluate, [*RUN, "--record", f"{LONG}.npz"]),
        (evaluate, [*RUN, "--motion", LONG]),
        (export, ["--run", LONG, "--out", "policy.onnx"]),
        (export, [*RUN, "--out", f"{LONG}.onnx"]),
        (motion, ["info", LONG]),
        (motion, ["validate", f"{LONG}/{LONG}.npz"]),
        (motion, ["convert", LONG, "out.npz"]),
        (motion, ["convert", "walk", f"{LONG}.npz"]),
        (motion, ["preview", "walk", "--plot", f"{LONG}.png"]),
        (motion, ["preview", "walk", "--seconds", "0.1", "--out", f"{LONG}.mp4"]),
        (motion, ["preview", "walk", "--seconds", "0.1", "--out", LONG]),
        (motion, ["retarget", f"{LONG}.bvh"]),
        (render, ["--run", LONG, "--out", "video.mp4"]),
        (render, ["--motion", LONG, "--out", "video.mp4"]),
        (render, ["--motion", "walk", "--seconds", "0.1", "--out", f"{LONG}.gif"]),
        (train, ["--motion", LONG]),
        (train, ["--motion", f"{LONG}*"]),
        (train, ["--motion", f"{LONG}.yaml"]),
        (train, ["--config", LONG]),
        (train, ["--out", LONG, "--resume"]),
        (train, [*SMALL, "--out", LONG]),
        (train, [*SMALL, "--out", f"new/{LONG}"]),
        (view, ["--run", LONG, "--browser", "--port", "0"]),
        (view, ["--motion", LONG, "--browser", "--port", "0"]),
        (generate, ["squat", "--out", LONG]),
    ],
    ids=lambda value: (
        value.__name__.rpartition(".")[2] if hasattr(value, "__name__") else " ".join(value)[:30]
    ),
)
def test_a_name_that_is_too_long_is_a_line(tmp_path, monkeypatch, capsys, command, arguments):
    monkeypatch.chdir(tmp_path)
    message = command_refusal(command.main, arguments, capsys)
    assert LONG in message or "nowhere" in message
    assert not [path for path in Path().rglob("*") if path.is_file()]
