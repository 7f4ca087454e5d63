"""Measure a GPU or a TPU in half an hour: `python docs/measure_card.py OUT [--prediction h100.json]`.

First how physics is best looped over, then samples/s over numbers of environments against a prediction of
`mjx_mimic.bench --compile-for ... --json`, by MJX-Warp too where it is installed, then trainings with the
default and with MimicKit's recipe, and their curves. All tables are in OUT/table.md; what was measured before
an interrupt stays. A rehearsal on a CPU: `--sizes 8 16 --samples 1000`.
"""

import argparse
import importlib.util
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mjx_mimic.runs.plot import read_metrics
from mjx_mimic.runs.sweep_report import outcome

SIZES = (1024, 2048, 4096, 8192, 16384, 32768)
PARTS = ("physics", "environment", "training_step")
PRESETS = ("default", "mimickit")


def run(log: Path, *arguments: str) -> bool:
    """Run a command of the package, printing and logging what it prints; return whether it worked."""
    command = [sys.executable, "-m", *arguments]
    print("$ python", *command[1:], flush=True)
    with log.open("a") as file, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            file.write(line)
    return process.returncode == 0


def loops_table(measured: dict[str, float]) -> str:
    """Return samples/s of every program, those of bare physics by how its steps are looped over."""
    found = re.compile(r"(\d+)_envs_(.+)_samples_per_s")
    rows = [
        f"| {match[2].replace('_', ' ')}, {match[1]} environments | {value:,.0f} |"
        for name, value in measured.items()
        if (match := found.fullmatch(name))
    ]
    return "\n".join(["| program | samples/s |", "|---|---|", *rows])


def trainings_table(runs: Sequence[Path]) -> str:
    """Return what the trainings learned, as far as they went; episodes are complete as in a sweep's table."""
    lines = [
        "| training | samples | minutes | samples/s | complete after | best return | at the end |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in runs:
        found = outcome(path)
        if found is None:
            lines.append(f"| {path.name} | - | - | - | - | - | - |")
            continue
        metrics = read_metrics(path)
        complete = "-" if found.complete is None else f"{found.complete[0]:,.0f}"
        lines.append(
            f"| {path.name} | {metrics['samples'][-1]:,.0f} | {metrics['wall_time_s'][-1] / 60.0:.1f} |"
            f" {np.nanmedian(metrics['samples_per_s']):,.0f} | {complete} |"
            f" {np.nanmax(metrics['eval_return']):.1f} | {found.eval_return:.1f} |"
        )
    return "\n".join(lines)


def table(measured: dict[str, dict], predicted: dict, sizes: Sequence[int]) -> str:
    """Return samples/s over numbers of environments, measured, and predicted if it was."""
    columns = [name.replace("_", " ") for name in PARTS]
    columns += [f"{name}, Warp" for name in columns] + ["predicted", "error"]
    lines = ["| environments | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for size in sizes:
        keys = [f"{size}_envs_{name}_samples_per_s" for name in PARTS]
        speeds, warp = ([measured[impl].get(key) for key in keys] for impl in ("jax", "warp"))
        cells = ["-" if speed is None else f"{speed:,.0f}" for speed in (*speeds, *warp)]
        forecast = predicted.get(f"samples_per_s_of_{size}_environments")
        if forecast and speeds[-1]:
            cells += [f"{forecast:,.0f}", f"{forecast / speeds[-1] - 1.0:+.0%}"]
        else:
            cells += ["-", "-"]
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--prediction", type=Path, help="figures of mjx_mimic.bench --compile-for ... --json")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of environments")
    parser.add_argument(
        "--motions", nargs="+", default=["walk"], help="clips to train on, one after the other"
    )
    parser.add_argument("--samples", type=int, default=20_000_000, help="of each training")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    bench = ("mjx_mimic.bench", "--clips", "0", "--repeats", "3")
    predicted = json.loads(options.prediction.read_bytes()) if options.prediction else {}

    parts: dict[str, str] = {}

    def write(name: str, text: str) -> None:
        parts[name] = text
        (options.out / "table.md").write_text("\n\n".join(parts.values()) + "\n")

    log, first = options.out / "log.txt", str(options.sizes[len(options.sizes) // 2])
    loops = options.out / "loops.json"
    if run(log, *bench, "--loops", "--sizes", first, "--json", str(loops)):
        write("loops", loops_table(json.loads(loops.read_bytes())))
    measured: dict[str, dict] = {"jax": {}, "warp": {}}
    impls = ("jax", "warp") if importlib.util.find_spec("warp") else ("jax",)
    for size, impl in itertools.product(options.sizes, impls):  # one that does not fit costs no other
        file = options.out / f"{size}-{impl}.json"
        if run(log, *bench, "--sizes", str(size), "--physics-impl", impl, "--json", str(file)):
            measured[impl] |= json.loads(file.read_bytes())
        write("sizes", table(measured, predicted, options.sizes))
    environments = str(4096 if 4096 in options.sizes else options.sizes[0])
    runs = []
    for motion, preset in itertools.product(options.motions, PRESETS):
        runs.append(options.out / f"{Path(motion).stem}-{preset}")
        sizes = ("--num-envs", environments, "--total-steps", str(options.samples))
        often = ("--eval-interval", str(max(options.samples // 20, 1)), "--no-video")
        start = ("--motion", motion, "--preset", preset, "--out", str(runs[-1]))
        run(log, "mjx_mimic.train", *start, *sizes, *often)
        write("trainings", trainings_table(runs))
    run(log, "mjx_mimic.plot", *map(str, runs), "--out", str(options.out / "curves.png"))
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    main()
