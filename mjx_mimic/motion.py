"""`python -m mjx_mimic.motion`: what is in a clip, is it fit for training, and tools to make it so."""

import importlib.util
import json
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from mjx_mimic.common import cli, paths
from mjx_mimic.common.errors import UserError, missing_package
from mjx_mimic.common.files import require_writable
from mjx_mimic.display import gl
from mjx_mimic.display.options import VideoOptions, check_video

if TYPE_CHECKING:
    from mjx_mimic.clips.dataset import Clips
    from mjx_mimic.clips.findings import Report

PROGRAM = "python -m mjx_mimic.motion"

File = Positional[Annotated[str, arg(metavar="FILE")]]
Files = Positional[Annotated[tuple[str, ...], cli.shown("FILE [FILE ...]")]]
Seconds = Annotated[float | None, cli.shown("SECONDS")]
Rate = Annotated[float | None, cli.shown("HZ")]
Factor = Annotated[float | None, cli.shown("FACTOR")]
Count = Annotated[int | None, cli.shown("N")]
PadAs = Annotated[Literal["one-waist", "no-wrists"] | None, cli.shown("{one-waist,no-wrists}")]
StoredAs = Annotated[Literal["xyzw", "wxyz", "breadth-first"] | None, cli.shown("{xyzw,wxyz,breadth-first}")]
Loop = Annotated[Literal["wrap", "turn", "clamp"] | None, cli.shown("{wrap,turn,clamp}")]
Lift = Annotated[Literal["auto"] | float | None, cli.shown("auto|METRES")]
Name = Annotated[str | None, cli.shown("NAME")]
Output = Annotated[Path | None, cli.shown("FILE")]


@dataclass(frozen=True)
class InfoCommand:
    """Show what is in clips: format, length, speed, height, how near they come to the joint limits."""

    files: Files
    """Files in any known format, names of bundled clips, folders, patterns, or YAML lists."""
    skip_bad: bool = False
    """Leave out clips that cannot be read."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class ValidateCommand:
    """Check clips against the robot's limits and the floor. Exit code 1 if one is not fit for training.

    All findings on one clip; a row with the first fault for each of several.
    """

    files: Files
    """Files in any known format, names of bundled clips, folders, patterns, or YAML lists."""
    skip_bad: bool = False
    """Leave out clips that cannot be read."""
    json: bool = False
    """Print JSON with all findings instead of text."""
    strict: bool = False
    """Exit code 1 for warnings too."""


@dataclass(frozen=True)
class ConvertCommand:
    """Edit a clip, in the order in which the options are listed, and write it in the format of OUT's name."""

    source: File
    """File in any known format, or the name of a bundled clip."""
    out: Positional[Annotated[Path, arg(metavar="OUT")]]
    """File to write: .npz native, .pkl MimicKit, .csv Unitree."""
    source_fps: Rate = None
    """Frame rate of the file, where it states none or a wrong one."""
    start: Seconds = None
    """Cut: time of the first frame to keep; what is cut off is not checked."""
    end: Seconds = None
    """Cut: time of the last frame to keep."""
    drop_bad: bool = False
    """Cut frames with NaN off the ends, and fill those in between."""
    pad: bool = False
    """Set joints that the file lacks to 0: for the G1 with 23 joints."""
    pad_as: PadAs = None
    """The same, and which 23 joints without names are: Unitree's, or ASAP's, PBHC's, TWIST's and GMT's."""
    stored_as: StoredAs = None
    """Order of the quaternion or the joints that the file really has, where it looks wrong."""
    drop_repeated: bool = False
    """Give a clip whose rate was raised by repeating frames its true rate; pauses stay."""
    speed: Factor = None
    """Play faster, or slower below 1."""
    loop: Loop = None
    """Declare the clip cyclic or not, its frames unchanged; turn: each cycle goes on in the heading in
    which the one before ended."""
    smooth: Rate = None
    """Remove what vibrates faster than this."""
    make_cyclic: bool = False
    """Find a cycle in the clip and close it smoothly."""
    cycles: Count = None
    """Play a cyclic clip so many times, each cycle turned on by the one before; the result ends."""
    fps: Rate = None
    """Resample to this frame rate; a cyclic clip keeps its period, so its rate is the nearest possible."""
    clip_joints: bool = False
    """Set angles beyond their limits to the limits."""
    mirror: bool = False
    """Swap left and right."""
    lift: Lift = None
    """Raise by this height; auto: up or down until the lowest point is on the floor."""
    name: Name = None
    """Name of the new clip, which only an .npz keeps."""
    force: bool = False
    """Write over an existing file."""


