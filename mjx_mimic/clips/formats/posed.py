"""What formats share that have the root's position, its quaternion and the joint angles in a field each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mjx_mimic.clips.formats.base import Format, RawClip, Terms
from mjx_mimic.clips.formats.fields import angles, first_of, missing, numbers, rate


@dataclass(frozen=True)
class Posed:
    """Names of the fields of a layout, the usual one of each first.

    Attributes:
        key: the format's name in options.
        name: its name for people.
        position: (T, 3) m.
        rotation: (T, 4) pelvis to world, wxyz or `xyzw`.
        joints: (T, J) rad; the file may name them in `joint_names`, else they are as in `G1_JOINTS`.
        xyzw: whether the quaternion's scalar comes last.
    """

    key: str
    name: str
    position: tuple[str, ...]
    rotation: tuple[str, ...]
    joints: tuple[str, ...]
    xyzw: bool

    def build(self, fields: Mapping[str, Any], path: Path) -> RawClip:
        """Take the clip out of the `fields` of the file `path`, named after the file.

        Raises:
            UserError: a field is missing, or the fields hold no clip of the G1.
        """
        position, rotation, joints = (
            self._field(fields, names, path) for names in (self.position, self.rotation, self.joints)
        )
        dof_pos, joint_names = angles(fields, joints, path)
        root_quat = numbers(fields, rotation, (None, 4), path)
        return RawClip(
            name=path.stem,
            fps=rate(fields, path),
            root_pos=numbers(fields, position, (None, 3), path),
            root_quat=np.roll(root_quat, 1, axis=1) if self.xyzw else root_quat,
            dof_pos=dof_pos,
            joint_names=joint_names,
        )

    def _field(self, fields: Mapping[str, Any], names: tuple[str, ...], path: Path) -> str:
        found = first_of(fields, names)
        if found is None:
            raise missing(names[0], self.name.partition(" .")[0], path)
        return found

    def format(
        self,
        matches: Callable[[Any, Path], bool],
        build: Callable[[Any, Path], RawClip] | None = None,
    ) -> Format:
        """Describe the format to which fields belong that `matches`."""
        usual = self.position[0], self.rotation[0], self.joints[0]
        return Format(
            key=self.key,
            name=self.name,
            container="fields",
            terms=Terms(*usual),
            fields=("fps", *usual),
            matches=matches,
            build=build or self.build,
        )
