"""Motion clips of the G1 on the host: read them, check them, edit them, write them.

    from mjx_mimic.clips import load_motion, save_motion, validate

    motion = load_motion("walk")  # a bundled clip's name, or a file in any known format
    print(validate(motion).verdict)
    save_motion("walk.pkl", motion, "mimickit")

`make_motion` and `Motion.from_qpos` build a clip from arrays, `load_clips` collects a weighted set of them;
`clips.editing` and `clips.loop_closing` hold the edits.
"""

from mjx_mimic.clips.dataset import Clips, load_clips
from mjx_mimic.clips.formats import load_motion, save_motion
from mjx_mimic.clips.motion import Motion, make_motion
from mjx_mimic.clips.validation import validate

__all__ = ["Clips", "Motion", "load_clips", "load_motion", "make_motion", "save_motion", "validate"]
