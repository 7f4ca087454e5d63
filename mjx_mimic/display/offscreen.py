"""Frames drawn off-screen: a scene with one or two robots, and a camera that follows them."""

import copy
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mjx_mimic.display.drawn_robot import AZIMUTH, ELEVATION, GHOST_COLOR, add_marker, add_robot, pose_model
from mjx_mimic.display.video import Frame

BESIDE_COLOR = (0.45, 0.68, 0.98, 1.0)  # red, green, blue and opacity
BESIDE_DISTANCE = 1.0  # m, to the right in the picture: neither robot hides the other, whatever the heading
CAMERA_SMOOTHING_S = 0.5  # standard deviation of the Gaussian that smooths the camera's path
CAMERA_HEIGHT = 0.7  # m, of the point looked at
_DISTANCE, _DISTANCE_TO_TWO = 2.6, 3.0  # m
GOAL_DISTANCE = 0.5  # m that the camera is farther away for each that a goal is: never nearer to the robot
_DRAFT_SLICES, _DRAFT_STACKS = 12, 8  # of a round shape


class OffscreenScene:
    """A scene with a camera, for drawing one pose after another.

    It holds a GL context, which `with` releases.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        width: int,
        height: int,
        beside: bool = False,
        draft: bool = False,
    ) -> None:
        """Prepare frames of `width` x `height` pixels.

        Args:
            model: the robot, as `load_mjcf` or `load_with_meshes` gives it.
            width: pixels, at most 1280.
            height: pixels, at most 960.
            beside: draw references beside the robot, not as ghosts at their true place.
            draft: draw coarse shapes without shadows or smooth edges, which a CPU does ten times as fast.
        """
        if draft:
            model = copy.copy(model)
            quality = model.vis.quality
            quality.offsamples, quality.numslices, quality.numstacks = 0, _DRAFT_SLICES, _DRAFT_STACKS
        self._model = model
        self._robot, self._reference = mujoco.MjData(model), mujoco.MjData(model)
        self._camera = mujoco.MjvCamera()
        self._camera.azimuth, self._camera.elevation = AZIMUTH, ELEVATION
        self._distance = _DISTANCE_TO_TWO if beside else _DISTANCE
        self._color = BESIDE_COLOR if beside else GHOST_COLOR
        azimuth = np.radians(AZIMUTH)
        self._shift = BESIDE_DISTANCE * beside * np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
        self._renderer = mujoco.Renderer(model, height, width)
        if draft:
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renderer.close()

    def camera_path(self, qpos: NDArray, fps: float, goal: NDArray | None = None) -> NDArray[np.float64]:
        """Return where the camera looks from how far, so that it follows the robot smoothly.

        Args:
            qpos: (T, 36) of the robot.
            fps: rows per second.
            goal: (T, 3) m in the world frame, a place to keep in the picture beside the robot.

        Returns:
            (T, 4): the point in the middle of the picture in the world frame, and its distance, m.
        """
        away = np.zeros((len(qpos), 2)) if goal is None else goal[:, :2] - qpos[:, :2]
        path = np.column_stack([qpos[:, :2] + 0.5 * away, np.linalg.norm(away, axis=1)])
        path = gaussian_filter1d(path, CAMERA_SMOOTHING_S * fps, axis=0, mode="nearest")
        height = np.full(len(path), CAMERA_HEIGHT)
        lookat = np.column_stack([path[:, :2], height]) + 0.5 * self._shift
        return np.column_stack([lookat, self._distance + GOAL_DISTANCE * path[:, 2]])

    def draw(
        self,
        qpos: NDArray,
        camera: NDArray,
        reference: NDArray | None = None,
        markers: Iterable[NDArray] = (),
    ) -> Frame:
        """Draw one frame.

        Args:
            qpos: (36,) of the robot.
            camera: (4,) the point in the middle of the picture in the world frame, and its distance, m.
            reference: (36,) qpos of the reference, if it is to be drawn.
            markers: points (3,) m in the world frame that show a goal; none without one.

        Returns:
            (height, width, 3).
        """
        pose_model(self._model, self._robot, qpos)
        self._camera.lookat[:], self._camera.distance = camera[:3], camera[3]
        self._renderer.update_scene(self._robot, self._camera)
        if reference is not None:
            pose_model(self._model, self._reference, reference)
            add_robot(self._model, self._reference, self._renderer.scene, self._color, self._shift)
        for marker in markers:
            add_marker(self._renderer.scene, marker)
        return self._renderer.render()
