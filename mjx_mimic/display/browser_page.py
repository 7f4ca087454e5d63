"""A web page on a session, served by viser: for machines without a screen, and notebooks."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import trimesh
import viser
from numpy.typing import NDArray

from mjx_mimic.config import DIRECTIONS
from mjx_mimic.display.browser_meshes import Color, body_meshes, joined, linear_light, move_bodies, rgb
from mjx_mimic.display.captions import columns_of
from mjx_mimic.display.drawn_robot import GHOST_COLOR, MARKER_COLOR, MARKER_RADIUS, pose_model
from mjx_mimic.display.options import SPEED_RANGE
from mjx_mimic.display.session import FASTER, TURN_DEG, Session

FRAMES_PER_SECOND = 30.0
GHOST_OPACITY = 0.35
SKY = ((128, 161, 199), (222, 231, 240))  # sRGB, at the top and at the bottom
FLOOR, LINES = (176, 182, 188), (204, 209, 214)  # sRGB
CAMERA, LOOK_AT = (2.0, -2.4, 1.3), (0.0, 0.0, 0.7)  # m from the robots' middle on the floor
STEERING = {
    "left": (TURN_DEG, 0.0),
    "right": (-TURN_DEG, 0.0),
    "faster": (0.0, FASTER),
    "slower": (0.0, -FASTER),
}
"""What a button changes of a wanted direction, degrees to the left, and of a wanted speed, m/s."""
_DIAL_STEPS = 200
_CAMERA_LAG_S = 0.15
_TEXT_INTERVAL_S = 0.2


class BrowserView:
    """A page that shows a session and its controls.

    Each visitor has a camera of their own. To follow the robot, the world is moved under all of them, which
    takes one message per frame.
    """

    def __init__(self, session: Session, server: viser.ViserServer) -> None:
        """Fill the page of `server`, and draw the session's state."""
        self.server = server
        self.session = session
        self._ghost_data = mujoco.MjData(session.playable.model)
        drawn = session.playable.drawn()
        # The camera follows the first robot, and looks at the middle of all.
        roots = np.array([robot.data.qpos[:2] + robot.shift[:2] for robot in drawn])
        self._middle = roots.mean(axis=0) - roots[0]
        self._followed = np.zeros(2)
        self._written_at = 0.0
        self._build_scene(columns_of(len(drawn)))
        meshes = body_meshes(session.playable.model)
        self.robots = self._add_robots("robot", meshes, len(drawn))
        self.ghosts = self._add_robots("ghost", meshes, len(drawn), GHOST_OPACITY)
        self.markers = [
            self.server.scene.add_icosphere(
                f"/world/goal/{number}", radius=MARKER_RADIUS, color=rgb(MARKER_COLOR), cast_shadow=False
            )
            for number in range(sum(len(robot.markers) for robot in drawn))
        ]
        self._add_controls()
        self._add_goal_controls()
        self._jump_to_robot()
        self.draw()

    def draw(self) -> None:
        """Send what has changed to all visitors, in one piece."""
        playable, drawn = self.session.playable, self.session.drawn()
        shifts = np.array([robot.shift for robot in drawn])
        with self.server.atomic():
            self._follow(playable.data.qpos[:2])
            move_bodies(self.robots, [(robot.data.xpos, robot.data.xquat) for robot in drawn], shifts)
            references = [robot.reference for robot in drawn if robot.reference is not None]
            if self.ghost_root.visible != bool(references):
                self.ghost_root.visible = bool(references)
            if references:
                move_bodies(self.ghosts, [self._ghost_poses(reference) for reference in references], shifts)
            places = np.concatenate([robot.markers + robot.shift for robot in drawn])
            for ball, place in zip(self.markers, places, strict=True):
                ball.position = tuple(place)
            if time.monotonic() > self._written_at + _TEXT_INTERVAL_S:
                self._written_at = time.monotonic()
                self._write_status()

    def _ghost_poses(self, reference: NDArray) -> tuple[NDArray, NDArray]:
        """Return positions (B, 3) m and quaternions (B, 4), w first, of the bodies of a reference (36,)."""
        pose_model(self.session.playable.model, self._ghost_data, reference)
        return self._ghost_data.xpos.copy(), self._ghost_data.xquat.copy()

    def _build_scene(self, columns: int) -> None:
        scene = self.server.scene
        scene.set_up_direction("+z")
        sky = np.linspace(*SKY, 64)[:, None].repeat(2, axis=1)
        scene.set_background_image(sky.astype(np.uint8), format="png")
        self._world = scene.add_frame("/world", show_axes=False)
        scene.add_grid(
            "/world/floor",
            infinite_grid=True,
            cell_size=0.5,
            section_size=1.0,
            cell_color=LINES,
            section_color=LINES,
            plane_color=FLOOR,
            plane_opacity=1.0,
            fade_distance=25.0,
            shadow_opacity=0.35,
        )
        camera = self.server.initial_camera
        x, y, z = np.array(CAMERA) * (1 + columns) / 2.0
        camera.position, camera.look_at = (x, y, z), LOOK_AT
        camera.fov = math.radians(45.0)
        self.server.gui.configure_theme(control_width="small", show_logo=False, show_share_button=False)

    def _add_robots(
        self,
        name: str,
        meshes: dict[int, dict[Color, trimesh.Trimesh]],
        count: int,
        opacity: float | None = None,
    ) -> dict[int, list[viser.BatchedMeshHandle]]:
        """Add the meshes of each body, `count` times each: so many robots take no more messages than one.

        Args:
            name: of the group of robots in viser's scene.
            meshes: of each body by its number, as `body_meshes` gives them.
            count: of robots.
            opacity: of ghosts, in [0, 1], which have a colour of their own; None: the robots themselves.

        Returns:
            What `move_bodies` moves.
        """
        scene = self.server.scene
        root = scene.add_frame(f"/world/{name}", show_axes=False)
        if opacity is not None:
            self.ghost_root = root
        handles: dict[int, list[viser.BatchedMeshHandle]] = {}
        for body, of_color in meshes.items():
            if opacity is not None:
                of_color = {rgb(GHOST_COLOR): joined(of_color.values())}
            handles[body] = [
                scene.add_batched_meshes_simple(
                    f"/world/{name}/{body}_{number}",  # short: it goes with each message
                    mesh.vertices.astype(np.float32),
                    mesh.faces,
                    np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
                    np.zeros((count, 3)),
                    batched_colors=linear_light(color),
                    lod="off",
                    opacity=opacity,
                    cast_shadow=opacity is None,
                    receive_shadow=False,
                )
                for number, (color, mesh) in enumerate(of_color.items())
            ]
        return handles

    def _add_controls(self) -> None:
        session, gui = self.session, self.server.gui
        self._text = gui.add_markdown("")
        self._pause = gui.add_checkbox("Pause", session.paused)
        step = gui.add_button("Single step")
        reset = gui.add_button("Reset")
        speed = gui.add_slider("Speed", *SPEED_RANGE, 0.1, session.speed)
        ghost = gui.add_checkbox(
            "Ghost", session.ghost, visible=session.playable.drawn()[0].reference is not None
        )
        self._following = gui.add_checkbox("Follow the robot", True)
        self._pause.on_update(lambda _: session.ask(session.pause, self._pause.value))
        step.on_click(lambda _: self._single_step())
        reset.on_click(lambda _: session.ask(self._begin, session.reset))
        speed.on_update(lambda _: session.ask(session.set_speed, speed.value))
        ghost.on_update(lambda _: session.ask(session.show_ghost, ghost.value))
        if len(session.playable.clips) > 1:
            chosen = session.playable.clips[session.playable.clip]
            clips = gui.add_dropdown("Clip", session.playable.clips, initial_value=chosen)
            clips.on_update(lambda _: session.ask(self._begin, session.select, clips.value))
        if session.playable.simulated:
            strength = gui.add_slider("Push, m/s", 0.1, 2.0, 0.1, 0.5)
            push = gui.add_button_group("Direction", tuple(DIRECTIONS))

            @push.on_click
            def _(_: viser.GuiEvent) -> None:
                forward, left = np.array(DIRECTIONS[push.value]) * strength.value
                session.ask(session.playable.kick, forward, left)

    def _add_goal_controls(self) -> None:
        """Add what sets the goal: a slider for each of its numbers, clicks on the floor, buttons to steer."""
        session, gui = self.session, self.server.gui
        playable = session.playable
        self.goal_dials: list[viser.GuiSliderHandle[float]] = []
        if not playable.dials:
            return
        self._held = gui.add_checkbox("Hold the goal", False)
        for number, (dial, value) in enumerate(zip(playable.dials, playable.dial_values(), strict=True)):
            high = max(dial.high, dial.low + 1e-3)  # there is no slider without a range
            step = (high - dial.low) / _DIAL_STEPS
            value = float(np.clip(value, dial.low, high))
            slider = gui.add_slider(f"Goal: {dial.name}, {dial.unit}", dial.low, high, step, value)
            slider.on_update(functools.partial(self._on_dial, number))
            self.goal_dials.append(slider)
        self._held.on_update(self._on_hold)
        if session.steers:
            buttons = gui.add_button_group("Steer", tuple(STEERING))

            @buttons.on_click
            def _(_: viser.GuiEvent) -> None:
                left, faster = STEERING[buttons.value]
                session.ask(self.change_goal, session.steer, left, faster)

        @self.server.scene.on_click()
        def _(event: viser.SceneClickEvent) -> None:
            point = floor_point(np.array(event.ray_origin), np.array(event.ray_direction))
            if point is not None:
                session.ask(self.change_goal, playable.aim_at, point - self._world.position[:2])

    def _on_dial(self, number: int, event: viser.GuiEvent) -> None:
        """Have a goal held that differs from what it is by one number, if a visitor has moved the slider."""
        if event.client is not None:  # and not `_show_goal`
            self.session.ask(self.change_goal, self._turn, number, event.target.value)

    def _on_hold(self, event: viser.GuiEvent) -> None:
        """Have the goal held as it is, or let it change as in training, if a visitor has asked."""
        if event.client is not None and event.target.value:
            self.session.ask(self.change_goal, self._keep_goal)
        elif event.client is not None:
            self.session.ask(self._let_goal_go)

    # What follows is called by the session's owner alone, between two steps.

    def change_goal(self, change: Callable[..., None], *arguments: Any) -> None:
        """Change the goal, hold it there, and show it."""
        change(*arguments)
        self._show_goal(True)

    def _turn(self, number: int, value: float) -> None:
        """Set one of the goal's numbers; the others stay as they are."""
        values = self.session.playable.dial_values()
        values[number] = value
        self.session.playable.aim(values)

    def _keep_goal(self) -> None:
        self.session.playable.aim(self.session.playable.dial_values())

    def _let_goal_go(self) -> None:
        self.session.playable.aim(None)
        self._show_goal(False)

    def _show_goal(self, held: bool) -> None:
        """Show on the sliders where the goal is, and whether it is held there."""
        self._held.value = held  # type: ignore[misc]  # a setter that mypy does not see
        playable = self.session.playable
        for slider, dial, value in zip(self.goal_dials, playable.dials, playable.dial_values(), strict=True):
            shown = float(np.clip(value, dial.low, dial.high))
            if abs(shown - slider.value) > 0.5 * slider.step:  # leaves alone what a hand is moving
                slider.value = shown  # type: ignore[misc]

    def _single_step(self) -> None:
        self.session.ask(self.session.single_step)
        self._pause.value = True  # type: ignore[misc]  # a setter that mypy does not see

    def _begin(self, start: Callable[..., None], *arguments: Any) -> None:
        """Start a clip, and show where that puts robot and goal."""
        start(*arguments)
        self._jump_to_robot()
        if self.goal_dials:
            self._show_goal(self._held.value)

    def _jump_to_robot(self) -> None:
        """Move the camera to the robot at once, not smoothly."""
        self.session.playable.refresh()
        self._followed = self.session.playable.data.qpos[:2].copy()

    def _follow(self, root: NDArray) -> None:
        if self._following.value and np.isfinite(root).all():
            share = 1.0 - math.exp(-1.0 / (FRAMES_PER_SECOND * _CAMERA_LAG_S))
            self._followed += share * (root - self._followed)
        x, y = self._followed + self._middle
        self._world.position = (-x, -y, 0.0)

    def _write_status(self) -> None:
        rows = self.session.playable.status().rows()
        self._text.content = "\n\n".join(f"{label}: **{value}**" for label, value in rows)
        if self.goal_dials and not self._held.value:  # it changes by itself, as in training
            self._show_goal(False)


def floor_point(origin: NDArray, direction: NDArray) -> NDArray | None:
    """Return where (2,) m a ray from `origin` (3,) m along `direction` (3,) meets the floor, if it does."""
    if direction[2] >= 0.0 or origin[2] <= 0.0:
        return None
    point: NDArray = (origin - origin[2] / direction[2] * direction)[:2]
    return point
