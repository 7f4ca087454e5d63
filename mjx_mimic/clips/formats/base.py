"""The description of a clip file's format, and what a file of it holds before anything is checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.clips.motion import Motion, make_motion

Container = Literal["fields", "table"]
"""What holds a clip: fields by name, in an archive or a pickle, or a table."""
Joints23 = Literal["one-waist", "no-wrists"]
"""Which 23 joints a robot has: one of the waist and the rolls of the wrists, as Unitree's; or three of the
waist and none of the wrists, as ASAP, PBHC, TWIST and GMT have the G1."""


@dataclass(frozen=True)
class Terms:
    """Names that a format gives to the parts of a clip, for messages.

    Attributes:
        position: name of the root's position.
        rotation: name of the root's rotation.
        joints: name of the hinge angles.
        velocities: name of the joints' velocities, if the file stores them.
    """

    position: str
    rotation: str
    joints: str
    velocities: str = ""


@dataclass(frozen=True, eq=False)
class RawClip:
    """The fields of a clip as its file has them: of the right shape, in the units of `Motion`, unchecked.

    Attributes:
        name: name of the clip, any text.
        fps: frames per second; None: the file states none.
        root_pos: (T, 3) m.
        root_quat: (T, 4) wxyz.
        dof_pos: (T, J) rad, columns as `joint_names`.
        joint_names: the joints in the file's order; some of the 29 may be missing. Empty: they are 23, and
            the file does not show which.
        loop: "wrap", "turn" or "clamp".
        joint_vel: (T, J) rad/s, only compared with the angles; None: the file stores none.
        no_rate: why there is no `fps`, and the remedy.
        note: what was done to read the file that its format does not foresee; empty: nothing.
    """

    name: str
    fps: Any
    root_pos: NDArray[np.float64]
    root_quat: NDArray[np.float64]
    dof_pos: NDArray[np.float64]
    joint_names: Sequence[str]
    loop: str = "clamp"
    joint_vel: NDArray[np.float64] | None = None
    no_rate: str = "states no frame rate; convert --source-fps states it"
    note: str = ""

    def motion(self, fps: Any, path: Path) -> Motion:
        """Make the clip, at so many frames/s, of the fields as they are; raises as `make_motion` does."""
        return make_motion(
            name=self.name,
            fps=fps,
            root_pos=self.root_pos,
            root_quat=self.root_quat,
            dof_pos=self.dof_pos,
            joint_names=self.joint_names,
            loop=self.loop,
            source=path,
        )


@dataclass(frozen=True)
class Reading:
    """What a user says about a file that it does not say itself, and which part of it is to be read.

    Attributes:
        start: s, time of the first frame to read.
        end: s, time of the last frame to read.
        drop_bad: leave out frames with NaN or without a unit quaternion at the ends, and fill those between.
        source_fps: frames/s of the file, whatever it states.
        pad: set joints that the file lacks to 0; as a name, this says as well which 23 it has.
        tell: takes a line about what was done that neither the file nor the user has said.
    """

    start: float | None = None
    end: float | None = None
    drop_bad: bool = False
    source_fps: float | None = None
    pad: Joints23 | bool = False
    tell: Callable[[str], None] = lambda line: None


AS_IT_SAYS = Reading()
"""Of a file that says everything itself."""


@dataclass(frozen=True)
class Format:
    """A kind of clip file.

    Attributes:
        key: its name in options.
        name: its name for people.
        container: what holds the clip.
        terms: the names that the format gives to the parts of a clip.
        fields: fields that every file of this format has, for messages.
        matches: whether the fields of the file at that path are of this format.
        build: takes the clip out of such fields.
        split: the fields of each trajectory by its name; None for formats that hold one.
        write: writes a clip to a path; None for formats that are only read.
        check: raises UserError, for the file at that path, if it cannot hold a clip of such frames/s, such a
            loop, and such a length in s (0: unknown); None for formats that hold any clip.
    """

    key: str
    name: str
    container: Container
    terms: Terms
    fields: tuple[str, ...]
    matches: Callable[[Any, Path], bool]
    build: Callable[[Any, Path], RawClip]
    split: Callable[[Any, Path], Mapping[str, Any]] | None = None
    write: Callable[[str | Path, Motion], None] | None = None
    check: Callable[[str | Path, float, str, float], None] | None = None
