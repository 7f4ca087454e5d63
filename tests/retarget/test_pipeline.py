"""Retargeting: people who move as the robot does come back as the robot, whatever skeleton they are written
with; feet, limits and the floor hold for those who do not."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.editing import edited, mirrored, sampled
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.common.errors import UserError
from mjx_mimic.motion import RetargetCommand, main
from mjx_mimic.motion import retarget as run
from mjx_mimic.retarget import bvh, foot_locking, pipeline
from mjx_mimic.retarget import person as persons
from mjx_mimic.robot.constants import G1_JOINTS, JOINT_SPEED_LIMIT, KEY_BODIES, SIDES
from mjx_mimic.robot.kinematics import floor_clearance, forward_kinematics, self_clearance
from mjx_mimic.robot.mjcf import load_mjcf

FPS = 30.0
# Joint: its parent, the body that it stands for, and a point in that body's frame.
TREE = {
    "pelvis": (None, "pelvis", (0.0, 0.0, 0.0)),
    "chest": ("pelvis", "torso_link", (0.0, 0.0, 0.1)),
    "neck": ("chest", "torso_link", (0.0, 0.0, 0.3)),
}
for _side in SIDES:
    TREE |= {
        f"{_side}_hip": ("pelvis", f"{_side}_hip_roll_link", (0.0, 0.0, 0.0)),
        f"{_side}_knee": (f"{_side}_hip", f"{_side}_knee_link", (0.0, 0.0, 0.0)),
        f"{_side}_ankle": (f"{_side}_knee", f"{_side}_ankle_roll_link", (0.0, 0.0, 0.0)),
        f"{_side}_toe": (f"{_side}_ankle", f"{_side}_ankle_roll_link", (0.12, 0.0, -0.02)),
        f"{_side}_shoulder": ("chest", f"{_side}_shoulder_roll_link", (0.0, 0.0, 0.0)),
        f"{_side}_elbow": (f"{_side}_shoulder", f"{_side}_elbow_link", (0.0, 0.0, 0.0)),
        f"{_side}_wrist": (f"{_side}_elbow", f"{_side}_wrist_yaw_link", (0.0, 0.0, 0.0)),
    }
LIMBS = {
    "hip": "{}UpLeg",
    "knee": "{}Leg",
    "ankle": "{}Foot",
    "shoulder": "{}Arm",
    "elbow": "{}ForeArm",
    "wrist": "{}Hand",
}
SPINE = {"pelvis": "Hips", "chest": "Spine2", "neck": "Neck"}
SKELETONS = {
    "lafan1": {**SPINE, **LIMBS, "toe": "{}Toe"},
    "mixamo": {**SPINE, **LIMBS, "toe": "{}ToeBase"},
    "cmu": {"pelvis": "Hips", "chest": "Spine1", "neck": "Neck1", **LIMBS, "toe": "{}ToeBase"},
    "rokoko": {**SPINE, **LIMBS, "hip": "{}Thigh", "knee": "{}Shin", "toe": "{}Toe"},
    "noitom": {**SPINE, **LIMBS},
    "xsens": {
        "pelvis": "Hips",
        "chest": "Chest4",
        "neck": "Neck",
        "hip": "{}Hip",
        "knee": "{}Knee",
        "ankle": "{}Ankle",
        "toe": "{}Toe",
        "shoulder": "{}Shoulder",
        "elbow": "{}Elbow",
        "wrist": "{}Wrist",
    },
    "unreal": {
        "pelvis": "pelvis",
        "chest": "spine_05",
        "neck": "neck",
        "hip": "thigh_{}",
        "knee": "calf_{}",
        "ankle": "foot_{}",
        "toe": "ball_{}",
        "shoulder": "upperarm_{}",
        "elbow": "lowerarm_{}",
        "wrist": "hand_{}",
    },
    "max": {
        "pelvis": "Pelvis",
        "chest": "Spine3",
        "neck": "Neck",
        "hip": "{}_Thigh",
        "knee": "{}_Calf",
        "ankle": "{}_Foot",
        "toe": "{}_Toe0",
        "shoulder": "{}_UpperArm",
        "elbow": "{}_Forearm",
        "wrist": "{}_Hand",
    },
}


def named(kind):
    """Names of the joints of a skeleton by role, those that it has."""
    names = {}
    for role, name in SKELETONS[kind].items():
        for side in SIDES if "{}" in name else ("",):
            short = {"unreal": side[:1], "max": side[:1].upper()}.get(kind, side.capitalize())
            names[f"{side}_{role}".strip("_")] = name.format(short)
    return names


CENTIMETRES, INCHES = 0.01, 0.0254
Y_UP, Z_UP = [[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.eye(3)  # world x, y, z to the file's


@pytest.fixture(scope="module")
def model():
    return load_mjcf(visuals=False)


@pytest.fixture(scope="module")
def walk():
    clip = load_motion("walk")
    return edited(clip, qpos=sampled(clip, np.arange(45) / FPS), fps=FPS, loop="clamp")


def joints_of(model, clip):
    """Places (T, 3) and rotations (T) of the joints in the world."""
    poses = forward_kinematics(model, clip.qpos)
    places, turns = {}, {}
    for joint, (_, body, point) in TREE.items():
        row = poses.body_names.index(body)
        turns[joint] = Rotation.from_quat(poses.body_quat[:, row], scalar_first=True)
        places[joint] = poses.body_pos[:, row] + turns[joint].apply(point)
    return places, turns


@pytest.fixture
def write(model, tmp_path):
    """Writes a person whose joints are where the robot's bodies are, every joint with position channels."""

    def written(
        clip,
        kind="lafan1",
        unit=CENTIMETRES,
        axes=Y_UP,
        prefix="",
        poses_before=0,
        seed=0,
        size=lambda joint: 1.0,
    ):
        places, turns = joints_of(model, clip)
        own = {joint: size(joint) * (places[joint] - places.get(TREE[joint][0], 0.0)) for joint in TREE}
        axes = Rotation.from_matrix(np.array(axes, float))
        random = np.random.default_rng(seed)
        for joint, (parent, _, _) in TREE.items():
            places[joint] = axes.apply(own[joint]) / unit + (places[parent] if parent else 0.0)
            # The bones' axes are any, as LAFAN1's are.
            turns[joint] = axes * turns[joint] * Rotation.random(rng=random)
        columns, lines = [], ["HIERARCHY"]

        def block(joint, depth):
            parent = TREE[joint][0]
            name = named(kind)[joint]
            lines.append(f"{'ROOT' if parent is None else 'JOINT'} {prefix}{name} {{ OFFSET 0 0 0")
            lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")
            local = (
                places[joint] if parent is None else turns[parent].inv().apply(places[joint] - places[parent])
            )
            turn = turns[joint] if parent is None else turns[parent].inv() * turns[joint]
            columns.append(np.concatenate([local, turn.as_euler("ZYX", degrees=True)], axis=1))
            for child, (of, _, _) in TREE.items():
                if of == joint and child in named(kind):
                    block(child, depth + 1)
            lines.append("}")

        block("pelvis", 0)
        table = np.concatenate(columns, axis=1)
        rest = table[:1].copy()
        rest[:, 3::6] += 60.0
        table = np.concatenate([rest] * poses_before + [table])
        lines += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {1.0 / clip.fps:.9f}"]
        path = tmp_path / f"{kind}{seed}.bvh"
        path.write_text(
            "\n".join(lines + [" ".join(f"{value:.7f}" for value in row) for row in table]) + "\n"
        )
        return path

    return written


