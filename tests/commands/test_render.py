"""The robot's drawn shapes change nothing but its looks; what the render command shows; its refusals.

Single pictures are tested in `display/test_offscreen.py`, video files in `display/test_video.py`.
"""

import subprocess
import sys
from dataclasses import replace

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from helpers.videos import (
    assert_every_frame_shows_the_robot,
    changed_share,
    read,
    read_pictures,
    without_robot,
)
from PIL import Image
from scipy.spatial.transform import Rotation

from mjx_mimic import render
from mjx_mimic.clips.editing import sampled
from mjx_mimic.clips.formats import load_motion, native
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.paths import assets_dir
from mjx_mimic.display import episode_video, gl, rendering
from mjx_mimic.display.options import VideoOptions
from mjx_mimic.evaluation.recording import Recording
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.task.termination import Causes

pytestmark = pytest.mark.render

VISUAL_GROUP = 2
SOLE_HEIGHT = -0.035  # m, in the ankle roll frame, as the contact spheres
SMALL = ["--width", "160", "--height", "120", "--seconds", "0.2"]


@pytest.fixture(scope="module")
def spec() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_file(str(assets_dir() / "g1" / "scene.xml"))


@pytest.fixture(scope="module")
def model(spec) -> mujoco.MjModel:
    return spec.compile()


@pytest.fixture(scope="module")
def visuals(model) -> np.ndarray:
    return np.flatnonzero(model.geom_group == VISUAL_GROUP)


def semi_axes(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Half lengths (3,) m along a geom's own axes; a capsule's without its caps."""
    radius, half_length, _ = model.geom_size[geom]
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            return np.full(3, radius)
        case mujoco.mjtGeom.mjGEOM_CAPSULE | mujoco.mjtGeom.mjGEOM_CYLINDER:
            return np.array([radius, radius, half_length])
    return model.geom_size[geom]


def half_extents(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Half of a geom's bounding box (3,) m in its body's frame."""
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, model.geom_quat[geom])
    axes = axes.reshape(3, 3)
    semi, along = semi_axes(model, geom), np.abs(axes[:, 2])
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_BOX:
            return np.abs(axes) @ semi
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            return along * semi[2] + semi[0]
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            return along * semi[2] + semi[0] * np.sqrt(np.maximum(1.0 - along**2, 0.0))
    return np.sqrt(axes**2 @ semi**2)  # ellipsoid, sphere


def test_visuals_weigh_nothing_and_touch_nothing(spec, model, visuals):
    assert model.body_mass.sum() == pytest.approx(36.0169, abs=1e-4)
    assert not model.geom_contype[visuals].any()
    assert not model.geom_conaffinity[visuals].any()
    # Geoms are found by name in training; these must not be.
    assert {model.geom(i).name for i in visuals} == {""}
    bare = spec.copy()
    for geom in bare.geoms:
        if geom.group == VISUAL_GROUP:
            bare.delete(geom)
    bare = bare.compile()
    assert bare.ngeom == model.ngeom - len(visuals)
    for field in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
        np.testing.assert_array_equal(getattr(model, field), getattr(bare, field), err_msg=field)


