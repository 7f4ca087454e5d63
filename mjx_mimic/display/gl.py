"""The choice of an OpenGL library for drawing off-screen; imports neither MuJoCo nor JAX."""

import functools
import os
import subprocess
import sys

from mjx_mimic.common.errors import bare

NO_GL = (
    "no OpenGL library found for drawing; install one (Debian: apt-get install libosmesa6, or libegl1 and"
    " libgl1)"
)


def why_none() -> str:
    """Say why `choose_gl_backend` has found nothing that can draw, with the remedy."""
    chosen = os.environ.get("MUJOCO_GL")
    if not chosen:
        return NO_GL
    return f"MUJOCO_GL={bare(chosen)} cannot draw here; unset it, and what can draw is found"


@functools.cache
def choose_gl_backend() -> str | None:
    """Choose the GL library that can draw here without a window, and name it in MUJOCO_GL.

    MuJoCo reads that variable when it is first imported, so call this before. A choice made by the user
    stands. Every candidate is tried in a process of its own, since a failed one cannot be unloaded.

    Returns:
        The name of the library for MUJOCO_GL; None if nothing here can draw.
    """
    candidates = [os.environ["MUJOCO_GL"]] if os.environ.get("MUJOCO_GL") else _candidates()
    trial = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render()"
    for name in candidates:
        environment = {**os.environ, "MUJOCO_GL": name}
        tried = subprocess.run([sys.executable, "-c", trial], env=environment, capture_output=True)
        if tried.returncode == 0:
            os.environ["MUJOCO_GL"] = name
            return name
    return None


def _candidates() -> list[str]:
    if sys.platform.startswith("linux"):
        return ["egl", "osmesa"]
    return ["cgl" if sys.platform == "darwin" else "wgl"]


def has_display() -> bool:
    """Return whether there may be a screen to open a window on."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
