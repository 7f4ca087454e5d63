"""Where the bundled files are, in a checkout and in an installed wheel, and how new ones may be called."""

import re
from pathlib import Path

from mjx_mimic.common.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]


def _data_dir(name: str) -> Path:
    """Folder `name` inside the package (wheel) or beside it (checkout); UserError if neither exists."""
    # Inside first: beside an installed package lies all of site-packages, not ours to search.
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise UserError(f"{_PACKAGE / name}: the bundled folder '{name}' is missing; install mjx_mimic again")


def assets_dir() -> Path:
    """Folder of the robot's MJCF files."""
    return _data_dir("assets")


def motions_dir() -> Path:
    """Folder of the bundled clips, native `.npz`."""
    return _data_dir("motions")


def bundled_clips() -> tuple[str, ...]:
    """Names of the bundled clips, sorted; each is a file `<name>.npz` in `motions_dir()`."""
    return tuple(sorted(path.stem for path in motions_dir().glob("*.npz")))


def file_name(text: str) -> str:
    """Return what the name of a file or a folder can hold of any text, in every file system.

    Letters of every script stay. There is no dot at either end, and there are 60 characters and 200 bytes at
    most, so that a number or a date may follow.
    """
    printable = "".join(character if character.isprintable() else "_" for character in text)
    name = re.sub(r"[^\w.=+\-\x80-\U0010ffff]+", "_", printable, flags=re.ASCII)[:60]
    return re.sub(r"^\.|\.$", "_", name.encode()[:200].decode(errors="ignore")) or "_"
