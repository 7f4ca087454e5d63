"""The live view: its physics held to the engine's, its controls, its web page, its refusals."""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from helpers.processes import interruptible
from PIL import Image
from scipy.spatial.transform import Rotation

from mjx_mimic import view
from mjx_mimic.clips.dataset import Clips
from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import EnvConfig, NetworkConfig
from mjx_mimic.display import desktop_window
from mjx_mimic.display.live_policy import Live
from mjx_mimic.display.playable import ClipPlayer
from mjx_mimic.display.session import Session
from mjx_mimic.display.side_by_side import SideBySide
from mjx_mimic.evaluation.mujoco_engine import Simulations, model_to_watch
from mjx_mimic.learning.networks import Actor
from mjx_mimic.learning.normalizer import Normalizer, empty
from mjx_mimic.learning.policy import Policy
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env
from mjx_mimic.task.reference import make_library

pytestmark = [pytest.mark.slow, pytest.mark.render]

START_S = 0.3


@pytest.fixture(scope="module")
def clips() -> Clips:
    """A cyclic clip, and one that ends."""
    return Clips((load_motion("walk"), with_loop(load_motion("kick"), "clamp")), (1.0, 1.0))


@pytest.fixture(scope="module")
def env(clips) -> ImitationEnv:
    return make_env(clips.motions, EnvConfig())


@pytest.fixture(scope="module")
def policy(env) -> Policy:
    """Untrained, and far enough from zero to move the robot off its reference."""
    size = jax.eval_shape(env.observe, jax.eval_shape(env.reset_to, 0, 0.0)).shape
    network = Actor(NetworkConfig((8,)), env.num_actions)
    params = network.init(jax.random.key(0), jnp.zeros(size))
    params = jax.tree.map(lambda x: x + 0.03 * jax.random.normal(jax.random.key(1), x.shape), params)
    return Policy(params, Normalizer(jnp.ones(size), jnp.zeros(size), jnp.ones(size)), network)


@pytest.fixture(scope="module")
def live(policy, env, clips) -> Live:
    return Live(policy, env, clips.motions)


@pytest.fixture(scope="module")
def crowd(policy, env, clips) -> SideBySide:
    """Five robots on two clips."""
    return SideBySide([Live(policy, env, clips.motions) for _ in range(5)])


@pytest.fixture
def walking(live) -> Live:
    live.start(0, START_S)
    return live


@pytest.fixture
def playing() -> Session:
    return Session(ClipPlayer([load_motion("walk")]))


def control_step(live: Live) -> None:
    for _ in range(live.single_step):
        live.step()


# The policy --------------------------------------------------------------------------------------------


def test_live_steps_are_those_of_the_evaluation_in_c(walking, env, policy):
    """The model with drawn shapes, stepped live, against the evaluation's bare one."""
    state = jax.jit(ImitationEnv.reset_to)(env, 0, START_S)
    simulations = Simulations(model_to_watch(env), np.asarray(state.qpos, float)[None], np.zeros((1, 35)))

    @jax.jit
    def act(policy, state):
        action = policy.act(env.observe(state))
        return action, env.pd_target(state, action)

    for number in range(30):
        qvel = walking.data.qvel.copy()
        state = state.replace(qpos=jnp.array(walking.data.qpos), qvel=jnp.array(qvel), steps=number)
        action, target = act(policy, state)
        assert np.abs(action).max() > 0.05
        np.testing.assert_allclose(walking.pd_target, target, atol=1e-5)
        targets = np.tile(walking.pd_target, (1, env.substeps, 1))
        qpos, _ = simulations.step(qvel[None], targets)
        control_step(walking)
        np.testing.assert_allclose(walking.data.qpos, qpos[0, -1], atol=1e-9)
    assert walking.status().seconds == pytest.approx(START_S + 1.0)


def test_the_ghost_is_the_reference_of_training(walking, env):
    for _ in range(3):
        control_step(walking)
        wanted, _ = env.reference_coordinates(walking.state)
        np.testing.assert_allclose(walking.reference(), wanted, atol=2e-3)  # small turns stick there
    middle = walking.reference()
    walking.step()
    assert 0.0 < np.abs(walking.reference() - middle).max() < 0.1  # it moves between control steps too


def test_the_ghost_of_a_clip_far_from_the_origin_is_at_the_robot(policy, env, clips):
    """Training moves such clips near to the origin."""
    far = tuple(replace(m, root_pos=m.root_pos + np.array([107.0, -13.0, 0.0])) for m in clips.motions)
    live = Live(policy, replace(env, library=make_library(far)), far)
    assert np.abs(live.data.qpos[:2]).max() < 10.0
    np.testing.assert_allclose(live.reference(), live.data.qpos, atol=1e-3)


