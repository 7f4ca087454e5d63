"""Pictures of the robot: off-screen frames; MP4, GIF and PNG files. No JAX, and MuJoCo only when drawing."""

import contextlib
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.common.errors import UserError

if TYPE_CHECKING:
    import mediapy
    import mujoco

NO_GL = (
    "no OpenGL library found for drawing; install one (Debian: apt-get install libosmesa6, or libegl1 and"
    " libgl1)"
)
NO_FFMPEG = "no ffmpeg found for the video; install one (pip install imageio-ffmpeg)"

GHOST_COLOR = (0.25, 0.55, 0.95, 0.2)
BESIDE_COLOR = (0.45, 0.68, 0.98, 1.0)
BESIDE_DISTANCE = 1.0  # m, to the right in the picture: neither robot hides the other, whatever the heading
CAMERA_SMOOTHING_S = 0.5
CAMERA_HEIGHT = 0.7  # m, of the point looked at
_AZIMUTH, _ELEVATION = 130.0, -12.0  # degrees
_DISTANCE, _DISTANCE_TO_TWO = 2.6, 3.0  # m

VISIBLE_CHANGE = 20
"""Of 255, in a colour channel: what the eye sees as another colour."""
FILLED_SHARE = 0.005
"""A picture with fewer changed pixels is empty; a whole robot changes about 0.04 of them."""

Frame = NDArray[np.uint8]


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


class Stage:
    """A scene with a camera, to draw one pose after another in; a context manager, since it holds a GL
    context.

    Args:
        model: the robot in its scene; what is drawn of it is in geom group `VISUAL_GROUP`.
        width: pixels, at most 1280; `height` at most 960.
        beside: draw references beside the robot, not as ghosts at their true place.
    """

    def __init__(
        self, model: "mujoco.MjModel", width: int = 640, height: int = 480, beside: bool = False
    ) -> None:
        import mujoco

        from mjx_mimic.robot.mjcf import VISUAL_GROUP

        self._model = model
        self._robot, self._other = mujoco.MjData(model), mujoco.MjData(model)
        self._camera = mujoco.MjvCamera()
        self._camera.azimuth, self._camera.elevation = _AZIMUTH, _ELEVATION
        self._camera.distance = _DISTANCE_TO_TWO if beside else _DISTANCE
        self._color = BESIDE_COLOR if beside else GHOST_COLOR
        turn = np.radians(_AZIMUTH)
        self._shift = BESIDE_DISTANCE * beside * np.array([np.sin(turn), -np.cos(turn), 0.0])
        self._no_robot = mujoco.MjvOption()
        self._no_robot.geomgroup[VISUAL_GROUP] = 0
        self._renderer = mujoco.Renderer(model, height, width)

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def camera_path(self, qpos: NDArray, fps: float) -> NDArray[np.float64]:
        """Points (T, 3) in the world to look at, so that the camera goes calmly with the robot of `qpos`
        (T, 36), `fps` rows a second."""
        from scipy.ndimage import gaussian_filter1d

        path = gaussian_filter1d(qpos[:, :3], CAMERA_SMOOTHING_S * fps, axis=0, mode="nearest")
        path[:, 2] = CAMERA_HEIGHT
        return path + 0.5 * self._shift

    def picture(self, pose: NDArray, lookat: NDArray, reference: NDArray | None = None) -> Frame:
        """Draws the robot at `pose` (36,), and another one at `reference` (36,); (height, width, 3)."""
        place(self._model, self._robot, pose)
        self._camera.lookat[:] = lookat
        self._renderer.update_scene(self._robot, self._camera)
        if reference is not None:
            place(self._model, self._other, reference)
            add_robot(self._model, self._other, self._renderer.scene, self._color, self._shift)
        return self._renderer.render()

    def is_filled(self, picture: Frame, lookat: NDArray) -> bool:
        """Whether the last `picture` drawn differs from the same view with no robot: `FILLED_SHARE` of its
        pixels by `VISIBLE_CHANGE`."""
        import mujoco

        self._camera.lookat[:] = lookat
        self._renderer.update_scene(self._robot, self._camera, self._no_robot)
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0  # nothing casts one; this saves half the time
        empty = self._renderer.render()
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 1
        return changed_share(picture, empty) >= FILLED_SHARE


def place(model: "mujoco.MjModel", data: "mujoco.MjData", qpos: NDArray) -> None:
    """Poses of the bodies and the light at `qpos`; nothing that the next `mj_step` starts from changes but
    `qpos`."""
    import mujoco

    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)  # the light follows the centre of mass
    mujoco.mj_camlight(model, data)