def person(path, up="y"):
    recording = bvh.read(path)
    joints = persons.roles(recording, str(path))
    return persons.person_of(recording, joints, up)


def test_feet_of_a_walk_in_place_are_not_on_tiptoe(write, walk):
    """As on a treadmill: no foot ever stands, and at toe-off the toes are as low as in a flat foot."""
    times = np.arange(walk.num_frames)[:, None] / walk.fps
    speed = (walk.root_pos[-1] - walk.root_pos[0]) / walk.length * [1.0, 1.0, 0.0]
    path = write(edited(walk, root_pos=walk.root_pos - times * speed))
    found = pipeline.retarget(person(path), FPS, "walk")
    ankles = [i for i, name in enumerate(G1_JOINTS) if "ankle_pitch" in name]
    error = (found.motion.dof_pos - walk.dof_pos)[:, ankles].mean()
    assert abs(np.rad2deg(error)) < 6.0  # it was 39 degrees


def homed(clip):
    return pipeline._homed(clip)


@pytest.fixture
def walked(write, walk):
    return pipeline.retarget(person(write(walk)), FPS, "walk")


@pytest.mark.parametrize(
    ("kind", "axes", "up"), [("lafan1", Y_UP, "y"), ("cmu", Y_UP, "y"), ("mixamo", Z_UP, "z")]
)
def test_a_persons_joints_are_where_they_were_put(write, walk, model, kind, axes, up):
    found = person(write(walk, kind, axes=axes), up)
    places, _ = joints_of(model, walk)
    assert set(found.points) == set(TREE)
    for joint, place in places.items():
        np.testing.assert_allclose(CENTIMETRES * found.points[joint], place, rtol=0.0, atol=1e-6)


def test_a_person_of_other_proportions_gives_the_same_angles(write, walk, walked, model):
    def size(joint):
        return {"elbow": 0.9, "wrist": 1.1, "neck": 1.7, "toe": 1.2}.get(joint.rpartition("_")[2], 1.3)

    other = pipeline.retarget(person(write(walk, size=size)), FPS, "walk")
    assert other.slide < 0.003
    bends = [
        i for i, name in enumerate(G1_JOINTS) if name.split("_")[1] in ("knee", "elbow", "hip", "shoulder")
    ]
    assert np.abs(other.motion.dof_pos - walked.motion.dof_pos)[:, bends].mean() < 0.02
    far, near = (clip.root_pos[-1, 0] - clip.root_pos[0, 0] for clip in (other.motion, walk))
    assert far == pytest.approx(near, rel=0.05)  # as far as its legs carry it, not the person's


