"""Each defect that is put into a good clip is found, at its place and with its size, and nothing else is."""

import re
from collections.abc import Callable

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mjx_mimic import train
from mjx_mimic.clips import editing, foot_contacts
from mjx_mimic.clips.balance import apparent_gravity
from mjx_mimic.clips.findings import Finding, Report
from mjx_mimic.clips.formats import load_motion
from mjx_mimic.clips.loop_closing import made_cyclic
from mjx_mimic.clips.motion import Motion
from mjx_mimic.clips.validation import contact_options, joint_acceleration_limit, validate
from mjx_mimic.robot.constants import G1_JOINTS, GROUND_BODIES, JOINT_SPEED_LIMIT
from mjx_mimic.robot.mjcf import effort_limits, load_mjcf

ANKLE = G1_JOINTS.index("right_ankle_roll_joint")
ELBOW = G1_JOINTS.index("left_elbow_joint")


@pytest.fixture(scope="module")
def walk() -> Motion:
    return load_motion("walk")


@pytest.fixture(scope="module")
def long_walk(walk) -> Motion:
    """Four cycles that end there, so that a defect may change the clip's ends."""
    return editing.with_loop(
        editing.edited(walk, qpos=editing.sampled(walk, np.arange(265) / 60.0), fps=60.0), "clamp"
    )


def with_defect(motion: Motion, change: Callable[[np.ndarray], None]) -> Motion:
    """`motion` after `change` to its qpos (T, 36)."""
    qpos = motion.qpos
    change(qpos)
    return editing.edited(motion, qpos=qpos)


def faults(report: Report) -> dict[str, Finding]:
    return {finding.check: finding for finding in report.findings if finding.severity != "ok"}


def only_fault(motion: Motion, check: str) -> Finding:
    found = faults(validate(motion))
    assert set(found) == {check}
    assert found[check].figure > found[check].limit
    assert found[check].remedy
    return found[check]


def test_the_bundled_walk_is_good(walk, long_walk):
    for motion in (walk, long_walk):
        report = validate(motion)
        assert faults(report) == {}
        assert report.verdict == "good"
        assert report.fit
        assert not any(finding.remedy for finding in report.findings)


def test_a_joint_beyond_its_limit(long_walk):
    limit = load_mjcf().joint("right_ankle_roll_joint").range[1]

    def twist(qpos):
        bump = np.clip(1.0 - np.abs(np.arange(265) - 140) / 20.0, 0.0, 1.0)
        qpos[:, 7 + ANKLE] = np.maximum(qpos[:, 7 + ANKLE], (limit + 0.2) * bump)

    found = validate(with_defect(long_walk, twist)).findings
    (finding,) = [finding for finding in found if finding.check == "joint limits"]
    assert finding.severity == "warning"
    assert finding.where == "right_ankle_roll_joint"
    assert finding.figure == pytest.approx(0.2, abs=1e-9)
    assert finding.time == pytest.approx(140 / 60.0)
    # Beyond by over 0.01 rad while the bump is over (limit + 0.01) / (limit + 0.2).
    expected = np.mean(np.clip(1 - np.abs(np.arange(265) - 140) / 20, 0, 1) > (limit + 0.01) / (limit + 0.2))
    assert finding.share == pytest.approx(expected)


def test_angles_in_degrees_are_not_fit(walk):
    report = validate(with_defect(walk, lambda qpos: np.multiply(qpos[:, 7:], 57.3, out=qpos[:, 7:])))
    assert not report.fit
    assert report.verdict == "not fit for training"
    assert faults(report)["joint limits"].severity == "error"


def test_a_joint_that_is_too_fast(long_walk):
    def swing(qpos):
        # 4.8 Hz and 1.5 rad: at most 45 rad/s, over the elbow's 37, without a step that stands out.
        qpos[:, 7 + ELBOW] = 0.5 + 1.5 * np.sin(2 * np.pi * 4.8 * np.arange(len(qpos)) / 240.0)

    fine = editing.resampled(long_walk, 240.0)
    finding = only_fault(with_defect(fine, swing), "joint speed")
    assert finding.severity == "warning"
    assert finding.where == "left_elbow_joint"
    assert finding.figure == pytest.approx(2 * np.pi * 4.8 * 1.5 / 37.0, rel=0.01)


