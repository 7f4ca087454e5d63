"""The meshes of the real G1 on our robot, for drawing only, from MuJoCo Menagerie's `unitree_g1/g1.xml`.

Only the visual meshes of that file are used: each is fixed to the body of the same name in our model.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.common.errors import UserError
from mjx_mimic.common.paths import assets_dir
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.mjcf import VISUAL_GROUP, joint_ranges

ROBOT = "unitree_g1"
ROOT_VARIABLE = "MENAGERIE_ROOT"

# Revisions of the G1 differ by 1 cm in the axes of the waist, and Menagerie has another one than we do. A
# mesh drawn 1 cm off looks right; a model of another robot is farther off.
MAX_OFFSET = 0.02  # m
MAX_ANGLE = 0.01  # rad
_POSES = 20


@dataclass(frozen=True, eq=False)
class MeshRobot:
    """Our scene with a robot drawn as meshes."""

    model: mujoco.MjModel
    file: Path
    offset: float
    """Largest distance between a link of that file and ours, m."""


def load_with_meshes() -> MeshRobot:
    """Load our robot with the meshes of MuJoCo Menagerie.

    They come from the folder that the environment variable MENAGERIE_ROOT names, or else from the package
    `mujoco-menagerie`, which downloads them at the first use.

    Raises:
        UserError: there is neither, the file cannot be loaded, or it is another robot.
    """
    file = find_menagerie()
    try:
        theirs = mujoco.MjModel.from_xml_path(str(file))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: cannot be loaded ({reason}); copy {ROBOT} again, with its assets") from None
    spec = mujoco.MjSpec.from_file(str(assets_dir() / "g1" / "scene.xml"))
    ours = spec.compile()
    offset = check_same_robot(ours, theirs, file)
    shapes = [
        geom
        for geom in range(theirs.ngeom)
        if theirs.geom_group[geom] == VISUAL_GROUP and theirs.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
    ]
    if not shapes:
        raise UserError(f"{file}: has no mesh in geom group {VISUAL_GROUP}; give Menagerie's own g1.xml")
    for geom in [geom for geom in spec.geoms if geom.group == VISUAL_GROUP]:
        spec.delete(geom)
    for geom in shapes:
        _add(spec, ours, theirs, geom)
    return MeshRobot(spec.compile(), file, offset)


def find_menagerie() -> Path:
    """Find Menagerie's MJCF of the G1; see `load_with_meshes`.

    Raises:
        UserError: there is none.
    """
    if root := os.environ.get(ROOT_VARIABLE):
        file = Path(root) / ROBOT / "g1.xml"
        if not os.path.isfile(file):
            raise UserError(f"{file}: no such file; set {ROOT_VARIABLE} to a folder that holds {ROBOT}")
        return file
    try:
        import mujoco_menagerie
    except ImportError:
        raise UserError(
            "option --meshes: no meshes here; put `uv run --extra meshes` before the command, pip install"
            f" mujoco-menagerie, or set {ROOT_VARIABLE} to a copy of MuJoCo Menagerie"
        ) from None
    try:
        return mujoco_menagerie.get(ROBOT).xml("g1")
    except (mujoco_menagerie.MenagerieError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"option --meshes: {ROBOT} cannot be fetched ({reason}); set {ROOT_VARIABLE} to a copy of MuJoCo"
            " Menagerie"
        ) from None


def check_same_robot(ours: mujoco.MjModel, theirs: mujoco.MjModel, file: Path) -> float:
    """Move both models through the same random poses, and compare where their links are.

    Returns:
        The largest distance between two links of the same name, m, over the pelvis and the links of the 29
        joints.

    Raises:
        UserError: a joint is missing, or a link is more than `MAX_OFFSET` or `MAX_ANGLE` off.
    """
    names = {theirs.joint(joint).name for joint in range(theirs.njnt)}
    for name in G1_JOINTS:
        if name not in names:
            raise UserError(f"{file}: has no joint {name}; give Menagerie's {ROBOT} of 29 joints")
    rng = np.random.default_rng(0)
    low, high = joint_ranges(ours).T
    bodies = [ours.body(ours.joint(name).bodyid[0]).name for name in ("root", *G1_JOINTS)]
    largest = 0.0
    for angles in rng.uniform(low, high, (_POSES, len(low))):
        a, b = _posed(ours, angles), _posed(theirs, angles)
        for body in bodies:
            try:
                here, there = a.body(body), b.body(body)
            except KeyError:
                raise UserError(f"{file}: has no body {body}; give Menagerie's {ROBOT}") from None
            offset = float(np.linalg.norm(here.xpos - there.xpos))
            angle = 2.0 * np.arccos(min(1.0, abs(float(here.xquat @ there.xquat))))
            if offset > MAX_OFFSET or angle > MAX_ANGLE:
                raise UserError(
                    f"{file}: body {body} is {offset:.3f} m and {np.degrees(angle):.1f} degrees away from"
                    f" ours in the same pose; give Menagerie's {ROBOT}"
                )
            largest = max(largest, offset)
    return largest


def _posed(model: mujoco.MjModel, angles: NDArray) -> mujoco.MjData:
    """Compute the kinematics with `G1_JOINTS` at `angles` (29,) rad and the pelvis at the origin."""
    data = mujoco.MjData(model)
    (root,) = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)[:1]
    first = model.jnt_qposadr[root]
    data.qpos[first : first + 7] = (0, 0, 0, 1, 0, 0, 0)
    data.qpos[model.jnt_qposadr[[model.joint(name).id for name in G1_JOINTS]]] = angles
    mujoco.mj_kinematics(model, data)
    return data


def _add(spec: mujoco.MjSpec, ours: mujoco.MjModel, theirs: mujoco.MjModel, geom: int) -> None:
    """Add a mesh of `theirs` to our body of the same name, where it is when all joint angles are zero."""
    names = {ours.body(body).name for body in range(1, ours.nbody)}
    body = theirs.geom_bodyid[geom]
    while theirs.body(body).name not in names and body:  # such as fingers: on the nearest link that is ours
        body = theirs.body_parentid[body]
    if not body:
        return
    name = theirs.body(body).name
    zero = np.zeros(len(G1_JOINTS))
    here, there = _posed(ours, zero).body(name), _posed(theirs, zero)
    to_body = Rotation.from_quat(here.xquat, scalar_first=True).inv()
    turn = Rotation.from_matrix(there.geom_xmat[geom].reshape(3, 3))
    mesh = theirs.geom_dataid[geom]
    vertices = slice(theirs.mesh_vertadr[mesh], theirs.mesh_vertadr[mesh] + theirs.mesh_vertnum[mesh])
    faces = slice(theirs.mesh_faceadr[mesh], theirs.mesh_faceadr[mesh] + theirs.mesh_facenum[mesh])
    material = theirs.geom_matid[geom]
    spec.add_mesh(
        name=f"menagerie_{geom}",
        uservert=theirs.mesh_vert[vertices].ravel(),
        userface=theirs.mesh_face[faces].ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,  # open surfaces have no volume
    )
    spec.body(name).add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=f"menagerie_{geom}",
        pos=to_body.apply(there.geom_xpos[geom] - here.xpos),
        quat=(to_body * turn).as_quat(scalar_first=True),
        rgba=theirs.mat_rgba[material] if material >= 0 else theirs.geom_rgba[geom],
        group=VISUAL_GROUP,
        contype=0,
        conaffinity=0,
        mass=0.0,
    )
