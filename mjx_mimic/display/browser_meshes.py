"""Robots of MuJoCo as viser shows them: meshes of their bodies, colours, and where each body is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import cast

import mujoco
import numpy as np
import trimesh
import viser
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.mjcf import VISUAL_GROUP

Color = tuple[int, int, int]
"""Red, green and blue in sRGB, from 0 to 255."""


def geom_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh:
    """Return the surface of a sphere, capsule, cylinder, ellipsoid or box, in its body's frame, m."""
    size = model.geom_size[geom]
    kinds = mujoco.mjtGeom
    match kinds(model.geom_type[geom]):
        case kinds.mjGEOM_SPHERE:
            mesh = trimesh.creation.icosphere(subdivisions=2, radius=size[0])
        case kinds.mjGEOM_CAPSULE:
            mesh = trimesh.creation.capsule(height=2.0 * size[1], radius=size[0], count=[20, 20])
            mesh.apply_translation([0.0, 0.0, -mesh.bounds.mean(axis=0)[2]])
        case kinds.mjGEOM_CYLINDER:
            mesh = trimesh.creation.cylinder(radius=size[0], height=2.0 * size[1], sections=24)
        case kinds.mjGEOM_ELLIPSOID:
            mesh = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
            mesh.apply_scale(size)
        case kinds.mjGEOM_BOX:
            mesh = trimesh.creation.box(extents=2.0 * size)
        case kind:
            raise ValueError(f"no mesh for {kind}")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(model.geom_quat[geom], scalar_first=True).as_matrix()
    pose[:3, 3] = model.geom_pos[geom]
    return mesh.apply_transform(pose)


def body_meshes(model: mujoco.MjModel) -> dict[int, dict[Color, trimesh.Trimesh]]:
    """Return what is drawn of each body by its number: one mesh per colour, in the body's frame, m."""
    parts: dict[int, dict[Color, list[trimesh.Trimesh]]] = defaultdict(lambda: defaultdict(list))
    for geom in map(int, np.flatnonzero(model.geom_group == VISUAL_GROUP)):
        material = model.geom_matid[geom]
        rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
        parts[int(model.geom_bodyid[geom])][rgb(rgba)].append(geom_mesh(model, geom))
    return {
        body: {color: joined(meshes) for color, meshes in of_color.items()}
        for body, of_color in parts.items()
    }


def joined(meshes: Iterable[trimesh.Trimesh]) -> trimesh.Trimesh:
    """Return one mesh of all `meshes`, which are in the same frame."""
    return cast(trimesh.Trimesh, trimesh.util.concatenate(list(meshes)))


def rgb(rgba: Sequence[float]) -> Color:
    """Return a colour of MuJoCo's, (4,) in [0, 1], without its opacity."""
    red, green, blue = (round(255 * float(value)) for value in rgba[:3])
    return red, green, blue


def linear_light(color: Color) -> NDArray[np.uint8]:
    """Return an sRGB colour in linear light, (3,), which viser takes colours of batched meshes for."""
    share = np.array(color) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.round(255.0 * linear).astype(np.uint8)


def move_bodies(
    handles: dict[int, list[viser.BatchedMeshHandle]],
    poses: Sequence[tuple[NDArray, NDArray]],
    shifts: NDArray,
) -> None:
    """Put the bodies of N robots in their places.

    Args:
        handles: of the meshes of each body, by its number; each shows its mesh N times.
        poses: for each robot positions (B, 3) m and quaternions (B, 4), w first, of all bodies in its world.
        shifts: (N, 3) m, added to the positions: from there to the world of the page.
    """
    positions = np.stack([xpos for xpos, _ in poses]) + shifts[:, None]
    quaternions = np.stack([xquat for _, xquat in poses])
    for body, of_body in handles.items():
        for handle in of_body:
            handle.batched_positions = positions[:, body]
            handle.batched_wxyzs = quaternions[:, body]
