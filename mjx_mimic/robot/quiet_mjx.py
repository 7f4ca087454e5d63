"""MJX, which uses Warp only where a program has imported `warp` before it.

Whoever needs MJX imports it from here, so that this import is the first. MJX would load Warp wherever it is
installed, which takes seconds, and print that it is missing wherever it is not.
"""

import contextlib
import io
import sys

_printed = io.StringIO()
_without_warp = "warp" not in sys.modules
if _without_warp:
    sys.modules["warp"] = None  # type: ignore[assignment]  # an import of it fails as if it were not there
try:
    with contextlib.redirect_stdout(_printed):
        from mujoco import mjx
finally:
    if _without_warp:
        del sys.modules["warp"]

for _line in _printed.getvalue().splitlines():
    if not _line.startswith(("Failed to import warp:", "Failed to import mujoco_warp:")):
        print(_line)

__all__ = ["mjx"]