def test_the_robots_own_walk_comes_back(walked, walk, model):
    for body, error in walked.errors.items():
        assert error.mean() < 0.02, body
    came, went = (forward_kinematics(model, clip.qpos) for clip in (walked.motion, homed(walk)))
    distance = np.linalg.norm(came.of(*KEY_BODIES) - went.of(*KEY_BODIES), axis=-1)
    assert distance.mean() < 0.02
    assert distance.max() < 0.05
    legs = [i for i, name in enumerate(G1_JOINTS) if "knee" in name or "hip_pitch" in name or "elbow" in name]
    assert np.abs(walked.motion.dof_pos - walk.dof_pos)[:, legs].max() < 0.3
    assert walked.motion.fps == FPS
    assert walked.motion.num_frames == walk.num_frames


def test_standing_feet_stay_and_soles_touch_the_floor(walked, model):
    assert walked.standing > 0.9
    assert walked.slide < 0.003
    names, clearance = floor_clearance(model, walked.motion.qpos)
    soles = clearance[:, ["_sole_" in name for name in names]]
    assert np.abs(soles.min(axis=1)).max() < 0.002
    assert walked.lowest == pytest.approx(soles.min(), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "unit", "axes", "up", "prefix"),
    [
        ("cmu", INCHES / 0.45, Y_UP, "y", ""),
        ("mixamo", INCHES, Z_UP, "z", "mixamorig:"),
        ("xsens", CENTIMETRES, Y_UP, "y", "mixamorig_"),
        ("max", CENTIMETRES, Z_UP, "z", "Bip01_"),
    ],
)
def test_skeleton_unit_axes_and_rest_pose_do_not_matter(write, walk, walked, kind, unit, axes, up, prefix):
    path = write(walk, kind, unit, axes, prefix, seed=1)
    path.write_text(path.read_text() + "\n\x1a")  # as DOS ends a file
    other = pipeline.retarget(person(path, up), FPS, "walk").motion
    np.testing.assert_allclose(other.qpos, walked.motion.qpos, rtol=0.0, atol=2e-3)


def test_a_mirrored_person_is_a_mirrored_robot(write, walk, walked):
    other = pipeline.retarget(person(write(mirrored(walk))), FPS, "walk").motion
    np.testing.assert_allclose(other.qpos, mirrored(walked.motion).qpos, rtol=0.0, atol=5e-3)


def test_a_part_is_cut_out_of_the_whole(write, walk, walked):
    part = pipeline.retarget(person(write(walk)), FPS, "walk", "clamp", 0.5, 1.0)
    assert part.motion.num_frames == 16
    whole = walked.motion.dof_pos[15:31]
    assert np.abs(part.motion.dof_pos - whole).mean() < 0.02
    np.testing.assert_allclose(part.motion.root_pos[0, :2], 0.0, atol=1e-12)
    ahead = Rotation.from_quat(part.motion.root_quat[0], scalar_first=True).apply([1.0, 0.0, 0.0])
    assert abs(ahead[1]) < 1e-9
    assert ahead[0] > 0.0


def test_frame_rate_is_the_wished_one(write, walk, walked):
    fast = pipeline.retarget(person(write(walk)), 60.0, "walk").motion
    assert fast.num_frames == 2 * walk.num_frames - 1
    assert np.abs(fast.dof_pos[::2] - walked.motion.dof_pos).mean() < 0.02


@pytest.mark.parametrize(
    ("unit", "name"),
    [(1.0, "m"), (0.01, "cm"), (0.001, "mm"), (INCHES, "inches"), (INCHES / 0.45, "units of 1/0.45 inch")],
)
def test_the_unit_is_inferred_from_the_legs(unit, name):
    for leg in (0.65, 0.83, 1.0):
        assert persons.unit_of(leg / unit)[0] == name
    assert persons.unit_of(3.0) is None


def test_a_pose_before_the_recording_is_left_out(write, walk):
    for before in (0, 1):
        path = write(walk, poses_before=before, seed=before)
        recording = bvh.read(path)
        joints = persons.roles(recording, "file")
        assert persons.starts_with_rest_pose(recording, joints) == bool(before)
    assert persons.without_first(person(path)).num_frames == walk.num_frames


