"""Settings in YAML: written, read back strictly, compared. Beside `config`, so that it needs no JAX."""

import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from mjx_mimic.common.errors import UserError, bare, quoted
from mjx_mimic.common.files import MAX_YAML_BYTES, read_yaml
from mjx_mimic.config import TrainConfig

CONFIG_FILE = "config.yaml"
"""Name of the configuration in a run folder."""
FORMAT = 2
"""Format of a run folder; one of another is not read.

2: a checkpoint holds everything at once, the log standard deviation is itself a parameter, and evaluations
are called so in the metrics."""

_MAX_RECORD_BYTES = 2**26
"""Of the configuration in a run folder, with about 120 bytes for each of its clips."""

_FORMER = ("env.location.speed_scale", "env.location.heading_scale", "network.final_min_std")
"""Fields of runs made by earlier versions, which can still be looked at."""

_EARLIER = {"network": {"symmetric": False}}
"""What runs were made with whose records do not say so, because it was no setting yet."""


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Return a plain nested dict for YAML, with lists for tuples."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return plain(asdict(config))


def from_dict(
    values: Mapping[str, Any], source: str | Path, kind: Any = TrainConfig, prefix: str = ""
) -> Any:
    """Build the dataclass `kind` from a nested dict, strictly.

    Raises:
        UserError: an unknown field or a value of the wrong type, with the field's full name.
    """
    if not isinstance(values, Mapping):
        raise UserError(
            f"{source}: field '{prefix.rstrip('.') or 'top level'}' is not a mapping; write 'name: value'"
            " lines"
        )
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    for name in values:
        if name not in known:
            known_here = ", ".join(sorted(known))
            section, _, inner = str(name).partition(".")
            nested = f"; write {section}: {{{bare(inner)}: ...}}" if section in known and inner else ""
            raise UserError(
                f"{source}: unknown field '{prefix}{bare(name)}'{nested}; known here: {known_here}"
            )
    converted = {}
    for name, value in values.items():
        hint = hints[name]
        if is_dataclass(hint):
            converted[name] = from_dict(value, source, hint, f"{prefix}{name}.")
        else:
            converted[name] = _convert(value, hint, f"{source}: field '{prefix}{name}'")
    return kind(**converted)


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""What is asked for, in the words of who writes a file."""


def _convert(value: Any, hint: Any, where: str, others: str = "") -> Any:
    """Return `value` as the type `hint`; YAML has lists for tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        words = [word for kind in arguments for word in typing.get_args(kind)]  # of a Literal
        if value in words or (value is None and types.NoneType in arguments):
            return value
        if types.NoneType in arguments:
            words.append("null")
        kind = next(kind for kind in arguments if kind is not types.NoneType)
        return _convert(value, kind, where, "".join(f", or {word}" for word in words))
    if origin is Literal:
        if value not in arguments:
            raise UserError(f"{where} is {_shown(value)}; use one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where} is {_shown(value)}; write a list")
        return tuple(_convert(item, arguments[0], where) for item in value)
    return _scalar(value, hint, where, others)


def _scalar(value: Any, hint: type, where: str, others: str) -> Any:
    """Return `value` as a number, a truth value or text; 3 is a float too, and 1e7 is also an integer."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise UserError(f"{where} is too large; write a smaller number") from None
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise UserError(f"{where} is {_shown(value)}; write {_KINDS[hint]}{others}")
    return value


def _shown(value: Any) -> str:
    """Show a value of a file, however large it is."""
    return quoted(value) if isinstance(value, str) else bare(value)


def read_config(path: Path) -> TrainConfig:
    """Read settings to start from: those of a run folder, or of a YAML file with the same fields.

    Raises:
        UserError: there are none, or a field will not do.
    """
    file = path if os.path.isfile(path) else path / CONFIG_FILE
    return _settings(_read_existing(file, path), file)


def read_record(run: Path) -> Any:
    """Read what stands in the configuration of a run folder, of whatever format and whoever wrote it.

    Raises:
        UserError: there is none, or it is no YAML.
    """
    return _read_existing(run / CONFIG_FILE, run)


def _read_existing(file: Path, path: Path) -> Any:
    if not os.path.exists(file):
        is_file = path.suffix.lower() in (".yaml", ".yml") and not os.path.exists(path)
        what = "no such file" if is_file else f"no run in this folder ({CONFIG_FILE} is missing)"
        raise UserError(f"{path}: {what}; check the path")
    is_record = path.name == CONFIG_FILE or file != path
    return read_yaml(file, _MAX_RECORD_BYTES if is_record else MAX_YAML_BYTES)


def _settings(values: Any, file: Path) -> TrainConfig:
    """Take the settings out of a run's record, or of a file that holds nothing else."""
    if isinstance(values, Mapping) and "config" in values:
        values = _with_earlier(_without_former(values["config"]))
    return from_dict(values, file)


def _without_former(values: Any, prefix: str = "") -> Any:
    """Leave out what only the records of finished runs still hold."""
    if not isinstance(values, Mapping):
        return values
    return {
        name: _without_former(value, f"{prefix}{name}.")
        for name, value in values.items()
        if f"{prefix}{name}" not in _FORMER
    }


def _with_earlier(values: Any) -> Any:
    """Fill in what the records of earlier versions do not say."""
    if not isinstance(values, Mapping):
        return values
    return {
        name: {**_EARLIER.get(name, {}), **section} if isinstance(section, Mapping) else section
        for name, section in values.items()
    }


def former_field(record: Mapping[str, Any]) -> str | None:
    """Return a setting of a run's record that is none any more and was not left out, or None."""
    for name in _FORMER:
        value: Any = record["config"]
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return name
    return None


def read_run(run: Path) -> tuple[TrainConfig, Mapping[str, Any]]:
    """Read what a run was made with, and believe it only if it is whole.

    Returns:
        The settings, and the whole record: format, clips, devices, versions.

    Raises:
        UserError: no run in this folder, one of another format, or a record that was cut short or edited.
    """
    file = run / CONFIG_FILE
    record = read_record(run)
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        found = record.get("format", 1) if isinstance(record, Mapping) else "unknown"
        raise UserError(
            f"{file}: the run is of format {bare(found)}, this version of mjx_mimic reads {FORMAT}; use the"
            " version that made it"
        )
    config = _settings(record, file)
    try:
        is_whole = record.get("digest") == record_digest(record)
    except TypeError:  # names of fields that are no text were never written
        is_whole = False
    if not is_whole:
        raise UserError(f"{file}: was cut short or edited since the run was made; restore it, or start anew")
    return config, record


def record_digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a run's record without the field `digest`."""
    rest = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()


def difference(stored: TrainConfig, wanted: TrainConfig, where: str = "here") -> str | None:
    """Name the first field in which two configurations differ, with both values; None if there is none.

    `where` says in the message what the second one is of.
    """

    def walk(left: Any, right: Any, prefix: str) -> str | None:
        for f in fields(left):
            a, b = getattr(left, f.name), getattr(right, f.name)
            if is_dataclass(a):
                found = walk(a, b, f"{prefix}{f.name}.")
                if found:
                    return found
            elif a != b:
                return f"field '{prefix}{f.name}' is {bare(repr(a))} in the run and {bare(repr(b))} {where}"
        return None

    return walk(stored, wanted, "")
