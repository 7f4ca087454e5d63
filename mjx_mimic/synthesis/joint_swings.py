"""Swings of a leg that follow curves of its joints, between the poses in which it stands."""

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.robot.constants import LEGS
from mjx_mimic.synthesis.motion_spec import JointSwing, MotionSpec
from mjx_mimic.synthesis.periodic import Array, Via, joined_curves


def swing_leg(spec: MotionSpec, swing: JointSwing, dof_pos: Array) -> None:
    """Set the swinging leg's angles in `dof_pos`, smoothly between the poses in which it stands."""
    count = len(dof_pos)
    sample = spec.period / count
    first, last = swing_samples(spec, swing)
    inside = np.arange(first + 1, last)
    angles = dof_pos[:, LEGS[swing.leg]]
    via = {}
    for joint, knots in swing.via.items():
        times, degrees = zip(*knots, strict=True)
        via[joint] = Via(np.array(times), np.radians(degrees))
    angles[inside % count] = joined_curves(
        before=angles[np.arange(first - 3, first + 1) % count],
        after=angles[np.arange(last, last + 4) % count],
        sample=sample,
        start=first * sample,
        end=last * sample,
        times=inside.astype(np.float64) * sample,
        via=via,
    )


def swing_samples(spec: MotionSpec, swing: JointSwing) -> tuple[int, int]:
    """Return the last sample before the swing and the first one after it, which may be in the next cycle."""
    sample = spec.period / len(spec.com_z)
    return round(swing.start / sample), round(swing.end / sample)


def swinging(spec: MotionSpec) -> NDArray[np.bool_]:
    """(N, 2) whether the left, the right leg swings by its joints."""
    count = len(spec.com_z)
    found = np.zeros((count, 2), dtype=bool)
    for swing in spec.swings:
        first, last = swing_samples(spec, swing)
        found[np.arange(first + 1, last) % count, swing.leg] = True
    return found