def test_what_falls_lies_on_the_floor_and_legs_meet_as_in_training(env, live):
    shown = model_to_watch(env.with_config(replace(env.config, self_collision=True)))
    assert shown.npair > live.model.npair == 0
    touching = [np.count_nonzero(model.geom_conaffinity) for model in (shown, live.model, env.robot.model)]
    assert touching[0] == touching[1] > touching[2]


def test_a_push_adds_to_the_velocity_in_the_robots_heading(walking):
    turn = np.array([np.cos(0.8), 0.0, 0.0, np.sin(0.8)])  # heading 1.6 rad
    walking.data.qpos[3:7] = turn
    before = walking.data.qvel.copy()
    walking.kick(2.0, 0.5)
    change = walking.data.qvel - before
    forward = np.array([np.cos(1.6), np.sin(1.6)])
    np.testing.assert_allclose(change[:2] @ forward, 2.0, atol=1e-9)
    np.testing.assert_allclose(change[:2] @ [-forward[1], forward[0]], 0.5, atol=1e-9)
    assert not change[2:].any()


def test_another_clip_starts_at_its_first_frame_and_begins_again_at_its_end(walking, clips):
    walking.reset(1)
    motion = clips.motions[1]
    np.testing.assert_allclose(walking.data.qpos[7:], motion.dof_pos[0], atol=2e-3)
    assert walking.status().clip == "kick"
    assert walking.status().reward > 0.9
    walking.start(1, motion.length - 1e-3)
    control_step(walking)
    assert walking.status().seconds == 0.0


def test_a_skill_that_is_chosen_begins_at_the_end_of_the_cycle(policy, env, clips):
    skills = env.with_config(replace(env.config, clips="skills", max_deviation=None))
    size = sum(env.observation_sizes().values())
    sees = Policy(policy.params, empty(size + 2), policy.network.clone(inputs=size))
    live = Live(sees, skills, clips.motions)
    session = Session(SideBySide([live]))
    live.start(0, clips.motions[0].length - 2.5 / 30.0)
    session.select("kick")
    for expected in ("walk", "walk", "walk", "kick"):
        assert live.status().clip == expected
        before = live.state
        control_step(live)
        # The step is judged by the clip in which it was taken, also where the next one has begun.
        arrived = replace(before, qpos=live.state.qpos, qvel=live.state.qvel, steps=before.steps + 1)
        reward = skills.compute_reward(skills.character(arrived), skills.reference(arrived))[0]
        assert live.status().reward == pytest.approx(float(reward), abs=1e-5)
    assert live.status().seconds == pytest.approx(1 / 30.0, abs=1e-4)
    np.testing.assert_allclose(live.reference()[:2], live.data.qpos[:2], atol=1e-5)  # it goes with the robot
    session.reset()
    assert live.status().seconds == 0.0


@pytest.fixture(scope="module")
def heading(policy, env, clips) -> Live:
    """A robot with a heading to walk in, whose policy does not look at it."""
    config = replace(env.config, goal="heading")
    size = len(policy.normalizer.mean)
    blind = Policy(policy.params, empty(size + 3), policy.network.clone(inputs=size))
    return Live(blind, env.with_config(config), clips.motions)


def test_a_heading_is_set_held_and_let_go(heading):
    heading.reset(0)
    assert [(dial.name, dial.unit) for dial in heading.dials] == [("direction", "deg"), ("speed", "m/s")]
    heading.aim([90.0, 1.0])
    for _ in range(95):  # training changes it every 3 s, 90 control steps
        control_step(heading)
    assert heading.dial_values() == pytest.approx([90.0, 1.0], abs=1e-4)
    place = heading.data.qpos[:2]
    np.testing.assert_allclose(heading.markers[0, :2] - place, [0.0, 1.0], atol=0.05)
    heading.aim_at(place - np.array([2.0, 0.0]))
    assert abs(heading.dial_values()[0]) == pytest.approx(180.0, abs=3.0)
    heading.reset(0)
    assert abs(heading.dial_values()[0]) == pytest.approx(180.0, abs=3.0)
    heading.aim(None)
    held = heading.dial_values()
    for _ in range(95):
        control_step(heading)
    assert heading.dial_values() != pytest.approx(held, abs=1e-3)


def test_goals_differ_between_robots_and_between_episodes(heading, clips):
    other = Live(heading.policy, heading._env, clips.motions, seed=1)
    found = []
    for robot in (heading, heading, other):
        robot.aim(None)
        robot.reset(0)
        found.append(robot.dial_values()[1])
    assert len(set(found)) == 3


