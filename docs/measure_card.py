"""Measure a GPU or a TPU in half an hour: `python docs/measure_card.py OUT [--prediction h100.json]`.

First how physics is best looped over, then samples/s over numbers of environments against a prediction of
`mjx_mimic.bench --compile-for ... --json`, by MJX-Warp too where it is installed, then trainings. Everything
lies in OUT; what was measured before an interrupt stays. A rehearsal on a CPU: `--sizes 8 16 --samples 4000`.
"""

import argparse
import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SIZES = (1024, 2048, 4096, 8192, 16384, 32768)
PARTS = ("physics", "environment", "training_step")


def run(log: Path, *arguments: str) -> bool:
    """Run a command of the package, printing and logging what it prints; return whether it worked."""
    command = [sys.executable, "-m", *arguments]
    print("$ python", *command[1:], flush=True)
    with log.open("a") as file, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            file.write(line)
    return process.returncode == 0


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

    first = str(options.sizes[len(options.sizes) // 2])
    loops = ("--loops", "--sizes", first, "--json", str(options.out / "loops.json"))
    run(options.out / "log.txt", *bench, *loops)
    measured: dict[str, dict] = {"jax": {}, "warp": {}}
    impls = ("jax", "warp") if importlib.util.find_spec("warp") else ("jax",)
    for size, impl in itertools.product(options.sizes, impls):  # one that does not fit costs no other
        file = options.out / f"{size}-{impl}.json"
        measure = (*bench, "--sizes", str(size), "--physics-impl", impl, "--json", str(file))
        if run(options.out / "log.txt", *measure):
            measured[impl] |= json.loads(file.read_bytes())
        (options.out / "table.md").write_text(table(measured, predicted, options.sizes) + "\n")
    for motion in options.motions:
        out = str(options.out / Path(motion).stem)
        steps = ("--total-steps", str(options.samples), "--eval-interval", str(max(options.samples // 20, 1)))
        run(
            options.out / "log.txt", "mjx_mimic.train", "--motion", motion, "--out", out, *steps, "--no-video"
        )
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    main()
