"""Reading and writing a user's files: one clear line for all that can go wrong, nothing half-written."""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from mjx_mimic.common import paths
from mjx_mimic.common.errors import DiskFailure, UserError, bare, quoted

MAX_FILE_BYTES = 2**30
MAX_YAML_BYTES = 2**20
"""Of a file of settings."""
MAX_YAML_DEPTH = 20
MAX_YAML_DIGITS = 400
"""Of an integer; float64 ends at 309."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
PARTIAL = ".partial_"
"""How the names begin of what is not whole yet."""


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES, remedy: str = "") -> bytes:
    """Read a file of people.

    Args:
        path: the file.
        limit: bytes that it may have.
        remedy: what to do where there is none; empty: name a clip, of which the bundled ones are listed.

    Raises:
        UserError: missing, not a plain file, unreadable, empty, or larger than `limit` bytes.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: is a directory; give the path of one clip file")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device could block or never end
            raise UserError(f"{path}: is not a regular file; give the path of one clip file")
        if status.st_size == 0:
            raise UserError(f"{path}: file is empty; export or copy the clip again")
        if status.st_size > limit:
            raise UserError(
                f"{path}: file size is {status.st_size / 2**20:.0f} MiB, over the limit of"
                f" {limit / 2**20:.0f} MiB; split the clip"
            )
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        known = ", ".join(paths.bundled_clips()) or "none"
        remedy = remedy or f"give a clip's path or the name of a bundled clip ({known})"
        raise UserError(f"{path}: no such file; {remedy}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(
            f"{path}: file cannot be read ({why(error)}); check its path and permissions"
        ) from error


def read_yaml(path: Path, limit: int = MAX_YAML_BYTES) -> Any:
    """Read a YAML file of plain values: mappings, lists, text, numbers, booleans and null.

    Bounded in size, depth and digits; without aliases, which could make it grow beyond any bound; without
    dates and tags; with each name once in a mapping. Numbers such as 1e-4 are numbers, and 1:30 is text
    (YAML 1.1 has it the other way round).

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        UserError: the file cannot be read, or is not such YAML.
    """
    try:
        return yaml.load(_settings_text(path, limit), _PlainLoader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({why(error)}); check the path") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = quoted(error.problem or "", 100)
        raise UserError(f"{path}: {line}is not YAML as it is read here ({problem}); correct it") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        reason = quoted(" ".join(str(error).split()), 100)
        raise UserError(f"{path}: is not YAML as it is read here ({reason}); correct it") from None


def read_text(path: Path) -> str:
    """Read a small file of text in UTF-8.

    Raises:
        UserError: the file cannot be read, is larger than a file of settings, or is not text.
    """
    try:
        return _settings_text(path)
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not text in UTF-8; save it as such") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"{path}: cannot be read ({why(error)}); check the path") from None


def _settings_text(path: Path, limit: int = MAX_YAML_BYTES) -> str:
    """Return the text of a small file; OSError, ValueError or UserError if there is none."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe or device could block or never end
        raise UserError(f"{path}: is a folder, a pipe or a device; give a file of settings")
    if status.st_size > limit:
        raise UserError(f"{path}: is larger than {limit // 1024} KiB; give a file of settings")
    return path.read_bytes().decode("utf-8-sig")


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, tags, dates, and numbers to the base 60, and of bounded depth.

    Nothing stands twice in a mapping, of which PyYAML would keep the last.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not read; write the value out", problem_mark=mark)
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:  # PyYAML's makers of tagged values raise nearly any type
            problem = f"the tag {event.tag} is not read; write a plain value"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MAX_YAML_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_YAML_DEPTH}", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)  # raises for names that are mappings themselves
        names = set()
        for name_node, _ in node.value:
            name = self.construct_object(name_node)
            if name in names:
                problem = f"{bare(name, 60)} stands there twice; leave one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=name_node.start_mark)
            names.add(name)
        return found

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_YAML_DIGITS:  # Python prints no integer of thousands of digits
            problem = f"a number has over {MAX_YAML_DIGITS} digits"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return super().construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_INT = re.compile(r"[-+]?(0b[0-1_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"[-+]?(\d+\.\d*([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+([eE][-+]?\d+)?|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$"
)
_PlainLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.removeprefix("tag:yaml.org,2002:") not in ("timestamp", "float", "int", "merge", "value")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


class _PlainDumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also quotes text that would be read back as something else."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Line breaks of Unicode are escaped, or they would be folded.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_PlainDumper.add_representer(str, _PlainDumper.represent_text)
_PlainDumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def yaml_bytes(values: Any) -> bytes:
    """Write plain values as YAML that `read_yaml` reads back to the same values."""
    return yaml.dump(values, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True).encode()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` at the end: all of its new contents, or its old ones.

    Raises:
        UserError: it cannot be written.
        DiskFailure: the disk is full, or fails.
    """
    path = Path(path)
    try:
        target = _replaceable(path)
        temporary = _partial(target)
        file = temporary.open("xb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or no file name at all
        raise unwritable(path, error) from error
    try:
        try:
            with file:
                yield file
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: str | Path, contents: Any, indent: int = 2) -> None:
    """Write a file of JSON; see `replacing`.

    Raises:
        UserError: see `replacing`.
    """
    with replacing(path) as file:
        file.write((json.dumps(contents, indent=indent) + "\n").encode())


def _partial(path: Path) -> Path:
    """Return a hidden name beside `path` for what will take its place, however long its own name is.

    It is drawn, because processes of several machines, or containers, may have one number and one folder.
    """
    return path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")


def unwritable(path: Path, error: OSError | ValueError) -> UserError | DiskFailure:
    """Return what to raise for a file or folder that cannot be written."""
    if getattr(error, "errno", None) in DISK_ERRORS:
        return DiskFailure(f"{path}: cannot be written ({why(error)}); make space on the disk")
    return UserError(f"{path}: cannot be written ({why(error)}); choose another path")


def require_writable(option: str, path: Path) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Raises:
        UserError: it is a folder, its folder does not exist or is not ours to write to, or its name is too
            long.
    """
    try:
        temporary = _partial(_replaceable(path))
        temporary.touch()
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise UserError(
            f"option {option}: {path} cannot be written ({why(error)}); name a file in an existing folder"
        ) from None


def _replaceable(path: Path) -> Path:
    """Return the file that is to be replaced: `path`, or what it leads to as a link, which stays.

    Raises ValueError for a folder, a pipe or a device, OSError for a name that no file can have.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"is a {'folder' if stat.S_ISDIR(mode) else 'pipe or a device'}")
    return Path(os.path.realpath(path))


def require_space(folder: Path, size: int) -> None:
    """Make a folder if there is none, and make sure that so many bytes can be written in it now.

    Raises:
        DiskFailure: they cannot, on a full disk or for a quota.
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = _partial(folder / "space")
        try:
            with open(temporary, "wb") as file:
                if hasattr(os, "posix_fallocate"):  # macOS has none
                    os.posix_fallocate(file.fileno(), 0, size)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def is_empty_folder(path: Path) -> bool:
    """Return whether there is a folder with nothing in it."""
    try:
        return not os.listdir(path)
    except (OSError, ValueError):
        return False


def cache_folder() -> Path:
    """Return the user's folder for what can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "mjx_mimic"


def why(error: OSError | ValueError) -> str:
    """Why a file operation failed, without the path, which the message names already."""
    return getattr(error, "strerror", None) or str(error)