@pytest.mark.parametrize("goal", ["location", "strike", "throw"])
def test_every_goal_is_what_people_set_it_to(robot, clips, goal):
    """By its numbers, which it then has, and by a click on the floor, where its mark then is."""
    env = make_env(clips.motions, EnvConfig(goal=goal), robot=robot)
    state = jax.jit(ImitationEnv.reset_to)(env, 0, START_S)
    character = env.character(state)
    values = {name: jnp.float32(low + 0.7 * (high - low)) for name, (low, high, _) in env.goal.dials.items()}
    aimed = replace(state.goal, **env.goal.aim(values, character))
    found = env.goal.dial_values(aimed, character)
    assert list(found) == list(values)
    np.testing.assert_allclose(list(found.values()), list(values.values()), rtol=1e-4)
    clicked = replace(state.goal, **env.goal.aim_at(aimed, jnp.array([0.3, -2.0]), character))
    np.testing.assert_allclose(env.goal.markers(clicked, character)[0, :2], [0.3, -2.0], atol=1e-6)


def test_the_keys_steer_a_heading(heading):
    heading.reset(0)
    heading.aim([170.0, 1.15])
    session = Session(heading)
    press = desktop_window.key_callback(session)
    for key in (desktop_window.LEFT, desktop_window.LEFT, desktop_window.UP):
        press(key)
    session.tick(0.0)
    assert heading.dial_values() == pytest.approx([-160.0, 1.2], abs=1e-3)  # and no faster than in training
    press(desktop_window.RIGHT)
    press(desktop_window.DOWN)
    session.tick(0.0)
    assert heading.dial_values() == pytest.approx([-175.0, 1.1], abs=1e-3)
    text = " ".join(text for *_, left, right in desktop_window.texts(session) for text in (left, right))
    assert "turn; paused, Right is a single step" in text
    session.pause(True)
    before = seconds(session)
    press(desktop_window.RIGHT)
    session.tick(0.05)
    assert seconds(session) == pytest.approx(before + 1.0 / 30.0)
    assert heading.dial_values() == pytest.approx([-175.0, 1.1], abs=1e-3)


