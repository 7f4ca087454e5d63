"""A clip as curves: joint angles with their limits, the root's height, and when the feet stand."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot, which would look for a window

from mjx_mimic.clips.foot_contacts import FootContacts, foot_contacts, runs_of_true
from mjx_mimic.clips.motion import Motion
from mjx_mimic.common.files import replacing
from mjx_mimic.robot.constants import G1_JOINTS, SIDES
from mjx_mimic.robot.mjcf import plain_g1

_KINDS = tuple(
    name.removeprefix("left_").removesuffix("_joint") for name in G1_JOINTS if "right_" not in name
)
_COLORS = {"left": "tab:blue", "right": "tab:orange", "waist": "black"}
_COLUMNS = 4


def plot_motion(motion: Motion, path: str | Path) -> None:
    """Write a PNG of the clip's curves.

    It has a panel for each kind of joint, with the left and the right one in degrees and the angles beyond
    their limits shaded in their colours, the pelvis' height in m, and bars where a foot stands.

    Raises:
        UserError: the file cannot be written.
    """
    model = plain_g1()
    time = np.arange(motion.num_frames) / motion.fps
    figure = Figure(figsize=(15.0, 12.0), layout="constrained")
    rows = len(_KINDS) // _COLUMNS
    grid = figure.add_gridspec(rows + 1, _COLUMNS)
    for panel, kind in enumerate(_KINDS):
        axes = figure.add_subplot(grid[panel // _COLUMNS, panel % _COLUMNS])
        joints = [name for name in G1_JOINTS if kind in name]
        for name in joints:
            angle = np.degrees(motion.dof_pos[:, G1_JOINTS.index(name)])
            axes.plot(time, angle, color=_COLORS[name.split("_")[0]])
        extent = axes.get_ylim()
        for name in joints:
            low, high = np.degrees(model.joint(name).range)
            for beyond in ((-360.0, low), (high, 360.0)):
                axes.axhspan(*beyond, color=_COLORS[name.split("_")[0]], alpha=0.15, linewidth=0.0)
        axes.set_ylim(extent)  # of the curves; limits far away do not show
        axes.set_ylabel("angle (deg)")
        axes.set_title(kind.replace("_", " "))
    height = figure.add_subplot(grid[rows, : _COLUMNS // 2])
    height.plot(time, motion.root_pos[:, 2], color="black")
    height.set_ylabel("height (m)")
    height.set_title("pelvis")
    _plot_contacts(figure.add_subplot(grid[rows, _COLUMNS // 2 :]), motion, foot_contacts(model, motion))

    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.set_xlim(0.0, motion.length)
        axes.set_xlabel("time (s)")
    title = f"{motion.name}: {motion.num_frames} frames at {motion.fps:g} frames/s, {motion.loop}"
    figure.suptitle(f"{title}; left blue, right orange, shaded beyond the joint's limits")
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=90)


def _plot_contacts(axes: Axes, motion: Motion, contacts: FootContacts) -> None:
    """Draw a bar wherever a foot stands, the left foot's above."""
    for row, side in enumerate(SIDES):
        spans = runs_of_true(contacts.standing[:, row])
        bars = [(span.start / motion.fps, (span.stop - span.start) / motion.fps) for span in spans]
        axes.broken_barh(bars, (0.6 - row, 0.8), color=_COLORS[side])
    axes.set_yticks([1.0, 0.0], SIDES)
    axes.set_ylim(-0.6, 1.6)
    axes.set_ylabel("foot")
    axes.set_title("feet that stand on the floor")
