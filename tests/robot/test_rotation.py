"""Rotations against SciPy's in float64, at random orientations and at the awkward ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from mjx_mimic.robot import rotation

COUNT = 200
# A product of two unit quaternions in float32 is exact to a few times 2**-24.
TOLERANCE = 1e-6


def awkward() -> np.ndarray:
    """No turn, half turns, both signs, turns too small for an arc cosine in float32, x axis upright."""
    small = [Rotation.from_rotvec([0.6 * t, 0.0, -0.8 * t]) for t in (1e-7, 1e-5, 2e-4, 1e-3, 0.1)]
    half = [Rotation.from_rotvec(np.pi * axis) for axis in np.eye(3)]
    upright = [Rotation.from_euler("ZY", [0.7, sign * np.pi / 2]) for sign in (1, -1)]
    quats = np.array([r.as_quat(scalar_first=True) for r in [Rotation.identity(), *small, *half, *upright]])
    return np.concatenate([quats, -quats])


@pytest.fixture(scope="module")
def quats() -> np.ndarray:
    """Unit quaternions (N, 4), spread evenly over all orientations and over both signs, and the awkward."""
    drawn = np.random.default_rng(0).normal(size=(COUNT, 4))
    return np.concatenate([awkward(), drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)])


@pytest.fixture(scope="module")
def others(quats) -> np.ndarray:
    return np.random.default_rng(1).permutation(quats)


@pytest.fixture(scope="module")
def vectors(quats) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(len(quats), 3))


@pytest.fixture(scope="module")
def fractions(quats) -> np.ndarray:
    return np.random.default_rng(3).uniform(size=len(quats))


def scipy_of(quats) -> Rotation:
    return Rotation.from_quat(np.asarray(quats, np.float64), scalar_first=True)


def f32(array) -> jax.Array:
    return jnp.asarray(array, jnp.float32)


def assert_same_turn(actual, expected: Rotation, tolerance: float = TOLERANCE) -> None:
    """Quaternions equal up to sign, norm included."""
    actual, expected = np.asarray(actual, np.float64), expected.as_quat(scalar_first=True)
    sign = np.where(np.sum(actual * expected, axis=-1, keepdims=True) < 0.0, -1.0, 1.0)
    np.testing.assert_allclose(sign * actual, expected, rtol=0.0, atol=tolerance)


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.mod(angle + np.pi, 2.0 * np.pi) - np.pi


def test_normalize_scales_to_unit_norm_and_keeps_direction(quats):
    scale = np.geomspace(1e-3, 1e3, len(quats))[:, None]
    np.testing.assert_allclose(rotation.normalize(f32(scale * quats)), quats, rtol=0.0, atol=TOLERANCE)


def test_multiply_turns_by_right_then_left(quats, others, vectors):
    product = rotation.multiply(f32(quats), f32(others))
    assert_same_turn(product, scipy_of(quats) * scipy_of(others))
    one_by_one = rotation.rotate(f32(quats), rotation.rotate(f32(others), f32(vectors)))
    np.testing.assert_allclose(rotation.rotate(product, f32(vectors)), one_by_one, rtol=0.0, atol=1e-5)


def test_multiply_follows_hamiltons_table():
    one, i, j, k = np.eye(4, dtype=np.float32)
    table = {(0, 1): i, (1, 1): -one, (1, 2): k, (2, 1): -k, (2, 3): i, (3, 1): j, (1, 3): -j, (3, 3): -one}
    units = (one, i, j, k)
    for (left, right), expected in table.items():
        np.testing.assert_array_equal(rotation.multiply(units[left], units[right]), expected)


def test_conjugate_undoes_the_turn(quats):
    assert_same_turn(rotation.conjugate(f32(quats)), scipy_of(quats).inv())
    identity = np.broadcast_to([1.0, 0.0, 0.0, 0.0], quats.shape)
    product = rotation.multiply(rotation.conjugate(f32(quats)), f32(quats))
    np.testing.assert_allclose(product, identity, rtol=0.0, atol=TOLERANCE)


def test_rotate_and_its_inverse(quats, vectors):
    turned = rotation.rotate(f32(quats), f32(vectors))
    np.testing.assert_allclose(turned, scipy_of(quats).apply(vectors), rtol=0.0, atol=4e-6)
    back = rotation.rotate_inverse(f32(quats), f32(vectors))
    np.testing.assert_allclose(back, scipy_of(quats).inv().apply(vectors), rtol=0.0, atol=4e-6)


def test_angle_is_the_shorter_turn(quats):
    angle = rotation.angle(f32(quats))
    np.testing.assert_allclose(angle, scipy_of(quats).magnitude(), rtol=0.0, atol=2e-6)
    np.testing.assert_array_equal(angle, rotation.angle(f32(-quats)))
    assert np.all(np.asarray(angle) >= 0.0)
    assert np.all(np.asarray(angle) <= np.float32(np.pi))


@pytest.mark.parametrize("theta", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
def test_angle_keeps_its_relative_accuracy_near_zero(theta):
    quat = Rotation.from_rotvec(theta * np.array([2.0, -1.0, 2.0]) / 3.0).as_quat(scalar_first=True)
    np.testing.assert_allclose(rotation.angle(f32(quat)), theta, rtol=1e-6)


def test_angle_between_is_symmetric_and_blind_to_sign(quats, others):
    expected = (scipy_of(quats) * scipy_of(others).inv()).magnitude()
    for left, right in ((quats, others), (others, quats), (quats, -others)):
        np.testing.assert_allclose(
            rotation.angle_between(f32(left), f32(right)), expected, rtol=0.0, atol=2e-6
        )
    np.testing.assert_allclose(rotation.angle_between(f32(quats), f32(-quats)), 0.0, rtol=0.0, atol=1e-6)


def test_from_axis_angle_beyond_a_turn_and_backwards(vectors):
    axes = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    theta = np.linspace(-8.0, 8.0, len(axes))
    assert_same_turn(
        rotation.from_axis_angle(f32(axes), f32(theta)), Rotation.from_rotvec(theta[:, None] * axes)
    )


def test_slerp_is_scipys_whichever_signs_the_ends_have(quats, others, fractions):
    # At half a turn, and nowhere else, two shortest paths exist; the draw has such pairs only by rounding.
    apart = (scipy_of(quats) * scipy_of(others).inv()).magnitude()
    clear = np.abs(apart - np.pi) > 1e-3
    assert clear.sum() > COUNT
    expected = Rotation.concatenate(
        [
            Slerp([0.0, 1.0], Rotation.concatenate([scipy_of(a), scipy_of(b)]))(t)
            for a, b, t in zip(quats[clear], others[clear], fractions[clear], strict=True)
        ]
    )
    for end in (others, -others):
        blend = rotation.slerp(f32(quats), f32(end), f32(fractions))
        # Near half a turn the sign of the quaternions' cosine, hence the weights, amplifies rounding.
        assert_same_turn(blend[clear], expected, 5e-6)
        np.testing.assert_allclose(np.linalg.norm(blend, axis=-1), 1.0, rtol=0.0, atol=5e-7)


def test_slerp_begins_at_start_and_arrives_at_end(quats, others):
    blend = rotation.slerp(f32(quats), f32(others), jnp.zeros(len(quats)))
    np.testing.assert_allclose(blend, quats, rtol=0.0, atol=TOLERANCE)
    assert_same_turn(rotation.slerp(f32(quats), f32(others), jnp.ones(len(quats))), scipy_of(others))


def test_slerp_between_equal_orientations_stays(quats, fractions):
    for end in (quats, -quats):
        blend = rotation.slerp(f32(quats), f32(end), f32(fractions))
        np.testing.assert_allclose(blend, quats, rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize("theta", [1e-6, 1e-5, 1.5e-4, 1.9e-4, 2.1e-4, 3e-4, 1e-2])
def test_slerp_of_small_turns_goes_at_constant_speed(theta, quats):
    """Across the threshold where it changes from sines to a straight blend."""
    turn = Rotation.from_rotvec(theta * np.array([1.0, 2.0, -2.0]) / 3.0)
    fraction = np.linspace(0.0, 1.0, len(quats))
    blend = rotation.slerp(
        f32(quats), f32((turn * scipy_of(quats)).as_quat(scalar_first=True)), f32(fraction)
    )
    travelled = (scipy_of(blend) * scipy_of(quats).inv()).magnitude()
    np.testing.assert_allclose(travelled, fraction * theta, rtol=0.0, atol=5e-7)


def test_heading_is_the_yaw_of_the_x_axis(quats):
    forward = scipy_of(quats).apply([1.0, 0.0, 0.0])
    level = np.hypot(forward[:, 0], forward[:, 1])
    error = wrapped(rotation.heading(f32(quats)) - np.arctan2(forward[:, 1], forward[:, 0]))
    assert (level > 0.1).mean() > 0.9
    np.testing.assert_allclose((error * level)[level > 1e-6], 0.0, atol=TOLERANCE)  # amplified as 1 / level


def test_heading_follows_a_turn_about_the_vertical(quats):
    forward = scipy_of(quats).apply([1.0, 0.0, 0.0])
    quats = quats[np.hypot(forward[:, 0], forward[:, 1]) > 0.1]
    yaw = np.linspace(-np.pi, np.pi, len(quats))
    turned = (Rotation.from_euler("z", yaw[:, None]) * scipy_of(quats)).as_quat(scalar_first=True)
    change = rotation.heading(f32(turned)) - rotation.heading(f32(quats))
    np.testing.assert_allclose(wrapped(change - yaw), 0.0, atol=1e-5)


def test_heading_ignores_pitch_and_roll():
    yaw = np.linspace(-3.0, 3.0, 25)
    tilt = np.random.default_rng(4).uniform(-1.5, 1.5, (25, 2))
    quats = Rotation.from_euler("ZYX", np.column_stack([yaw, tilt])).as_quat(scalar_first=True)
    np.testing.assert_allclose(rotation.heading(f32(quats)), yaw, rtol=0.0, atol=2e-5)


def test_heading_quat_is_vertical_and_takes_the_heading_away(quats):
    turn = rotation.heading_quat(f32(quats))
    np.testing.assert_array_equal(turn[:, 1:3], 0.0)
    np.testing.assert_allclose(np.linalg.norm(turn, axis=-1), 1.0, rtol=0.0, atol=5e-7)
    forward = scipy_of(quats).apply([1.0, 0.0, 0.0])
    level = np.hypot(forward[:, 0], forward[:, 1]) > 0.1
    rest = rotation.multiply(rotation.conjugate(turn), f32(quats))
    np.testing.assert_allclose(rotation.heading(rest)[level], 0.0, rtol=0.0, atol=1e-5)


def test_tangent_normal_is_the_x_and_z_axes(quats):
    matrix = scipy_of(quats).as_matrix()
    expected = np.concatenate([matrix[:, :, 0], matrix[:, :, 2]], axis=-1)
    encoded = rotation.tangent_normal(f32(quats))
    np.testing.assert_allclose(encoded, expected, rtol=0.0, atol=TOLERANCE)
    np.testing.assert_array_equal(encoded, rotation.tangent_normal(f32(-quats)))


def test_leading_axes_broadcast(quats, vectors):
    left, right = f32(quats[:3, None]), f32(quats[None, 40:45])
    assert rotation.multiply(left, right).shape == (3, 5, 4)
    assert rotation.angle_between(left, right).shape == (3, 5)
    assert rotation.slerp(left, right, jnp.full((3, 5), 0.3)).shape == (3, 5, 4)
    assert rotation.tangent_normal(left).shape == (3, 1, 6)
    turned = rotation.turned(left, f32(vectors[None, :5]))
    assert turned.shape == (3, 5, 4)
    np.testing.assert_allclose(turned[2, 4], rotation.turned(left[2, 0], f32(vectors[4])), atol=TOLERANCE)
    grid = rotation.rotate(left, f32(vectors[None, :5]))
    for i, quat in enumerate(quats[:3]):
        np.testing.assert_allclose(grid[i], scipy_of(quat).apply(vectors[:5]), rtol=0.0, atol=4e-6)
    assert rotation.rotate(f32(quats[30]), f32(vectors[0])).shape == (3,)
    assert rotation.heading(f32(quats[30])).shape == ()
