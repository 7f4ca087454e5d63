"""Our G1 against the published description, and its kinematics against MuJoCo C."""

import xml.etree.ElementTree as ElementTree

import jax
import mujoco
import numpy as np
import pytest
from helpers.refusals import refusal
from mujoco import mjx
from scipy.spatial.transform import Rotation

from mjx_mimic.robot.constants import G1_JOINTS, GROUND_BODIES, KEY_BODIES, SELF_COLLISIONS
from mjx_mimic.robot.mjcf import load_mjcf
from mjx_mimic.robot.model import Robot, load_robot

JOINTS = len(G1_JOINTS)
POSES = 64
SIDES = ("left", "right")
SOLES = {f"{side}_sole_{end}_{edge}" for side in SIDES for end in ("heel", "toe") for edge in SIDES}
NATURAL_FREQUENCY = 2.0 * np.pi * 10.0  # rad/s, of every joint under its own armature
DAMPING_RATIO = 2.0


@pytest.fixture(scope="module")
def published(shared) -> mujoco.MjModel:
    """The description that MimicKit trains on, less its meshes, which are not here and weigh nothing."""
    root = ElementTree.parse(shared / "g1" / "g1_mimickit.xml").getroot()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "asset" or child.get("type") == "mesh":
                assert child.tag == "asset" or float(child.get("density")) == 0.0
                parent.remove(child)
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


@pytest.fixture(scope="module")
def full_contacts() -> mujoco.MjModel:
    return load_mjcf("full")


@pytest.fixture(scope="module")
def poses(robot) -> tuple[np.ndarray, np.ndarray]:
    """Random states: joints over their whole ranges, any root orientation, a few metres from the origin."""
    draw = np.random.default_rng(0)
    low, high = robot.joint_range.T
    root_pos = draw.uniform(-2.0, 2.0, (POSES, 3))
    root_quat = Rotation.random(POSES, rng=draw).as_quat(scalar_first=True)
    dof_pos = draw.uniform(low, high, (POSES, len(low)))
    return np.concatenate([root_pos, root_quat, dof_pos], axis=-1), draw.normal(size=(POSES, 6 + len(low)))


@pytest.fixture(scope="module")
def character(character_of, poses):
    return character_of(*poses)


def solved(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray | None = None) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    if qvel is not None:
        data.qvel[:] = qvel
    mujoco.mj_forward(model, data)
    return data


def names(model: mujoco.MjModel, kind: str, count: int) -> list[str]:
    return [getattr(model, kind)(i).name for i in range(count)]


def body_inertias(model: mujoco.MjModel) -> np.ndarray:
    """Inertia matrices about the centres of mass, in the axes of the bodies, (B, 3, 3)."""
    axes = Rotation.from_quat(model.body_iquat[1:], scalar_first=True).as_matrix()
    return axes @ (model.body_inertia[1:, :, None] * axes.transpose(0, 2, 1))


def touching(model: mujoco.MjModel, data: mujoco.MjData) -> set[str]:
    """Names of the geoms in contact; every contact must be with the floor."""
    pairs = [{model.geom(g).name for g in contact.geom} for contact in data.contact]
    assert all("floor" in pair for pair in pairs)
    return {name for pair in pairs for name in pair - {"floor"}}


