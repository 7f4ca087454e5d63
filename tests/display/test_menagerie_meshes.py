"""The real robot's meshes from a copy of MuJoCo Menagerie: drawn where our links are, or refused."""

import os
import struct
import sys
import types
from itertools import product
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mjx_mimic import render
from mjx_mimic.common.errors import UserError
from mjx_mimic.common.paths import assets_dir
from mjx_mimic.display import gl, menagerie_meshes
from mjx_mimic.robot.mjcf import VISUAL_GROUP, load_mjcf

pytestmark = pytest.mark.render

COLOR = (0.7, 0.2, 0.1, 1.0)
# Half sides, m, and the middle of the file's box: MuJoCo moves a mesh's origin to its centre.
HALF, MIDDLE = np.array([0.05, 0.03, 0.02]), np.array([0.02, 0.0, -0.04])


def write_box(path: Path) -> None:
    """A box as a binary STL file."""
    corners = MIDDLE + HALF * np.array(list(product((-1, 1), repeat=3)))
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [half for a, b, c, d in sides for half in ((a, b, c), (a, c, d))]
    body = b"".join(
        struct.pack("<12fH", 0, 0, 0, *corners[list(triangle)].ravel(), 0) for triangle in triangles
    )
    path.write_bytes(bytes(80) + struct.pack("<I", len(triangles)) + body)


def write_menagerie(root: Path, change=lambda spec: None) -> Path:
    """A small stand-in for Menagerie: our links, a box of mesh on each, the head on the torso."""
    folder = root / menagerie_meshes.ROBOT
    (folder / "assets").mkdir(parents=True)
    write_box(folder / "assets" / "box.stl")
    spec = mujoco.MjSpec.from_file(str(assets_dir() / "g1" / "g1.xml"))
    for geom in [geom for geom in spec.geoms if geom.group == VISUAL_GROUP]:
        spec.delete(geom)
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    spec.delete(spec.body("head_link"))
    spec.add_material(name="red", rgba=COLOR)
    spec.add_mesh(name="box", file="box.stl")
    for body in spec.bodies[1:]:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname="box", material="red", group=VISUAL_GROUP, mass=0.0
        )
    spec.body("pelvis").pos = (0.0, 0.0, 0.793)
    change(spec)
    spec.meshdir = str(folder / "assets")
    spec.compile()
    (folder / "g1.xml").write_text(spec.to_xml().replace(spec.meshdir, "assets"))
    return root