def test_limits_speeds_and_the_floor_hold_for_a_wild_person(write, walk, model):
    """One who falls through the floor, arms all around."""
    random = np.random.default_rng(3)
    ranges = model.jnt_range[1:]
    knots = random.uniform(1.6 * ranges[:, 0], 1.6 * ranges[:, 1], (6, 29))
    frames, at = np.arange(45), np.linspace(0.0, 44.0, 6)
    tilt = Rotation.from_euler("y", np.linspace(0.0, 1.6, 45)[:, None]).as_quat(scalar_first=True)
    wild = edited(
        walk,
        root_pos=walk.root_pos - np.linspace(0.0, 0.9, 45)[:, None] * [0.0, 0.0, 1.0],
        root_quat=tilt,
        dof_pos=np.stack([np.interp(frames, at, angle) for angle in knots.T], axis=1),
    )
    result = pipeline.retarget(person(write(wild)), FPS, "wild")
    angles = result.motion.dof_pos
    inside = np.minimum(angles - ranges[:, 0], ranges[:, 1] - angles)
    assert inside.min() > 0.0
    assert result.margin == pytest.approx(inside.min())
    assert set(result.at_limit) == {
        name for name, near in zip(G1_JOINTS, (inside < 0.01).any(axis=0), strict=True) if near
    }
    assert np.all(np.abs(np.diff(angles, axis=0)) * FPS <= 0.61 * JOINT_SPEED_LIMIT)
    rolls = [i for i, name in enumerate(G1_JOINTS) if "shoulder_roll" in name]
    assert np.rad2deg(np.abs(angles[:, rolls])).max() < 100.1  # past it, arms get stuck at the limits
    _, clearance = floor_clearance(model, result.motion.qpos)
    assert clearance.min() > -0.01
    assert result.lowest == pytest.approx(clearance.min(), abs=1e-9)
    assert clearance.min() < 0.01  # it does come down


def test_an_arm_that_was_straight_bends_forwards_again(write, walk):
    """Elbows go from bent to a little overstretched, beyond which only the wrong side is left, and back."""
    bend = 1.2 * np.cos(np.linspace(0.0, 2.0 * np.pi, 45)) * 0.75
    angles = walk.dof_pos.copy()
    elbows = [G1_JOINTS.index(f"{side}_elbow_joint") for side in SIDES]
    angles[:, elbows] = (0.5 * np.pi - 0.75 - bend)[:, None] + 0.0
    result = pipeline.retarget(person(write(edited(walk, dof_pos=angles))), FPS, "arms")
    for side in SIDES:
        assert result.errors[f"{side}_wrist_yaw_link"].mean() < 0.01
        shoulder = G1_JOINTS.index(f"{side}_shoulder_yaw_joint")
        assert np.abs(result.motion.dof_pos[:, shoulder] - walk.dof_pos[:, shoulder]).max() < 0.6


def with_arms(walk, angles):
    """`walk` with other angles (T,) of some joints, on both sides."""
    dof_pos = walk.dof_pos.copy()
    for joint, angle in angles.items():
        for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
            turned = "roll" in joint or "yaw" in joint
            dof_pos[:, G1_JOINTS.index(f"{side}_{joint}_joint")] = angle * (sign if turned else 1.0)
    return edited(walk, dof_pos=dof_pos)


def test_hands_turn_as_the_persons_do(write, walk, model):
    """Hands whose bones have any axes, each joint of the wrists at its own pace."""
    angles = walk.dof_pos.copy()
    for count, joint in enumerate(i for i, name in enumerate(G1_JOINTS) if "wrist" in name):
        angles[:, joint] = 0.4 * np.sin(np.arange(45) / 5.0 + count)
    waving = edited(walk, dof_pos=angles)
    clips = homed(waving), pipeline.retarget(person(write(waving)), FPS, "hands").motion
    poses = [forward_kinematics(model, clip.qpos) for clip in clips]
    for side in SIDES:
        hand = poses[0].body_names.index(f"{side}_wrist_yaw_link")
        went, came = (Rotation.from_quat(found.body_quat[:, hand], scalar_first=True) for found in poses)
        apart = went.inv() * came  # but for the neutral one, which is the recording's own
        assert np.median((apart.mean().inv() * apart).magnitude()) < 0.1


