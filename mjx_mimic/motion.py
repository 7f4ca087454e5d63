"""`python -m mjx_mimic.motion`: what is in a clip, is it fit for training, and tools to make it so."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from mjx_mimic.clips.formats import detect, key_of, load_motion, save_motion
from mjx_mimic.common import cli, paths
from mjx_mimic.common.errors import UserError
from mjx_mimic.retarget.pipeline import RetargetCommand

if TYPE_CHECKING:
    from mjx_mimic.clips.motion import Motion
    from mjx_mimic.clips.validation import Report

PROGRAM = "python -m mjx_mimic.motion"

File = Positional[Annotated[str, arg(metavar="FILE")]]
Files = Positional[Annotated[tuple[str, ...], cli.shown("FILE [FILE ...]")]]
Seconds = Annotated[float | None, cli.shown("SECONDS")]
Rate = Annotated[float | None, cli.shown("HZ")]
Loop = Annotated[Literal["wrap", "clamp"] | None, cli.shown("{wrap,clamp}")]
Lift = Annotated[Literal["auto"] | float | None, cli.shown("auto|METRES")]
Name = Annotated[str | None, cli.shown("NAME")]
Output = Annotated[Path | None, cli.shown("FILE")]


@dataclass(frozen=True)
class InfoCommand:
    """Tells what is in clips: format, length, speed, height, how near they come to the joint limits."""

    files: Files
    """Files in any known format, or names of shipped clips."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class ValidateCommand:
    """Holds clips to the robot's limits and the floor. Exit code 1 if one is not fit for training."""

    files: Files
    """Files in any known format, or names of shipped clips."""
    json: bool = False
    """Print JSON instead of text."""
    strict: bool = False
    """Exit code 1 for a warning too."""


@dataclass(frozen=True)
class ConvertCommand:
    """Edits a clip, in the order of the options, and writes it in the format of OUT's ending."""

    source: File
    """File in any known format, or the name of a shipped clip."""
    out: Positional[Annotated[Path, arg(metavar="OUT")]]
    """File to write: .npz native, .pkl MimicKit, .csv Unitree."""
    start: Seconds = None
    """Cut: first moment to keep."""
    end: Seconds = None
    """Cut: last moment to keep."""
    loop: Loop = None
    """Declare the clip cyclic or not, its frames unchanged."""
    smooth: Rate = None
    """Take out what vibrates faster than this."""
    make_cyclic: bool = False
    """Find a cycle in the clip and close it smoothly."""
    fps: Rate = None
    """Resample to so many frames/s; a cyclic clip keeps its period, so its rate is the nearest possible."""
    mirror: bool = False
    """Left becomes right."""
    lift: Lift = None
    """Raise by so many metres; auto: until the lowest point is on the floor, up or down."""
    name: Name = None
    """Name of the new clip."""
    force: bool = False
    """Write over an existing file."""


@dataclass(frozen=True)
class PreviewCommand:
    """Draws a clip as a video, as curves, or both."""

    file: File
    """File in any known format, or the name of a shipped clip."""
    out: Output = None
    """Video to write, .mp4 or .gif; a name without an ending: a new folder of PNG frames."""
    plot: Output = None
    """PNG file to write: joint angles and their limits, pelvis height, foot contacts."""
    seconds: float = 10.0
    """Longest time to show in the video; a cyclic clip repeats."""
    width: int = 640
    """Pixels, 1280 at most."""
    height: int = 480
    """Pixels, 960 at most."""
    fps: float = 30.0
    """Frames a second of the video."""


Command = (
    Annotated[InfoCommand, subcommand("info")]
    | Annotated[ValidateCommand, subcommand("validate")]
    | Annotated[ConvertCommand, subcommand("convert")]
    | Annotated[PreviewCommand, subcommand("preview")]
    | Annotated[RetargetCommand, subcommand("retarget")]
)


def main(arguments: Sequence[str]) -> int:
    command = cli.parse(Command, arguments, prog=PROGRAM, description=__doc__, config=(FlagCreatePairsOff,))
    match command:
        case InfoCommand():
            return info(command)
        case ValidateCommand():
            return validate(command)
        case ConvertCommand():
            return convert(command)
        case PreviewCommand():
            return preview(command)
    from mjx_mimic.retarget import pipeline

    return pipeline.run(command)


def info(command: InfoCommand) -> int:
    """Prints a row for each clip."""
    rows = [_facts(file) for file in _some(command.files)]
    if command.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = [
        {
            "clip": row["name"],
            "format": row["format"],
            "fps": f"{row['fps']:.6g}",
            "frames": str(row["frames"]),
            "seconds": f"{row['seconds']:.3f}",
            "loop": row["loop"],
            "m/s mean, max": f"{row['mean_speed']:.2f}, {row['max_speed']:.2f}",
            "pelvis at m": f"{row['min_height']:.3f} to {row['max_height']:.3f}",
            "of joint range": f"{100 * row['range_used']:.0f}% {row['range_used_by']}",
            "digest": row["digest"][:12],
        }
        for row in rows
    ]
    _print_table(table)
    return 0


def _some(files: tuple[str, ...]) -> tuple[str, ...]:
    """`files`; UserError if there is none."""
    if not files:
        known = ", ".join(paths.shipped_clips())
        raise UserError(f"no clip is named; give one or more files or names of shipped clips ({known})")
    return files


