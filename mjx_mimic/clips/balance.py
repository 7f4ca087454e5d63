"""Whether a clip's motion fits gravity: a body beside its foot falls, as fast as gravity has it fall."""

import mujoco
import numpy as np

from mjx_mimic.clips.foot_contacts import foot_contacts
from mjx_mimic.clips.motion import Motion
from mjx_mimic.robot.kinematics import forward_kinematics, sole_positions

_BESIDE = 0.04  # m from the foot's middle, over half its width: nobody rests there
_STEP_S = 0.05  # between the points of which the acceleration is taken
_FEWEST = 10  # frames that show something


def apparent_gravity(model: mujoco.MjModel, motion: Motion) -> float | None:
    """Estimate the gravity, m/s^2, under which the body would fall sideways off its standing foot as it does.

    While one foot stands, the body is an inverted pendulum over it: its centre of mass, x beside the foot and
    h above it, accelerates by about g x / h away from it (Kajita et al. 2001, the linear inverted pendulum).
    Forwards, the centre of pressure travels along the sole with the body; sideways, the sole is narrow. A
    clip that is played at half speed falls with a quarter of gravity.

    Args:
        model: the robot.
        motion: the clip.

    Returns:
        The least-squares estimate over all frames in which the centre of mass is far enough beside the one
        foot that stands; None: there are too few.
    """
    reach = max(round(_STEP_S * motion.fps), 1)
    frames = np.arange(reach, motion.num_frames - reach)
    if not len(frames):
        return None
    com = forward_kinematics(model, motion.qpos).com_pos
    acceleration = (com[frames + reach] - 2.0 * com[frames] + com[frames - reach]) * (motion.fps / reach) ** 2
    soles = sole_positions(model, motion.qpos)
    standing = foot_contacts(model, motion).standing
    moment = inertia = 0.0
    count = 0
    for foot in range(2):
        heel, toe = soles[frames, foot, :2].mean(axis=1), soles[frames, foot, 2:].mean(axis=1)
        along = (toe - heel)[:, :2]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across /= np.linalg.norm(along, axis=1, keepdims=True)
        away = com[frames] - 0.5 * (heel + toe)
        beside = np.sum(away[:, :2] * across, axis=1)
        alone = np.all(
            [standing[frames + k, foot] & ~standing[frames + k, 1 - foot] for k in range(-reach, reach)],
            axis=0,
        )
        shows = alone & (np.abs(beside) > _BESIDE)
        falls = np.sum(acceleration[:, :2] * across, axis=1)
        moment += float(np.sum((away[:, 2] * falls * beside)[shows]))
        inertia += float(np.sum(beside[shows] ** 2))
        count += int(shows.sum())
    return moment / inertia if count >= _FEWEST else None
