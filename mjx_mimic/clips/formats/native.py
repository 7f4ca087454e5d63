"""The project's own clip file: `.npz` without pickles, with joint names and a version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import numbers, scalar, texts
from mjx_mimic.clips.formats.npz import read_arrays
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.files import read_bytes, replacing

FORMAT_VERSION = 1
FIELDS = ("format_version", "name", "fps", "loop", "joint_names", "root_pos", "root_quat", "dof_pos")


def write(path: str | Path, motion: Motion) -> None:
    """Write `FIELDS`, without pickles, and atomically: `path` holds its old contents or the whole new clip.

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
    """Read what `write` wrote, bit for bit; raises UserError for anything else."""
    path = Path(path)
    raw = build(read_arrays(read_bytes(path), path), path)
    return raw.motion(raw.fps, path)


def matches(fields: Mapping[str, Any], path: Path) -> bool:
    """Tell whether the fields of the file `path` are of this format."""
    return "format_version" in fields or {"loop", "root_pos", "root_quat", "dof_pos"} <= set(fields)


def build(fields: Mapping[str, Any], path: Path) -> RawClip:
    """Take the clip out of the `fields` of the file `path`; raises UserError if they hold none."""
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
    joint_names = texts(fields, "joint_names", path)
    return RawClip(
        name=scalar(fields["name"]),
        fps=scalar(fields["fps"]),
        root_pos=numbers(fields, "root_pos", (None, 3), path),
        root_quat=numbers(fields, "root_quat", (None, 4), path),
        dof_pos=numbers(fields, "dof_pos", (None, len(joint_names)), path),
        joint_names=joint_names,
        loop=scalar(fields["loop"]),
    )


FORMAT = Format(
    key="native",
    name="mjx_mimic .npz",
    container="fields",
    terms=Terms("root_pos", "root_quat", "dof_pos"),
    fields=FIELDS,
    matches=matches,
    build=build,
    write=write,
)