def test_a_joint_that_shakes_and_the_remedy(long_walk):
    limit = joint_acceleration_limit(load_mjcf())[ELBOW]
    amplitude = 1.4 * limit / (2 * np.pi * 20.0) ** 2

    def shake(qpos):
        qpos[:, 7 + ELBOW] += amplitude * np.sin(2 * np.pi * 20.0 * np.arange(len(qpos)) / 240.0)

    shaken = with_defect(editing.resampled(long_walk, 240.0), shake)
    finding = only_fault(shaken, "joint acceleration")
    assert finding.severity == "warning"
    assert finding.where == "left_elbow_joint"
    assert finding.figure == pytest.approx(1.4, rel=0.05)
    assert finding.share == pytest.approx(np.arccos(1 / 1.4) / (0.5 * np.pi), abs=0.08)
    assert "--smooth 8" in finding.remedy
    assert faults(validate(editing.smoothed(shaken, 8.0))) == {}


def test_acceleration_limits_are_what_full_torque_gives_in_mujoco():
    model = load_mjcf()
    model.opt.gravity[:] = 0.0
    limits = joint_acceleration_limit(model)
    data = mujoco.MjData(model)
    data.qpos[2] = 2.0  # in the air
    for joint, effort in enumerate(effort_limits(model)):
        data.qfrc_applied[:] = 0.0
        data.qfrc_applied[6 + joint] = effort
        mujoco.mj_forward(model, data)
        assert data.qacc[6 + joint] == pytest.approx(limits[joint], rel=1e-6)
    assert limits[ELBOW] < 25.0 / 0.0036  # of the elbow's motor and armature alone


def test_joint_speed_limits_are_unitrees():
    limits = dict(zip(G1_JOINTS, JOINT_SPEED_LIMIT, strict=True))
    assert len(JOINT_SPEED_LIMIT) == 29
    assert limits["left_hip_pitch_joint"] == limits["waist_yaw_joint"] == 32.0
    assert limits["right_knee_joint"] == limits["left_hip_roll_joint"] == 20.0
    assert limits["waist_roll_joint"] == limits["left_ankle_roll_joint"] == 30.0
    assert limits["left_wrist_roll_joint"] == limits["right_elbow_joint"] == 37.0
    assert limits["left_wrist_yaw_joint"] == 22.0


def test_a_joint_that_jumps(long_walk):
    def jump(qpos):
        qpos[100:, 7 + ELBOW] -= 0.6

    finding = only_fault(with_defect(long_walk, jump), "joint jump")
    assert finding.severity == "warning"
    assert finding.where == "left_elbow_joint"
    assert finding.time == pytest.approx(99 / 60.0)
    assert finding.figure == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("frame", [0, -1])
def test_a_first_or_last_frame_in_another_pose(long_walk, frame):
    def pose(qpos):
        qpos[frame, 7 + ELBOW] = -0.9

    assert only_fault(with_defect(long_walk, pose), "joint jump").severity == "error"


def test_a_root_that_jumps(long_walk):
    def jump(qpos):
        qpos[130:, 1] += 0.5

    found = faults(validate(with_defect(long_walk, jump)))
    assert found["root jump"].severity == "error"
    assert found["root jump"].time == pytest.approx(129 / 60.0)
    assert found["root jump"].figure == pytest.approx(0.5, abs=0.01)
    assert set(found) <= {"root jump", "foot sliding"}  # the feet jump with it


def test_a_root_that_turns_in_one_frame(long_walk):
    def turn(qpos):
        centre = qpos[130, :3].copy()
        quarter = Rotation.from_rotvec([0.0, 0.0, 0.5 * np.pi])
        later = quarter * Rotation.from_quat(qpos[130:, 3:7], scalar_first=True)
        qpos[130:, 3:7] = later.as_quat(scalar_first=True)
        qpos[130:, :3] = centre + quarter.apply(qpos[130:, :3] - centre)

    found = faults(validate(with_defect(long_walk, turn)))
    assert found["root turn jump"].severity == "error"
    assert found["root turn jump"].figure == pytest.approx(0.5 * np.pi, abs=0.02)
    assert set(found) <= {"root turn jump", "foot sliding"}


def test_a_quaternion_whose_sign_flips_is_no_jump(long_walk):
    def flip(qpos):
        qpos[50:, 3:7] *= -1.0

    assert faults(validate(with_defect(long_walk, flip))) == {}


