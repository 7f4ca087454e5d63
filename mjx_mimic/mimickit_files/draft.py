"""A translation that is being made, what the tables say of one key, and what several of them need."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mjx_mimic.common import paths
from mjx_mimic.common.errors import UserError, bare
from mjx_mimic.common.search import upwards
from mjx_mimic.config import TrainConfig, with_field
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
        self.config = with_field(self.config, path, value)

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


def option(path: str) -> str:
    """Return the option that sets the field at a dotted path."""
    return f"--{path}".replace("_", "-")


def plain(path: str, kind: Any, how: str = "the same", default: Any = KEEP) -> Key:
    """Return a key whose value is that of a field."""

    def translate(draft: Draft, key: str, value: Any) -> None:
        draft.set(path, tuple(value) if isinstance(value, list) else value)

    return Key(option(path), how, kind, default, translate)


def only(wanted: str, remedy: str) -> Translate:
    """Return a translation that refuses every value but one."""

    def translate(draft: Draft, key: str, value: str) -> None:
        if value != wanted:
            draft.refuse(key, f"is {bare(value)}, only {wanted} is available; {remedy}")

    return translate


def choose_motion(draft: Draft, key: str, value: str) -> None:
    """Take the clips, unless they are named already."""
    if draft.motion_is_given:
        return
    found = draft.find(key, value)
    if found is None and value not in paths.bundled_clips():
        draft.refuse(key, f"is {bare(value)}: {not_found(draft.folder)}; copy it there, or add --motion CLIP")
    draft.set("motion", (str(found or value),))
    draft.motion_is_given = True


def not_found(folder: Path) -> str:
    """Say where a file was looked for in vain."""
    return f"no such file from {folder.resolve()}, the folders above it, or the current folder {Path.cwd()}"


OTHER_COMMANDS = (
    "this command trains; for a policy type 'python -m mjx_mimic.evaluate --run RUN' (its test) or 'python -m"
    " mjx_mimic.view --run RUN' (live), for a clip 'python -m mjx_mimic.view --motion CLIP'"
)
"""Remedy where a file or a value belongs to another command."""
