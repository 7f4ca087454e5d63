"""Reading MimicKit's argument file and YAML, and translating them by the table of keys."""

import difflib
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mjx_mimic.common.cli import require_range
from mjx_mimic.common.errors import UserError, bare
from mjx_mimic.common.files import read_text, read_yaml
from mjx_mimic.config import TrainConfig
from mjx_mimic.mimickit_files.arguments import ARGUMENTS, WATCH
from mjx_mimic.mimickit_files.draft import KEEP, REQUIRED, Draft, Key, not_found
from mjx_mimic.mimickit_files.keys import KEYS
from mjx_mimic.presets import PRESETS

DOCUMENT = "docs/from_mimickit.md"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
OURS = ("num_envs", "video", "arg_file")
"""MimicKit's options that are options of `train` too."""


@dataclass(frozen=True)
class Translation:
    """What MimicKit's files say, in settings; the report is for people."""

    config: TrainConfig
    out: Path | None
    report: str


def split(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Separate a command line from the options in it that only MimicKit has.

    Returns:
        Our arguments, and the values of MimicKit's options by name, with underscores.
    """
    ours: list[str] = []
    theirs: dict[str, list[str]] = {}
    current: list[str] = ours
    for argument in _with_flags(arguments):
        if argument.startswith("--"):
            name, has_value, value = argument.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            current = ours
            if name in ARGUMENTS and name not in OURS:
                current = theirs.setdefault(name, [])
                if has_value:
                    current.append(value)
                continue
        current.append(argument)
    return ours, theirs


def _with_flags(arguments: Sequence[str]) -> list[str]:
    """Write MimicKit's `--video true` and `--video false` as our `--video` and `--no-video`."""
    found: list[str] = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        option, _, value = argument.partition("=")
        if before == "--video" and argument.lower() in _BOOLEANS:
            found[-1] = "--video" if _BOOLEANS[argument.lower()] else "--no-video"
        elif option == "--video" and value.lower() in _BOOLEANS:
            found.append("--video" if _BOOLEANS[value.lower()] else "--no-video")
        else:
            found.append(argument)
    return found


def check_options(theirs: Mapping[str, list[str]]) -> None:
    """Refuse MimicKit's options on our command line where they come without its files.

    Raises:
        UserError: with what to type instead.
    """
    draft = Draft(Path(), motion_is_given=True, typed=theirs)
    _read_arguments(draft, {}, theirs)
    if draft.values.get("visualize"):
        draft.refuse("visualize", f"is MimicKit's: {WATCH}")
    for name in theirs:
        if name not in ("mode", "visualize"):
            ours = ARGUMENTS[name].setting
            without = f"; without, use ours: {ours}" if ours else ""
            draft.refuse(
                name, f"is MimicKit's, and goes with its files; add --arg-file or --env_config{without}"
            )


def translate(
    arg_file: Path | None,
    theirs: Mapping[str, list[str]] | None = None,
    motion_is_given: bool = False,
    num_envs: int = 0,
) -> Translation:
    """Translate an argument file and the files that it names; what stands in none is as in the preset.

    Args:
        arg_file: MimicKit's; None: `theirs` are all arguments.
        theirs: arguments of a command line, by name, which go before those of the file.
        motion_is_given: whether the clips are named elsewhere, so that `motion_file` need not exist.
        num_envs: environments in all, where they are numbered elsewhere; 0: the files number them.

    Raises:
        UserError: a file is missing or malformed, or a value cannot be translated.
    """
    folder = arg_file.parent if arg_file else Path()
    require_range({"--num-envs": (num_envs, 0, 10**9)})
    draft = Draft(folder, motion_is_given, replace(PRESETS["mimickit"], num_envs=num_envs), theirs or {})
    _read_arguments(draft, read_arguments(arg_file) if arg_file else {}, theirs or {}, arg_file)
    if "env_config" not in draft.values:
        raise UserError(f"{arg_file or 'options'}: argument --env_config is missing; name a YAML file")
    paths = {kind: _config_file(draft, f"{kind}_config") for kind in ("env", "agent", "engine")}
    override: Any = {}
    for kind, path in paths.items():
        values, file = _mapping(path) if path else {}, str(path)
        if kind == "env":
            override = values.pop("engine", {})
            if not isinstance(override, Mapping):
                raise UserError(f"{file}: field 'engine' is {bare(override, 60)}; write 'name: value' lines")
            env_file = file
        elif kind == "engine" and override:
            values |= override
            file = f"{env_file}, field 'engine'{f', or {file}' if path else ''}"
        if values:
            _translate_file(draft, kind, _flat(values), file)
    return Translation(draft.config, draft.out, _report(draft, arg_file))


def _config_file(draft: Draft, key: str) -> Path | None:
    """Return the file that an argument names; None: there is no such argument."""
    if key not in draft.values:
        return None
    path = draft.find(key, draft.values[key])
    if path is None:
        draft.refuse(key, f"is {bare(draft.values[key])}: {not_found(draft.folder)}; correct it")
    return path


def read_arguments(path: Path) -> dict[str, list[str]]:
    """Read an argument file: `--key value`, one or more to a line, with `#` before comments.

    Raises:
        UserError: it cannot be read, or a line is something else.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        for word in re.sub(r"(^|\s)#.*", "", line).split():
            where = f"{path}: line {number}: "
            if word.startswith("--") and len(word) > 2:
                name = word.removeprefix("--")
                if name in found:
                    raise UserError(f"{where}'--{bare(name, 60)}' stands there twice; leave one")
                current = found[name] = []
            elif current is None:
                raise UserError(f"{where}is {bare(line.strip(), 60)}; write '--key value'")
            else:
                current.append(word)
    return found


def _read_arguments(
    draft: Draft,
    from_file: Mapping[str, list[str]],
    from_line: Mapping[str, list[str]],
    arg_file: Path | None = None,
) -> None:
    """Translate arguments; what is known only with the files is left in `draft.values`."""
    texts = {**from_file, **from_line}
    draft.kind = "argument"
    for name in texts:
        source = "option" if name in from_line else f"{arg_file}: argument"
        draft.sources[name] = f"{source} --{bare(name, 60)}"
    values = {}
    for name, words in texts.items():
        key = ARGUMENTS.get(name)
        values[name] = _parsed(draft, name, words, key.kind) if key and key.kind else words
    draft.values = values
    # The mode first: it says best what was wanted.
    for name in sorted(values, key=lambda name: list(ARGUMENTS).index(name) if name in ARGUMENTS else 99):
        _apply(draft, name, ARGUMENTS.get(name))


def _parsed(draft: Draft, name: str, words: Sequence[str], kind: Any) -> Any:
    """Return the words of an argument as its type."""
    if kind == list[str] and words:
        return list(words)
    if kind is bool and not words:
        return True
    if len(words) != 1:
        draft.refuse(name, f"has {len(words)} values; write one")
    text = words[0]
    if kind is bool and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if kind is str:
        return text
    if kind is int and re.fullmatch(r"[-+]?[0-9]{1,19}", text):
        return int(text)
    return draft.refuse(name, f"is {bare(text, 60)}; write {_NAMES[kind]}")


def _mapping(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"{path}: is no mapping; write 'name: value' lines")
    return dict(values)


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{bare(name)}"
        found |= _flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return found


def _translate_file(draft: Draft, kind: str, raw: Mapping[str, Any], file: str) -> None:
    keys = KEYS[kind]
    draft.kind, draft.values = kind, {}
    draft.sources = {name: f"{file}: field '{name}'" for name in (*keys, *raw)}
    for name, value in raw.items():
        key = keys.get(name)
        draft.values[name] = _typed(draft, name, value, key.kind) if key and key.kind else value
    for name, key in keys.items():
        if name in raw or key.default is KEEP or (name == "motion_file" and draft.motion_is_given):
            continue
        if key.default is REQUIRED:
            draft.refuse(name, "is missing; write it as MimicKit's files have it")
        draft.values[name] = key.default
    for name in (*(name for name in keys if name in draft.values), *(n for n in raw if n not in keys)):
        _apply(draft, name, keys.get(name))


_NAMES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    list[str]: "a list of names",
    list[int]: "a list of whole numbers",
    list[float]: "a list of numbers",
}


def _typed(draft: Draft, name: str, value: Any, kind: Any) -> Any:
    """Return a value of YAML as its type; whole numbers are numbers too."""
    if not _is(value, kind):
        draft.refuse(name, f"is {bare(value, 60)}; write {_NAMES[kind]}")
    try:
        if kind == list[float]:
            return [float(item) for item in value]
        return float(value) if kind is float else value
    except OverflowError:
        draft.refuse(name, "is too large; write a smaller number")


def _is(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(_is(item, *typing.get_args(kind)) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _apply(draft: Draft, name: str, key: Key | None) -> None:
    """Translate one key, and hold what follows from it to the bounds of the settings."""
    value = draft.values[name]
    if key is None:
        near = difflib.get_close_matches(name, KEYS[draft.kind], 1)
        draft.tell(name, f"unknown; did you mean {near[0]}?" if near else "unknown")
    elif key.translate:
        key.translate(draft, name, value)
        draft.check(name)
    elif not key.has_effect and value not in key.neutral:
        draft.tell(name, f"{key.how}{f' ({key.setting})' if key.setting else ''}")


def _report(draft: Draft, arg_file: Path | None) -> str:
    """Return the block that is printed at the start of a training."""
    read = ", ".join(bare(path) for path in (*([arg_file] if arg_file else []), *draft.files))
    lines = [f"MimicKit's files are translated: {read}. What differs from MimicKit:"]
    width = max((len(bare(key, 40)) for _, key, _, _ in draft.notes), default=0)
    for kind, key, value, text in draft.notes:
        is_long = isinstance(value, list) and len(value) > 3
        shown = f"{len(value)} values" if is_long else bare(value, 24)
        lines.append(f"  {kind:8} {bare(key, 40):{width}}  {shown}: {text}".replace("`", ""))
    lines.append(f"  {DOCUMENT} lists what differs whatever the files say.")
    return "\n".join(lines)
