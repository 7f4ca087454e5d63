"""Pictures of the robot: off-screen frames and MP4 files. No JAX, and MuJoCo only when drawing."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mjx_mimic.errors import UserError

if TYPE_CHECKING:
    import mujoco

NO_GL = "no OpenGL library found for drawing; install one (Debian: apt-get install libosmesa6)"

GHOST_COLOR = (0.25, 0.55, 0.95, 0.2)
CAMERA_SMOOTHING_S = 0.5


@functools.cache
def choose_gl_backend() -> str | None:
    """Picks the GL library that can draw here without a window, and names it in MUJOCO_GL.

    MuJoCo reads that variable when it is first imported, so call this before. A choice made by the user
    stands. Every candidate is tried in a process of its own, since a failed one cannot be unloaded.

    Returns:
        The back end's name; None if nothing here can draw.
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


def render_frames(
    model: "mujoco.MjModel",
    qpos: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    fps: float,
    width: int = 640,
    height: int = 480,
) -> Iterator[np.ndarray]:
    """Draws a motion, one frame a row, with a camera that follows the root.

    Args:
        qpos: (T, 36) generalised coordinates.
        reference: (T, 36), drawn as a translucent ghost.
        fps: rows a second; sets how smoothly the camera follows.
        width: pixels, at most 1280; `height` at most 960.

    Yields:
        (height, width, 3) uint8.
    """
    import mujoco
    from scipy.ndimage import gaussian_filter1d

    data, ghost = mujoco.MjData(model), mujoco.MjData(model)
    camera = mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = 2.6, 130.0, -12.0
    path = gaussian_filter1d(qpos[:, :2], CAMERA_SMOOTHING_S * fps, axis=0, mode="nearest")
    with mujoco.Renderer(model, height, width) as renderer:
        for i, pose in enumerate(qpos):
            _pose(model, data, pose)
            camera.lookat[:] = (*path[i], 0.7)
            renderer.update_scene(data, camera)
            if reference is not None:
                _pose(model, ghost, reference[i])
                _add_ghost(model, ghost, renderer.scene)
            yield renderer.render()


def _pose(model: "mujoco.MjModel", data: "mujoco.MjData", qpos: np.ndarray) -> None:
    import mujoco

    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)  # the light follows the centre of mass
    mujoco.mj_camlight(model, data)


def _add_ghost(model: "mujoco.MjModel", data: "mujoco.MjData", scene: "mujoco.MjvScene") -> None:
    import mujoco

    first = scene.ngeom
    dynamic = mujoco.mjtCatBit.mjCAT_DYNAMIC
    mujoco.mjv_addGeoms(model, data, mujoco.MjvOption(), mujoco.MjvPerturb(), dynamic, scene)
    for geom in scene.geoms[first : scene.ngeom]:
        geom.rgba[:] = GHOST_COLOR
        geom.matid = -1


def write_video(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """Writes an MP4 (H.264), all of it or nothing; returns the number of frames.

    Raises:
        UserError: no frames, or the file cannot be written.
    """
    import imageio_ffmpeg
    import mediapy

    if shutil.which("ffmpeg") is None:
        mediapy.set_ffmpeg(imageio_ffmpeg.get_ffmpeg_exe())
    temporary = path.with_name(f".{path.stem}.partial.mp4")
    first = next(frames, None)
    if first is None:
        raise UserError(f"{path}: no frames to write; give a longer motion")
    count = 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another file") from None
    try:
        with mediapy.VideoWriter(temporary, first.shape[:2], fps=fps) as video:
            video.add_image(first)
            for frame in frames:
                video.add_image(frame)
                count += 1
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count