@pytest.mark.parametrize(("depth", "severity"), [(0.005, None), (0.04, "warning"), (0.3, "error")])
def test_a_clip_in_the_floor(walk, depth, severity):
    sunk = editing.lifted(walk, -depth)
    if severity is None:
        report = validate(sunk)
        assert faults(report) == {}
        # Harmless, and still reported.
        assert [f.check for f in report.findings if "--lift auto" in f.remedy] == ["depth in the floor"]
        return
    finding = faults(validate(sunk))["depth in the floor"]
    assert finding.severity == severity
    assert finding.figure == pytest.approx(depth, abs=1e-6)
    assert "_sole_" in finding.where
    assert finding.share == 1.0
    assert "--lift auto" in finding.remedy
    assert faults(validate(editing.lifted(sunk))) == {}  # the remedy is one


def test_a_clip_that_floats(walk):
    finding = only_fault(editing.lifted(walk, 0.2), "longest flight")
    assert finding.severity == "error"
    assert finding.figure == pytest.approx(walk.num_frames / 60.0)


def test_a_hand_in_the_floor_does_not_ask_for_feet_in_the_air(long_walk):
    """As in a cartwheel whose hands go too deep. When it was lifted nevertheless, the way back is told."""

    def upside_down(qpos):
        qpos[20:25, 3:7] = Rotation.from_rotvec([0.0, 2.4, 0.0]).as_quat(scalar_first=True)
        qpos[20:25, 2] = 0.3

    def remedy(motion: Motion, check: str) -> str:
        (finding,) = [found for found in validate(motion).findings if found.check == check]
        return finding.remedy

    deep = with_defect(editing.lifted(long_walk), upside_down)
    assert "--lift would raise the feet too" in remedy(deep, "depth in the floor")
    high = editing.lifted(deep)
    found = re.search(r"convert --lift (-\d\.\d+) puts the feet on it", remedy(high, "longest flight"))
    assert found
    np.testing.assert_allclose(editing.lifted(high, float(found[1])).root_pos, deep.root_pos, atol=2e-3)


def test_a_flight_that_is_too_long(long_walk):
    def fly(qpos):
        frame = np.arange(len(qpos))
        qpos[:, 2] += 0.5 * np.clip(np.minimum(frame - 60, 180 - frame) / 30.0, 0.0, 1.0)

    finding = only_fault(with_defect(long_walk, fly), "longest flight")
    assert finding.severity == "warning"
    assert finding.time == pytest.approx(62 / 60.0, abs=2 / 60.0)  # over 3 cm after 1.8 frames
    assert finding.figure == pytest.approx(117 / 60.0, abs=2 / 60.0)


def test_hands_on_the_floor_ask_for_more_contacts(walk):
    """Lying on the back, above the floor by less than 1 cm."""

    def lie(qpos):
        qpos[:] = qpos[0]
        qpos[:, 0] += np.linspace(0.0, 0.01, len(qpos))  # moves, so no frame repeats
        qpos[:, 3:7] = Rotation.from_rotvec([0.0, -0.5 * np.pi, 0.0]).as_quat(scalar_first=True)

    lying = editing.lifted(with_defect(editing.with_loop(walk, "clamp"), lie))
    finding = only_fault(lying, "floor contact beside soles")
    assert finding.figure == 100.0
    options = finding.remedy.removeprefix("train with ").partition(",")[0].split()
    settings = train.parse(options).train.env
    assert settings.contacts == "full"
    assert settings.ground_bodies == ()  # those of the set are enough


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([], "--env.contacts feet"),
        (["left_shin"], "--env.contacts legs"),
        (["right_hand", "left_shin"], "--env.contacts full"),
        (["left_hip", "torso"], "--env.contacts body"),
    ],
)
def test_the_smallest_contact_set_with_what_touches_is_advised(shapes, options):
    assert contact_options(load_mjcf(), shapes) == options


def test_bodies_beyond_those_of_the_contact_set_are_named():
    options = contact_options(load_mjcf(), ["torso", "left_hand"]).split()
    settings = train.parse(options).train.env
    assert settings.contacts == "full"
    assert settings.ground_bodies == (*GROUND_BODIES["full"], "torso_link")