def test_left_and_right_look_alike(model, visuals):
    """In a symmetric pose each left shape has its mirror image; the links differ by 0.01 mm themselves."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    looks = {"left": [], "right": []}
    for i in visuals:
        side = model.body(model.geom_bodyid[i]).name.split("_")[0]
        if side in looks:
            mirror = np.diag([1.0, 1.0 if side == "left" else -1.0, 1.0])
            axes = mirror @ data.geom_xmat[i].reshape(3, 3)
            form = axes @ np.diag(semi_axes(model, i)) @ axes.T  # the same for either sign of an axis
            kind = [model.geom_type[i], model.geom_matid[i]]
            looks[side].append([*kind, *form.ravel(), *(mirror @ data.geom_xpos[i])])
    assert len(looks["left"]) > 20
    np.testing.assert_allclose(looks["left"], looks["right"], rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_drawn_feet_end_where_the_contact_spheres_do(model, visuals, side):
    foot = visuals[model.geom_bodyid[visuals] == model.body(f"{side}_ankle_roll_link").id]
    corners = []
    for i in foot:
        half = half_extents(model, i)
        corners += [model.geom_pos[i] - half, model.geom_pos[i] + half]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    np.testing.assert_allclose(low, [-0.06, -0.035, SOLE_HEIGHT], rtol=0.0, atol=5e-4)
    np.testing.assert_allclose(high[:2], [0.13, 0.035], rtol=0.0, atol=5e-4)


def test_the_command_loads_neither_jax_nor_mujoco_on_import():
    """MuJoCo reads MUJOCO_GL when it is imported, JAX its settings: the command sets both first."""
    probe = "import sys, mjx_mimic.render; print(*{'jax', 'mujoco'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.fixture
def can_draw() -> None:
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)


# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fps_and_slow_set_the_rate_of_a_clips_video(tmp_path, capsys, can_draw):
    path = tmp_path / "walk.mp4"
    assert render.main(["--motion", "walk", "--out", str(path), "--fps", "15", "--slow", "2", *SMALL]) == 0
    assert len(read(path)) == 7  # 0.2 s in 0.4 s
    assert next(imageio_ffmpeg.read_frames(str(path)))["fps"] == pytest.approx(15.0)
    assert "7 frames, 0.5 s" in capsys.readouterr().out


def test_frames_go_to_a_new_folder_and_each_shows_the_robot(tmp_path, monkeypatch, can_draw):
    command = ["--motion", "run", "--fps", "5", "--no-caption", *SMALL[:4], "--seconds", "2", "--out"]
    assert render.main([*command, str(tmp_path / "frames")]) == 0
    names = [file.name for file in sorted((tmp_path / "frames").iterdir())]
    assert names == [f"{number:04d}.png" for number in range(11)]
    with pytest.raises(UserError, match="is there already"):
        render.main([*command, str(tmp_path / "frames")])
    monkeypatch.setattr(rendering, "load_model", lambda meshes: without_robot(load_mjcf()))
    assert render.main([*command, str(tmp_path / "empty")]) == 0
    frames, empty = read_pictures(tmp_path / "frames"), read_pictures(tmp_path / "empty")
    assert_every_frame_shows_the_robot(frames, empty)


def recording(steps: int, fails_at: int | None = None, fps: float = 30.0) -> Recording:
    """An episode that follows the walk's reference 20 cm to its side."""
    reference = load_motion("walk").qpos[: steps + 1]
    qpos = reference + 0.2 * np.eye(36)[1]
    never, failed = np.zeros(steps + 1, bool), np.zeros(steps + 1, bool)
    if fails_at is not None:
        failed[fails_at:] = True
    causes = Causes(fall=failed, deviation=failed, nonfinite=never, time_out=never, clip_end=never)
    share = np.linspace(0.0, 1.0, steps + 1)
    still, first = np.zeros((steps + 1, 35)), np.zeros(steps + 1, int)
    return Recording(qpos, still, reference, share, 1.0 - share, causes, first, fps)


def options(**changes) -> VideoOptions:
    return VideoOptions(width=160, height=120, **changes)


def test_an_episode_is_shown_at_the_videos_moments():
    episode = replace(recording(10), markers=np.arange(33.0).reshape(11, 1, 3))
    times = np.array([0.0, 1 / 60, 1 / 30, 0.2, 10.0])
    shot = episode_video.episode_shot(episode, ["walk"], times)
    for shown, kept in ((shot.qpos, episode.qpos), (shot.reference, episode.reference)):
        np.testing.assert_allclose(shown[[0, 2, 3, 4]], kept[[0, 1, 6, 10]], atol=1e-9)
        np.testing.assert_allclose(shown[1, 7:], kept[:2, 7:].mean(axis=0), atol=1e-9)
        turns = Rotation.from_quat(kept[:2, 3:7], scalar_first=True)
        between = Rotation.from_quat(shown[1, 3:7], scalar_first=True)
        assert (between.inv() * turns.mean()).magnitude() < 1e-6
    np.testing.assert_allclose(shot.markers[:, 0, 0], [0.0, 1.5, 3.0, 18.0, 30.0], atol=1e-9)
    assert shot.captions[3] == ["walk   0.20 s", "phase 0.60   reward 0.40"]
    assert shot.captions[1] == ["walk   0.02 s", "phase 0.00   reward 1.00"]
    assert shot.captions[4] == ["walk   0.33 s", "phase 1.00   reward 0.00"]  # over by then


