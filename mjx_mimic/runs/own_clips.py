"""The clips of a run, a copy of each in its folder: a run can be moved, and stays what it was trained on."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.formats import native
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import PARTIAL, unwritable

FOLDER = "clips"


def write(run: Path, clips: Clips) -> None:
    """Copy the clips into a run folder, in their order.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=run) as partial:
            made = Path(partial) / FOLDER
            made.mkdir()
            for number, motion in enumerate(clips.motions):
                native.write(made / _name(number), motion)
            os.replace(made, run / FOLDER)  # all of them, or none
    except OSError as error:
        raise unwritable(run / FOLDER, error) from None


def read(run: Path, stored: Mapping[str, Any]) -> Clips:
    """Read the copies in a run folder.

    Args:
        run: the folder.
        stored: its record.

    Raises:
        UserError: a copy is missing, damaged, or not what the run was trained on.
    """
    motions = []
    for number, clip in enumerate(stored["clips"]):
        file = run / FOLDER / _name(number)
        motion = native.read(file) if file.is_file() else None
        if motion is None or motion.digest != clip["digest"]:
            wrong = "is missing" if motion is None else "is not the clip that the run was trained on"
            raise UserError(f"{file}: {wrong}; restore it, or start anew")
        motions.append(motion)
    weights = tuple(float(clip["weight"]) for clip in stored["clips"])
    return Clips(tuple(motions), weights)


def _name(number: int) -> str:
    return f"{number}.npz"