def test_arms_in_the_trunk(long_walk):
    """Upper arms that lean inwards for half of the clip."""
    roll = G1_JOINTS.index("left_shoulder_roll_joint")

    def lean(qpos):
        bump = np.interp(np.arange(len(qpos)), [60, 90, 200, 230], [0.0, 1.0, 1.0, 0.0])
        qpos[:, 7 + roll] -= 0.75 * bump
        qpos[:, 7 + roll + 7] += 0.75 * bump

    leaning = with_defect(long_walk, lean)
    finding = only_fault(leaning, "links in one another")
    assert finding.severity == "warning"
    assert finding.where.removeprefix("left_").removeprefix("right_") in (
        "wrist in pelvis",
        "elbow_yaw in torso",
    )
    assert 0.3 < finding.share < 0.65
    model = load_mjcf(self_collision=True)
    data = mujoco.MjData(model)
    frame = round(finding.time * leaning.fps)
    data.qpos[:] = leaning.qpos[frame]
    mujoco.mj_forward(model, data)
    deepest = min(contact.dist for contact in data.contact if contact.geom1 and contact.dim == 1)
    assert finding.figure == pytest.approx(-deepest, abs=1e-4)  # as MuJoCo's contacts have it


def test_feet_that_slide(long_walk):
    def slide(qpos):
        qpos[:, 0] -= 0.25 * np.arange(len(qpos)) / 60.0  # the root lags behind its legs

    finding = only_fault(with_defect(long_walk, slide), "foot sliding")
    assert finding.severity == "warning"
    # Each foot stands for 0.65 of the 1.1 s.
    assert finding.figure == pytest.approx(0.25 * 0.65 * 1.1, abs=0.03)


def test_repeated_frames(long_walk):
    doubled = editing.edited(long_walk, qpos=np.repeat(long_walk.qpos, 2, axis=0), fps=120.0)
    finding = only_fault(doubled, "repeated frames")
    assert finding.share == pytest.approx(265 / 529)
    assert finding.time == 0.0


@pytest.mark.parametrize(("speed", "word"), [(0.5, "slow"), (2.0, "fast")])
def test_a_walk_at_another_speed_falls_against_gravity(long_walk, speed, word):
    """At half speed, accelerations are a quarter and pendulums half as fast."""
    model = load_mjcf(visuals=False)
    true = apparent_gravity(model, long_walk)
    changed = editing.at_speed(long_walk, speed)
    assert true == pytest.approx(7.0, abs=1.0)  # the pressure is not in the foot's middle all the time
    assert apparent_gravity(model, changed) == pytest.approx(speed**2 * true, rel=0.15)
    finding = faults(validate(changed))["pace"]
    assert finding.severity == "warning"
    assert finding.unit == f"times too {word}"
    assert "--source-fps" in finding.remedy


@pytest.mark.parametrize(
    "name", ["slow_walk", "fast_walk", "run", "side_step", "turn_in_place", "jump", "squat"]
)
def test_the_pace_of_other_clips_is_not_doubted(name):
    assert {finding.check: finding.severity for finding in validate(load_motion(name)).findings}[
        "pace"
    ] == "ok"


@pytest.mark.parametrize(("fps", "severity"), [(25.0, None), (15.0, "warning"), (8.0, "error")])
def test_too_few_frames_a_second(long_walk, fps, severity):
    found = faults(validate(editing.resampled(long_walk, fps)))
    if severity is None:
        assert "frame interval" not in found
    else:
        assert found["frame interval"].severity == severity
        assert found["frame interval"].figure == pytest.approx(1000.0 / fps)


def test_a_cyclic_clip_that_does_not_close(walk):
    ramp = np.linspace(0.0, 1.0, walk.num_frames)

    def bend(qpos):
        qpos[:, 7 + ELBOW] += 0.2 * ramp

    finding = only_fault(with_defect(walk, bend), "seam: joints")
    assert finding.where == "left_elbow_joint"
    assert finding.figure == pytest.approx(0.2, abs=1e-9)

    def rise(qpos):
        qpos[:, 2] += 0.025 * ramp

    assert only_fault(with_defect(walk, rise), "seam: root height").figure == pytest.approx(0.025, abs=1e-9)

    def turn(qpos):
        heading = Rotation.from_rotvec(np.outer(0.1 * ramp, [0.0, 0.0, 1.0]))
        quaternion = heading * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
        qpos[:, 3:7] = quaternion.as_quat(scalar_first=True)

    assert only_fault(with_defect(walk, turn), "seam: root turn").figure == pytest.approx(0.1, abs=1e-9)