def test_a_fall_is_reported_and_a_broken_simulation_begins_again(walking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for MuJoCo's log
    walking.data.qpos[2] = 0.1
    control_step(walking)
    assert walking.status().failure == f"fall at {START_S + 1 / 30:.2f} s"
    walking.data.qvel[10] = np.nan
    control_step(walking)
    assert np.isfinite(walking.data.qpos).all()
    assert walking.status().seconds == 0.0
    assert "broke" in walking.status().failure
    walking.reset(0)
    assert walking.status().failure is None


def test_robots_stand_in_a_grid_and_each_is_a_robot_of_its_own(crowd, walking):
    crowd.reset(0)
    assert [robot.clip for robot in crowd.robots] == [0, 1, 0, 1, 0]
    times = [robot.status().seconds for robot in crowd.robots]
    assert times[:2] == [0.0, 0.0]  # each clip once from its start
    assert min(times[2:]) > 0.0
    drawn = crowd.drawn()
    np.testing.assert_array_equal(drawn[0].shift, 0.0)
    roots = np.array([robot.data.qpos[:2] + robot.shift[:2] for robot in drawn])
    expected = [[0.0, 0.0], [0.0, 1.5], [0.0, 3.0], [-1.5, 0.0], [-1.5, 1.5]]
    np.testing.assert_allclose(roots - roots[0], expected, atol=1e-6)
    walking.reset(0)
    for _ in range(2):
        control_step(crowd)
        control_step(walking)
    np.testing.assert_allclose(crowd.data.qpos, walking.data.qpos, atol=1e-9)
    assert np.abs(crowd.robots[2].data.qpos[7:] - walking.data.qpos[7:]).max() > 0.01
    before = [robot.data.qvel.copy() for robot in crowd.robots]
    crowd.kick(1.0, 0.0)
    for robot, velocity in zip(crowd.robots, before, strict=True):
        assert np.linalg.norm(robot.data.qvel[:2] - velocity[:2]) == pytest.approx(1.0)
    crowd.reset(1)
    assert crowd.clip == 1
    assert [robot.clip for robot in crowd.robots] == [1, 0, 1, 0, 1]


def test_the_window_draws_the_other_robots_in_their_own_colours(crowd):
    session = Session(crowd)
    model, ghost = crowd.model, mujoco.MjData(crowd.model)
    scene = mujoco.MjvScene(model, 10_000)
    geoms = {}
    for session.ghost in (False, True):
        desktop_window.add_others(session, ghost, scene)
        geoms[session.ghost] = scene.ngeom
    of_robot = geoms[False] // 4
    assert of_robot > 20
    assert geoms == {False: 4 * of_robot, True: 9 * of_robot}  # and five ghosts
    session.ghost = False
    desktop_window.add_others(session, ghost, scene)
    assert len({tuple(geom.rgba) for geom in scene.geoms[:of_robot]}) > 1


def test_a_new_policy_acts_from_the_next_control_step(policy, env, clips):
    """A follower hands it over; nothing is compiled again and no robot starts anew."""

    class Given:
        def load_newer(self, before):
            return given

    given = None
    shown = SideBySide([Live(policy, env, clips.motions) for _ in range(2)], Given())
    session = Session(shown)
    session.tick(0.1)
    given = replace(policy, params=jax.tree.map(jnp.zeros_like, policy.params))
    seconds_before = shown.status().seconds
    session.tick(0.1)
    session.tick(0.1)
    assert seconds_before < shown.status().seconds < seconds_before + 0.3
    for robot in shown.robots:
        centre = env.reference_coordinates(robot.state, ahead=1)[0][7:]
        np.testing.assert_allclose(robot.pd_target, centre, atol=1e-5)


# A session ---------------------------------------------------------------------------------------------


def seconds(session: Session) -> float:
    return session.playable.status().seconds


def test_time_goes_on_as_real_time_does_times_the_speed(playing):
    for _ in range(10):
        playing.tick(0.05)
    assert seconds(playing) == pytest.approx(0.5, abs=0.01)
    playing.ask(playing.set_speed, 0.5)
    for _ in range(10):
        playing.tick(0.05)
    assert seconds(playing) == pytest.approx(0.75, abs=0.02)
    playing.tick(60.0)  # a machine that hung does not catch up
    assert seconds(playing) < 0.85


def test_pause_single_step_and_reset(playing):
    playing.tick(0.1)
    playing.ask(playing.pause, True)
    playing.tick(0.1)
    stopped, pose = seconds(playing), playing.playable.data.qpos.copy()
    playing.tick(0.1)
    assert seconds(playing) == stopped
    playing.ask(playing.single_step)
    playing.ask(playing.single_step)
    playing.tick(0.1)
    assert seconds(playing) == pytest.approx(stopped + 2.0 / load_motion("walk").fps)
    assert np.abs(playing.playable.data.qpos - pose).max() > 1e-3
    playing.tick(0.1)
    playing.ask(playing.reset)
    playing.tick(0.1)
    assert seconds(playing) == 0.0
    assert playing.paused
    playing.ask(playing.pause, False)
    playing.tick(0.1)
    assert seconds(playing) > 0.0


def test_a_clip_is_shown_frame_by_frame_and_begins_again(clips):
    motion = clips.motions[1]
    player = ClipPlayer([motion])
    for frame in range(1, motion.num_frames):
        for _ in range(player.single_step):
            player.step()
        player.refresh()
        np.testing.assert_allclose(player.data.qpos[7:], motion.dof_pos[frame], atol=1e-9)
    player.step()
    assert player.status().seconds == 0.0
    head = player.model.body("head_link").id
    assert player.data.xpos[head, 2] > 0.9


def test_several_clips_take_turns(clips):
    player = ClipPlayer(clips.motions, 1)
    assert player.status().clip == player.clips[1]
    player.step()
    player.reset(0)
    player.refresh()
    assert player.timestep * player.single_step == pytest.approx(1.0 / clips.motions[0].fps)
    np.testing.assert_allclose(player.data.qpos[7:], clips.motions[0].dof_pos[0], atol=1e-9)


def test_the_keys_of_the_window(playing):
    press = desktop_window.key_callback(playing)
    for key in (
        desktop_window.SPACE,
        desktop_window.ENTER,
        desktop_window.EQUAL,
        desktop_window.EQUAL,
        ord("Q"),
    ):
        press(key)
    assert not playing.paused  # only `tick`'s thread changes anything
    playing.tick(0.05)
    assert (playing.paused, playing.ghost, playing.speed) == (True, False, pytest.approx(2.0))
    text = " ".join(text for *_, left, right in desktop_window.texts(playing) for text in (left, right))
    for word in ("Space", "walk", "paused"):
        assert word in text
    press(desktop_window.RIGHT)
    playing.tick(0.05)
    assert seconds(playing) == pytest.approx(1.0 / load_motion("walk").fps)
    press(desktop_window.BACKSPACE)
    press(desktop_window.MINUS)
    playing.tick(0.05)
    assert seconds(playing) == 0.0
    assert playing.speed == pytest.approx(2.0**0.5)


def test_the_mouse_pushes_while_it_pulls(walking):
    model, data = walking.model, walking.data
    pelvis = model.body("pelvis").id
    perturbation = mujoco.MjvPerturb()
    perturbation.select, perturbation.active = pelvis, int(mujoco.mjtPertBit.mjPERT_TRANSLATE)
    scene, every = mujoco.MjvScene(model, 1000), mujoco.mjtCatBit.mjCAT_ALL
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), perturbation, mujoco.MjvCamera(), every, scene)
    mujoco.mjv_initPerturb(model, data, scene, perturbation)
    perturbation.refselpos[:] += [0.0, 0.5, 0.0]
    desktop_window.apply_perturbation(model, data, perturbation)
    assert data.xfrc_applied[pelvis, 1] > 10.0
    before = data.qvel[1]
    walking.step()
    assert data.qvel[1] > before
    perturbation.active = 0
    desktop_window.apply_perturbation(model, data, perturbation)
    assert not data.xfrc_applied.any()