def _facts(file: str) -> dict[str, Any]:
    """What `info` tells of one clip."""
    from mjx_mimic.robot.mjcf import load_mjcf

    motion = load_motion(file)
    speed = np.linalg.norm(np.diff(motion.root_pos, axis=0), axis=1) * motion.fps
    ranges = load_mjcf(visuals=False).jnt_range[1:]  # without the root
    centre, half = ranges.mean(axis=1), 0.5 * np.ptp(ranges, axis=1)
    used = np.abs(motion.dof_pos - centre).max(axis=0) / half
    return {
        "file": file,
        "name": motion.name,
        "format": detect(file).name,
        "fps": motion.fps,
        "frames": motion.num_frames,
        "seconds": motion.length,
        "loop": motion.loop,
        "mean_speed": float(speed.mean()),
        "max_speed": float(speed.max()),
        "min_height": float(motion.root_pos[:, 2].min()),
        "max_height": float(motion.root_pos[:, 2].max()),
        "range_used": float(used.max()),
        "range_used_by": motion.joint_names[int(used.argmax())].removesuffix("_joint"),
        "digest": motion.digest,
    }


def _print_table(rows: Sequence[dict[str, str]]) -> None:
    """Columns as wide as they need to be, whatever the terminal: lines can be searched and cut."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def validate(command: ValidateCommand) -> int:
    """Prints the findings on each clip and the verdict."""
    from mjx_mimic.clips import validation

    reports = [validation.validate(load_motion(file)) for file in _some(command.files)]
    if command.json:
        print(json.dumps([_as_json(report) for report in reports], indent=2))
    else:
        for report in reports:
            _print_report(report)
    bad = [report for report in reports if not report.fit or (command.strict and report.verdict != "good")]
    return 1 if bad else 0


def _as_json(report: "Report") -> dict[str, Any]:
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    return {"name": report.name, "verdict": report.verdict, "fit": report.fit, "findings": findings}


def _print_report(report: "Report") -> None:
    """A line for each finding, another one for its remedy."""
    print(f"{report.name}: {report.verdict}")
    for finding in report.findings:
        where = f", {finding.where}" if finding.where else ""
        if finding.time is not None:
            where += f" at {finding.time:.3f} s"
        if finding.severity != "ok" and finding.time is not None:
            where += f", {100 * finding.share:.0f}% of the frames over it"
        figure = f"{round(finding.figure, 4) + 0.0:.3g} {finding.unit}, limit {finding.limit:g}{where}"
        print(f"  {finding.severity:8s} {finding.check:26s} {figure}")
        if finding.remedy:
            print(f"  {'':8s} {'':26s} {finding.remedy}")


def convert(command: ConvertCommand) -> int:
    """Reads, edits, writes, and tells what it did."""
    if command.make_cyclic and command.loop == "clamp":
        raise UserError("options --make-cyclic and --loop clamp: give one of them")
    key = key_of(command.out)
    if command.out.exists() and not command.force:
        raise UserError(f"{command.out}: exists already; give --force to write over it, or another file")
    motion, done = edit(load_motion(command.source), command)
    save_motion(command.out, motion, key)
    size = f"{motion.num_frames} frames at {motion.fps:.6g} frames/s, {motion.length:.3f} s"
    print(f"{command.out}: {key}, {size}, {motion.loop}")
    for step in done:
        print(f"  {step}")
    return 0


def edit(motion: "Motion", command: ConvertCommand) -> tuple["Motion", list[str]]:
    """The clip after all edits that `command` asks for, and what they were."""
    from mjx_mimic.clips import editing, loop_closing

    done = []
    if command.start is not None or command.end is not None:
        before = motion
        motion = editing.cut(motion, command.start or 0.0, command.end)
        done.append(f"cut {before.length:.3f} s to {motion.length:.3f} s")
    if command.loop is not None:
        motion = editing.with_loop(motion, command.loop)
        done.append(f"declared '{command.loop}'")
    if command.smooth is not None:
        motion = editing.smoothed(motion, command.smooth)
        done.append(f"smoothed at {command.smooth:g} Hz")
    if command.make_cyclic:
        loop = loop_closing.find_loop(motion)
        start, end = loop.first / motion.fps, loop.last / motion.fps
        motion = loop_closing.made_cyclic(motion)
        done.append(f"made cyclic from {start:.3f} to {end:.3f} s, gap {100 * loop.gap:.0f}% closed")
    if command.fps is not None:
        done.append(f"resampled from {motion.fps:.6g} frames/s")
        motion = editing.resampled(motion, command.fps)
    if command.mirror:
        motion = editing.mirrored(motion)
        done.append("mirrored")
    if command.lift is not None:
        before = motion
        motion = editing.lifted(motion, None if command.lift == "auto" else command.lift)
        done.append(f"lifted by {motion.root_pos[0, 2] - before.root_pos[0, 2]:+.4f} m")
    if command.name is not None:
        motion = editing.named(motion, command.name)
    return motion, done


def preview(command: PreviewCommand) -> int:
    """Writes the video and the plot."""
    if command.out is None and command.plot is None:
        raise UserError("options --out and --plot: give at least one of them")
    if command.plot is not None and command.plot.suffix.lower() != ".png":
        raise UserError(f"option --plot: {command.plot} will not do; name a file that ends in .png")
    if command.out is not None:
        from mjx_mimic import render

        render.draw(
            render.RenderCommand(
                out=command.out,
                motion=command.file,
                seconds=command.seconds,
                width=command.width,
                height=command.height,
                fps=command.fps,
            )
        )
    if command.plot is not None:
        from mjx_mimic.clips import plot

        plot.plot_motion(load_motion(command.file), command.plot)
        print(command.plot)
    return 0


if __name__ == "__main__":
    cli.run(main)
