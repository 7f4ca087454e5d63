"""The log of a run: one JSON object per report, and the same numbers for TensorBoard and Weights & Biases."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from tensorboardX import SummaryWriter

from mjx_mimic.common.files import read_yaml, replacing
from mjx_mimic.config_yaml import CONFIG_FILE

CURVES_OF_CLIPS = 20
"""With more clips than this, their returns are not logged as curves."""


class MetricLog:
    """Writes `metrics.jsonl`, the same numbers for TensorBoard and Weights & Biases, and `clips.json`.

    `clips.json` holds the last report's figures of each clip.
    """

    def __init__(
        self, path: Path, clips: Sequence[str], samples: int = 0, wandb_project: str | None = None
    ) -> None:
        """Continue the log at `samples`; what was written after that checkpoint is dropped."""
        file = path / "metrics.jsonl"
        if file.exists():
            rows = file.read_text().splitlines(keepends=True)
            kept = [row for row in rows if row.endswith("\n") and json.loads(row)["samples"] <= samples]
            file.write_text("".join(kept))
        self._file = file.open("a", buffering=1)
        self._clips, self._clips_file = clips, path / "clips.json"
        self._board = SummaryWriter(str(path / "tb"), purge_step=samples or None)
        self._wandb = None
        if wandb_project:
            import wandb

            settings = read_yaml(path / CONFIG_FILE)
            self._wandb = wandb.init(
                project=wandb_project, name=path.name, dir=path, config=settings, id=path.name, resume="allow"
            )

    def write(self, row: Mapping[str, float], of_clips: Mapping[str, np.ndarray]) -> None:
        """Add a report, with figures (C,) of each clip."""
        table: list[dict[str, Any]] = [{"name": name} for name in self._clips]
        for figure, values in of_clips.items():
            for clip, value in zip(table, values, strict=True):
                clip[figure] = None if np.isnan(value) else _short(float(value))
        with replacing(self._clips_file) as file:
            file.write(json.dumps({"samples": row["samples"], "clips": table}, indent=1).encode())
        if 1 < len(table) <= CURVES_OF_CLIPS:
            returns = {f"clip/{clip['name']}/train_return": clip["train_return"] for clip in table}
            row = {**row, **{name: value for name, value in returns.items() if value is not None}}
        self._file.write(json.dumps({name: _short(value) for name, value in row.items()}) + "\n")
        for name, value in row.items():
            self._board.add_scalar(name, value, row["samples"])
        if self._wandb:
            self._wandb.log(dict(row), step=int(row["samples"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()
        if self._wandb:
            self._wandb.finish()


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")