WINDOW = """
import mujoco.viewer
from mjx_mimic import view
from mjx_mimic.common import cli
from mjx_mimic.display import desktop_window

opened, windows = mujoco.viewer.launch_passive, []
text, times = desktop_window.texts, []

def launch_passive(*arguments, **options):
    windows.append(opened(*arguments, **options))
    return windows[-1]

def texts(session):
    times.append(session.playable.status().seconds)
    print(times[-1])
    if times[-1] > times[0]:
        windows[-1].close()  # as the user's click on the window's cross
    return text(session)

mujoco.viewer.launch_passive, desktop_window.texts = launch_passive, texts
cli.run(view.main)
"""


@pytest.fixture
def display():
    """A screen in memory."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb here")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield f":{process.stdout.readline().strip()}"
    process.terminate()
    process.communicate()


def test_the_window_opens_plays_and_closes(display):
    command = [sys.executable, "-c", WINDOW, "--motion", "walk"]
    done = subprocess.run(
        command, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, timeout=120
    )
    if "no window can be opened" in done.stderr:
        pytest.skip("Xvfb has no OpenGL here")
    assert done.returncode == 0, done.stderr
    times = [float(line) for line in done.stdout.split()]
    assert times[-1] > times[0]


# The web page ------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    pytest.importorskip("viser")
    from mjx_mimic.display.serving import open_server

    opened, _ = open_server("127.0.0.1", 0)
    yield opened
    opened.stop()


def visit(server, origin: str | None, host: str | None = None):
    """A WebSocket as viser's own page opens it, from the page `origin`, to this machine as `host`."""
    import viser
    from websockets.sync.client import connect

    headers = {} if origin is None else {"Origin": origin}
    port = server.get_port()
    return connect(
        f"ws://{host or '127.0.0.1'}:{port}",
        sock=socket.create_connection(("127.0.0.1", port)),
        subprotocols=[f"viser-v{viser.__version__}"],
        additional_headers=headers,
    )


def test_another_web_page_cannot_connect(server):
    """Not from its own address, nor from a name of its own that points to this machine, nor unnamed."""
    from websockets.exceptions import InvalidStatus

    port = server.get_port()
    for origin, host in (
        ("https://elsewhere.example", None),
        (f"http://127.0.0.1:{port + 1}", None),
        (f"http://elsewhere.example:{port}", "elsewhere.example"),
        (f"http://127.0.0.1.elsewhere.example:{port}", None),
        ("null", None),
        (None, None),
    ):
        with pytest.raises(InvalidStatus, match="403"):
            visit(server, origin, host)
    request = urllib.request.Request(f"http://127.0.0.1:{port}", headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request, timeout=10)
    assert b"--host" in refused.value.read()
    for host in ("127.0.0.1", "localhost"):
        with visit(server, f"http://{host}:{port}", host) as page:
            assert page.recv(timeout=10)


def test_no_visitor_gets_a_public_address(server, monkeypatch):
    import msgspec
    import viser

    asked = []
    monkeypatch.setattr(viser._viser, "ViserTunnel", lambda *where: asked.append(where))
    chosen = server.gui.add_checkbox("Pause", False)
    with visit(server, f"http://127.0.0.1:{server.get_port()}") as page:
        page.send(msgspec.msgpack.encode({"type": "ShareUrlRequest"}))
        page.send(msgspec.msgpack.encode({"type": "ShareUrlDisconnect"}))
        # What comes after it is answered, so it has been read.
        updates = {"type": "GuiUpdateMessage", "uuid": chosen._impl.uuid, "updates": {"value": True}}
        page.send(msgspec.msgpack.encode(updates))
        until(lambda: chosen.value)
        time.sleep(0.2)
    assert asked == []


def test_a_viser_that_cannot_be_held_to_its_visitors_is_refused(monkeypatch):
    pytest.importorskip("viser")
    from mjx_mimic.display import serving, visitors

    monkeypatch.setattr(visitors.Visitors, "checked_by_new_servers", contextlib.nullcontext)
    with pytest.raises(UserError, match=r"install viser 1\.1"):
        serving.open_server("127.0.0.1", 0)


