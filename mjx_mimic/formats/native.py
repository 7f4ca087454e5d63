"""The project's own clip file: `.npz` without pickles, with joint names and a version."""

from pathlib import Path

import numpy as np

from mjx_mimic.errors import UserError
from mjx_mimic.files import replacing
from mjx_mimic.formats.archive import read_arrays, scalar
from mjx_mimic.motion import Motion, make_motion

FORMAT_VERSION = 1
FIELDS = ("format_version", "name", "fps", "loop", "joint_names", "root_pos", "root_quat", "dof_pos")


def write(path: str | Path, motion: Motion) -> None:
    """Writes `FIELDS`. No pickles inside, and atomic: `path` holds either its old contents or the whole
    new clip.

    Raises:
        UserError: the file cannot be written.
    """
    with replacing(path) as file:
        np.savez(
            file,
            allow_pickle=False,
            format_version=np.int64(FORMAT_VERSION),
            name=np.array(motion.name),
            fps=np.float64(motion.fps),
            loop=np.array(motion.loop),
            joint_names=np.array(motion.joint_names),
            root_pos=motion.root_pos,
            root_quat=motion.root_quat,
            dof_pos=motion.dof_pos,
        )


def read(path: str | Path) -> Motion:
    """Reads what `write` wrote, bit for bit; raises UserError on anything else."""
    path = Path(path)
    fields = read_arrays(path)
    for name in FIELDS:
        if name not in fields:
            raise UserError(
                f"{path}: field '{name}' is missing, so this is no mjx_mimic clip; convert it to one first"
            )
    version = scalar(fields["format_version"])
    if type(version) is not int or version != FORMAT_VERSION:
        shown = version if type(version) is int else f"a {type(version).__name__}"
        raise UserError(
            f"{path}: format_version is {shown}, this program reads {FORMAT_VERSION}; update mjx_mimic"
            " or convert the clip again"
        )
    return make_motion(
        name=scalar(fields["name"]),
        fps=scalar(fields["fps"]),
        root_pos=fields["root_pos"],
        root_quat=fields["root_quat"],
        dof_pos=fields["dof_pos"],
        joint_names=fields["joint_names"].tolist(),
        loop=scalar(fields["loop"]),
        source=path,
    )
