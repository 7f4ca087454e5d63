"""Feet of a recorded person: when they stand, and the robot's soles held still while they do.

Heels and toes are held apart, so that a foot may roll over its toes. Metres at the robot's size, z up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_opening
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.foot_contacts import stretches

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_STILL = 0.15  # m/s; a joint this slow and this low tells how high it is when its foot is flat
_LOWEST = 10.0  # percent of the slow frames, as some people stand on one leg for long
_SLOW = 0.25  # m/s
_LOW = 0.03  # m over its height in a flat foot
_BRIEF_S = 0.1  # neither contacts nor gaps in them are shorter


@dataclass(frozen=True, eq=False)
class Contacts:
    """Of one foot, over T frames.

    Attributes:
        heel, toe: (T,) bool, whether that end of the sole carries.
        ankle_height: m, of the person's ankle in the file's frame when the foot is flat on the floor.
    """

    heel: Flags
    toe: Flags
    ankle_height: float

    @property
    def flat(self) -> Flags:
        """(T,) both carry."""
        return self.heel & self.toe


def detect(ankle: Array, toe: Array, fps: float) -> Contacts:
    """Contacts from the paths (T, 3) of ankle and toe: low and slow."""
    heel_down, ankle_height = _down(ankle, fps)
    toe_down, _ = _down(toe, fps)
    return Contacts(heel_down, toe_down, ankle_height)


def _down(path: Array, fps: float) -> tuple[Flags, float]:
    """When the joint stands, and its height then."""
    speed = np.linalg.norm(np.gradient(path, axis=0), axis=1) * fps
    still = path[speed < _STILL, 2]
    height = float(np.percentile(still, _LOWEST)) if len(still) else float(path[:, 2].min())
    down = (path[:, 2] < height + _LOW) & (speed < _SLOW)
    brief = np.ones(max(round(_BRIEF_S * fps), 1), bool)
    edge = len(brief)  # what lies beyond the ends is like the ends
    closed = binary_closing(np.pad(down, edge, mode="edge"), brief)
    return binary_opening(closed, brief)[edge:-edge], height


def held(corners: Array, foot: Contacts, radius: float) -> Array:
    """Paths of the sole's corners that stand still on the floor during contacts and are displaced smoothly
    between them.

    Args:
        corners: (T, 4, 3) centres of the spheres under heel (2) and toes (2).
        foot: its contacts.
        radius: m, of the spheres: their height on the floor.

    Returns:
        (T, 4, 3).
    """
    flat = _flattened(corners, foot, radius)
    paths = corners.copy()
    for down, ends in ((foot.heel, slice(0, 2)), (foot.toe, slice(2, 4))):
        places = {}  # of each contact
        for contact in stretches(down):
            both = np.flatnonzero(foot.flat[contact]) + contact.start
            if len(both):
                # Toes that stay while the heel comes and goes turn with the foot between its flat places.
                places[contact.start, contact.stop] = _between(flat[both][:, ends], both, contact)
            else:
                place = corners[contact, ends].mean(axis=0)
                place[:, 2] = radius
                places[contact.start, contact.stop] = np.broadcast_to(place, paths[contact, ends].shape)
        shift = np.full(paths[:, ends].shape, np.nan)
        for (start, stop), place in places.items():
            shift[start:stop] = place - corners[start:stop, ends]
        paths[:, ends] = corners[:, ends] + _filled(shift, down)
    paths[..., 2] = np.maximum(paths[..., 2], radius)
    return paths


def _flattened(corners: Array, foot: Contacts, radius: float) -> Array:
    """(T, 4, 3) the foot at its mean place and heading of each flat stretch; elsewhere as it is.

    Toes (or the heel) that stay on the floor from one flat stretch to the next stay in place.
    """
    result = corners.copy()
    before = None
    for stretch in stretches(foot.flat):
        mean = corners[stretch].mean(axis=0)
        axis = mean[2:].mean(axis=0) - mean[:2].mean(axis=0)
        sole = _sole(corners[stretch.start], np.arctan2(axis[1], axis[0]))
        sole += mean.mean(axis=0) * [1.0, 1.0, 0.0] + [0.0, 0.0, radius]
        if before is not None:
            for down, ends in ((foot.toe, slice(2, 4)), (foot.heel, slice(0, 2))):
                if down[before.stop : stretch.start].all():
                    sole += (result[before.start, ends] - sole[ends]).mean(axis=0)
                    break
        result[stretch] = sole
        before = stretch
    return result


def _sole(corners: Array, heading: float) -> Array:
    """(4, 3) a level sole about its middle with `heading`, of the size that `corners` (4, 3) have."""
    length = np.linalg.norm(corners[2:].mean(axis=0) - corners[:2].mean(axis=0))
    heel, toe = (np.linalg.norm(corners[i] - corners[i + 1]) for i in (0, 2))
    level = 0.5 * np.array(
        [[-length, heel, 0.0], [-length, -heel, 0.0], [length, toe, 0.0], [length, -toe, 0.0]]
    )
    return Rotation.from_euler("z", heading).apply(level)


def _between(places: Array, frames: NDArray[np.int64], contact: slice) -> Array:
    """(contact, 2, 3) of places known at some frames of a contact, blended linearly between."""
    wanted = np.arange(contact.start, contact.stop)
    columns = [np.interp(wanted, frames, column) for column in places.reshape(len(frames), -1).T]
    return np.stack(columns, axis=1).reshape(-1, *places.shape[1:])


def _filled(shift: Array, known: Flags) -> Array:
    """`shift` (T, ...) with a smooth way from the last known value to the next, constant at both ends."""
    if not known.any():
        return np.zeros_like(shift)
    result = shift.copy()
    frames = np.flatnonzero(known)
    result[: frames[0]], result[frames[-1] :] = shift[frames[0]], shift[frames[-1]]
    for gap in stretches(~known):
        if gap.start > frames[0] and gap.stop <= frames[-1]:
            ramp = np.linspace(0.0, 1.0, gap.stop - gap.start + 2)[1:-1].reshape(-1, *[1] * (shift.ndim - 1))
            ease = ramp * ramp * (3.0 - 2.0 * ramp)
            result[gap] = (1.0 - ease) * shift[gap.start - 1] + ease * shift[gap.stop]
    return result