def test_meshes_have_the_size_of_their_shapes():
    """Against closed-form volumes; facets lose up to 5 %."""
    pytest.importorskip("viser")
    from mjx_mimic.display.browser_meshes import geom_mesh

    shapes = {
        "sphere": ("0.2", 4.0 / 3.0 * np.pi * 0.2**3),
        "capsule": ("0.1 0.3", np.pi * 0.1**2 * 0.6 + 4.0 / 3.0 * np.pi * 0.1**3),
        "cylinder": ("0.1 0.3", np.pi * 0.1**2 * 0.6),
        "ellipsoid": ("0.1 0.2 0.3", 4.0 / 3.0 * np.pi * 0.1 * 0.2 * 0.3),
        "box": ("0.1 0.2 0.3", 8.0 * 0.1 * 0.2 * 0.3),
    }
    for kind, (size, volume) in shapes.items():
        geom = f'<geom type="{kind}" size="{size}" pos="1 2 3" euler="0 90 0"/>'
        model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geom}</worldbody></mujoco>")
        mesh = geom_mesh(model, 0)
        assert 0.95 * volume < mesh.volume < 1.001 * volume, kind
        np.testing.assert_allclose(mesh.center_mass, [1.0, 2.0, 3.0], atol=1e-6, err_msg=kind)
        assert mesh.bounds[1][0] - 1.0 == pytest.approx(mesh.extents[0] / 2.0, abs=1e-6), kind
    assert mesh.extents == pytest.approx([0.6, 0.4, 0.2])  # of the box, turned


def test_the_page_moves_the_bodies_and_the_ghost(server, live):
    from mjx_mimic.display.browser_page import BrowserView

    live.start(0, START_S)
    session = Session(live)
    shown = BrowserView(session, server)
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.get_port()}", timeout=10).read()
    assert b"<html" in page
    for _ in range(5):
        session.tick(0.1)
        shown.draw()
    torso = live.model.body("torso_link").id
    for handle in shown.robots[torso]:
        np.testing.assert_allclose(handle.batched_positions, live.data.xpos[[torso]], atol=1e-5)
        np.testing.assert_allclose(handle.batched_wxyzs, live.data.xquat[[torso]], atol=1e-5)
    ghost = mujoco.MjData(live.model)
    ghost.qpos = live.reference()
    mujoco.mj_kinematics(live.model, ghost)
    np.testing.assert_allclose(shown.ghosts[torso][0].batched_positions, ghost.xpos[[torso]], atol=1e-5)
    assert np.abs(ghost.xpos[torso] - live.data.xpos[torso]).max() > 1e-3
    assert shown.ghost_root.visible
    session.show_ghost(False)
    shown.draw()
    assert not shown.ghost_root.visible


def test_the_page_shows_the_goal_and_sets_it(server, heading):
    from mjx_mimic.display.browser_page import BrowserView, floor_point

    heading.reset(0)
    session = Session(heading)
    shown = BrowserView(session, server)
    assert [slider.value for slider in shown.goal_dials] == pytest.approx(heading.dial_values(), abs=1.0)
    shown.change_goal(session.steer, 30.0, 0.0)
    values = heading.dial_values()
    assert [slider.value for slider in shown.goal_dials] == pytest.approx(values, abs=1e-6)
    assert shown._held.value
    by_visitor(shown.goal_dials[0], 45.0)
    session.tick(0.1)
    shown.draw()
    assert heading.dial_values()[0] == pytest.approx(45.0, abs=1e-3)
    np.testing.assert_allclose(shown.markers[0].position, heading.markers[0], atol=1e-6)
    by_visitor(shown._held, False)
    session.tick(0.0)
    assert not shown._held.value
    assert not heading._held
    np.testing.assert_allclose(floor_point(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -1.0])), [2.5, 2.0])
    assert floor_point(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, 1.0])) is None


def by_visitor(handle, value) -> None:
    """Set a slider or a box as a visitor does, whom viser names to the page."""
    handle._impl.value = value
    for callback in handle._impl.update_cb:
        callback(SimpleNamespace(client=object(), target=handle))


def test_sliders_go_with_a_goal_that_changes_by_itself(server, heading, monkeypatch):
    from mjx_mimic.display import browser_page

    monkeypatch.setattr(browser_page, "_TEXT_INTERVAL_S", 0.0)
    heading.aim(None)
    heading.reset(0)
    session = Session(heading)
    shown = browser_page.BrowserView(session, server)
    before = heading.dial_values()
    for _ in range(95):  # training changes it every 3 s, 90 control steps
        control_step(heading)
    assert heading.dial_values() != pytest.approx(before, abs=1e-3)
    shown.draw()
    half = [slider.step / 2.0 for slider in shown.goal_dials]
    for slider, value, near in zip(shown.goal_dials, heading.dial_values(), half, strict=True):
        assert slider.value == pytest.approx(value, abs=near)
    assert not shown._held.value
    assert not heading._held