@dataclass(frozen=True)
class JoinCommand:
    """Let clips follow one another, each turned and moved to begin where the one before ends."""

    files: Files
    """Two or more clips: files in any known format, or names of bundled clips."""
    out: Annotated[Path | None, cli.shown("FILE")] = None
    """File to write: .npz native, .pkl MimicKit, .csv Unitree; else joined.npz in this folder."""
    blend: Annotated[float, cli.shown("SECONDS")] = 0.3
    """Time in which one clip goes over into the next."""
    loop: Literal["clamp", "wrap", "turn"] = "clamp"
    """What the new clip does at its end: it ends, starts again, or starts again in its last heading."""
    force: bool = False
    """Write over an existing file."""


@dataclass(frozen=True)
class PreviewCommand(VideoOptions):
    """Draw clips as a video, side by side in a grid, or one as curves, or both."""

    files: Files
    """Files in any known format, names of bundled clips, folders, patterns, or YAML lists."""
    skip_bad: bool = False
    """Leave out clips that cannot be read."""
    out: Output = None
    """Video to write, .mp4 or .gif; a name without an ending: a new folder of PNG frames."""
    plot: Output = None
    """PNG file to write: joint angles and their limits, pelvis height, foot contacts."""


@dataclass(frozen=True)
class RetargetCommand:
    """Retarget motion capture of a person (BVH of nearly any skeleton) to the G1."""

    file: Positional[Annotated[Path, arg(metavar="FILE")]]
    """BVH file."""
    out: Positional[Annotated[Path | None, cli.shown("[OUT]")]] = None
    """Clip to write; .npz native, .pkl MimicKit, .csv Unitree. Else FILE's name with .npz, in this folder."""
    names: Annotated[Path | None, cli.shown("FILE")] = None
    """YAML file that says what joints are which are not known by their names: left_knee: LeftShin, ..."""
    list: bool = False
    """Only print the joints of FILE, and what each is found to be."""
    up: Literal["y", "z"] = "y"
    """The file's axis that points up."""
    start: Seconds = None
    """Time of the first frame to use."""
    end: Seconds = None
    """Time of the last frame to use."""
    fps: float = 30.0
    """Frames/s of the clip."""
    loop: Literal["clamp", "wrap", "turn"] = "clamp"
    """What the clip does at its end; `convert --make-cyclic` closes a cycle."""
    name: Name = None
    """Name of the clip, which only an .npz keeps; else that of the file."""
    force: bool = False
    """Write over an existing file."""


Command = (
    Annotated[InfoCommand, subcommand("info")]
    | Annotated[ValidateCommand, subcommand("validate")]
    | Annotated[ConvertCommand, subcommand("convert")]
    | Annotated[JoinCommand, subcommand("join")]
    | Annotated[PreviewCommand, subcommand("preview")]
    | Annotated[RetargetCommand, subcommand("retarget")]
)


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand that `arguments` name."""
    command = cli.parse(Command, arguments, prog=PROGRAM, description=__doc__, config=(FlagCreatePairsOff,))
    if not isinstance(command, PreviewCommand):
        cli.draw_nothing()
    match command:
        case InfoCommand():
            return info(command)
        case ValidateCommand():
            return validate(command)
        case ConvertCommand():
            return convert(command)
        case JoinCommand():
            return join(command)
        case PreviewCommand():
            return preview(command)
        case _:
            return retarget(command)


# Each subcommand imports its work only now: MuJoCo and JAX have settings that come before their import.


def info(command: InfoCommand) -> int:
    """Print a row for each clip."""
    from mjx_mimic.clips import conversion

    clips = _load(command.files, command.skip_bad)
    kinds = [known.name for known in clips.formats]
    facts = [conversion.describe(*clip) for clip in zip(clips.motions, clips.files, kinds, strict=True)]
    if command.json:
        print(json.dumps(facts, indent=2))
    else:
        _print_table([_row(clip) for clip in facts])
    return 0


def _load(files: tuple[str, ...], skip_bad: bool) -> "Clips":
    """Read the clips that `files` stand for; raises UserError if there are none."""
    from mjx_mimic.clips import load_clips

    if not files:
        known = ", ".join(paths.bundled_clips())
        raise UserError(f"no clip is named; give one or more files or names of bundled clips ({known})")
    clips = load_clips(files, skip_bad=skip_bad)
    for message in clips.left_out:
        print(f"left out: {message}", file=sys.stderr)
    return clips


def _row(facts: dict[str, Any]) -> dict[str, str]:
    """Format the facts about a clip, by heading."""
    return {
        "clip": facts["name"],
        "format": facts["format"],
        "fps": f"{facts['fps']:.6g}",
        "frames": str(facts["frames"]),
        "seconds": f"{facts['seconds']:.3f}",
        "loop": facts["loop"],
        "m/s mean, max": f"{facts['mean_speed']:.2f}, {facts['max_speed']:.2f}",
        "pelvis at m": f"{facts['min_height']:.3f} to {facts['max_height']:.3f}",
        "of joint range": f"{100 * facts['range_used']:.0f}% {facts['range_used_by']}",
        "digest": facts["digest"][:12],
    }


def _print_table(rows: Sequence[dict[str, str]]) -> None:
    """Print columns as wide as they need to be, whatever the terminal, so that lines can be searched."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Count the columns that a text takes in a terminal: two for each Chinese character."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def validate(command: ValidateCommand) -> int:
    """Print the findings on a clip and the verdict, or a row for each of several clips."""
    from mjx_mimic.clips import validation

    clips = _load(command.files, command.skip_bad)
    reports = [validation.validate(motion) for motion in clips.motions]
    if command.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
    elif len(reports) == 1:
        print("\n".join(reports[0].lines()))
    else:
        _print_table([_verdict(*judged) for judged in zip(clips.files, reports, strict=True)])
    bad = [report for report in reports if not report.fit or (command.strict and report.verdict != "good")]
    return 1 if bad else 0