def floor_distance(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of a geom's lowest point, by MuJoCo's own plane collision."""
    return mujoco.mj_geomDistance(model, data, model.geom("floor").id, geom, 100.0, None)


def is_collision(name: str) -> bool:
    """Whether a geom is a link's surface; a foot has others, see `test_a_foot_is_as_large_as_published`."""
    return name.endswith("_collision") and "_foot" not in name


def test_joints_are_unitrees_in_unitrees_order(robot, published):
    assert names(robot.model, "joint", robot.model.njnt) == ["root", *G1_JOINTS]
    assert names(published, "joint", published.njnt) == ["root", *G1_JOINTS]
    assert names(robot.model, "actuator", robot.model.nu) == list(G1_JOINTS)
    np.testing.assert_array_equal(robot.model.jnt_type, published.jnt_type)
    np.testing.assert_array_equal(robot.model.jnt_axis, published.jnt_axis)
    np.testing.assert_array_equal(robot.model.jnt_pos, published.jnt_pos)
    np.testing.assert_allclose(robot.model.jnt_range, published.jnt_range, rtol=0.0, atol=1e-12)
    assert robot.model.jnt_limited[1:].all()
    np.testing.assert_array_equal(robot.joint_axes, published.jnt_axis[1:])
    np.testing.assert_allclose(robot.joint_range, published.jnt_range[1:], rtol=0.0, atol=1e-12)


def test_bodies_have_the_published_order_frames_masses_and_inertias(robot, published):
    model = robot.model
    assert names(model, "body", model.nbody) == names(published, "body", published.nbody)
    assert list(robot.body_names) == names(published, "body", published.nbody)[1:]
    np.testing.assert_array_equal(model.body_parentid, published.body_parentid)
    np.testing.assert_array_equal(model.jnt_bodyid, published.jnt_bodyid)
    np.testing.assert_array_equal(robot.joint_bodies, published.jnt_bodyid[1:] - 1)
    np.testing.assert_allclose(model.body_pos, published.body_pos, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(model.body_quat, published.body_quat, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(model.body_mass, published.body_mass, rtol=1e-7)
    np.testing.assert_allclose(model.body_ipos, published.body_ipos, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(body_inertias(model), body_inertias(published), rtol=1e-6, atol=1e-12)
    assert model.body_mass.sum() == pytest.approx(36.017, abs=1e-3)


def test_armatures_and_effort_limits_are_the_published_ones(robot, published):
    model = robot.model
    np.testing.assert_allclose(model.dof_armature, published.dof_armature, rtol=1e-9)
    np.testing.assert_array_equal(model.jnt_actfrcrange, published.jnt_actfrcrange)
    assert model.jnt_actfrclimited[1:].all()
    np.testing.assert_array_equal(robot.model.jnt_actfrcrange[1:, 1], published.jnt_actfrcrange[1:, 1])
    # The wrists' small motors give 5 N m, the published control range; the joints would bear 25.
    np.testing.assert_array_equal(
        robot.effort_limit, np.minimum(published.jnt_actfrcrange[1:, 1], published.actuator_ctrlrange[:, 1])
    )


def gains(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """kp and kd that a model's armatures ask for."""
    armature = model.dof_armature[6:]
    return armature * NATURAL_FREQUENCY**2, 2.0 * DAMPING_RATIO * armature * NATURAL_FREQUENCY


def test_gains_follow_armature(robot):
    model = robot.model
    kp, kd = gains(model)
    np.testing.assert_allclose(robot.kp, kp, rtol=1e-8)
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], kp, rtol=1e-8)
    bias = np.column_stack([np.zeros(JOINTS), -kp, -kd])
    np.testing.assert_allclose(model.actuator_biasprm[:, :3], bias, rtol=1e-8)
    np.testing.assert_array_equal(model.actuator_trnid[:, 0], 1 + np.arange(JOINTS))
    assert not model.dof_damping.any()
    assert not model.jnt_stiffness.any()


def test_published_gains_follow_armature_too(published):
    kp, kd = gains(published)
    np.testing.assert_allclose(published.jnt_stiffness[1:], kp, rtol=1e-8)
    np.testing.assert_allclose(published.dof_damping[6:], kd, rtol=1e-8)


def test_motors_push_towards_their_target_up_to_the_effort_limit(robot):
    """A joint at rest feels kp times its offset, near its target, and the limit far from it."""
    model = robot.model
    motor_limit = np.where(model.actuator_forcelimited, model.actuator_forcerange[:, 1], np.inf)
    limit = np.minimum(robot.effort_limit, motor_limit)
    data = mujoco.MjData(model)
    for offset in (0.1, -0.1, 10.0, -10.0):
        data.qpos[:] = np.concatenate([[0, 0, 2, 1, 0, 0, 0], np.zeros(len(limit))])
        data.ctrl[:] = offset
        mujoco.mj_forward(model, data)
        expected = np.clip(robot.kp * offset, -limit, limit)
        np.testing.assert_allclose(data.qfrc_actuator[6:], expected, rtol=1e-12)
    assert not data.qfrc_actuator[:6].any()


def test_collision_shapes_are_the_published_ones(robot, published):
    """All but the feet's: four spheres under each and a capsule here, three capsules there."""
    ours = {g for g in names(robot.model, "geom", robot.model.ngeom) if is_collision(g)}
    assert ours == {g for g in names(published, "geom", published.ngeom) if is_collision(g)}
    for name in ours:
        a, b = robot.model.geom(name), published.geom(name)
        assert robot.model.body(a.bodyid[0]).name == published.body(b.bodyid[0]).name, name
        for field in ("type", "size", "pos", "quat"):
            np.testing.assert_allclose(
                getattr(a, field), getattr(b, field), rtol=0.0, atol=1e-9, err_msg=name
            )


def test_a_foot_is_as_large_as_published(robot, published):
    """The capsule that the other leg meets spans the three of the published foot, to the sole."""

    def extent(model: mujoco.MjModel, side: str) -> np.ndarray:
        """Least and largest coordinates of the capsules' surface along the foot's axes."""
        capsules = [g for g in range(model.ngeom) if model.geom(g).name.startswith(f"{side}_foot")]
        size, centre = model.geom_size[capsules, :2], model.geom_pos[capsules]
        matrix = np.zeros((len(capsules), 9))
        for one, quat in zip(matrix, model.geom_quat[capsules], strict=True):
            mujoco.mju_quat2Mat(one, quat)
        reach = np.abs(matrix.reshape(-1, 3, 3)[:, :, 2]) * size[:, 1:] + size[:, :1]
        return np.stack([(centre - reach).min(axis=0), (centre + reach).max(axis=0)])

    for side in SIDES:
        ours, theirs = extent(robot.model, side), extent(published, side)
        np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=1e-6)
        np.testing.assert_allclose(ours[0, 2], theirs[0, 2], atol=1e-6)


def test_kinematics_and_dynamics_equal_the_published_models(robot, published, poses):
    """Whatever the two files have in common shows in body frames and in the joint-space inertia."""
    inertias = np.zeros((2, robot.model.nv, robot.model.nv))
    for qpos in poses[0]:
        ours, theirs = solved(robot.model, qpos), solved(published, qpos)
        np.testing.assert_allclose(ours.xpos, theirs.xpos, rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(ours.xmat, theirs.xmat, rtol=0.0, atol=1e-5)
        for inertia, model, data in zip(inertias, (robot.model, published), (ours, theirs), strict=True):
            mujoco.mj_fullM(model, data, inertia)
        np.testing.assert_allclose(inertias[0], inertias[1], rtol=1e-5, atol=1e-6)


def test_character_state_has_the_published_body_positions(published, poses, character):
    for i, qpos in enumerate(poses[0]):
        np.testing.assert_allclose(
            character.body_pos[i], solved(published, qpos).xpos[1:], rtol=0.0, atol=1e-5
        )


def test_character_state_equals_mujocos(robot, poses, character):
    for i, (qpos, qvel) in enumerate(zip(*poses, strict=True)):
        data = solved(robot.model, qpos, qvel)
        np.testing.assert_allclose(character.body_pos[i], data.xpos[1:], rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(character.com_pos[i], data.subtree_com[0], rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(character.root_pos[i], qpos[:3], rtol=1e-6)
        np.testing.assert_allclose(character.root_quat[i], qpos[3:7], rtol=0.0, atol=1e-6)
        np.testing.assert_allclose(character.dof_pos[i], qpos[7:], rtol=0.0, atol=1e-6)
        np.testing.assert_allclose(character.dof_vel[i], qvel[6:], rtol=1e-6)
        velocity = np.zeros(6)  # angular, linear; at the body's origin, in the world's axes
        pelvis = robot.model.body("pelvis").id
        mujoco.mj_objectVelocity(robot.model, data, mujoco.mjtObj.mjOBJ_XBODY, pelvis, velocity, 0)
        np.testing.assert_allclose(character.root_ang_vel[i], velocity[:3], rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(character.root_vel[i], velocity[3:], rtol=0.0, atol=1e-5)


def test_clearance_is_the_height_of_each_guarded_geoms_lowest_point(robot, poses, character):
    for i, qpos in enumerate(poses[0]):
        data = solved(robot.model, qpos)
        lowest = [floor_distance(robot.model, data, geom) for geom in robot.guarded_geoms]
        np.testing.assert_allclose(character.clearance[i], lowest, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("contacts", "links"),
    [
        ("feet", ("knee", "ankle_roll")),
        ("full", ("knee", "ankle_roll", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")),
    ],
)
def test_guarded_geoms_are_those_of_bodies_that_may_not_touch_the_floor(robot, contacts, links):
    guarded = robot.guarded_geoms if contacts == "feet" else load_robot(contacts).guarded_geoms
    allowed = {f"{side}_{link}_link" for side in SIDES for link in links}
    assert set(GROUND_BODIES[contacts]) == allowed
    model = robot.model
    expected = [
        g
        for g in range(model.ngeom)
        if is_collision(model.geom(g).name) and model.body(model.geom_bodyid[g]).name not in allowed
    ]
    assert guarded.tolist() == expected
    bodies = {model.body(model.geom_bodyid[g]).name for g in guarded}
    assert {"pelvis", "torso_link", "head_link", "left_hip_yaw_link", "right_shoulder_yaw_link"} <= bodies


def test_key_bodies_are_feet_head_and_hands(robot):
    assert tuple(robot.body_names[i] for i in robot.key_bodies) == KEY_BODIES
    # Forward kinematics names them by place: standing, the feet are lowest and the head is highest.
    data = mujoco.MjData(robot.model)
    mujoco.mj_resetDataKeyframe(robot.model, data, 0)
    mujoco.mj_forward(robot.model, data)
    height = data.xpos[1:, 2]
    assert set(np.argsort(height)[:2]) == set(robot.key_bodies[:2])
    assert np.argmax(height) == robot.key_bodies[2]


def test_joint_rotations_turn_each_body_in_its_parent(robot, poses):
    local = np.asarray(robot.joint_rotations(poses[0][:, 7:].astype(np.float32)))
    assert local.shape == (POSES, len(robot.body_names) - 1, 4)
    for quats, qpos in zip(local, poses[0], strict=True):
        data = solved(robot.model, qpos)
        world = Rotation.from_quat(data.xquat[1:], scalar_first=True)
        fixed = Rotation.from_quat(robot.model.body_quat[2:], scalar_first=True)
        parents = world[robot.model.body_parentid[2:] - 1]
        turned = parents * fixed * Rotation.from_quat(quats, scalar_first=True)
        np.testing.assert_allclose(turned.as_matrix(), world[1:].as_matrix(), rtol=0.0, atol=1e-6)


def test_feet_contacts_are_the_soles_alone(robot):
    """A robot wholly below the floor touches it with all that can."""
    qpos = np.concatenate([[0, 0, -3, 1, 0, 0, 0], np.zeros(JOINTS)])
    assert touching(robot.model, solved(robot.model, qpos)) == SOLES


LEGS = ("thigh", "shin", "linkage_brace")
ARMS = ("shoulder_roll", "elbow_yaw", "wrist", "hand")
TRUNK = ("pelvis", "torso", "head")


@pytest.mark.parametrize(
    ("contacts", "both", "middle"),
    [
        ("legs", LEGS, ()),
        ("full", LEGS + ARMS, TRUNK),
        ("body", (*LEGS, *ARMS, "hip", "shoulder_yaw"), TRUNK),
    ],
)
def test_contact_sets_add_their_shapes(contacts, both, middle):
    model = load_mjcf(contacts)
    qpos = np.concatenate([[0, 0, -3, 1, 0, 0, 0], np.zeros(JOINTS)])
    added = {f"{side}_{part}_collision" for side in SIDES for part in both}
    added |= {f"{part}_collision" for part in middle}
    assert touching(model, solved(model, qpos)) == SOLES | added
    if contacts == "body":
        shapes = {model.geom(i).name for i in range(model.ngeom) if is_collision(model.geom(i).name)}
        assert added == shapes


def test_what_may_be_on_the_floor_is_a_list():
    bodies = ("pelvis", "torso_link", "left_knee_link")
    robot = load_robot(ground_bodies=bodies)
    guarded = {robot.model.body(robot.model.geom_bodyid[g]).name for g in robot.guarded_geoms}
    everything = {
        robot.model.body(robot.model.geom_bodyid[g]).name
        for g in range(robot.model.ngeom)
        if is_collision(robot.model.geom(g).name)
    }
    assert guarded == everything - set(bodies)
    for robot in (load_robot(ground_bodies=["all"]), load_robot("body")):
        assert len(robot.guarded_geoms) == 0
    assert "use pelvis, left_hip_pitch_link" in refusal(load_robot, ground_bodies=["left_foot"])
    assert "--env.key-bodies: no body nose" in refusal(load_robot, key_bodies=["head_link", "nose"])


@pytest.mark.parametrize(("hip_roll", "link"), [(0.35, "shin"), (0.2, "foot")])
def test_with_self_collision_arms_and_legs_stop_at_each_other_in_mjx_as_in_mujoco(hip_roll, link):
    robot = load_robot(self_collision=True)
    model = robot.model
    qpos = np.concatenate([[0, 0, 2, 1, 0, 0, 0], np.zeros(JOINTS)])
    for joint, angle in (
        ("left_hip_roll", -hip_roll),
        ("right_hip_roll", hip_roll),
        ("left_shoulder_roll", -0.4),
    ):
        qpos[model.joint(f"{joint}_joint").qposadr] = angle
    data = solved(model, qpos)
    found = {tuple(sorted(model.geom(g).name for g in pair)): i for i, pair in enumerate(data.contact.geom)}
    assert (f"left_{link}_collision", f"right_{link}_collision") in found
    assert any("left_hand" in first or "left_wrist" in first or "left_elbow" in first for first, _ in found)
    assert touching(load_mjcf(), solved(load_mjcf(), qpos)) == set()

    @jax.jit
    def collide(qpos: jax.Array) -> mjx.Data:
        moved = mjx.kinematics(robot.mjx_model, robot.mjx_data.replace(qpos=qpos))
        return mjx.collision(robot.mjx_model, moved)

    ours = collide(qpos.astype(np.float32))._impl.contact
    names = [tuple(sorted(model.geom(g).name for g in pair)) for pair in np.asarray(ours.geom)]
    pairs = [i for i, pair in enumerate(names) if "floor" not in pair]
    assert len(pairs) == len(SELF_COLLISIONS)
    for i in pairs:
        if names[i] in found:
            expected = data.contact.dist[found[names[i]]]
            np.testing.assert_allclose(ours.dist[i], expected, atol=1e-5)
        else:
            assert ours.dist[i] > 0.0


@pytest.mark.parametrize("pitch", [np.pi / 2, -np.pi / 2], ids=["prone", "supine"])
def test_lying_robot_rests_on_its_body_only_with_full_contacts(robot, full_contacts, pitch):
    quat = Rotation.from_euler("y", pitch).as_quat(scalar_first=True)
    qpos = np.concatenate([[0, 0, 0.03], quat, np.zeros(JOINTS)])
    data = solved(robot.model, qpos)
    solid = np.flatnonzero(robot.model.geom_group == 3)  # collision shapes and soles
    low = {robot.model.geom(g).name for g in solid if floor_distance(robot.model, data, g) < 0.0}
    assert {"pelvis_collision", "torso_collision", "head_collision"} <= low
    assert touching(robot.model, data) == low & SOLES
    able = {full_contacts.geom(g).name for g in np.flatnonzero(full_contacts.geom_conaffinity)}
    assert touching(full_contacts, solved(full_contacts, qpos)) == low & able


@pytest.mark.parametrize("contacts", ["feet", "full"])
def test_soles_carry_the_standing_robot(contacts):
    """The stand keyframe under its own PD targets: a tenth of a second to settle, a fifth to weigh."""
    model = load_mjcf(contacts, 180.0)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    soles = [floor_distance(model, data, model.geom(name).id) for name in SOLES]
    assert min(soles) >= 0.0
    assert max(soles) < 0.002
    data.ctrl[:] = data.qpos[7:]
    loads, force = [], np.zeros(6)
    while data.time < 0.3:
        mujoco.mj_step(model, data)
        if data.time > 0.1:
            assert touching(model, data) == SOLES
            loads.append(0.0)
            for i in range(data.ncon):
                mujoco.mj_contactForce(model, data, i, force)
                loads[-1] += force[0]
    weight = model.body_mass.sum() * 9.81
    np.testing.assert_allclose(np.mean(loads), weight, rtol=0.01)
    np.testing.assert_allclose(loads, weight, rtol=0.05)


@pytest.mark.parametrize("physics_hz", [90.0, 120.0, 240.0])
def test_physics_rate_sets_the_timestep(physics_hz):
    assert load_mjcf(physics_hz=physics_hz).opt.timestep == pytest.approx(1.0 / physics_hz, rel=1e-12)


def by_name(model: mujoco.MjModel, field: str, names: list[str]) -> np.ndarray:
    return np.stack([getattr(model.geom(name), field) for name in names])


def test_contact_set_leaves_all_else_alone(full_contacts):
    feet = load_mjcf("feet")
    changed = {
        field
        for field in ("body_mass", "body_inertia", "qpos0", "geom_size", "geom_contype", "actuator_gainprm")
        if not np.array_equal(getattr(feet, field), getattr(full_contacts, field))
    }
    assert changed == set()
    assert np.any(feet.geom_conaffinity != full_contacts.geom_conaffinity)


def test_what_is_only_drawn_is_left_out_of_the_physics_and_nothing_else(robot: Robot):
    bare, drawn = robot.model, load_mjcf("feet")
    names = [bare.geom(i).name for i in range(bare.ngeom)]
    assert all(names)
    shown = np.array([drawn.geom_group[i] == 2 for i in range(drawn.ngeom)])
    assert shown.sum() == drawn.ngeom - bare.ngeom > 50
    assert not np.any(drawn.geom_contype[shown] | drawn.geom_conaffinity[shown])
    for field in ("size", "pos", "quat", "contype", "conaffinity", "friction", "solref"):
        np.testing.assert_array_equal(by_name(bare, field, names), by_name(drawn, field, names))
    for field in ("body_mass", "body_inertia", "body_ipos", "dof_armature", "actuator_biasprm"):
        np.testing.assert_array_equal(getattr(bare, field), getattr(drawn, field))