def test_a_slider_sets_its_own_number_alone(server, heading):
    """The others stay where the goal has them, though their sliders may show an older one."""
    from mjx_mimic.display.browser_page import BrowserView

    heading.aim(None)
    heading.reset(0)
    session = Session(heading)
    session.pause(True)
    shown = BrowserView(session, server)
    direction, speed = shown.goal_dials
    heading.aim([-120.0, 1.0])  # which the page has not shown
    by_visitor(speed, 0.8)
    assert heading.dial_values() == pytest.approx([-120.0, 1.0], abs=1e-3)  # only the owner changes anything
    session.tick(0.0)
    assert heading.dial_values() == pytest.approx([-120.0, 0.8], abs=1e-3)
    assert (direction.value, speed.value) == (pytest.approx(-120.0), 0.8)
    assert shown._held.value
    by_visitor(shown._held, False)
    session.tick(0.0)
    assert not heading._held
    heading.aim([60.0, 1.1])
    heading._held = {}  # as if training had changed it
    by_visitor(shown._held, True)
    session.tick(0.0)
    assert heading._held
    assert heading.dial_values() == pytest.approx([60.0, 1.1], abs=1e-3)
    assert direction.value == pytest.approx(60.0, abs=1e-3)


def test_the_page_shows_robots_beside_each_other(server, crowd):
    from mjx_mimic.display.browser_page import BrowserView

    crowd.reset(0)
    session = Session(crowd)
    shown = BrowserView(session, server)
    session.tick(0.1)
    shown.draw()
    torso = crowd.model.body("torso_link").id
    positions = np.array([robot.data.xpos[torso] + robot.shift for robot in crowd.drawn()])
    for handle in shown.robots[torso]:
        np.testing.assert_allclose(handle.batched_positions, positions, atol=1e-5)
    apart = np.linalg.norm(positions[:, None, :2] - positions[None, :, :2], axis=-1)
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 1.0
    assert len(shown.ghosts[torso][0].batched_positions) == len(positions)


def test_an_address_that_cannot_be_served_is_refused_at_once(server):
    from mjx_mimic.display.serving import open_server

    for host, port in (("127.0.0.1", server.get_port()), ("no-such-host.invalid", 0)):
        with pytest.raises(UserError, match="--port") as error:
            open_server(host, port)
        assert len(str(error.value).splitlines()) == 1


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, Playwright's or the system's, with WebGL in software."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome")
        found = own if Path(own).exists() else next(filter(None, map(shutil.which, names)), None)
        if found is None:
            pytest.skip("no Chromium here")
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        opened = playwright.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


# Of the 800 x 600 page, what neither the controls nor viser's notes cover; as PIL's crop box.
MIDDLE = (315, 0, 525, 600)


def picture(page) -> np.ndarray:
    """(600, 210, 3) of the page's middle."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").crop(MIDDLE)
    return np.asarray(image, np.int16)


def of_the_robot(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the white shell and the dark joints, which neither the sky nor the floor is like."""
    grey = np.ptp(image, axis=-1) < 25
    return grey & (image.min(axis=-1) > 225), grey & (image.max(axis=-1) < 70)


