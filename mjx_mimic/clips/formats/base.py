"""The description of a clip file's format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.sanity import Terms

Container = Literal["archive", "pickle", "table"]


@dataclass(frozen=True)
class Format:
    """A kind of clip file.

    Attributes:
        key: its name in options.
        name: its name for people.
        container: what holds the fields.
        terms: the names that the format gives to the parts of a clip.
        matches: whether the fields of the file at that path are of this format.
        build: builds the clip that such fields hold.
        write: writes a clip to a path; None for formats that are only read.
    """

    key: str
    name: str
    container: Container
    terms: Terms
    matches: Callable[[Any, Path], bool]
    build: Callable[[Any, Path], Motion]
    write: Callable[[str | Path, Motion], None] | None = None
