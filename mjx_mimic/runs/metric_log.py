"""The log of a run: one JSON object per report, and the same numbers for TensorBoard and Weights & Biases."""

import json
import math
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.config_yaml import read_record

METRICS_FILE = "metrics.jsonl"
VIDEOS = "videos"
"""Folder of a run for its videos: those on the way are `<samples>.gif`."""
VIDEO_NAME = "Evaluation/video"
CURVES_OF_CLIPS = 20
"""With more clips than this, their returns are not logged as curves."""

_LARGEST = 2**63 - 1  # what is written counts no farther, and TensorBoard neither

GROUPS = {
    "Evaluation": ("eval_error_",),
    "Main": ("eval_", "best_eval_", "train_", "samples", "wall_time"),
    "Reward": ("reward",),
    "Ends": ("ended_by_", "episodes", "nonfinite_resets"),
    "Clips": ("clip/",),
}
"""Groups of curves in TensorBoard and Weights & Biases by how names begin, the first that fits; all others
are the Learner's."""

Row = dict[str, float | None]
"""A report; None where a figure is not a finite number."""


def _wandb_id(run: Path) -> str:
    """Return a run's id at Weights & Biases, drawn once, so that no other run of its name continues it."""
    file = run / "wandb_id.txt"
    if not file.exists():
        with replacing(file) as new:
            new.write(secrets.token_hex(8).encode())
    return file.read_text()


class MetricLog:
    """Writes `metrics.jsonl`, the same numbers for TensorBoard and Weights & Biases, and `clips.json`.

    `clips.json` holds the last report's figures of each clip.
    """

    def __init__(
        self, path: Path, clips: Sequence[str], samples: int = 0, wandb_project: str | None = None
    ) -> None:
        """Continue the log of the run in `path` at `samples`.

        What was written after that checkpoint is dropped, since it will be written again; so are damaged
        lines, which are counted in a message. TensorBoard's events are made anew from what is left.
        """
        file = path / METRICS_FILE
        rows, damaged = read_rows(file)
        kept = [row for row in rows if (row["samples"] or 0) <= samples]
        if damaged:
            print(f"{file}: dropped {damaged} damaged line(s)", file=sys.stderr)
        with replacing(file) as new:
            new.write("".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = file.open("a", buffering=1)
        self._clips, self._clips_file = clips, path / "clips.json"
        shutil.rmtree(path / "tb", ignore_errors=True)
        (path / "tb").mkdir(exist_ok=True)
        # Not `SummaryWriter`: its thread dies of a full disk, and then nobody empties its queue.
        self._board = EventsWriter(str(path / "tb" / "events"))
        # When the training would have begun, had it never paused: TensorBoard's times are those of the rows.
        self._began = time.time() - ((kept[-1].get("wall_time_s") or 0.0) if kept else 0.0)
        for row in kept:
            self._add_events(row)
        self._videos = path / VIDEOS
        videos = {int(file.stem): file for file in self._videos.glob("*.gif") if file.stem.isdecimal()}
        for of_samples, video in sorted(videos.items()):
            if of_samples <= samples:
                self._add_video_event(video, of_samples)
        self._wandb = None
        if wandb_project:
            import wandb  # an extra

            settings = read_record(path)
            self._wandb = wandb.init(
                project=wandb_project,
                name=path.name,
                dir=path,
                config=settings,
                id=_wandb_id(path),
                resume="allow",
            )

    def write(self, report: Mapping[str, float], of_clips: Mapping[str, np.ndarray]) -> None:
        """Add a report, with figures (C,) of each clip."""
        table: list[dict[str, Any]] = [{"name": name} for name in self._clips]
        for figure, values in of_clips.items():
            for clip, value in zip(table, values, strict=True):
                clip[figure] = _short(float(value))
        row: Row = {name: _short(value) for name, value in report.items()}
        with replacing(self._clips_file) as file:
            file.write(json.dumps({"samples": row["samples"], "clips": table}, indent=1).encode())
        if 1 < len(table) <= CURVES_OF_CLIPS:
            returns = {f"clip/{clip['name']}/train_return": clip["train_return"] for clip in table}
            row |= {name: value for name, value in returns.items() if value is not None}
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._add_events(row)
        self._board.flush()
        if self._wandb:
            curves = {curve_name(name): value for name, value in row.items()}
            self._wandb.log(curves, step=int(report["samples"]))

    def video_path(self, samples: int) -> Path:
        """Return where the video of the policy after `samples` belongs."""
        return self._videos / f"{samples}.gif"

    def add_video(self, samples: int) -> None:
        """Add the video of the policy after `samples`, which is in its place."""
        file = self.video_path(samples)
        self._add_video_event(file, samples)
        self._board.flush()
        if self._wandb:
            import wandb

            self._wandb.log({VIDEO_NAME: wandb.Video(str(file), format="gif")}, step=samples)

    def _add_video_event(self, file: Path, samples: int) -> None:
        """Add a GIF as an image, as `SummaryWriter.add_video` does it: TensorBoard plays what moves."""
        gif = file.read_bytes()
        width, height = (int.from_bytes(gif[at : at + 2], "little") for at in (6, 8))
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        summary = Summary(value=[Summary.Value(tag=VIDEO_NAME, image=image)])
        self._board.write_event(Event(wall_time=time.time(), step=samples, summary=summary))

    def _add_events(self, row: Row) -> None:
        for name, value in row.items():
            if value is not None:
                event = Event(
                    wall_time=self._began + (row.get("wall_time_s") or 0.0),
                    step=row["samples"],
                    summary=scalar(curve_name(name), value),
                )
                self._board.write_event(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()
        if self._wandb:
            self._wandb.finish()


def curve_name(name: str) -> str:
    """Return the name of a figure's curve, with its group in front."""
    groups = [group for group, starts in GROUPS.items() if name.startswith(starts)]
    return f"{groups[0] if groups else 'Learner'}/{name.removeprefix('clip/')}"


def read_rows(file: Path) -> tuple[list[Row], int]:
    """Read a log.

    Returns:
        The reports that are whole, in order, and the number of damaged lines; blank ones do not count.

    Raises:
        UserError: it is not a file, or cannot be read.
    """
    try:
        lines = file.read_bytes().split(b"\n") if os.path.exists(file) else []
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); move it away") from None
    rows, damaged = [], 0
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and all(map(_is_figure, row.values())) and _is_count(row.get("samples")):
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def _is_figure(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= _LARGEST
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _short(value: float) -> float | None:
    """Round to six digits; JSON has no NaN, so None stands for it."""
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None
