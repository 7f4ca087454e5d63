"""What is wanted of a cyclic motion, and a motion that fits it.

Conventions as in `periodic`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.robot.constants import G1_JOINTS
from mjx_mimic.robot.kinematics import heading
from mjx_mimic.synthesis.keyframes import FootPath
from mjx_mimic.synthesis.periodic import Array, Dynamics

FPS = 60
"""Frames per second of the clips."""


@dataclass(frozen=True)
class JointSwing:
    """A part of the cycle in which one leg follows curves of its joints, not its foot's path.

    Attributes:
        leg: 0 left, 1 right.
        start, end: s; the end may lie in the next cycle.
        via: (s, degrees) on the way, by column of the leg: 0 hip pitch, 1 hip roll, 3 knee, 4 ankle pitch.
    """

    leg: int
    start: float
    end: float
    via: dict[int, tuple[tuple[float, float], ...]]

    def of_other_leg(self, delay: float) -> Self:
        """The same swing of the other leg, `delay` s later; only for joints whose angles mirror unchanged."""
        via = {
            joint: tuple((time + delay, angle) for time, angle in knots) for joint, knots in self.via.items()
        }
        return replace(self, leg=1 - self.leg, start=self.start + delay, end=self.end + delay, via=via)


@dataclass(frozen=True, eq=False)
class MotionSpec:
    """What is wanted of a cyclic motion; arrays are N equidistant samples without the closing one.

    Attributes:
        name: of the clip.
        period: s.
        sampling: samples per frame; the dynamics are computed at `sampling * FPS`.
        travel: (2,) m per cycle.
        pelvis: N orientations.
        dof_pos: (N, 29) rad; those of the legs are ignored.
        com_z: (N,) m.
        zmp: (N, 2) m, without meaning in flight.
        feet: left and right.
        swings: parts in which a leg swings by its joints.
        pelvis_z: if given, the height of the pelvis, (N,) m, as a function of its path over the floor, (N, 2)
            m. Then `com_z` need only be roughly right.
        strides: cycles of the clip in the specification, alike but for a turn: those of a whole circle for a
            clip that turns.
        kept: s, the part of the cycle that is the clip, which then does not repeat; None: all of it.
        symmetric: whether the second half of the cycle mirrors the first. All other fields must comply; the
            motion then does so exactly, although the robot's trunk is not quite symmetric.
    """

    name: str
    period: float
    sampling: int
    travel: Array
    pelvis: Rotation
    dof_pos: Array
    com_z: Array
    zmp: Array
    feet: tuple[FootPath, FootPath]
    swings: tuple[JointSwing, ...] = ()
    pelvis_z: Callable[[Array], Array] | None = None
    strides: int = 1
    kept: tuple[float, float] | None = None
    symmetric: bool = False

    @property
    def flies(self) -> NDArray[np.bool_]:
        """(N,) whether neither foot stands."""
        return ~(self.feet[0].stands | self.feet[1].stands)


@dataclass(frozen=True, eq=False)
class Solution:
    """A motion that fits its specification.

    Attributes:
        spec: what was wanted.
        root_pos, root_quat, dof_pos: (N, 3) m, (N, 4) wxyz, (N, 29) rad.
        dynamics: of the whole body.
    """

    spec: MotionSpec
    root_pos: Array
    root_quat: Array
    dof_pos: Array
    dynamics: Dynamics

    def motion(self) -> Motion:
        """Return the clip at `FPS`: a cycle, or the part of it that is kept."""
        if self.spec.kept is None:
            return self.cycle()
        whole = self.cycle()
        first, last = (round(time * FPS) for time in self.spec.kept)
        frames = slice(first, last + 1)
        return make_motion(
            name=self.spec.name,
            fps=float(FPS),
            root_pos=whole.root_pos[frames] - whole.root_pos[first] * [1.0, 1.0, 0.0],
            root_quat=whole.root_quat[frames],
            dof_pos=whole.dof_pos[frames],
            joint_names=G1_JOINTS,
            loop="clamp",
            source=f"generated {self.spec.name}",
        )

    def cycle(self) -> Motion:
        """Return a cycle at `FPS`, closed by its first pose one cycle ahead."""

        def frames(signal: Array) -> Array:
            kept = signal[:: self.spec.sampling]
            kept = kept[: len(kept) // self.spec.strides]
            return np.concatenate([kept, kept[:1]])

        root_pos, root_quat = frames(self.root_pos), frames(self.root_quat)
        if self.spec.strides == 1:
            root_pos[-1, :2] += self.spec.travel
        else:  # with no other rounding than that of one turn
            after = (len(root_pos) - 1) * self.spec.sampling
            root_pos[-1, :2] = self.root_pos[after, :2]
            turn = heading(self.root_quat[after]) - heading(self.root_quat[0])
            first = Rotation.from_quat(root_quat[0], scalar_first=True)
            root_quat[-1] = (Rotation.from_euler("z", turn) * first).as_quat(scalar_first=True)
        # A symmetric motion keeps its plane of symmetry, y = 0.
        root_pos[:, :2] -= root_pos[0, :2] * ([1.0, 0.0] if self.spec.symmetric else 1.0)
        return make_motion(
            name=self.spec.name,
            fps=float(FPS),
            root_pos=root_pos,
            root_quat=root_quat,
            dof_pos=frames(self.dof_pos),
            joint_names=G1_JOINTS,
            loop="wrap" if self.spec.strides == 1 else "turn",
            source=f"generated {self.spec.name}",
        )


def cycle_times(period: float, sampling: int) -> Array:
    """(N,) s: the samples of a cycle, whose period must be a whole number of frames."""
    count = round(period * FPS) * sampling
    assert abs(round(period * FPS) - period * FPS) < 1e-6
    return np.arange(count) * period / count