def test_a_failure_is_written_from_when_it_happens():
    times = np.arange(11) / 30.0
    shot = episode_video.episode_shot(recording(10, fails_at=6), ["walk"], times, slow=4.0)
    assert shot.warnings == [""] * 6 + ["failed: fall at 0.2 s"] * 5
    assert shot.captions[0][0] == "walk   0.00 s   0.25x"
    assert not any(episode_video.episode_shot(recording(10), ["walk"], times).warnings)


def test_an_episode_of_one_state_is_shown():
    """A clip that does not repeat, begun at its very end."""
    shot = episode_video.episode_shot(recording(0), ["walk"], np.array([0.0, 0.1]))
    np.testing.assert_allclose(shot.qpos[0], shot.qpos[1])


def test_episodes_are_in_a_grid_with_captions(model, can_draw):
    times = np.array([0.2])
    shots = [
        episode_video.episode_shot(episode, ["walk"], times)
        for episode in (recording(10), recording(10, fails_at=3), recording(4))
    ]
    (whole,) = rendering.compose(model, shots, options())
    (plain,) = rendering.compose(model, shots, options(caption=False))
    (empty,) = rendering.compose(without_robot(model), shots, options(caption=False))
    assert whole.shape == (240, 320, 3)
    tiles = [whole[:119, :159], whole[:119, 160:319], whole[120:239, :159]]
    bare = [plain[:119, :159], plain[:119, 160:319], plain[120:239, :159]]
    bare_floor = [empty[:119, :159], empty[:119, 160:319], empty[120:239, :159]]
    assert_every_frame_shows_the_robot(np.stack(bare), np.stack(bare_floor))
    assert changed_share(bare[0], bare[1]) == 0.0  # the same motion
    assert changed_share(bare[0], bare[2]) > 0.005
    assert not whole[120:, 160:].any()
    depth = [np.flatnonzero((a != b).any(axis=(1, 2))).max() for a, b in zip(tiles, bare, strict=True)]
    assert depth[0] < depth[1] < 60
    assert depth[0] == depth[2]


def test_the_reference_is_a_ghost_beside_or_absent(model, can_draw):
    def drawn(reference: str) -> np.ndarray:
        shot = episode_video.episode_shot(recording(2), ["walk"], np.zeros(1))
        (picture,) = rendering.compose(model, [shot], options(caption=False), reference)
        return picture

    ghost, side, none = (drawn(reference) for reference in ("ghost", "side", "none"))
    assert 0.01 < changed_share(ghost, none) < 0.1
    assert changed_share(side, none) > 0.03  # the camera stands elsewhere
    assert changed_share(side, ghost) > 0.03


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_is_drawn(finished, tmp_path, capsys, monkeypatch, can_draw):
    """Its clip from the first frame, and from elsewhere."""
    shots, compose = [], rendering.compose

    def seen(model, given, options, reference):
        shots.extend(given)
        return compose(model, given, options, reference)

    monkeypatch.setattr(rendering, "compose", seen)
    out = tmp_path / "run.gif"
    run = ["--run", str(finished / "whole"), "--engine", "mujoco", "--num-envs", "2", "--checkpoint", "last"]
    assert render.main([*run, "--out", str(out), *SMALL, "--fps", "10"]) == 0
    assert "3 frames, 0.3 s" in capsys.readouterr().out
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size) == (3, (320, 120))
    clip = load_motion(finished / "sway.npz")
    first, other = shots
    assert first.captions[0] == [f"{clip.name}   0.00 s", "phase 0.00   reward 1.00"]
    assert other.captions[0][1] != first.captions[0][1]
    np.testing.assert_allclose(first.reference[:, 7:], sampled(clip, np.arange(3) / 10.0)[:, 7:], atol=1e-4)
    assert np.abs(first.reference - other.reference).max() > 1e-3
    assert 1e-6 < np.abs(first.qpos[2] - first.reference[2]).max() < 0.5  # simulated, not replayed


def test_a_run_is_pushed_as_in_an_evaluation(finished, tmp_path, monkeypatch, can_draw):
    """The evaluation's own kicks and forces, which have tests of what they do."""
    given = []

    def simulated(evaluation, episodes):
        given.append(evaluation)
        return [recording(2)]

    monkeypatch.setattr(episode_video, "record", simulated)
    run = ["--run", str(finished / "whole"), "--checkpoint", "last", *SMALL, "--fps", "10"]
    pushes = ["--push", "0.5", "--force", "80", "--direction", "left"]
    assert render.main([*run, *pushes, "--out", str(tmp_path / "pushed.gif")]) == 0
    assert given[0].protocol.push == 0.5
    np.testing.assert_allclose(given[0].forces, [[0.0, 80.0]])