# Joints of the left leg, of the left arm, and of the trunk: the pelvis first, chest, neck and head last.
SPELLINGS = {
    "SMPL": ("L_Hip L_Knee L_Ankle L_Foot", "L_Shoulder L_Elbow L_Wrist", "Pelvis Spine1 Spine3 Neck Head"),
    "OptiTrack": ("LThigh LShin LFoot LToe", "LUArm LFArm LHand", "Hip Ab Chest Neck Head"),
    "Kinect": (
        "HipLeft KneeLeft AnkleLeft FootLeft",
        "ShoulderLeft ElbowLeft WristLeft HandLeft",
        "SpineBase SpineMid SpineShoulder Neck Head",
    ),
    "Poser": ("lThigh lShin lFoot lToe", "lShldr lForeArm lHand", "hip abdomen chest neck head"),
    "VRM": (
        "J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase",
        "J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand",
        "J_Bip_C_Hips J_Bip_C_Chest J_Bip_C_Neck J_Bip_C_Head",
    ),
    "Rigify": ("thigh.L shin.L foot.L toe.L", "upper_arm.L forearm.L hand.L", "hips spine chest neck head"),
    "MakeHuman": (
        "upperleg01.L lowerleg01.L foot.L toe1-1.L",
        "upperarm01.L lowerarm01.L wrist.L",
        "root spine05 spine01 neck01 head",
    ),
    "SOMA": (
        "LeftLeg LeftShin LeftFoot LeftToeBase",
        "LeftArm LeftForeArm LeftHand",
        "Hips Spine1 Spine2 Chest Neck Head",
    ),
    "capitals": (
        "LEFTUPLEG LEFTLEG LEFTFOOT LEFTTOE",
        "LEFTARM LEFTFOREARM LEFTHAND",
        "HIPS SPINE NECK HEAD",
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_joints_are_found_however_they_are_spelt(spelling):
    leg, arm, trunk = (text.split() for text in SPELLINGS[spelling])
    names, parents = list(trunk), list(range(-1, len(trunk) - 1))

    def right(name):
        sides = {"Left": "Right", "LEFT": "RIGHT", "_L_": "_R_", ".L": ".R"}
        marks = [mark for mark in sides if mark in name]
        return name.replace(marks[0], sides[marks[0]]) if marks else {"l": "r", "L": "R"}[name[0]] + name[1:]

    for limb, start in ((leg, 0), (arm, len(trunk) - 3)):
        for chain in (limb, list(map(right, limb))):
            parents += [start, *range(len(names), len(names) + len(chain) - 1)]
            names += chain
    skeleton = SimpleNamespace(names=tuple(names), parents=np.array(parents))
    found = {role: names[index] for role, index in persons.find(skeleton, "file", {}).items()}
    expected = {"pelvis": trunk[0], "chest": trunk[-3], "neck": trunk[-2]}
    roles = ("hip", "knee", "ankle", "toe"), ("shoulder", "elbow", "wrist")
    for limb, joints in zip((leg, arm), roles, strict=True):
        for joint, name in zip(joints, limb, strict=False):
            expected[f"left_{joint}"] = name
            expected[f"right_{joint}"] = right(name)
    assert found == expected


def test_the_trunk_of_3ds_max_is_found():
    """By default, thighs hang from the spine, and collarbones from the neck."""
    skeleton = {
        "": None,
        "Pelvis": "",
        "Spine": "Pelvis",
        "Spine1": "Spine",
        "Neck": "Spine1",
        "Head": "Neck",
    }
    for side in "LR":
        legs, arms = ("Thigh", "Calf", "Foot", "Toe0"), ("Clavicle", "UpperArm", "Forearm", "Hand")
        for limb, above in ((legs, "Spine"), (arms, "Neck")):
            for part in limb:
                skeleton[f"{side} {part}"] = above
                above = f"{side} {part}"
    names = tuple(f"Bip01_{name}".replace(" ", "_").rstrip("_") for name in skeleton)
    parents = [-1 if above is None else list(skeleton).index(above) for above in skeleton.values()]
    found = persons.find(SimpleNamespace(names=names, parents=np.array(parents)), "file", {})
    trunk = {role: names[found[role]] for role in ("pelvis", "chest", "neck", "left_hip", "right_shoulder")}
    assert trunk == {
        "pelvis": "Bip01_Pelvis",
        "chest": "Bip01_Spine1",
        "neck": "Bip01_Neck",
        "left_hip": "Bip01_L_Thigh",
        "right_shoulder": "Bip01_R_UpperArm",
    }


def test_a_neck_from_which_all_hangs_is_the_chest_where_there_is_no_other():
    skeleton = {"Hips": None, "Neck": "Hips", "Head": "Neck"}
    for side in ("Left", "Right"):
        for limb, above in (("UpLeg Leg Foot", "Hips"), ("Arm ForeArm Hand", "Neck")):
            for part in limb.split():
                skeleton[side + part] = above
                above = side + part
    names = tuple(skeleton)
    parents = [-1 if above is None else names.index(above) for above in skeleton.values()]
    found = persons.find(SimpleNamespace(names=names, parents=np.array(parents)), "file", {})
    assert {role: names[found[role]] for role in ("pelvis", "chest")} == {"pelvis": "Hips", "chest": "Neck"}


def test_arms_that_lean_into_the_trunk_stay_outside(write, walk, model):
    """As those of a person who is slimmer than the robot."""
    leaning = with_arms(walk, {"shoulder_roll": -0.35})
    _, recorded = self_clearance(model, leaning.qpos)
    assert recorded.min() < -0.03
    result = pipeline.retarget(person(write(leaning)), FPS, "arms")
    _, clearance = self_clearance(model, result.motion.qpos)
    assert clearance.min() > -0.003
    assert max(result.errors[f"{side}_wrist_yaw_link"].mean() for side in SIDES) < 0.12


def test_an_arm_that_turns_while_straight_bends_the_new_way(write, walk):
    frames = np.arange(45)
    elbow = np.interp(frames, [5, 15, 30, 40], [0.6, 1.57, 1.57, 0.6])
    yaw = np.interp(frames, [15, 30], [0.0, 2.4])
    turning = with_arms(walk, {"elbow": elbow, "shoulder_yaw": yaw, "shoulder_roll": 0.5})
    result = pipeline.retarget(person(write(turning)), FPS, "arms")
    for side in SIDES:
        assert result.errors[f"{side}_wrist_yaw_link"].max() < 0.03


def test_arms_raised_sideways_overhead_come_down_again(write, walk):
    roll = 2.9 * np.sin(np.linspace(0.0, np.pi, 45)) ** 2
    result = pipeline.retarget(person(write(with_arms(walk, {"shoulder_roll": roll}))), FPS, "arms")
    for side in SIDES:
        assert result.errors[f"{side}_elbow_link"][-8:].max() < 0.02
        assert result.errors[f"{side}_elbow_link"].mean() < 0.04


def test_trembling_is_taken_out_and_motion_is_not_delayed():
    times = np.arange(241) / 120.0
    slow, tremble = np.sin(2.0 * np.pi * times), 0.2 * np.sin(2.0 * np.pi * 25.0 * times)
    still = Rotation.from_euler("x", np.zeros((241, 1)))
    turning = Rotation.from_euler("x", (slow + tremble)[:, None])
    points = {"pelvis": np.stack([slow + tremble, 0.0 * slow, slow], axis=1)}
    recorded = persons.Person(120.0, points, {"pelvis": turning, "chest": still})
    clip = persons.resampled(recorded, 30.0)
    assert clip.num_frames == 61
    np.testing.assert_allclose(clip.points["pelvis"][3:-3, 0], slow[::4][3:-3], atol=0.02)
    np.testing.assert_allclose(clip.rotations["pelvis"].as_rotvec()[3:-3, 0], slow[::4][3:-3], atol=0.02)


def step(lift=0.08, slide=0.3):
    """Ankle and toe (T, 3) of a foot that stands 1 s, steps in 0.5 s, stands 1 s."""
    phase = np.clip((np.arange(75) - 30) / 15.0, 0.0, 1.0)
    toe = np.stack([slide * phase, 0.0 * phase, 0.02 + lift * np.sin(np.pi * phase) ** 2], axis=1)
    return toe + np.array([-0.12, 0.0, 0.05]), toe


def test_contacts_are_where_a_foot_is_low_and_slow():
    ankle, toe = step()
    foot = foot_locking.detect({"left": (ankle, toe)}, FPS)["left"]
    assert foot.flat[:28].all()
    assert foot.flat[47:].all()
    assert not (foot.heel | foot.toe)[34:42].any()
    assert foot.ankle_height == pytest.approx(0.07, abs=1e-6)
    dragged = foot_locking.detect({"left": step(lift=0.0, slide=1.0)}, FPS)["left"]
    assert not dragged.toe[34:42].any()


def test_a_foot_that_is_held_up_throughout_does_not_stand():
    stands, (ankle, toe) = step(lift=0.0, slide=0.0), step(lift=0.0, slide=0.0)
    up = np.array([0.0, 0.0, 0.2])
    feet = foot_locking.detect({"left": stands, "right": (ankle + up, toe + up)}, FPS)
    assert feet["left"].flat.all()
    assert not (feet["right"].heel | feet["right"].toe).any()
    assert feet["right"].ankle_height == feet["left"].ankle_height


def test_held_soles_rest_on_the_floor_and_move_smoothly_between():
    ankle, toe = step()
    foot = foot_locking.detect({"left": (ankle, toe)}, FPS)["left"]
    flat = np.array(
        [[-0.05, 0.025, -0.03], [-0.05, -0.025, -0.03], [0.12, 0.03, -0.03], [0.12, -0.03, -0.03]]
    )
    random = np.random.default_rng(0)
    wobble = np.cumsum(random.normal(0.0, 0.001, (75, 1, 3)), axis=0)
    corners = ankle[:, None] + flat + wobble - [0.0, 0.0, 0.03]
    held = foot_locking.held(corners, foot, 0.005)
    for down, ends in ((foot.heel, slice(0, 2)), (foot.toe, slice(2, 4))):
        for stand in (slice(0, 28), slice(47, 75)):
            assert down[stand].all()
            np.testing.assert_allclose(
                held[stand, ends], held[stand.start, ends][None].repeat(28, 0), atol=1e-12
            )
            np.testing.assert_allclose(held[stand, ends, 2], 0.005, atol=1e-12)
    assert held[..., 2].min() >= 0.005
    away = held - corners
    assert np.abs(np.diff(away, axis=0)).max() < 0.01
    size = np.linalg.norm(held[:, 0] - held[:, 3], axis=1)
    np.testing.assert_allclose(size[foot.flat], np.linalg.norm(flat[0] - flat[3]), atol=1e-9)


def test_toes_stay_when_the_heel_turns_about_them():
    frames = 60
    heading = np.interp(np.arange(frames), [20, 40], [0.0, 0.8])
    lifted = np.where((np.arange(frames) > 20) & (np.arange(frames) < 40), 0.05, 0.0)
    toe = np.zeros((frames, 3)) + np.linspace(0.0, 0.03, frames)[:, None] * [1.0, 0.0, 0.0]
    ankle = toe - 0.13 * np.stack([np.cos(heading), np.sin(heading), 0.0 * heading], axis=1)
    ankle[:, 2] += 0.05 + lifted
    foot = foot_locking.detect({"left": (ankle, toe)}, FPS)["left"]
    assert foot.toe.all()
    assert not foot.heel.all()
    turn = Rotation.from_euler("z", heading[:, None])
    flat = np.array([[-0.05, 0.025, 0.0], [-0.05, -0.025, 0.0], [0.12, 0.03, 0.0], [0.12, -0.03, 0.0]])
    corners = np.stack([ankle + turn.apply(corner) for corner in flat], axis=1)
    toes = foot_locking.held(corners, foot, 0.005)[:, 2:].mean(axis=1)
    assert np.linalg.norm(toes - toes[0], axis=1).max() < 0.005


def test_the_command_writes_a_clip_and_prints_how_good_it_is(write, walk, tmp_path, capsys):
    out = tmp_path / "clip.npz"
    source = write(walk, poses_before=1)
    run(RetargetCommand(source, out, name="stroll", end=1.0, loop="wrap"))
    printed = capsys.readouterr().out
    for words in ("joints, 46 frames", "taken as cm: 0.62 m", "without the first frame", "slide by"):
        assert words in printed
    for body in KEY_BODIES:
        assert body in printed
    clip = load_motion(out)
    assert (clip.name, clip.loop, clip.num_frames) == ("stroll", "wrap", 31)


def test_a_file_alone_is_enough(write, walk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = write(walk)
    assert main(["retarget", str(source), "--end", "0.2"]) == 0
    assert load_motion(f"{source.stem}.npz").name == source.stem


def test_a_wrong_axis_upwards_is_remarked(write, walk, tmp_path, capsys):
    command = RetargetCommand(write(walk, axes=Z_UP), tmp_path / "clip.npz", end=0.2)
    run(command)
    assert "give the other --up" in capsys.readouterr().out
    run(replace(command, up="z", force=True))
    assert "give the other --up" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"out": "clip.mp4"}, "clip.mp4: the ending belongs to no format"),
        ({"out": "there.npz"}, "there.npz: exists already; give --force"),
        ({"start": 1.0, "end": 0.5}, "start 1 s and end 0.5 s"),
        ({"end": 9.0}, "end 9 s is outside the recording; give 0 <= start < end <= 1.466 s"),
        ({"start": float("nan")}, "start nan s"),
        ({"start": 0.5, "end": 0.51}, "there is one frame"),
        ({"fps": 0.0}, "--fps: 0"),
        ({"fps": float("nan")}, "--fps: nan"),
        ({"fps": 0.5}, "--fps: 0.5 leaves one frame"),
        ({"file": "missing.bvh"}, "missing.bvh: no such file; give the path of a BVH file"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(write, walk, tmp_path, changed, message):
    (tmp_path / "there.npz").write_text("mine")
    given = {"file": write(walk), "out": tmp_path / "clip.npz"} | changed
    given = {name: tmp_path / value if name in ("file", "out") else value for name, value in given.items()}
    with pytest.raises(UserError, match=message) as error:
        run(RetargetCommand(**given))
    assert "\n" not in str(error.value)
    assert (tmp_path / "there.npz").read_text() == "mine"
    assert not list(tmp_path.glob("clip*"))


def test_a_part_of_a_long_recording_may_have_any_rate(write, walk, monkeypatch):
    monkeypatch.setattr(pipeline, "_MAX_FRAMES", 40)
    recorded = person(write(walk))
    part = pipeline.retarget(recorded, FPS, "walk", start=0.5, end=1.0).motion
    assert part.num_frames == 16
    with pytest.raises(
        UserError,
        match=r"walk: 1\.4\d+ s at 30 .* over 40 frames; give a lower --fps, .* with --start and --end",
    ):
        pipeline.retarget(recorded, FPS, "walk")
    monkeypatch.setattr(pipeline, "_MAX_RESAMPLED", 40)
    with pytest.raises(UserError, match=r"the whole recording, 1\.4\d+ s at 30 .* over 40 frames; .* --fps"):
        pipeline.retarget(recorded, FPS, "walk", start=0.5, end=1.0)


@pytest.mark.parametrize(
    ("out", "changed", "message"),
    [
        ("none/clip.npz", {}, "option OUT: .*none/clip.npz cannot be written .*; name a file in an existing"),
        ("clip.csv", {"fps": 60.0}, "clip.csv: fps is 60 and loop 'clamp', .*; convert with --fps 30"),
        ("clip.csv", {"loop": "wrap"}, "clip.csv: fps is 30 and loop 'wrap', .*; convert with --loop clamp"),
        ("clip.pkl", {"fps": 29.97}, "clip.pkl: fps is 29.97, and MimicKit's is a whole number; .* --fps 30"),
        ("clip.pkl", {"fps": float("nan"), "loop": "wrap"}, "option --fps: nan is out of range"),
        ("clip.pkl", {"loop": "turn"}, "clip.pkl: loop is 'turn', and MimicKit's cycles do not turn on"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_recording_is_read(tmp_path, out, changed, message):
    with pytest.raises(UserError, match=message):
        run(RetargetCommand(tmp_path / "missing.bvh", tmp_path / out, **changed))


@pytest.mark.parametrize("joint", ["neck", "knee", "toe", "wrist"])
def test_bones_without_length_are_refused(write, walk, joint):
    path = write(walk, size=lambda name: 0.0 if name.endswith(joint) else 1.0)
    if joint == "neck":  # the chest alone would do
        path = write(walk, size=lambda name: 0.0 if name in ("neck", "chest") else 1.0)
    with pytest.raises(UserError, match=f"{joint} (and .*)?are in one place at frame 0"):
        pipeline.retarget(person(path), FPS, "short")


def test_one_frame_is_no_motion(write, walk, tmp_path):
    path = write(walk)
    lines = path.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Frames:"))
    path.write_text("\n".join([*lines[:first], "Frames: 1", *lines[first + 1 : first + 3]]) + "\n")
    with pytest.raises(UserError, match="one frame is not a motion"):
        run(RetargetCommand(path, tmp_path / "clip.npz"))


@pytest.mark.parametrize("kind", SKELETONS)
def test_joints_are_found_by_the_names_of_many_programs(write, walk, kind):
    path = write(walk, kind)
    recording = bvh.read(path)
    found = persons.roles(recording, "file")
    assert {role: recording.names[index] for role, index in found.items()} == named(kind)


def test_a_foot_without_toes_gets_some(write, walk, walked):
    other = pipeline.retarget(person(write(walk, "noitom")), FPS, "walk")
    assert other.slide < 0.005
    assert other.standing > 0.9
    ankles = [i for i, name in enumerate(G1_JOINTS) if "ankle" in name]
    rest = [i for i in range(29) if i not in ankles]
    assert np.abs(other.motion.dof_pos - walked.motion.dof_pos)[:, rest].mean() < 0.02
    assert np.abs(other.motion.dof_pos - walked.motion.dof_pos)[:, ankles].mean() < 0.1


def test_a_head_shows_the_neck_and_collarbones_are_no_arms():
    """Names as Mixamo has them, and a head without a neck."""
    names = ["Hips", "Spine", "Head", "LeftShoulder", "LeftArm", "RightShoulder", "RightArm"]
    parents = np.array([-1, 0, 1, 1, 3, 1, 5])
    found = persons.find(SimpleNamespace(names=names, parents=parents), "file", {})
    shown = {role: names[index] for role, index in found.items()}
    assert shown == {
        "left_shoulder": "LeftArm",
        "right_shoulder": "RightArm",
        "chest": "Spine",
        "neck": "Head",
    }


def test_names_that_nobody_knows_are_given_in_a_file(write, walk, tmp_path, capsys):
    path = write(walk)
    path.write_text(path.read_text().replace("LeftForeArm", "Ellbogen"))
    with pytest.raises(
        UserError, match=r"no joint is known to be left_elbow; retarget --list .* --names FILE"
    ):
        run(RetargetCommand(path, tmp_path / "clip.npz"))
    capsys.readouterr()
    names = tmp_path / "names.yaml"
    names.write_text("left_elbow: Ellbogen\n")
    run(RetargetCommand(path, names=names, list=True))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Ellbogen", "left_elbow"] in lines
    assert ["Spine2", "chest"] in lines
    run(RetargetCommand(path, tmp_path / "clip.npz", names=names, end=0.2))
    for text, message in (
        ("left_elbow: [a]", "no list of names"),
        ("tail: Hips", "no 'tail'"),
        ("neck: Nobody", "no joint 'Nobody'"),
    ):
        names.write_text(text)
        with pytest.raises(UserError, match=message):
            run(RetargetCommand(path, tmp_path / "other.npz", names=names))


def test_a_missing_solver_is_reported_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mink", None)
    with pytest.raises(UserError, match=r'pip install -e ".\[retarget\]"'):
        run(RetargetCommand(tmp_path / "a.bvh", tmp_path / "clip.npz"))