def until(condition, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the page does not show it"
        time.sleep(0.2)


def test_chromium_shows_a_robot_that_moves_and_obeys(server, browser, playing, tmp_path):
    from mjx_mimic.display.browser_page import BrowserView

    shown = BrowserView(playing, server)
    playing.pause(True)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(f"http://127.0.0.1:{server.get_port()}")
    until(lambda: all(mask.sum() > 1000 for mask in of_the_robot(picture(page))))
    first = picture(page)
    page.screenshot(path=tmp_path / "page.png")
    rows, columns = np.nonzero(np.logical_or(*of_the_robot(first)))
    height, width = np.ptp(np.percentile(rows, [1, 99])), np.ptp(np.percentile(columns, [1, 99]))
    assert height > 200
    assert height > 1.8 * width  # upright

    page.get_by_role("button", name="Single step").click()
    until(lambda: (playing.tick(0.0), seconds(playing) > 0.0)[1])
    assert seconds(playing) == pytest.approx(1.0 / load_motion("walk").fps)
    for _ in range(12):
        playing.single_step()
    playing.tick(0.0)
    shown.draw()
    until(lambda: (np.abs(picture(page) - first).max(axis=-1) > 60).mean() > 0.01)
    assert all(mask.sum() > 1000 for mask in of_the_robot(picture(page)))

    page.get_by_role("button", name="Reset").click()
    until(lambda: (playing.tick(0.0), seconds(playing) == 0.0)[1])
    page.close()


def test_a_click_on_the_floor_in_chromium_sends_the_robot_there(server, browser, heading):
    """The point is found from the camera's place and lens, and not from the ray that viser sends."""
    from mjx_mimic.display.browser_page import BrowserView

    heading.reset(0)
    session = Session(heading)
    session.pause(True)
    session.show_ghost(False)  # it would cover the robot
    shown = BrowserView(session, server)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(f"http://127.0.0.1:{server.get_port()}")
    until(lambda: all(mask.sum() > 1000 for mask in of_the_robot(picture(page))))
    (client,) = server.get_clients().values()
    camera = client.camera
    for column, row in ((330, 520), (510, 500)):
        shown._held.value = False
        page.mouse.click(column, row)
        until(lambda: (session.tick(0.0), shown._held.value)[1])
        half = np.tan(camera.fov / 2.0)
        seen = np.array([(column - 400) / 300 * half, (row - 300) / 300 * half, 1.0])
        ray = Rotation.from_quat(camera.wxyz, scalar_first=True).apply(seen)
        floor = camera.position[:2] - camera.position[2] / ray[2] * ray[:2] - shown._world.position[:2]
        x, y = floor - heading.data.qpos[:2]
        assert np.hypot(x, y) > 0.3
        assert heading.dial_values()[0] == pytest.approx(np.degrees(np.arctan2(y, x)), abs=1.0)
    page.close()


# The command -------------------------------------------------------------------------------------------


def test_the_command_serves_a_clip_without_jax_until_it_is_interrupted():
    pytest.importorskip("viser")
    script = (
        "import atexit, sys; from mjx_mimic import view; from mjx_mimic.common import cli;"
        "atexit.register(lambda: print('jax' in sys.modules)); cli.run(view.main)"
    )
    command = interruptible(["-c", script, "--motion", "walk", "--browser", "--port", "0"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("look at http://localhost:")
        assert b"<html" in urllib.request.urlopen(line.split()[2], timeout=10).read()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert rest.split() == ["ended", "False"]
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--run and --motion"),
        (["--run", "a", "--motion", "walk"], "--run and --motion"),
        (["--motion", "walk", "--speed", "0"], "--speed"),
        (["--motion", "walk", "--speed", "nan"], "--speed"),
        (["--motion", "walk", "--port", "70000"], "--port"),
        (["--run", "a", "--num-envs", "0"], "--num-envs"),
        (["--run", "a", "--num-envs", "65"], "--num-envs"),
        (["--motion", "walk", "--num-envs", "2"], "--num-envs: it is of a run's policy; it needs --run"),
        (["--motion", "walk", "--checkpoint", "last"], "--checkpoint: it is of a run's policy"),
        (["--follow"], "--run and --motion"),
        (["--motion", "walk", "--follow"], "--follow"),
        (["--run", "a", "--follow", "--checkpoint", "512"], "--follow"),
        (["--motion", "noclip", "--browser", "--port", "0"], "noclip"),
        (["--run", "nowhere", "--browser", "--port", "0"], "nowhere"),
    ],
)
def test_bad_options_are_refused_in_a_line(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        view.main(options)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_port_in_use_is_refused_before_anything_is_loaded(tmp_path):
    pytest.importorskip("viser")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=str(port)):
            view.main(["--run", str(tmp_path / "nowhere"), "--browser", "--port", str(port)])


def test_a_public_address_is_printed_or_refused(monkeypatch, capsys):
    viser = pytest.importorskip("viser")
    from mjx_mimic.display import visitors

    address = None
    monkeypatch.setattr(viser.ViserServer, "request_share_url", lambda server, verbose: address)
    with pytest.raises(UserError, match="--share"):
        view.main(["--motion", "walk", "--share", "--port", "0"])
    address = "https://robot.example"

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mjx_mimic.display.serving.run", interrupt)
    welcome = []
    known = visitors.Visitors.__init__
    monkeypatch.setattr(
        visitors.Visitors, "__init__", lambda self, host: (known(self, host), welcome.append(self))[0]
    )
    assert view.main(["--motion", "walk", "--share", "--port", "0"]) == 0
    assert address in capsys.readouterr().out
    assert welcome[0].refusal(["robot.example"], [address], upgrade=True) is None


def test_without_viser_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(UserError, match=r"pip install -e \".\[view\]\""):
        view.main(["--motion", "walk", "--browser"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a display always")
def test_without_a_display_the_page_is_shown(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    pytest.importorskip("viser")
    served = []
    monkeypatch.setattr(
        "mjx_mimic.display.serving.serve", lambda opener, speed, **where: served.append((opener(), where))
    )
    assert view.main(["--motion", "walk"]) == 0
    ((playable, where),) = served
    assert playable.clips == ("walk",)
    assert where == {"host": "127.0.0.1", "port": 8080, "share": False}
    with pytest.raises(UserError, match="--browser"):
        desktop_window.check_display()


@pytest.mark.parametrize(
    "options", [["--port", "8080"], ["--host", "127.0.0.1"], ["--share"], ["--browser"], []]
)
def test_whoever_says_where_the_page_is_to_be_gets_it(monkeypatch, options):
    """Beside a display, too."""
    pytest.importorskip("viser")
    monkeypatch.setattr(view.gl, "has_display", lambda: True)
    shown = []
    monkeypatch.setattr("mjx_mimic.display.serving.serve", lambda *_, **where: shown.append("page"))
    monkeypatch.setattr(desktop_window, "check_display", lambda: None)
    monkeypatch.setattr(desktop_window, "show", lambda session: shown.append("window"))
    assert view.main(["--motion", "walk", *options]) == 0
    assert shown == ["page" if options else "window"]
