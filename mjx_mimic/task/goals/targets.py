"""Targets in front of the robot, by distance, azimuth and height: how they are drawn, aimed at and seen."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mjx_mimic.config import Range
from mjx_mimic.robot import rotation
from mjx_mimic.robot.model import CharacterState


def cylindrical_dials(distance: Range, azimuth: Range) -> dict[str, tuple[float, float, str]]:
    """Return the dials of a place in front, which go beyond the ranges of training, m and rad, by half."""
    most = 1.5 * float(np.rad2deg(max(map(abs, azimuth))))
    return {
        "distance": (0.5 * distance[0], 1.5 * distance[1], "m"),
        "azimuth": (-max(most, 1.0), max(most, 1.0), "deg"),
    }


def cylindrical_values(character: CharacterState, point: jax.Array) -> dict[str, jax.Array]:
    """Return the values of these dials for a point (3,) m of the world."""
    x, y, _ = seen_from_below(character, point)
    return {"distance": jnp.hypot(x, y), "azimuth": jnp.rad2deg(jnp.arctan2(y, x))}


def aimed(character: CharacterState, values: Mapping[str, jax.Array], height: jax.Array) -> jax.Array:
    """Return the point (3,) m of the world that values of these dials, and a height () m, name."""
    distance, angle = values["distance"], jnp.deg2rad(values["azimuth"])
    point = jnp.stack([distance * jnp.cos(angle), distance * jnp.sin(angle), height])
    return place(jnp.concatenate([character.root_pos, character.root_quat]), point)


def draw_cylindrical(key: jax.Array, ranges: tuple[Range, Range, Range], beyond: float = 0.0) -> jax.Array:
    """Draw a point (3,) m in front.

    Args:
        key: of the point.
        ranges: of its distance, m, its azimuth, rad to the left, and its height, m.
        beyond: 0: inside the ranges; otherwise on the shell around their box that is so many half widths
            thick.
    """
    box_key, shell_key = jax.random.split(key)
    share = jax.random.uniform(box_key, (3,), minval=-1.0, maxval=1.0)
    low, high = jnp.array(ranges).T
    if beyond:
        varies = high > low
        outermost = jnp.max(jnp.abs(share) * varies)
        outermost = jnp.where(outermost > 0.0, outermost, 1.0)  # where nothing varies, nothing is beyond
        share = share / outermost * (1.0 + beyond * jax.random.uniform(shell_key))
    reach, angle, top = 0.5 * (low + high) + 0.5 * (high - low) * share
    return jnp.stack([reach * jnp.cos(angle), reach * jnp.sin(angle), top])


def place(home: jax.Array, point: jax.Array) -> jax.Array:
    """Return a point (3,) m of the heading frame on the floor below a root pose (7,), in the world."""
    return home[:3].at[2].set(0.0) + rotation.rotate(rotation.heading_quat(home[3:7]), point)


def seen_from_below(character: CharacterState, point: jax.Array) -> jax.Array:
    """Return a point (3,) m of the world in the heading frame, from the floor below the root."""
    below = character.root_pos.at[2].set(0.0)
    return rotation.rotate_inverse(rotation.heading_quat(character.root_quat), point - below)
