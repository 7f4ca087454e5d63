"""Errors that end a command with one line, and how they quote text from a file."""


class UserError(Exception):
    """Bad input: one line that names the file, the field and the remedy.

    Commands print ``error: <message>`` and exit with status 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        # File names and libraries' own messages may hold line breaks; the line printed must not.
        super().__init__(" ".join(message.splitlines()))


class RunFailure(Exception):
    """A run that cannot go on, through no fault of its input: one line that says how far it got.

    Commands print ``error: <message>`` and exit with status 1, without a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class DiskFailure(RunFailure):
    """A file that cannot be written because the disk is full or fails."""


def quoted(text: str, limit: int = 60) -> str:
    """Quote text from an untrusted file: cut to `limit` characters, control characters escaped."""
    return repr(text[:limit]) + ("..." if len(text) > limit else "")