def add_robot(
    model: "mujoco.MjModel",
    data: "mujoco.MjData",
    scene: "mujoco.MjvScene",
    color: Sequence[float] = GHOST_COLOR,
    shift: Sequence[float] | NDArray = (0.0, 0.0, 0.0),
) -> None:
    """The robot of `data` in one colour, rgba, moved by `shift` m, into a scene that has another one."""
    import mujoco

    first = scene.ngeom
    dynamic = mujoco.mjtCatBit.mjCAT_DYNAMIC
    mujoco.mjv_addGeoms(model, data, mujoco.MjvOption(), mujoco.MjvPerturb(), dynamic, scene)
    for geom in scene.geoms[first : scene.ngeom]:
        geom.rgba[:] = color
        geom.matid = -1
        geom.pos[:] += shift


def changed_share(left: Frame, right: Frame) -> float:
    """Share of the pixels of two pictures (H, W, 3) that differ visibly."""
    return float(np.mean(np.abs(left.astype(np.int16) - right).max(axis=-1) > VISIBLE_CHANGE))


def render_frames(
    model: "mujoco.MjModel",
    qpos: NDArray,
    reference: NDArray | None = None,
    *,
    fps: float,
    width: int = 640,
    height: int = 480,
    beside: bool = False,
) -> Iterator[Frame]:
    """Draws a motion, one frame a row, with a camera that follows the root.

    Args:
        model: as `mjcf.load_mjcf` or `meshes.load_with_meshes` gives it.
        qpos: (T, 36) generalised coordinates.
        reference: (T, 36), drawn as a translucent ghost.
        fps: rows a second; sets how smoothly the camera follows.
        width: pixels, at most 1280; `height` at most 960.
        beside: the reference stands beside the robot, opaque.

    Yields:
        (height, width, 3) uint8.
    """
    with Stage(model, width, height, beside) as stage:
        path = stage.camera_path(qpos, fps)
        for i, pose in enumerate(qpos):
            yield stage.picture(pose, path[i], None if reference is None else reference[i])


def find_ffmpeg() -> str:
    """The ffmpeg program: the system's, or the one that imageio-ffmpeg brings.

    Raises:
        UserError: neither is here.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        try:
            import imageio_ffmpeg

            found = imageio_ffmpeg.get_ffmpeg_exe()
        except (ImportError, RuntimeError):
            raise UserError(NO_FFMPEG) from None
    return found


def write_video(path: Path, frames: Iterator[Frame], fps: float) -> int:
    """Writes an MP4 (H.264), or a GIF that repeats if `path` ends so, all of it or nothing.

    Returns:
        The number of frames.

    Raises:
        UserError: no frames, no ffmpeg or one that fails, or the file cannot be written.
    """
    import mediapy

    mediapy.set_ffmpeg(find_ffmpeg())
    first, frames = _first_of(path, frames)
    suffix = path.suffix.lower()

    with _temporary_folder(path) as folder:
        temporary = folder / f"video{suffix}"
        codec = "gif" if suffix == ".gif" else "h264"
        video = mediapy.VideoWriter(temporary, first.shape[:2], fps=fps, codec=codec)

        def ask(action: Callable[..., Any], *arguments: Any) -> None:
            try:
                action(*arguments)
            except (RuntimeError, OSError) as error:
                told = _told_by_ffmpeg(video) if isinstance(error, OSError) else error
                reason = " ".join(str(told or error).split()).rpartition("': ")[2]
                raise UserError(
                    f"{path}: ffmpeg failed ({reason}); make space on the disk, or install another (pip"
                    " install imageio-ffmpeg)"
                ) from None

        ask(video.__enter__)
        count = 0
        try:
            for frame in frames:
                ask(video.add_image, frame)
                count += 1
        except BaseException:
            _told_by_ffmpeg(video)
            raise
        ask(video.close)
        os.replace(temporary, path)
    return count


def _told_by_ffmpeg(video: "mediapy.VideoWriter") -> RuntimeError | None:
    """Ends the program, and gives its own words if it failed."""
    # The first attempt may stop at the broken pipe; the second one reads what was said.
    for _ in range(2):
        try:
            video.close()
        except RuntimeError as error:
            return error
        except OSError:
            continue
    return None


def write_pictures(path: Path, frames: Iterator[Frame]) -> int:
    """Writes a new folder of PNG files, `0000.png` and on, all of it or nothing; returns their number.

    Raises:
        UserError: no frames, or the folder cannot be written or holds something.
    """
    from PIL import Image

    _, frames = _first_of(path, frames)
    with _temporary_folder(path) as folder:
        (folder / "frames").mkdir()
        count = 0
        for frame in frames:
            Image.fromarray(frame).save(folder / "frames" / f"{count:04d}.png")
            count += 1
        if path.is_dir():
            path.rmdir()
        os.replace(folder / "frames", path)
    return count


def _first_of(path: Path, frames: Iterator[Frame]) -> tuple[Frame, Iterator[Frame]]:
    """The first frame, and all of them again."""
    first = next(frames, None)
    if first is None:
        raise UserError(f"{path}: no frames to write; give a longer motion")
    return first, itertools.chain([first], frames)


@contextlib.contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, on the same disk, that is gone in the end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial_", dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another path") from None
