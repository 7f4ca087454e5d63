"""Errors that end a command with one line, and how they quote text from a file."""

MAX_LENGTH = 900
"""Characters of a message."""


class UserError(Exception):
    """Bad input: one line that names the file, the field and the remedy.

    Commands print ``error: <message>`` and exit with status 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class RunFailure(Exception):
    """A run that cannot go on, through no fault of its input: one line that says how far it got.

    Commands print ``error: <message>`` and exit with status 1, without a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def missing_package(what: str, package: str, extra: str) -> UserError:
    """Say that something needs a package of one of the extras, and how to install that."""
    return UserError(
        f"{what} needs the package {package}; in the clone of mjx_mimic, put `uv run --extra {extra}` before"
        f' the command, or pip install -e ".[{extra}]"'
    )


def one_line(message: str) -> str:
    """Make one line of bounded length that every terminal can show.

    Names of files and libraries' own messages may hold line breaks, control characters and much else. What is
    too long is cut in the middle, between the file and the remedy.
    """
    line = " ".join(message.splitlines())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    if len(line) <= MAX_LENGTH:
        return line
    return f"{line[: MAX_LENGTH // 2 - 5]} [...] {line[-MAX_LENGTH // 2 + 2 :]}"


def bare(value: object, limit: int = 200) -> str:
    """Show a value from an untrusted file as `quoted` does, but without the quotation marks."""
    text = str(value)
    return repr(text[:limit])[1:-1] + ("..." if len(text) > limit else "")


class DiskFailure(RunFailure):
    """A file that cannot be written because the disk is full or fails."""


def quoted(text: str, limit: int = 60) -> str:
    """Quote text from an untrusted file: cut to `limit` characters, control characters escaped."""
    return repr(text[:limit]) + ("..." if len(text) > limit else "")
