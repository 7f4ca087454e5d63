"""MJX, without its lines that the optional Warp back end is missing, for which nobody asked.

Whoever needs MJX imports it from here, so that this import is the first.
"""

import contextlib
import io

_printed = io.StringIO()
with contextlib.redirect_stdout(_printed):
    from mujoco import mjx

for _line in _printed.getvalue().splitlines():
    if not _line.startswith(("Failed to import warp:", "Failed to import mujoco_warp:")):
        print(_line)

__all__ = ["mjx"]