def test_each_mesh_is_on_our_link(tmp_path, monkeypatch):
    monkeypatch.setenv(menagerie_meshes.ROOT_VARIABLE, str(write_menagerie(tmp_path)))
    robot = menagerie_meshes.load_with_meshes()
    assert robot.offset < 1e-5
    model, plain = robot.model, load_mjcf()
    data, there = mujoco.MjData(model), mujoco.MjData(plain)
    rng = np.random.default_rng(1)
    data.qpos[:] = there.qpos[:] = plain.key("stand").qpos + rng.uniform(-0.3, 0.3, plain.nq)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_kinematics(plain, there)
    drawn = np.flatnonzero(model.geom_group == VISUAL_GROUP)
    assert len(drawn) == 30
    for geom in drawn:
        name = model.body(model.geom_bodyid[geom]).name
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        world = data.geom_xpos[geom] + vertices @ data.geom_xmat[geom].reshape(3, 3).T
        link = there.body(name)
        local = (world - link.xpos) @ link.xmat.reshape(3, 3)
        np.testing.assert_allclose(local.min(axis=0), MIDDLE - HALF, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(local.max(axis=0), MIDDLE + HALF, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(model.geom_rgba[geom], COLOR, atol=1e-6)
        assert model.geom_contype[geom] == model.geom_conaffinity[geom] == 0
    np.testing.assert_allclose(model.body_mass, plain.body_mass, rtol=1e-6)


def test_the_command_draws_the_meshes(tmp_path, monkeypatch, capsys):
    if gl.choose_gl_backend() is None:
        pytest.skip(gl.NO_GL)
    monkeypatch.setenv(menagerie_meshes.ROOT_VARIABLE, str(write_menagerie(tmp_path)))
    out = tmp_path / "frames"
    small = ["--width", "160", "--height", "120", "--seconds", "0.1", "--fps", "10", "--no-caption"]
    assert render.main(["--motion", "walk", "--meshes", "--out", str(out), *small]) == 0
    assert "links within 0.0 mm" in capsys.readouterr().out
    import matplotlib.image

    red = matplotlib.image.imread(out / "0000.png")[..., :3] @ [1.0, -0.5, -0.5]
    assert np.mean(red > 0.15) > 0.005


def test_the_waist_of_another_revision_is_accepted_and_told(tmp_path, monkeypatch):
    """As in Menagerie: the roll axis 9 mm higher, the pitch axis 1 cm lower, the arms where they were."""

    def change(spec):
        spec.body("waist_roll_link").pos[2] += 0.009
        spec.body("torso_link").pos[2] -= 0.019
        for side in ("left", "right"):
            spec.body(f"{side}_shoulder_pitch_link").pos[2] += 0.010

    monkeypatch.setenv(menagerie_meshes.ROOT_VARIABLE, str(write_menagerie(tmp_path, change)))
    assert 0.009 < menagerie_meshes.load_with_meshes().offset < menagerie_meshes.MAX_OFFSET


def moved(spec):
    spec.body("left_knee_link").pos[2] -= 0.03


def turned(spec):
    spec.joint("right_elbow_joint").axis = (0.0, -1.0, 0.0)


def renamed(spec):
    spec.joint("waist_roll_joint").name = "waist"


def stripped(spec):
    for geom in [geom for geom in spec.geoms if geom.group == VISUAL_GROUP]:
        spec.delete(geom)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (moved, "body left_knee_link is 0.030 m"),
        (turned, "body right_elbow_link"),
        (renamed, "no joint waist_roll_joint"),
        (stripped, "no mesh in geom group 2"),
    ],
)
def test_another_robot_is_refused(tmp_path, monkeypatch, change, told):
    monkeypatch.setenv(menagerie_meshes.ROOT_VARIABLE, str(write_menagerie(tmp_path, change)))
    with pytest.raises(UserError, match=told) as error:
        menagerie_meshes.load_with_meshes()
    assert len(str(error.value).splitlines()) == 1


def test_a_copy_that_cannot_be_used_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(menagerie_meshes.ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match="no such file; set MENAGERIE_ROOT"):
        menagerie_meshes.load_with_meshes()
    write_menagerie(tmp_path)
    (tmp_path / menagerie_meshes.ROBOT / "assets" / "box.stl").unlink()
    with pytest.raises(UserError, match=r"cannot be loaded.*box\.stl") as error:
        menagerie_meshes.load_with_meshes()
    assert len(str(error.value).splitlines()) == 1


def test_the_package_is_asked_where_no_copy_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(menagerie_meshes.ROOT_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)  # as if not installed
    with pytest.raises(UserError, match="pip install mujoco-menagerie, or set MENAGERIE_ROOT"):
        menagerie_meshes.find_menagerie()

    class MenagerieError(Exception):
        pass

    def get(name):
        raise MenagerieError("no\nnetwork")

    package = types.SimpleNamespace(MenagerieError=MenagerieError, get=get)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    with pytest.raises(UserError, match=r"cannot be fetched \(no network\); set MENAGERIE_ROOT"):
        menagerie_meshes.find_menagerie()
    file = tmp_path / "g1.xml"
    package.get = lambda name: types.SimpleNamespace(
        xml=lambda entry: {("unitree_g1", "g1"): file}[name, entry]
    )
    assert menagerie_meshes.find_menagerie() == file


@pytest.mark.skipif(
    not os.environ.get(menagerie_meshes.ROOT_VARIABLE), reason="set MENAGERIE_ROOT to a copy of Menagerie"
)
def test_a_local_copy_of_the_real_robot_fits():
    robot = menagerie_meshes.load_with_meshes()
    drawn = np.flatnonzero(robot.model.geom_group == VISUAL_GROUP)
    assert len({robot.model.geom_bodyid[geom] for geom in drawn}) >= 30
