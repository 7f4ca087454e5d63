"""Properties of any clip: files give it back, edits keep what they promise."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mjx_mimic.clips import editing
from mjx_mimic.clips.formats import load_motion, mimickit, native, save_motion, unitree
from mjx_mimic.clips.formats.csv_table import read_table
from mjx_mimic.clips.formats.safe_pickle import read_pickle
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS

RATES = st.one_of(st.integers(1, 1000).map(float), st.floats(1.0, 1000.0))
NAMES = st.text(min_size=1, max_size=30).filter(str.isprintable)


@st.composite
def motions(
    draw: st.DrawFn, rates: st.SearchStrategy[float] = RATES, loops: tuple = ("wrap", "clamp")
) -> Motion:
    """A clip of random poses, from still to one that turns by any angle between frames, by either sign."""
    frames = draw(st.integers(2, 40))
    scale = draw(st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 1.0, 30.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = Rotation.from_rotvec(scale * rng.normal(size=(frames, 3)))
    turns = [Rotation.random(rng=rng)]
    for step in steps[1:]:
        turns.append(step * turns[-1])
    quaternion = Rotation.concatenate(turns).as_quat(scalar_first=True)
    return make_motion(
        name=draw(NAMES),
        fps=draw(rates),
        root_pos=rng.normal(size=(1, 3)) + scale * rng.normal(size=(frames, 3)),
        root_quat=quaternion * rng.choice([-1.0, 1.0], (frames, 1)) * rng.uniform(0.995, 1.005, (frames, 1)),
        dof_pos=rng.normal(size=(1, 29)) + scale * rng.normal(size=(frames, 29)),
        joint_names=G1_JOINTS,
        loop=draw(st.sampled_from(loops)),
        source="test",
    )


def assert_same(actual: Motion, wanted: Motion, precision: float) -> None:
    """The same frames within `precision`, m and rad; a quaternion and its negative are the same."""
    assert (actual.fps, actual.loop, actual.joint_names) == (wanted.fps, wanted.loop, wanted.joint_names)
    np.testing.assert_allclose(actual.root_pos, wanted.root_pos, rtol=0.0, atol=precision)
    np.testing.assert_allclose(actual.dof_pos, wanted.dof_pos, rtol=0.0, atol=precision)
    sign = np.sign(np.sum(actual.root_quat * wanted.root_quat, axis=1, keepdims=True))
    np.testing.assert_allclose(sign * actual.root_quat, wanted.root_quat, rtol=0.0, atol=precision)


def written(motion: Motion, key: str) -> tuple[bytes, Path]:
    """The clip's file, which is gone again, and its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        save_motion(path, motion, key)
        if key == "native":
            assert native.read(path).digest == motion.digest
            assert native.read(path).name == motion.name
        return path.read_bytes(), path


@given(motions())
def test_the_native_format_gives_every_bit_back(motion):
    written(motion, "native")


@given(motions(rates=st.integers(1, 1000).map(float)))
def test_mimickits_format_gives_the_clip_back_to_rounding(motion):
    assert_same(mimickit.build(read_pickle(*written(motion, "mimickit")), Path("clip")), motion, 1e-12)


@given(motions(rates=st.just(30.0), loops=("clamp",)))
def test_unitrees_format_gives_the_clip_back_to_its_nine_digits(motion):
    assert_same(unitree.build(read_table(*written(motion, "unitree")), Path("clip")), motion, 2e-9)


@given(motions())
def test_mirroring_twice_changes_nothing(motion):
    assert editing.mirrored(editing.mirrored(motion)).digest == motion.digest


@given(motions(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_cut_has_the_frames_between_its_ends(motion, one, other):
    start, end = (share * motion.length for share in sorted((one, other)))
    first, last = round(start * motion.fps), round(end * motion.fps)
    assume(first < last)
    part = editing.cut(motion, start, end)
    np.testing.assert_array_equal(part.dof_pos, motion.dof_pos[first : last + 1])
    np.testing.assert_array_equal(part.root_pos, motion.root_pos[first : last + 1])
    assert abs(part.length - (end - start)) <= (1.0 + 1e-9) / motion.fps
    assert part.fps == motion.fps
    assert part.loop == (motion.loop if part.num_frames == motion.num_frames else "clamp")


@given(motions(), RATES)
def test_resampling_keeps_the_duration_and_the_ends(motion, fps):
    intervals = motion.length * fps
    assume(intervals >= 1.0 and intervals < 5000)
    result = editing.resampled(motion, fps)
    np.testing.assert_array_equal(result.qpos[0, :3], motion.qpos[0, :3])
    np.testing.assert_array_equal(result.dof_pos[0], motion.dof_pos[0])
    if motion.loop == "wrap":
        np.testing.assert_allclose(result.length, motion.length, rtol=1e-12)
        np.testing.assert_allclose(result.dof_pos[-1], motion.dof_pos[-1], rtol=0.0, atol=1e-9)
        np.testing.assert_allclose(result.root_pos[-1], motion.root_pos[-1], rtol=0.0, atol=1e-9)
        assert abs(result.fps - fps) * motion.length <= 0.5 + 1e-6
    else:
        assert result.fps == fps
        assert -1e-9 < (motion.length - result.length) * fps < 1.0 + 1e-6
    for values, own in ((result.dof_pos, motion.dof_pos), (result.root_pos, motion.root_pos)):
        assert (values <= own.max(axis=0) + 1e-9).all()
        assert (values >= own.min(axis=0) - 1e-9).all()


@given(motions())
@example(load_motion("walk"))
def test_a_clip_sampled_at_its_frames_is_itself(motion):
    times = np.arange(motion.num_frames) / motion.fps
    np.testing.assert_array_equal(editing.sampled(motion, times), motion.qpos)
    assert editing.resampled(motion, motion.fps).digest == motion.digest


@given(motions(), st.floats(-10.0, 10.0))
def test_a_lift_moves_the_height_alone(motion, height):
    up = editing.lifted(motion, height)
    np.testing.assert_array_equal(up.root_pos, motion.root_pos + np.array([0.0, 0.0, height]))
    np.testing.assert_array_equal(up.qpos[:, 3:], motion.qpos[:, 3:])


@given(motions(), st.floats(0.01, 0.49))
def test_smoothing_keeps_size_rate_and_loop(motion, share):
    smooth = editing.smoothed(motion, share * motion.fps)
    assert (smooth.num_frames, smooth.fps, smooth.loop) == (motion.num_frames, motion.fps, motion.loop)
    assert np.isfinite(smooth.qpos).all()
