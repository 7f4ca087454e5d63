"""When the feet of a recorded person stand, and how the robot's soles are held still while they do.

Heels and toes are held separately, so that a foot may roll over its toes. Metres at the robot's size, z up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_opening
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.foot_contacts import runs_of_true

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_STILL = 0.15  # m/s; the lowest frames of a joint this slow show its height in a flat foot
_LOWEST = 10.0  # percent of these frames, as some people stand on one leg for long
_SLOW = 0.25  # m/s
_LOW = 0.03  # m over its height in a flat foot
_BRIEF_S = 0.1  # neither contacts nor gaps in them are shorter


@dataclass(frozen=True, eq=False)
class HeelToeContacts:
    """Contacts of one foot of a person over T frames.

    Attributes:
        heel, toe: (T,) bool, whether that end of the sole carries.
        ankle_height: m, of the person's ankles in the file's frame when a foot is flat on the floor.
    """

    heel: Flags
    toe: Flags
    ankle_height: float

    @property
    def flat(self) -> Flags:
        """Whether both ends carry, (T,)."""
        return self.heel & self.toe


def detect(feet: Mapping[str, tuple[Array, Array]], fps: float) -> dict[str, HeelToeContacts]:
    """Find the contacts of each foot of a person from the paths (T, 3) of its ankle and toe: low and slow.

    The feet stand on one floor: one that is held up throughout does not stand.
    """
    ankle_height, toe_height = (
        min(_standing_height(path, fps) for path in paths) for paths in zip(*feet.values(), strict=True)
    )
    return {
        side: HeelToeContacts(_down(ankle, ankle_height, fps), _down(toe, toe_height, fps), ankle_height)
        for side, (ankle, toe) in feet.items()
    }


def _speed(path: Array, fps: float) -> Array:
    """Return the speed (T,) m/s of a path (T, 3)."""
    return np.linalg.norm(np.gradient(path, axis=0), axis=1) * fps


def _standing_height(path: Array, fps: float) -> float:
    """Find how high a joint is when it stands, m."""
    still = path[_speed(path, fps) < _STILL, 2]
    return float(np.percentile(still, _LOWEST)) if len(still) else float(path[:, 2].min())


def _down(path: Array, height: float, fps: float) -> Flags:
    """Find when a joint stands (T,), whose height then is `height`."""
    down = (path[:, 2] < height + _LOW) & (_speed(path, fps) < _SLOW)
    brief = np.ones(max(round(_BRIEF_S * fps), 1), bool)
    edge = len(brief)  # what lies beyond the ends is like the ends
    closed = binary_closing(np.pad(down, edge, mode="edge"), brief)
    opened: Flags = binary_opening(closed, brief)[edge:-edge]
    return opened


def held(corners: Array, foot: HeelToeContacts, radius: float) -> Array:
    """Hold the sole's corners still on the floor during contacts, and displace them smoothly in between.

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
        positions = {}  # of each contact
        for contact in runs_of_true(down):
            both = np.flatnonzero(foot.flat[contact]) + contact.start
            if len(both):
                # Toes that stay while the heel comes and goes turn with the foot between its flat positions.
                positions[contact.start, contact.stop] = _between(flat[both][:, ends], both, contact)
            else:
                position = corners[contact, ends].mean(axis=0)
                position[:, 2] = radius
                positions[contact.start, contact.stop] = np.broadcast_to(position, paths[contact, ends].shape)
        shift = np.full(paths[:, ends].shape, np.nan)
        for (start, stop), position in positions.items():
            shift[start:stop] = position - corners[start:stop, ends]
        paths[:, ends] = corners[:, ends] + _filled(shift, down)
    paths[..., 2] = np.maximum(paths[..., 2], radius)
    return paths


def _flattened(corners: Array, foot: HeelToeContacts, radius: float) -> Array:
    """Put the foot (T, 4, 3) at its mean position and heading of each flat phase; elsewhere leave it.

    Toes (or the heel) that stay on the floor from one flat phase to the next stay in place.
    """
    result = corners.copy()
    before = None
    for phase in runs_of_true(foot.flat):
        mean = corners[phase].mean(axis=0)
        axis = mean[2:].mean(axis=0) - mean[:2].mean(axis=0)
        sole = _sole(corners[phase.start], np.arctan2(axis[1], axis[0]))
        sole += mean.mean(axis=0) * [1.0, 1.0, 0.0] + [0.0, 0.0, radius]
        if before is not None:
            for down, ends in ((foot.toe, slice(2, 4)), (foot.heel, slice(0, 2))):
                if down[before.stop : phase.start].all():
                    sole += (result[before.start, ends] - sole[ends]).mean(axis=0)
                    break
        result[phase] = sole
        before = phase
    return result


def _sole(corners: Array, heading: float) -> Array:
    """Make a level sole (4, 3) about its middle with `heading`, of the size that `corners` (4, 3) have."""
    length = np.linalg.norm(corners[2:].mean(axis=0) - corners[:2].mean(axis=0))
    heel, toe = (np.linalg.norm(corners[i] - corners[i + 1]) for i in (0, 2))
    level = 0.5 * np.array(
        [[-length, heel, 0.0], [-length, -heel, 0.0], [length, toe, 0.0], [length, -toe, 0.0]]
    )
    return Rotation.from_euler("z", heading).apply(level)


def _between(positions: Array, frames: NDArray[np.int64], contact: slice) -> Array:
    """Blend positions that are known at some frames of a contact linearly to all of it, (N, 2, 3)."""
    wanted = np.arange(contact.start, contact.stop)
    columns = [np.interp(wanted, frames, column) for column in positions.reshape(len(frames), -1).T]
    return np.stack(columns, axis=1).reshape(-1, *positions.shape[1:])


def _filled(shift: Array, known: Flags) -> Array:
    """Ease `shift` (T, ...) from each last known value to the next; constant at both ends."""
    if not known.any():
        return np.zeros_like(shift)
    result = shift.copy()
    frames = np.flatnonzero(known)
    result[: frames[0]], result[frames[-1] :] = shift[frames[0]], shift[frames[-1]]
    for gap in runs_of_true(~known):
        if gap.start > frames[0] and gap.stop <= frames[-1]:
            ramp = np.linspace(0.0, 1.0, gap.stop - gap.start + 2)[1:-1].reshape(-1, *[1] * (shift.ndim - 1))
            ease = ramp * ramp * (3.0 - 2.0 * ramp)
            result[gap] = (1.0 - ease) * shift[gap.start - 1] + ease * shift[gap.stop]
    return result
