"""Rotations on arrays whose last axis is the quaternion (wxyz) or the vector; all functions broadcast.

Quaternions are unit and scalar first, as in MuJoCo. Angles are radians. The world's z axis points up.
"""

import jax
import jax.numpy as jnp


def normalize(quat: jax.Array) -> jax.Array:
    """Scale quaternions (..., 4) to unit norm."""
    return quat / jnp.linalg.norm(quat, axis=-1, keepdims=True)


def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
    """Multiply quaternions (..., 4): the rotation `right` followed by `left`."""
    w, x, y, z = jnp.moveaxis(left, -1, 0)
    a, b, c, d = jnp.moveaxis(right, -1, 0)
    return jnp.stack(
        [
            w * a - x * b - y * c - z * d,
            w * b + x * a + y * d - z * c,
            w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a,
        ],
        axis=-1,
    )


def conjugate(quat: jax.Array) -> jax.Array:
    """Return the inverse rotation (..., 4)."""
    return jnp.concatenate([quat[..., :1], -quat[..., 1:]], axis=-1)


def rotate(quat: jax.Array, vector: jax.Array) -> jax.Array:
    """Rotate vectors (..., 3) by quaternions (..., 4): body to world."""
    leading = jnp.broadcast_shapes(quat.shape[:-1], vector.shape[:-1])
    quat, vector = jnp.broadcast_to(quat, (*leading, 4)), jnp.broadcast_to(vector, (*leading, 3))
    real, imaginary = quat[..., :1], quat[..., 1:]
    twice_cross = 2.0 * jnp.cross(imaginary, vector)
    return vector + real * twice_cross + jnp.cross(imaginary, twice_cross)


def rotate_inverse(quat: jax.Array, vector: jax.Array) -> jax.Array:
    """Rotate vectors (..., 3) by the inverse of quaternions (..., 4): world to body."""
    return rotate(conjugate(quat), vector)


def angle(quat: jax.Array) -> jax.Array:
    """Return the rotation angle (...) in [0, pi]; accurate near zero, where the arc cosine is not."""
    return 2.0 * jnp.arctan2(jnp.linalg.norm(quat[..., 1:], axis=-1), jnp.abs(quat[..., 0]))


def angle_between(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return the angle (...) in [0, pi] of the rotation that takes one orientation into the other."""
    return angle(multiply(left, conjugate(right)))


def from_axis_angle(axis: jax.Array, theta: jax.Array) -> jax.Array:
    """Return the quaternion (..., 4) of a turn by `theta` (...) rad about the unit `axis` (..., 3).

    The axis broadcasts to the shape of the angles.
    """
    half = 0.5 * theta[..., None]
    axis = jnp.broadcast_to(axis, (*theta.shape, 3))
    return jnp.concatenate([jnp.cos(half), jnp.sin(half) * axis], axis=-1)


def between(start: jax.Array, end: jax.Array) -> jax.Array:
    """Return the shortest rotation (..., 4) from one unit vector (..., 3) to another, not its opposite."""
    cosine = jnp.sum(start * end, axis=-1, keepdims=True)
    return normalize(jnp.concatenate([1.0 + cosine, jnp.cross(start, end)], axis=-1))


def turned(quat: jax.Array, vector: jax.Array) -> jax.Array:
    """Turn unit quaternions (..., 4) by rotation vectors (..., 3) rad in the world frame."""
    theta = jnp.linalg.norm(vector, axis=-1, keepdims=True)
    turn = from_axis_angle(vector / jnp.maximum(theta, 1e-9), theta[..., 0])
    return normalize(multiply(turn, quat))


def slerp(start: jax.Array, end: jax.Array, fraction: jax.Array) -> jax.Array:
    """Interpolate along the shortest path, (..., 4), at `fraction` (...) in [0, 1]."""
    cosine = jnp.sum(start * end, axis=-1)
    end = jnp.where(cosine[..., None] < 0.0, -end, end)
    half = 0.5 * angle_between(start, end)
    near = half < 1e-4  # there sin(x)/x is 1 to float precision and the blend is linear
    sine = jnp.where(near, 1.0, jnp.sin(half))
    first = jnp.where(near, 1.0 - fraction, jnp.sin((1.0 - fraction) * half) / sine)
    second = jnp.where(near, fraction, jnp.sin(fraction * half) / sine)
    return normalize(first[..., None] * start + second[..., None] * end)


def heading(quat: jax.Array) -> jax.Array:
    """Return the heading (...) rad: the yaw of the rotated x axis about world z.

    The one definition of heading, MimicKit's (`torch_util.calc_heading`).
    """
    forward = rotate(quat, jnp.array([1.0, 0.0, 0.0]))
    return jnp.arctan2(forward[..., 1], forward[..., 0])


def heading_quat(quat: jax.Array) -> jax.Array:
    """Return the turn (..., 4) about world z by the heading of `quat`: heading frame to world."""
    return from_axis_angle(jnp.array([0.0, 0.0, 1.0]), heading(quat))


def tangent_normal(quat: jax.Array) -> jax.Array:
    """Encode rotations continuously, (..., 6): the rotated x axis, then the rotated z axis.

    MimicKit `torch_util.quat_to_tan_norm`.
    """
    tangent = rotate(quat, jnp.array([1.0, 0.0, 0.0]))
    normal = rotate(quat, jnp.array([0.0, 0.0, 1.0]))
    return jnp.concatenate([tangent, normal], axis=-1)
