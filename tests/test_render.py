"""The robot's drawn shapes change nothing but its looks; the render command's options and refusals.

What is in the pictures, and whether videos are whole, is in `test_drawing`.
"""

import subprocess
import sys

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from test_drawing import read

from mjx_mimic import drawing, render
from mjx_mimic.errors import UserError
from mjx_mimic.paths import assets_dir

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


# mediapy leaves the pipes of its ffmpeg process to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fps_sets_the_rate_of_a_clips_video(tmp_path):
    if drawing.choose_gl_backend() is None:
        pytest.skip(drawing.NO_GL)
    path = tmp_path / "walk.mp4"
    assert render.main(["--motion", "walk", "--out", str(path), "--fps", "15", *SMALL]) == 0
    assert len(read(path)) == 4
    assert next(imageio_ffmpeg.read_frames(str(path)))["fps"] == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("video.gif", [], "--out"),
        ("video", [], "--out"),
        ("folder.mp4", [], "--out"),
        ("video.mp4", ["--fps", "0"], "--fps"),
        ("video.mp4", ["--fps", "nan"], "--fps"),
    ],
)
def test_bad_files_and_rates_are_refused_before_drawing(tmp_path, monkeypatch, out, options, told):
    def draw(*arguments, **named):
        raise AssertionError("drawn")

    monkeypatch.setattr(drawing, "render_frames", draw)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match=told) as error:
        render.main(["--motion", "walk", "--out", str(tmp_path / out), *options])
    assert len(str(error.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def test_a_machine_that_cannot_draw_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "choose_gl_backend", lambda: None)
    with pytest.raises(UserError, match="libosmesa6"):
        render.main(["--motion", "walk", "--out", str(tmp_path / "video.mp4")])
    assert not list(tmp_path.iterdir())
