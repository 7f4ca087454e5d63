"""What calls and commands say that must refuse their input."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mjx_mimic.common.errors import UserError


def refusal(call: Callable[..., object], *args: object, **kwargs: object) -> str:
    """The message of the UserError that the call must raise; it must be one line."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return _one_line(caught.value)


def command_refusal(
    main: Callable[[Sequence[str]], int], arguments: Sequence[str], capsys: pytest.CaptureFixture
) -> str:
    """The message of a command that must refuse its arguments: one line of its own, or tyro's text.

    A wrong option is tyro's to explain, on the standard error and with exit code 2.
    """
    capsys.readouterr()
    with pytest.raises((UserError, SystemExit)) as caught:
        main(arguments)
    if isinstance(caught.value, UserError):
        return _one_line(caught.value)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return " ".join(captured.err.replace("\u2502", " ").split())


def refusal_that_writes_nothing(
    main: Callable[[Sequence[str]], int], folder: Path, capsys: pytest.CaptureFixture, *arguments: str
) -> str:
    """What `command_refusal` returns, of a command that must have left `folder` as it was."""
    before = sorted(folder.rglob("*"))
    found = command_refusal(main, arguments, capsys)
    assert sorted(folder.rglob("*")) == before
    return found


def _one_line(error: UserError) -> str:
    message = str(error)
    assert len(message.splitlines()) == 1
    return message
