"""Edits of a clip: each takes a `Motion` and gives a new one."""

import numpy as np
from numpy.typing import NDArray

from mjx_mimic.motion import G1_JOINTS

# Sign of each hinge under reflection in the plane y = 0, and the hinge that it becomes.
MIRROR_SIGN = np.array([-1.0 if "_roll_" in name or "_yaw_" in name else 1.0 for name in G1_JOINTS])
_OTHER_SIDE = {"left": "right", "right": "left"}
MIRROR_INDEX = np.array(
    [G1_JOINTS.index("_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))) for name in G1_JOINTS]
)


def mirrored_joints(dof_pos: NDArray) -> NDArray[np.float64]:
    """(T, 29) angles of the pose reflected left to right."""
    return (dof_pos * MIRROR_SIGN)[:, MIRROR_INDEX]