def _verdict(file: str, report: "Report") -> dict[str, str]:
    """Format the verdict on a clip and its first fault, by heading."""
    fault = report.first_fault()
    shown = "" if fault is None else f"{fault.check}: {fault.figure:.3g} {fault.unit} {fault.where}".rstrip()
    return {"clip": report.name, "file": file, "verdict": report.verdict, "first fault": shown}


def convert(command: ConvertCommand) -> int:
    """Read a clip, edit it, write it, and print what was done."""
    if command.make_cyclic and command.loop:
        raise UserError(
            "options --make-cyclic and --loop: give one of them; write a .npz and convert that with the other"
        )
    _check_name(command.name, command.out)
    from mjx_mimic.clips import conversion
    from mjx_mimic.clips.formats.base import Reading

    lines = conversion.convert(
        command.source,
        command.out,
        command.force,
        Reading(
            command.start, command.end, command.drop_bad, command.source_fps, command.pad_as or command.pad
        ),
        stored_as=command.stored_as,
        drop_repeated=command.drop_repeated,
        speed=command.speed,
        loop=command.loop,
        smooth=command.smooth,
        make_cyclic=command.make_cyclic,
        cycles=command.cycles,
        fps=command.fps,
        clip_joints=command.clip_joints,
        mirror=command.mirror,
        lift=command.lift,
        name=command.name,
    )
    print("\n".join(lines))
    return 0


def _check_name(name: str | None, out: Path) -> None:
    """Raise UserError for a name that the file to write cannot keep."""
    if name is not None and out.suffix.lower() in (".csv", ".pkl"):
        raise UserError(
            f"option --name: {out} is called as its file is, since {out.suffix} stores no name; leave --name"
            " out, or write an .npz"
        )


def join(command: JoinCommand) -> int:
    """Read clips, let them follow one another, write the result, and print what was done."""
    if len(command.files) < 2:
        raise UserError("no two clips are named; give two or more files or names of bundled clips")
    from mjx_mimic.clips import conversion

    lines = conversion.join(
        command.files, command.out or Path("joined.npz"), command.blend, command.loop, command.force
    )
    print("\n".join(lines))
    return 0


def preview(command: PreviewCommand) -> int:
    """Write the video and the plot."""
    if command.out is None and command.plot is None:
        raise UserError("options --out and --plot: give at least one of them")
    if command.plot is not None and command.plot.suffix.lower() != ".png":
        raise UserError(f"option --plot: {command.plot} does not end in .png; name a PNG file")
    if command.plot is not None:
        require_writable("--plot", command.plot)
    if command.out is not None:
        check_video(command.out, command)
        if gl.choose_gl_backend() is None:
            raise UserError(gl.why_none())
    motions = _load(command.files, command.skip_bad).motions  # MuJoCo, after the GL library is chosen
    if command.plot is not None and len(motions) > 1:
        raise UserError(f"option --plot: there are {len(motions)} clips; name one of them")
    if command.out is not None:
        from mjx_mimic.display import rendering

        rendering.draw_clips(motions, command.out, command)
    if command.plot is not None:
        from mjx_mimic.clips import plot

        plot.plot_motion(motions[0], command.plot)
        print(command.plot)
    return 0


def retarget(command: RetargetCommand) -> int:
    """Make a clip of the robot from the BVH file, write it, and print how well it follows the person."""
    for package in ("mink", "daqp"):
        if importlib.util.find_spec(package) is None:
            raise missing_package("retargeting", package, "retarget")
    from mjx_mimic.retarget import pipeline

    if command.list:
        print("\n".join(pipeline.list_joints(command.file, command.names)))
        return 0
    out = command.out or Path(f"{command.file.stem}.npz")
    _check_name(command.name, out)
    lines = pipeline.retarget_file(
        command.file,
        out,
        names=command.names,
        up=command.up,
        start=command.start or 0.0,
        end=command.end,
        fps=command.fps,
        loop=command.loop,
        name=command.name or command.file.stem,
        force=command.force,
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    cli.run(main)