def test_a_clip_that_the_run_does_not_have_is_refused(finished, tmp_path, can_draw):
    with pytest.raises(UserError, match="--clip: 1 will not do; the run has clips 0 to 0"):
        render.main(["--run", str(finished / "whole"), "--clip", "1", "--out", str(tmp_path / "x.mp4")])


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("video.avi", [], "--out"),
        ("picture.png", [], "folder without an ending"),
        ("folder.mp4", [], "--out"),
        ("full", [], "is there already"),
        ("video.gif", ["--fps", "60"], "--fps"),
        ("video.mp4", ["--slow", "0"], "--slow"),
        ("video.mp4", ["--num-envs", "0"], "--num-envs"),
        ("video.mp4", ["--num-envs", "4"], "needs --run"),
        ("video.mp4", ["--push", "1"], "--push: it is of a run's episodes; it needs --run, not --motion"),
        ("video.mp4", ["--force", "9", "--direction", "left"], "--force: .* needs --run"),
        ("video.mp4", ["--reference", "side"], "--reference: .* needs --run"),
        ("video.mp4", ["--checkpoint", "last"], "--checkpoint: .* needs --run"),
        ("video.mp4", ["--engine", "mjx"], "--engine: .* needs --run"),
        ("video.mp4", ["--seed", "3"], "--seed: .* needs --run"),
        ("video.mp4", ["--skills", "walk"], "--skills: .* needs --run"),
        ("video.mp4", ["--force", "-1"], "--force"),
        ("video.mp4", ["--fps", "0"], "--fps"),
        ("video.mp4", ["--fps", "nan"], "--fps"),
        ("video.mp4", ["--width", "5000"], "--width"),
        ("video.mp4", ["--height", "121"], "--height"),
        ("video.mp4", ["--seconds", "0"], "--seconds"),
    ],
)
def test_bad_files_and_rates_are_refused_before_drawing(tmp_path, monkeypatch, out, options, told):
    def draw(*arguments, **named):
        raise AssertionError("drawn")

    monkeypatch.setattr(rendering, "OffscreenScene", draw)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match=told) as error:
        render.main(["--motion", "walk", "--out", str(tmp_path / out), *options])
    assert len(str(error.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.mp4", "full"]


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (None, "install one .*libosmesa6"),
        ("", "libosmesa6"),
        ("glx", "MUJOCO_GL=glx cannot draw here; unset it"),
    ],
)
def test_a_machine_that_cannot_draw_hears_what_to_do(tmp_path, monkeypatch, chosen, told):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if chosen is not None:
        monkeypatch.setenv("MUJOCO_GL", chosen)
    monkeypatch.setattr(gl, "choose_gl_backend", lambda: None)
    with pytest.raises(UserError, match=told):
        render.main(["--motion", "walk", "--out", str(tmp_path / "video.mp4")])
    assert not list(tmp_path.iterdir())


def test_one_of_several_clips_is_drawn(tmp_path, monkeypatch, can_draw):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("kick", "walk"):
        native.write(clips / f"{name}.npz", load_motion(name))
    drawn = []
    monkeypatch.setattr(rendering, "draw_clips", lambda motions, *_: drawn.append([m.name for m in motions]))
    command = ["--motion", str(clips), "--out", str(tmp_path / "video.mp4")]
    for more in ([], ["--clip", "0"], ["--clip", "1"]):
        assert render.main([*command, *more]) == 0
    assert drawn == [["kick", "walk"], ["kick"], ["walk"]]
    with pytest.raises(UserError, match="--clip: 2 will not do; use a number from 0 to 1"):
        render.main([*command, "--clip", "2"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--run and --motion"),
        (["--motion", "walk", "--run", "runs/x"], "--run and --motion"),
        (["--motion", "nofile"], "nofile"),
        (["--run", "nowhere"], "no run in this folder"),
        (["--run", "nowhere", "--direction", "left"], "--direction: it is of a force; add --force"),
        (["--run", "nowhere", "--skills", "walk", "--clip", "0"], "--skills: cannot be joined with --clip"),
    ],
)
def test_what_cannot_be_found_writes_nothing(tmp_path, monkeypatch, arguments, words, can_draw):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        render.main([*arguments, "--out", "video.mp4"])
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())
