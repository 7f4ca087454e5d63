"""A translation that is being made, and what the table of keys says of one key."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.search import upwards
from mjx_mimic.config import TrainConfig
from mjx_mimic.config_checks import check_bounds
from mjx_mimic.presets import PRESETS


@dataclass
class Draft:
    """A translation that is being made.

    Attributes:
        folder: of the argument file.
        motion_is_given: whether the clips are named already, so that `motion_file` does not count.
        config: the settings so far.
        typed: arguments that come from the command line.
        out: run folder.
        files: that were found, in the order of being found.
        notes: what there is to say: kind of file, key, value, text.
        kind: of the file that is being translated.
        sources: where its keys stand, for messages.
        values: its values by key, with MimicKit's defaults.
    """

    folder: Path
    motion_is_given: bool
    config: TrainConfig = field(default_factory=lambda: PRESETS["mimickit"])
    typed: Collection[str] = ()
    out: Path | None = None
    files: list[Path] = field(default_factory=list)
    notes: list[tuple[str, str, Any, str]] = field(default_factory=list)
    kind: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def set(self, path: str, value: Any) -> None:
        """Set the field of the configuration at a dotted path."""
        self.config = _with(self.config, path.split("."), value)

    def is_typed(self, key: str) -> bool:
        """Return whether a key is an argument of the command line."""
        return self.kind == "argument" and key in self.typed

    def find(self, key: str, name: str) -> Path | None:
        """Find the file that a key names; a typed one in the current folder first, as MimicKit has it."""
        is_here = self.is_typed(key) and os.path.isfile(name)
        found = Path(name) if is_here else upwards(name, self.folder)
        if found is not None:
            self.files.append(found)
        return found

    def tell(self, key: str, text: str) -> None:
        """Remember to say what becomes of a key's value."""
        self.notes.append((self.kind, key, self.values[key], text))

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise a UserError that names the file and the key."""
        raise UserError(f"{self.sources[key]}: {problem}")

    def check(self, key: str) -> None:
        """Hold the settings to their bounds, after the translation of a key."""
        try:
            check_bounds(self.config)
        except UserError as error:
            self.refuse(key, str(error).removeprefix("option "))


def _with(config: Any, path: Sequence[str], value: Any) -> Any:
    name, *rest = path
    return replace(config, **{name: _with(getattr(config, name), rest, value) if rest else value})


KEEP = object()
"""In place of a default: where the key is left out, the preset's setting stays."""
REQUIRED = object()
"""In place of a default: the key must be there."""

Translate = Callable[[Draft, str, Any], None]


@dataclass(frozen=True)
class Key:
    """A key of MimicKit's files.

    Attributes:
        setting: the setting or command here that it becomes, or what is nearest.
        how: how it is translated; of a key without effect, the reason.
        kind: type of its value; None: anything, since it has no effect.
        default: what MimicKit takes where the key is left out.
        translate: sets what follows from the value; None: nothing follows.
        part_of: the key whose `translate` reads this one too.
        neutral: values of a key without effect that ask for what happens here anyway.
    """

    setting: str
    how: str
    kind: Any = None
    default: Any = KEEP
    translate: Translate | None = None
    part_of: str = ""
    neutral: tuple[Any, ...] = ()

    @property
    def has_effect(self) -> bool:
        """Whether a setting follows from it."""
        return self.translate is not None or bool(self.part_of)
