"""MuJoCo's own viewer as a window on a session; the mouse pushes the robot."""

import subprocess
import sys
import threading
from collections.abc import Callable

import mujoco

from mjx_mimic.common.errors import UserError
from mjx_mimic.display.captions import columns_of
from mjx_mimic.display.drawn_robot import AZIMUTH, ELEVATION, add_marker, add_robot, pose_model
from mjx_mimic.display.gl import has_display
from mjx_mimic.display.session import FASTER, TURN_DEG, Session, run

FRAMES_PER_SECOND = 60.0
SPEED_FACTOR = 2.0**0.5
_CLOSING_S = 10.0

# Key codes of GLFW, and what the keys do. MuJoCo's viewer has a meaning of its own for every letter.
SPACE, ENTER, BACKSPACE, RIGHT, MINUS, EQUAL = 32, 257, 259, 262, 45, 61
LEFT, DOWN, UP = 263, 264, 265
HELP = (
    ("Space", "pause"),
    ("Right", "single step"),
    ("Backspace", "reset"),
    ("Enter", "ghost"),
    ("- =", "slower, faster"),
    ("double click, Ctrl + drag", "push"),
)
STEERING = (
    ("Left Right", "turn; paused, Right is a single step"),
    ("Up Down", "walk faster, slower"),
)
"""With a heading to walk in."""


def check_display() -> None:
    """Make sure that a window can be opened; MuJoCo's viewer would wait for one for ever.

    Tried in a process of its own, since a failed GL library cannot be unloaded.

    Raises:
        UserError: no window can be opened.
    """
    trial = "from mujoco.glfw import GLContext; GLContext(64, 64).make_current()"
    if not has_display() or subprocess.run([sys.executable, "-c", trial], capture_output=True).returncode:
        raise UserError("no window can be opened here (no display, or no OpenGL on it); add --browser")


def key_callback(session: Session) -> Callable[[int], None]:
    """Return the function that MuJoCo's viewer calls in its own thread when a key is pressed."""
    commands: dict[int, Callable[[], None]] = {
        SPACE: lambda: session.pause(not session.paused),
        RIGHT: session.single_step,
        BACKSPACE: session.reset,
        ENTER: lambda: session.show_ghost(not session.ghost),
        MINUS: lambda: session.set_speed(session.speed / SPEED_FACTOR),
        EQUAL: lambda: session.set_speed(session.speed * SPEED_FACTOR),
    }
    if session.steers:
        commands |= {
            LEFT: lambda: session.steer(TURN_DEG, 0.0),
            RIGHT: lambda: session.single_step() if session.paused else session.steer(-TURN_DEG, 0.0),
            UP: lambda: session.steer(0.0, FASTER),
            DOWN: lambda: session.steer(0.0, -FASTER),
        }

    def pressed(key: int) -> None:
        if key in commands:
            session.ask(commands[key])

    return pressed


def apply_perturbation(model: mujoco.MjModel, data: mujoco.MjData, perturbation: mujoco.MjvPerturb) -> None:
    """Apply the mouse's force on the selected body in the next physics step; none after it lets go."""
    data.xfrc_applied[:] = 0.0
    mujoco.mjv_applyPerturbForce(model, data, perturbation)


def show(session: Session) -> None:
    """Open the window and return when the user closes it; call `check_display` before.

    Raises:
        UserError: this is macOS, and not under mjpython.
    """
    from mujoco import viewer as mujoco_viewer  # it loads GLFW, which not every machine has

    playable = session.playable
    ghost = mujoco.MjData(playable.model)
    columns = columns_of(len(playable.drawn()))
    others = set(threading.enumerate())
    try:
        window = mujoco_viewer.launch_passive(
            playable.model,
            playable.data,
            key_callback=key_callback(session),
            show_left_ui=False,
            show_right_ui=False,
        )
    except RuntimeError:
        raise UserError(
            "on macOS, MuJoCo's window needs its own Python: mjpython -m mjx_mimic.view ...; or add --browser"
        ) from None
    with window as viewer:
        viewer.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        viewer.cam.trackbodyid = playable.model.body("pelvis").id
        viewer.cam.distance = 1.5 * (1 + columns)  # m
        viewer.cam.azimuth, viewer.cam.elevation = AZIMUTH, ELEVATION

        def before_step() -> None:
            with viewer.lock():
                apply_perturbation(playable.model, playable.data, viewer.perturb)

        def draw() -> None:
            with viewer.lock():
                add_others(session, ghost, viewer.user_scn)
            viewer.set_texts(texts(session))
            viewer.sync()

        run(session, draw, viewer.is_running, FRAMES_PER_SECOND, before_step)
    # Python must not end under the thread that still closes the window.
    for thread in set(threading.enumerate()) - others:
        thread.join(_CLOSING_S)


def add_others(session: Session, ghost: mujoco.MjData, scene: mujoco.MjvScene) -> None:
    """Fill a scene with all that is drawn but for the first robot, which the viewer draws itself.

    Args:
        session: what is shown.
        ghost: is posed like one reference after the other.
        scene: is emptied first.
    """
    model = session.playable.model
    scene.ngeom = 0
    for number, robot in enumerate(session.drawn()):
        if number > 0:
            add_robot(model, robot.data, scene, color=None, shift=robot.shift)
        if robot.reference is not None:
            pose_model(model, ghost, robot.reference)
            add_robot(model, ghost, scene, shift=robot.shift)
        for marker in robot.markers:
            add_marker(scene, marker + robot.shift)


def texts(session: Session) -> list[tuple[int, int, str, str]]:
    """Return the keys and the state, as `Handle.set_texts` takes them."""
    state = "paused" if session.paused else f"{session.speed:.2g} x real time"
    rows = [*session.playable.status().rows(), ("speed", state)]
    font, grid = mujoco.mjtFontScale.mjFONTSCALE_150, mujoco.mjtGridPos

    def columns(rows: list[tuple[str, str]]) -> tuple[str, str]:
        left, right = zip(*rows, strict=True)
        return "\n".join(left), "\n".join(right)

    return [
        (font, grid.mjGRID_TOPLEFT, *columns(rows)),
        (font, grid.mjGRID_BOTTOMLEFT, *columns([*HELP, *(STEERING if session.steers else ())])),
    ]
