"""What a call that must be refused says."""

from collections.abc import Callable

import pytest

from mjx_mimic.common.errors import UserError


def refusal(call: Callable[..., object], *args: object, **kwargs: object) -> str:
    """The message of the UserError that the call must raise; it must be one line."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
