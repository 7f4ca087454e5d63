"""The clips of a run, a copy of each in its folder: a run can be moved, and stays what it was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.formats import native
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import unwritable

FOLDER = "clips"


def write(run: Path, clips: Clips) -> None:
    """Copy the clips into a run folder, in their order.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = run / FOLDER
    try:
        folder.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from None
    for number, motion in enumerate(clips.motions):
        native.write(_file(run, number), motion)


def read(run: Path, stored: Mapping[str, Any]) -> Clips | None:
    """Read the copies in a run folder; None: there is none, the run being of an earlier version.

    Args:
        run: the folder.
        stored: its record.

    Raises:
        UserError: a copy is missing, damaged, or not what the run was trained on.
    """
    if not (run / FOLDER).is_dir():
        return None
    files = [_file(run, number) for number in range(len(stored["clips"]))]
    motions = tuple(native.read(file) for file in files)
    for file, motion, clip in zip(files, motions, stored["clips"], strict=True):
        if motion.digest != clip["digest"]:
            raise UserError(
                f"{file}: is not the clip that the run was trained on; restore it, or remove {run / FOLDER}"
                " to use the file that it was copied from"
            )
    weights = tuple(float(clip["weight"]) for clip in stored["clips"])
    return Clips(motions, weights)


def _file(run: Path, number: int) -> Path:
    return run / FOLDER / f"{number}.npz"
