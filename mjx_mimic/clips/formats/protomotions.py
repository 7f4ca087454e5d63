"""ProtoMotions' retargeted G1 clips (`.csv`), as the data set BONES-SEED has them.

(https://github.com/NVlabs/ProtoMotions, `data/scripts/convert_g1_csv_to_proto.py`) A row of names: `Frame`,
`root_translateX/Y/Z` (cm), `root_rotateX/Y/Z` (degrees, extrinsic Euler angles about x, then y, then z) and a
column `<joint>_dof` (degrees) for each hinge. 120 frames/s, which the file does not say.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.csv_table import Table
from mjx_mimic.clips.formats.fields import g1_name
from mjx_mimic.common.errors import UserError, quoted

FPS = 120.0

_TRANSLATION = ("root_translateX", "root_translateY", "root_translateZ")
_ROTATION = ("root_rotateX", "root_rotateY", "root_rotateZ")
_JOINT = "_dof"

_METRES = (0.2, 4.0)  # between these, a pelvis' height in "cm" is one in metres
_HIGHEST = 400.0  # cm
_RADIANS = (0.2, 3.5)  # between these, the largest "degrees" of any joint are radians


def matches(table: Table, path: Path) -> bool:
    """Tell whether the table in the file `path` is of this format, by its names."""
    return table.names is not None and not {*_TRANSLATION, *_ROTATION}.isdisjoint(table.names)


def build(table: Table, path: Path) -> RawClip:
    """Take the clip out of the `table` in the file `path`; raises UserError if there is none."""
    names = table.names or ()
    for name in (*_TRANSLATION, *_ROTATION):
        if name not in names:
            raise UserError(
                f"{path}: column '{name}' is missing, so this is no ProtoMotions clip; export it again"
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: column {quoted(repeated[0])} is there twice; name each column once")
    if "Frame" in names:
        _check_numbers(table.rows[:, names.index("Frame")], path)

    translation = table.rows[:, [names.index(name) for name in _TRANSLATION]]
    rotation = table.rows[:, [names.index(name) for name in _ROTATION]]
    joints = [name for name in names if name.endswith(_JOINT)]
    angles = table.rows[:, [names.index(name) for name in joints]]
    _check_units(translation, angles, path)
    finite = np.isfinite(rotation).all(axis=1)
    root_quat = np.full((len(rotation), 4), np.nan)
    if finite.any():
        turn = Rotation.from_euler("xyz", rotation[finite], degrees=True)
        root_quat[finite] = turn.as_quat(scalar_first=True)
    return RawClip(
        name=path.stem,
        fps=FPS,
        root_pos=0.01 * translation,
        root_quat=root_quat,
        dof_pos=np.radians(angles),
        joint_names=[g1_name(name.removesuffix(_JOINT)) for name in joints],
    )


def _check_numbers(frames: np.ndarray, path: Path) -> None:
    """Raise UserError if the frames' numbers (T,) do not go up by one."""
    step = np.diff(frames)
    jumps = np.flatnonzero((step != 1.0) & np.isfinite(step))
    if len(jumps):
        before, after = frames[jumps[0] : jumps[0] + 2]
        raise UserError(
            f"{path}: Frame goes from {before:g} to {after:g} ({len(jumps)} such gap(s)); export every frame"
        )


def _check_units(translation: np.ndarray, angles: np.ndarray, path: Path) -> None:
    """Raise UserError for metres or millimetres (T, 3), or for radians (T, J)."""
    height = float(np.nanmedian(translation[:, 2])) if np.isfinite(translation[:, 2]).any() else 0.0
    if _METRES[0] < height < _METRES[1] or height > _HIGHEST:
        unit = "metres" if height < _METRES[1] else "millimetres"
        raise UserError(
            f"{path}: root_translateZ has the pelvis {height:.4g} cm high (median), which looks like {unit};"
            " give centimetres"
        )
    largest = float(np.abs(angles[np.isfinite(angles)]).max(initial=0.0))
    if _RADIANS[0] < largest < _RADIANS[1]:
        raise UserError(
            f"{path}: no joint's column goes over {largest:.3g} degrees, which looks like radians; give"
            " degrees"
        )


FORMAT = Format(
    key="protomotions",
    name="ProtoMotions .csv",
    container="table",
    terms=Terms("root_translate", "root_rotate", "the columns '..._dof'"),
    fields=("Frame", *_TRANSLATION, *_ROTATION),
    matches=matches,
    build=build,
)