def test_a_tilt_at_the_seam_is_not_said_to_be_a_turn(walk):
    """Carrying the heading over would not mend it, and a "turn" clip carries it over already."""

    def lean(qpos):
        tilt = Rotation.from_rotvec(np.outer(np.linspace(0.0, 0.5, walk.num_frames), [1.0, 0.0, 0.0]))
        qpos[:, 3:7] = (tilt * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)

    for loop in ("wrap", "turn"):
        found = faults(validate(editing.with_loop(with_defect(walk, lean), loop)))["seam: root turn"]
        assert found.figure == pytest.approx(0.5, abs=0.01)
        assert found.remedy.startswith("convert --make-cyclic closes it")


def test_a_cyclic_clip_whose_speed_changes_at_the_seam(walk):
    """Two parabolas over the cycle, closed in value: their rates differ by 8 heights a cycle."""
    frame = np.arange(walk.num_frames)
    arc = 4.0 * frame * (66 - frame) / 66.0**2

    def swing(qpos):
        qpos[:, 7 + ELBOW] = 0.2 + 0.9 * arc

    finding = only_fault(with_defect(walk, swing), "seam: joint speed")
    assert finding.figure == pytest.approx(8.0 * 0.9 / 1.1, rel=0.03)

    def bob(qpos):
        qpos[:, 2] += 0.08 * arc

    found = faults(validate(with_defect(walk, bob)))
    assert found["seam: root speed"].figure == pytest.approx(8.0 * 0.08 / 1.1, rel=0.1)


def test_making_it_cyclic_mends_the_seam(walk):
    """A walk of which a cycle and a half was declared cyclic."""
    part = editing.cut(
        editing.edited(walk, qpos=editing.sampled(walk, np.arange(200) / 60.0), fps=60.0), 0.0, 2.4
    )
    assert any("seam" in check for check in faults(validate(editing.with_loop(part, "wrap"))))
    assert faults(validate(made_cyclic(part))) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("g1_walk", set()),
        (
            "g1_run",
            {
                "joint limits",
                "depth in the floor",
                "foot sliding",
                "seam: joints",
                "seam: root turn",
                "seam: root speed",
            },
        ),
        (
            "g1_spinkick",
            {"joint limits", "foot sliding", "seam: joints", "seam: root turn", "seam: root speed"},
        ),
        (
            "g1_cartwheel",
            {
                "joint limits",
                "depth in the floor",
                "floor contact beside soles",
                "seam: joints",
                "seam: root turn",
                "seam: root speed",
            },
        ),
    ],
)
def test_clips_that_are_known_to_train_are_usable(shared, name, expected):
    report = validate(load_motion(shared / "motions" / "mimickit" / f"{name}.pkl"))
    assert report.fit
    assert set(faults(report)) == expected
    words = {0: "good"}.get(len(expected), f"usable, {len(expected)} warnings")
    assert report.verdict == words


def test_the_shortest_clip_can_be_judged(walk):
    report = validate(editing.cut(walk, 0.0, 1.0 / 60.0))
    assert set(faults(report)) == {"control step"}  # it ends before the first one


# Contacts


def test_feet_stand_when_the_walk_was_made_to_let_them(walk):
    """From heel strike at phase 0 to toe-off at 0.61 the left foot, half a cycle later the right one."""
    standing = foot_contacts.foot_contacts(load_mjcf(), walk).standing
    assert standing.shape == (66, 2)
    phase = (np.arange(66) + 0.5) / 66
    left = phase < 0.61
    assert np.mean(standing[:, 0] != left) < 0.08
    np.testing.assert_array_equal(standing[:, 1], np.roll(standing[:, 0], 33))


def test_runs_are_found_at_both_ends():
    flags = np.array([True, True, False, True, False, False, True])
    assert foot_contacts.runs_of_true(flags) == [slice(0, 2), slice(3, 4), slice(6, 7)]
    assert foot_contacts.runs_of_true(~flags[2:3]) == [slice(0, 1)]
    assert foot_contacts.runs_of_true(flags[2:3]) == []


def test_every_figure_has_a_limit_and_a_unit(walk):
    for finding in validate(walk).findings:
        assert finding.unit
        assert np.isfinite([finding.figure, finding.limit]).all()
    names = [finding.check for finding in validate(walk).findings]
    assert len(names) == len(set(names))
    assert validate(walk).name == "walk"
