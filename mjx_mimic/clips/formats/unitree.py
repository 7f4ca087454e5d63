"""Unitree's retargeted LAFAN1 clips (`.csv`), as the data set LAFAN1_Retargeting_Dataset has them for the G1.

No row of names, 36 columns: root position (m), root quaternion **xyzw** (pelvis to world), 29 hinge angles
(rad) in the order of `G1_JOINTS`. 30 frames/s, which the file does not say.
"""

from pathlib import Path

import numpy as np

from mjx_mimic.clips.formats.base import Format
from mjx_mimic.clips.formats.csv_table import Table
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.clips.sanity import Terms
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS

FPS = 30.0

_WIDTH = 36


def write(path: str | Path, motion: Motion) -> None:
    """Write a clip of 30 frames/s that is not cyclic: the file cannot say otherwise.

    Raises:
        UserError: another frame rate, a cyclic clip, or the file cannot be written.
    """
    remedies = ["--loop clamp"] * (motion.loop != "clamp") + ["--fps 30"] * (motion.fps != FPS)
    if remedies:
        raise UserError(
            f"{path}: fps is {motion.fps:.6g} and loop '{motion.loop}', but Unitree's CSV always means 30 and"
            f" 'clamp'; convert with {' '.join(remedies)}"
        )
    rows = np.concatenate([motion.root_pos, np.roll(motion.root_quat, -1, axis=1), motion.dof_pos], axis=1)
    with replacing(path) as file:
        np.savetxt(file, rows, fmt="%.9f", delimiter=",")


def matches(table: Table, path: Path) -> bool:
    """Tell whether the table in the file `path` is of this format: it has no names."""
    return table.names is None


def build(table: Table, path: Path) -> Motion:
    """Build the clip in the `table` of the file `path`, named after it; raises UserError if there is none."""
    if table.rows.shape[1] != _WIDTH:
        raise UserError(
            f"{path}: has {table.rows.shape[1]} columns, expected {_WIDTH} (root position 3, quaternion xyzw"
            " 4, joints 29); retarget the clip to the 29-joint G1"
        )
    return make_motion(
        name=path.stem,
        fps=FPS,
        root_pos=table.rows[:, :3],
        root_quat=np.roll(table.rows[:, 3:7], 1, axis=1),
        dof_pos=table.rows[:, 7:],
        joint_names=G1_JOINTS,
        loop="clamp",
        source=path,
    )


FORMAT = Format(
    key="unitree",
    name="Unitree .csv",
    container="table",
    terms=Terms("columns 1 to 3", "columns 4 to 7", "columns 8 to 36", order="xyzw", named=False),
    matches=matches,
    build=build,
    write=write,
)
